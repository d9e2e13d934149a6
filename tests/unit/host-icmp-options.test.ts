/** Parameter problems: what a host says of IPv6 headers and options that it does not know. */
import { describe, expect, test } from "bun:test";
import type { HostOptions } from "../../stack/ip/options.ts";
import type { SoftError } from "../../stack/transport/network.ts";
import { BROADCAST4, IpAddress } from "../../stack/wire/address.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import * as icmp6 from "../../stack/wire/icmpv6.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { BROADCAST_MAC, multicastMac } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import {
  ADDRESSES,
  ether,
  HOST4,
  HOST6,
  HOST_MAC,
  icmp4Frame,
  icmp6Frame,
  ip,
  type IpOptions,
  pattern,
  STATION4,
  STATION6,
  STATION_MAC,
  udpFrame,
  udpOf,
} from "../support/host-frames.ts";
import { HostLab, line, viewOf } from "../support/host-lab.ts";
import { extension, join } from "../support/wire-frames.ts";

const IP_AT = ethernet.HEADER_BYTES;
const back = { from: HOST4, to: STATION4, fromMac: HOST_MAC, toMac: STATION_MAC };
const back6 = { from: HOST6, to: STATION6, fromMac: HOST_MAC, toMac: STATION_MAC };
const NO_EXTENSIONS = new Uint8Array(0);

const open = (lab: HostLab, options: HostOptions = {}, link = {}) => {
  const wired = lab.wire({ addresses: ADDRESSES, linkLocal: false }, options, link);
  wired.station.introduce("10.0.0.1", "2001:db8::1");
  return wired;
};

const ping = (data: Uint8Array, more: IpOptions = {}) =>
  icmp4Frame({ kind: "echo-request", identifier: 1, sequence: 2, data }, more);
const ping6 = (data: Uint8Array, more: IpOptions = {}) =>
  icmp6Frame({ kind: "echo-request", identifier: 1, sequence: 2, data }, more);

describe("parameter problems", () => {
  const quoteOf = (frame: Uint8Array): Uint8Array => frame.slice(IP_AT);
  const control = { more4: { dscp: 48, dontFragment: true } };

  test("behind extension headers the pointer says where", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    const header = extension({ kind: "destination-options", nextHeader: 253, options: [] });
    const asked = ether(ip(PROTOCOL.DESTINATION_OPTIONS, join(header, pattern(9)), { to: HOST6 }));
    expect(station.ask(asked)).toEqual([
      icmp6Frame({ kind: "parameter-problem", code: 1, pointer: 40, quote: quoteOf(asked) }, back6),
    ]);
  });

  test("unknown options ask for what their first bits say", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    const group = IpAddress.parse("ff02::1");
    const withOption = (type: number, toGroup: boolean) => {
      const option = Uint8Array.of(PROTOCOL.UDP, 0, type, 4, 0, 0, 0, 0);
      const packet = ip(
        PROTOCOL.DESTINATION_OPTIONS,
        join(option, udpOf(pattern(5), { port: 99, to: HOST6 })),
        { to: toGroup ? group : HOST6 },
      );
      return ether(packet, toGroup ? { toMac: multicastMac(group) } : {});
    };
    const problem = (asked: Uint8Array) =>
      icmp6Frame({ kind: "parameter-problem", code: 2, pointer: 42, quote: quoteOf(asked) }, back6);
    // Skip: the datagram itself is looked at. To a group its checksum is wrong here, and silence follows.
    expect(line(station.ask(withOption(0x1e, false))[0]!)).toContain("port");
    expect(station.ask(withOption(0x5e, false), withOption(0x5e, true))).toEqual([]);
    for (const toGroup of [false, true])
      expect(station.ask(withOption(0x9e, toGroup))).toEqual([problem(withOption(0x9e, toGroup))]);
    expect(station.ask(withOption(0xde, false))).toEqual([problem(withOption(0xde, false))]);
    expect(station.ask(withOption(0xde, true))).toEqual([]);
  });

  test("a routing header with segments left, and hop-by-hop options that come late", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    const routing = Uint8Array.of(PROTOCOL.UDP, 0, 0, 1, 0, 0, 0, 0);
    const asked = ether(ip(PROTOCOL.ROUTING, join(routing, udpOf(pattern(3), { to: HOST6 })), { to: HOST6 }));
    expect(station.ask(asked)).toEqual([
      icmp6Frame({ kind: "parameter-problem", code: 0, pointer: 42, quote: quoteOf(asked) }, back6),
    ]);
    const late = join(
      Uint8Array.of(PROTOCOL.HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0),
      Uint8Array.of(PROTOCOL.UDP, 0, 1, 4, 0, 0, 0, 0),
      pattern(9),
    );
    const asked2 = ether(ip(PROTOCOL.DESTINATION_OPTIONS, late, { to: HOST6 }));
    expect(station.ask(asked2)).toEqual([
      icmp6Frame({ kind: "parameter-problem", code: 1, pointer: 40, quote: quoteOf(asked2) }, back6),
    ]);
  });
});

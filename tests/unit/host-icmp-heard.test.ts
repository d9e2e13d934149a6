/** ICMP errors that a host hears: of every kind, with quotations whole and cut, and whom they are told. */
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

describe("errors that are heard", () => {
  const hear = (lab: HostLab) => {
    const wired = open(lab);
    const errors: SoftError[] = [];
    const socket = wired.host.udp({ port: 700, onError: (error) => void errors.push(error) }, () => {});
    socket.send({ address: "10.0.0.1", port: 7 }, pattern(60));
    socket.send({ address: "2001:db8::1", port: 7 }, pattern(60));
    lab.run(0);
    const [four, six] = wired.station.takeIp().map((frame) => frame.slice(IP_AT));
    return { ...wired, errors, socket, four: four!, six: six! };
  };
  const router4 = IpAddress.parse("192.0.2.1");
  const router6 = IpAddress.parse("2001:db9::1");

  test.each([
    [3, 0, "network-unreachable"],
    [3, 1, "host-unreachable"],
    [3, 2, "protocol-unreachable"],
    [3, 3, "port-unreachable"],
    [3, 6, "network-unreachable"],
    [3, 9, "prohibited"],
    [3, 10, "prohibited"],
    [3, 13, "prohibited"],
    [3, 5, "host-unreachable"],
    [11, 0, "time-exceeded"],
    [11, 1, "time-exceeded"],
    [12, 0, "parameter-problem"],
  ] as const)("ICMPv4 type %d code %d is %s", (type, code, kind) => {
    using lab = new HostLab();
    const { station, errors, four, host } = hear(lab);
    const make = (quote: Uint8Array, extensions: Uint8Array) => {
      if (type === 11)
        return icmp4Frame({ kind: "time-exceeded", code, quote, extensions }, { from: router4 });
      if (type === 12)
        return icmp4Frame(
          { kind: "parameter-problem", code, pointer: 1, quote, extensions },
          { from: router4 },
        );
      return icmp4Frame(
        { kind: "destination-unreachable", code, mtu: 0, quote, extensions },
        { from: router4 },
      );
    };
    // Whole, cut after the ports and lengths, and with extensions behind a padded quotation (RFC 4884).
    const padded = join(four, new Uint8Array(128 - four.length));
    expect(
      station.ask(
        make(four, NO_EXTENSIONS),
        make(four.slice(0, 28), NO_EXTENSIONS),
        make(padded, pattern(12)),
      ),
    ).toEqual([]);
    expect(errors).toHaveLength(3);
    for (const error of errors) {
      expect({
        ...error,
        reporter: `${error.reporter}`,
        local: `${error.local}`,
        remote: `${error.remote}`,
      }).toEqual({
        kind,
        type,
        code,
        mtu: 0,
        family: 4,
        reporter: "192.0.2.1",
        local: "10.0.0.2",
        localPort: 700,
        remote: "10.0.0.1",
        remotePort: 7,
      });
    }
    // Cut in the ports: nobody to tell.
    station.ask(make(four.slice(0, 22), NO_EXTENSIONS), make(four.slice(0, 20), NO_EXTENSIONS));
    expect(errors).toHaveLength(3);
    expect(host.statistics().icmp4.errorsReceived).toBe(5);
  });

  test.each([
    [1, 0, "network-unreachable"],
    [1, 1, "prohibited"],
    [1, 2, "host-unreachable"],
    [1, 3, "host-unreachable"],
    [1, 4, "port-unreachable"],
    [1, 5, "prohibited"],
    [3, 0, "time-exceeded"],
    [4, 0, "parameter-problem"],
    [4, 1, "protocol-unreachable"],
  ] as const)("ICMPv6 type %d code %d is %s", (type, code, kind) => {
    using lab = new HostLab();
    const { station, errors, six } = hear(lab);
    const make = (quote: Uint8Array, extensions = NO_EXTENSIONS) => {
      const from = router6;
      if (type === 3) return icmp6Frame({ kind: "time-exceeded", code, quote, extensions }, { from });
      if (type === 4) return icmp6Frame({ kind: "parameter-problem", code, pointer: 1, quote }, { from });
      return icmp6Frame({ kind: "destination-unreachable", code, quote, extensions }, { from });
    };
    const header = extension({ kind: "destination-options", nextHeader: PROTOCOL.UDP, options: [] });
    const behind = ip(PROTOCOL.DESTINATION_OPTIONS, join(header, six.slice(40)), {
      from: HOST6,
      to: STATION6,
    });
    const first = extension({
      kind: "fragment",
      nextHeader: PROTOCOL.UDP,
      offset: 0,
      more: true,
      identification: 3,
    });
    const inPart = ip(PROTOCOL.FRAGMENT, join(first, six.slice(40)), { from: HOST6, to: STATION6 });
    station.ask(make(six), make(six.slice(0, 48)), make(behind), make(inPart));
    expect(
      errors.map((error) => [
        error.kind,
        error.type,
        error.code,
        error.localPort,
        error.remotePort,
        `${error.reporter}`,
      ]),
    ).toEqual(Array.from({ length: 4 }, () => [kind, type, code, 700, 7, "2001:db9::1"]));
    // Cut short: in the ports, at the header, in an extension header; and a later fragment, which has no ports.
    const later = extension({
      kind: "fragment",
      nextHeader: PROTOCOL.UDP,
      offset: 80,
      more: true,
      identification: 3,
    });
    const inLater = ip(PROTOCOL.FRAGMENT, join(later, six.slice(40)), { from: HOST6, to: STATION6 });
    station.ask(
      make(six.slice(0, 42)),
      make(six.slice(0, 40)),
      make(behind.slice(0, 44)),
      make(inPart.slice(0, 50)),
      make(inLater),
    );
    expect(errors).toHaveLength(4);
  });

  test("advice is no error: source quench and redirects", () => {
    using lab = new HostLab();
    const { station, errors, four, host } = hear(lab);
    station.ask(
      icmp4Frame({ kind: "redirect", code: 1, gateway: router4, quote: four }),
      icmp4Frame({ kind: "other", type: 4, code: 0, body: join(new Uint8Array(4), four) }),
    );
    expect([errors, host.statistics().icmp4.errorsReceived]).toEqual([[], 0]);
  });

  test("a quoted later fragment says no port, but what the path carries", () => {
    using lab = new HostLab();
    const { station, errors, four, host } = hear(lab);
    const later = ip(PROTOCOL.UDP, join(four.slice(20), pattern(1300)), {
      from: HOST4,
      to: STATION4,
      more4: { fragmentOffset: 1480 },
    });
    station.ask(
      icmp4Frame({
        kind: "destination-unreachable",
        code: 4,
        mtu: 1000,
        quote: later.slice(0, 60),
        extensions: NO_EXTENSIONS,
      }),
    );
    expect(errors).toEqual([]);
    expect(host.pathMtu.of(STATION4.w0, STATION4.w1, STATION4.w2, STATION4.w3)).toBe(1000);
  });

  test("quotations of others' packets, and garbage, are nobody's", () => {
    using lab = new HostLab();
    const { station, errors, host } = hear(lab);
    const others = ip(PROTOCOL.UDP, udpOf(pattern(9), { fromPort: 700, port: 7 }), {
      from: IpAddress.parse("10.0.0.77"),
    });
    for (let length = 0; length < 60; length++)
      station.put(icmp4Frame({ kind: "other", type: 200, code: 0, body: pattern(length + 4) }));
    station.ask(
      icmp4Frame({ kind: "time-exceeded", code: 0, quote: others, extensions: NO_EXTENSIONS }),
      icmp4Frame({
        kind: "time-exceeded",
        code: 0,
        quote: new Uint8Array(24).fill(0xff),
        extensions: NO_EXTENSIONS,
      }),
      icmp6Frame({ kind: "time-exceeded", code: 0, quote: new Uint8Array(64), extensions: NO_EXTENSIONS }),
    );
    expect([errors.length, host.statistics().icmp4.malformed]).toEqual([0, 1]);
  });

  test("an error about a ping comes to who pings", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    const errors: unknown[] = [];
    for (const address of ["10.0.0.1", "2001:db8::1"]) {
      const echo = host.ping(
        address,
        {
          onReply: () => {},
          onError: ({ kind, sequence, remote }) => void errors.push(`${kind} ${sequence} ${remote}`),
        },
        { ttl: 1 },
      );
      echo.send(77, pattern(9));
      lab.run(0);
      const quote = station.takeIp()[0]!.slice(IP_AT);
      if (address === "10.0.0.1")
        station.ask(
          icmp4Frame({ kind: "time-exceeded", code: 0, quote, extensions: NO_EXTENSIONS }, { from: router4 }),
        );
      else
        station.ask(
          icmp6Frame({ kind: "time-exceeded", code: 0, quote, extensions: NO_EXTENSIONS }, { from: router6 }),
        );
    }
    expect(errors).toEqual(["time-exceeded 77 10.0.0.1", "time-exceeded 77 2001:db8::1"]);
  });

  test("types of both are what the tests say", () => {
    expect([icmp4.TYPE.TIME_EXCEEDED, icmp6.TYPE.TIME_EXCEEDED]).toEqual([11, 3]);
  });
});

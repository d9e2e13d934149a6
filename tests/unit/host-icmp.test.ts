/** ICMP of a host: echoes of all sizes, and the errors that it sends and may not send. */
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

describe("echoes", () => {
  test("are answered in place, byte for byte", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    for (const length of [0, 1, 56, 1452]) {
      const data = pattern(length);
      expect(station.ask(ping(data, { more4: { dscp: 3, identification: 9, ttl: 5 } }))).toEqual([
        icmp4Frame(
          { kind: "echo-reply", identifier: 1, sequence: 2, data },
          { ...back, more4: { dscp: 3, dontFragment: true } },
        ),
      ]);
      expect(station.ask(ping6(data, { more6: { flowLabel: 5, trafficClass: 7 } }))).toEqual([
        icmp6Frame(
          { kind: "echo-reply", identifier: 1, sequence: 2, data },
          { ...back6, more6: { trafficClass: 7 } },
        ),
      ]);
    }
    // Padding does not come back.
    expect(station.ask(join(ping(pattern(3)), pattern(12)))[0]).toHaveLength(14 + 20 + 8 + 3);
  });

  test("of any size come back from one host to another", () => {
    using lab = new HostLab();
    const [left, right] = lab.link();
    const [a, b] = [lab.host(), lab.host()];
    a.join(left, { addresses: ADDRESSES, dad: false });
    b.join(right, { addresses: ["10.0.0.1/24", "2001:db8::1/64"], dad: false });
    for (const address of ["10.0.0.1", "2001:db8::1", "127.0.0.1", "::1", "10.0.0.2"]) {
      const replies: string[] = [];
      const echo = a.ping(address, {
        onReply: ({ packet, at, lengthBytes, sequence }) => {
          const data = packet.bytes.slice(at, at + lengthBytes);
          replies.push(`${sequence} ${packet.source} ${Buffer.compare(data, pattern(lengthBytes))}`);
        },
      });
      const sizes = [0, 1, 2, 56, 1451, 1452, 1472, 1473, 3000, 65_506, 65_507];
      for (const [sequence, size] of sizes.entries()) {
        expect(echo.send(sequence, pattern(size))).toBe(0);
        lab.run(5);
      }
      expect(replies).toEqual(sizes.map((_, sequence) => `${sequence} ${address} 0`));
      expect(echo.send(0, pattern(65_528))).toBe(-4);
      echo.close();
    }
  });

  test("to a group are answered with IPv6 alone, from our own address", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    const all = IpAddress.parse("ff02::1");
    const toAll = { to: all, toMac: multicastMac(all) };
    const reply = { kind: "echo-reply", identifier: 1, sequence: 2, data: pattern(4) } as const;
    expect(station.ask(ping6(pattern(4), toAll))).toEqual([icmp6Frame(reply, back6)]);
    for (const to of [BROADCAST4, IpAddress.parse("10.0.0.255")])
      expect(
        station.ask(
          icmp4Frame(
            { kind: "echo-request", identifier: 1, sequence: 2, data: pattern(4) },
            { to, toMac: BROADCAST_MAC },
          ),
        ),
      ).toEqual([]);
  });

  test("with options or extension headers are answered with a copy", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    const options = [{ type: 0x94, data: Uint8Array.of(0, 0) }];
    const [told] = station.ask(ping(pattern(9), { more4: { options } }));
    expect(line(told!)).toContain("echo reply");
    expect(ipv4.headerBytes(viewOf(told!), IP_AT)).toBe(20);
    const inner = ping6(pattern(9)).slice(IP_AT + 40);
    const header = extension({ kind: "destination-options", nextHeader: PROTOCOL.ICMPV6, options: [] });
    const reply = { kind: "echo-reply", identifier: 1, sequence: 2, data: pattern(9) } as const;
    expect(station.ask(ether(ip(PROTOCOL.DESTINATION_OPTIONS, join(header, inner), { to: HOST6 })))).toEqual([
      icmp6Frame(reply, back6),
    ]);
  });

  test("and errors find their way back over another interface where only that leads there", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const second = lab.attach(
      host,
      {
        addresses: ["10.9.0.2/24", "2001:db9::2/64"],
        gateway: ["10.9.0.1", "2001:db9::1"],
        linkLocal: false,
      },
      { names: ["second", "far"] },
    );
    second.station.introduce("10.9.0.1", "2001:db9::1");
    const from4 = IpAddress.parse("192.0.2.9");
    const from6 = IpAddress.parse("2001:dba::9");
    const options = [{ type: 0x94, data: Uint8Array.of(0, 0) }];
    const header = extension({ kind: "destination-options", nextHeader: PROTOCOL.ICMPV6, options: [] });
    const inner = icmp6Frame(
      { kind: "echo-request", identifier: 1, sequence: 2, data: pattern(9) },
      { from: from6 },
    ).slice(IP_AT + 40);
    const packet6 = ip(PROTOCOL.DESTINATION_OPTIONS, join(header, inner), { from: from6, to: HOST6 });
    const asked = [
      ping(pattern(9), { from: from4, more4: { options } }),
      ether(packet6),
      udpFrame(pattern(9), { from: from4, port: 99 }),
      udpFrame(pattern(9), { from: from6, to: HOST6, port: 99 }),
    ];
    expect(station.ask(...asked)).toEqual([]);
    expect(second.station.lines().map((text) => /echo reply|port/.exec(text)?.[0])).toEqual([
      "echo reply",
      "echo reply",
      "port",
      "port",
    ]);
  });

  test("can be left unanswered", () => {
    using lab = new HostLab();
    const { station } = open(lab, { echo: false });
    expect(station.ask(ping(pattern(4)), ping6(pattern(4)))).toEqual([]);
  });

  test("with a bad checksum are malformed", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    for (const frame of [ping(pattern(4)), ping6(pattern(4))]) {
      frame[frame.length - 1]! ^= 1;
      expect(station.ask(frame)).toEqual([]);
    }
    expect([host.statistics().icmp4.malformed, host.statistics().icmp6.malformed]).toEqual([1, 1]);
  });

  test("that somebody else answers say nothing of the way to whom was asked", () => {
    using lab = new HostLab();
    const { station, on, host } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    const seen: string[] = [];
    const echo = host.ping("10.0.0.1", { onReply: ({ packet }) => void seen.push(`${packet.source}`) });
    on.neighbours4.resolve(STATION4);
    (on.neighbours4 as unknown as { learn(...args: unknown[]): void }).learn(STATION4, STATION_MAC, "stale");
    const reply = { kind: "echo-reply", identifier: echo.identifier, sequence: 1, data: pattern(1) } as const;
    echo.send(1, pattern(1));
    const state = () => on.neighbours4.lookup(STATION4.w0, STATION4.w1, STATION4.w2, STATION4.w3)!.state;
    station.ask(icmp4Frame(reply, { from: IpAddress.parse("10.0.0.9") }));
    expect(state()).not.toBe("reachable");
    station.ask(icmp4Frame(reply));
    expect([state(), ...seen]).toEqual(["reachable", "10.0.0.9", "10.0.0.1"]);
  });
});

describe("errors that are sent", () => {
  const quoteOf = (frame: Uint8Array): Uint8Array => frame.slice(IP_AT);
  const control = { more4: { dscp: 48, dontFragment: true } };

  test("a port that nobody has", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    const asked = udpFrame(pattern(9), { port: 99 });
    expect(station.ask(asked)).toEqual([
      icmp4Frame(
        {
          kind: "destination-unreachable",
          code: 3,
          mtu: 0,
          quote: quoteOf(asked),
          extensions: NO_EXTENSIONS,
        },
        { ...back, ...control },
      ),
    ]);
    const asked6 = udpFrame(pattern(9), { port: 99, to: HOST6 });
    expect(station.ask(asked6)).toEqual([
      icmp6Frame(
        { kind: "destination-unreachable", code: 4, quote: quoteOf(asked6), extensions: NO_EXTENSIONS },
        back6,
      ),
    ]);
    expect(host.statistics().udp.noPort).toBe(2);
  });

  test("quote as much as they may", () => {
    using lab = new HostLab();
    const { station } = open(lab);
    expect(station.ask(udpFrame(pattern(1400), { port: 99 }))[0]).toHaveLength(14 + 576);
    expect(station.ask(udpFrame(pattern(1400), { port: 99, to: HOST6 }))[0]).toHaveLength(14 + 1280);
  });

  test("a protocol that nobody speaks, also one of the other family", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    const unknown4 = [132, 253, PROTOCOL.ICMPV6, PROTOCOL.FRAGMENT];
    for (const protocol of unknown4) {
      const [told] = station.ask(ether(ip(protocol, pattern(20))));
      expect(line(told!)).toMatch(/protocol .*unreachable|unreachable.*protocol/i);
    }
    for (const protocol of [132, 253, PROTOCOL.ICMP, PROTOCOL.IGMP]) {
      const asked = ether(ip(protocol, pattern(20), { to: HOST6 }));
      expect(station.ask(asked)).toEqual([
        icmp6Frame({ kind: "parameter-problem", code: 1, pointer: 6, quote: quoteOf(asked) }, back6),
      ]);
    }
    expect(station.ask(ether(ip(PROTOCOL.NONE, pattern(20), { to: HOST6 })))).toEqual([]);
    expect(host.statistics().ip.unknownProtocol).toBe(8);
    expect(host.statistics().icmp6.received).toBe(0);
  });

  test("fragments that miss the others, where the first one came to us alone", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    const whole = udpOf(pattern(100));
    const part = (at: number, to = HOST4, identification = 1) =>
      ip(PROTOCOL.UDP, whole.slice(at, at + 40), {
        to,
        more4: { moreFragments: true, fragmentOffset: at, identification },
      });
    const part6 = (at: number, to = HOST6) =>
      ip(
        PROTOCOL.FRAGMENT,
        join(
          extension({
            kind: "fragment",
            nextHeader: PROTOCOL.UDP,
            offset: at,
            more: true,
            identification: 4,
          }),
          whole.slice(at, at + 40),
        ),
        { to },
      );
    const group4 = IpAddress.parse("224.0.0.1");
    const group6 = IpAddress.parse("ff02::1");
    station.ask(
      ether(part(0)),
      ether(part(40, HOST4, 2)),
      ether(part(0, group4), { toMac: multicastMac(group4) }),
      ether(part(0, IpAddress.parse("10.0.0.255")), { toMac: BROADCAST_MAC }),
      ether(part6(0)),
      ether(part6(0, group6), { toMac: multicastMac(group6) }),
    );
    lab.run(29_000);
    expect(station.takeIp()).toEqual([]);
    lab.run(61_000);
    expect(station.takeIp()).toEqual([
      icmp4Frame(
        { kind: "time-exceeded", code: 1, quote: part(0), extensions: NO_EXTENSIONS },
        { ...back, ...control },
      ),
      icmp6Frame({ kind: "time-exceeded", code: 1, quote: part6(0), extensions: NO_EXTENSIONS }, back6),
    ]);
    expect(host.statistics().reassembly.timedOut).toBe(6);
  });

  test("are never sent about what RFC 1122 3.2.2 and RFC 4443 2.4 e name", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    const quote = ip(PROTOCOL.UDP, udpOf(pattern(1)));
    const group6 = IpAddress.parse("ff02::1");
    const error4 = icmp4Frame({ kind: "time-exceeded", code: 0, quote, extensions: NO_EXTENSIONS }).slice(
      IP_AT + 20,
    );
    const silent: readonly Uint8Array[] = [
      // To everybody, and to a group.
      ether(ip(253, pattern(8), { to: BROADCAST4 }), { toMac: BROADCAST_MAC }),
      ether(ip(253, pattern(8), { to: IpAddress.parse("224.0.0.1") }), {
        toMac: multicastMac(IpAddress.parse("224.0.0.1")),
      }),
      ether(ip(253, pattern(8), { to: group6 }), { toMac: multicastMac(group6) }),
      // In a frame to many.
      ether(ip(253, pattern(8)), { toMac: BROADCAST_MAC }),
      ether(ip(253, pattern(8), { to: HOST6 }), { toMac: BROADCAST_MAC }),
      // From nobody, a group, everybody, ourselves, loopback.
      ...[
        "0.0.0.0",
        "0.0.0.9",
        "224.0.0.5",
        "255.255.255.255",
        "10.0.0.255",
        "10.0.0.2",
        "127.0.0.1",
        "240.0.0.1",
      ].map((from) => ether(ip(253, pattern(8), { from: IpAddress.parse(from) }))),
      ...["::", "ff02::5", "::1", "2001:db8::2"].map((from) =>
        ether(ip(253, pattern(8), { from: IpAddress.parse(from), to: HOST6 })),
      ),
      // About a later fragment, and about an error.
      ether(ip(253, pattern(8), { more4: { fragmentOffset: 800 } })),
      ether(ip(PROTOCOL.ICMP, error4)),
    ];
    for (const frame of silent) expect(station.ask(frame).map((one) => line(one))).toEqual([]);
    lab.run(90_000);
    expect(station.takeIp().map((one) => line(one))).toEqual([]);
    expect(host.statistics().icmp4.errorsSent + host.statistics().icmp6.errorsSent).toBe(0);
  });

  test("are held down, for one and for all", () => {
    using lab = new HostLab();
    const { station, host } = open(lab);
    const asked = udpFrame(pattern(1), { port: 99 });
    const burst = Array.from({ length: 50 }, () => asked);
    expect(station.ask(...burst)).toHaveLength(10);
    expect(host.statistics().icmp4).toMatchObject({ errorsSent: 10, errorsLimited: 40 });
    lab.run(1000);
    expect(station.ask(...burst)).toHaveLength(10);
    // Many askers share what there is for all.
    lab.run(10_000);
    const many = Array.from({ length: 300 }, (_, i) =>
      udpFrame(pattern(1), { port: 99, from: IpAddress.v4((10 << 24) | (100 + i)) }),
    );
    const before = host.statistics().icmp4.errorsSent;
    station.ask(...many);
    const sent = host.statistics().icmp4.errorsSent - before;
    expect(sent).toBeGreaterThan(25);
    expect(sent).toBeLessThan(110);
    lab.run(5000);
  });
});

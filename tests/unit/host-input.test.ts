/** Frames on their way in: whose they are, what is refused and how that is counted, and that no bytes at all do harm. */
import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import type { IpStatistics } from "../../stack/ip/counters.ts";
import type { HostOptions } from "../../stack/ip/options.ts";
import { BROADCAST4, IpAddress } from "../../stack/wire/address.ts";
import { pseudo4, pseudo6 } from "../../stack/wire/checksum.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import * as icmp6 from "../../stack/wire/icmpv6.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { BROADCAST_MAC, MacAddress, multicastMac } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import {
  ADDRESSES,
  ether,
  HOST4,
  HOST6,
  icmp4Frame,
  icmp6Frame,
  ip,
  pattern,
  STATION6,
  udpFrame,
  udpOf,
} from "../support/host-frames.ts";
import { HostLab, viewOf } from "../support/host-lab.ts";
import { mangled } from "../support/records.ts";
import { extension, join } from "../support/wire-frames.ts";

const address = (text: string): IpAddress => IpAddress.parse(text);

/** Which counters `frame` moves, in a host that has port 53 open. */
const countersOf = (frame: Uint8Array, options: HostOptions = {}): Partial<IpStatistics> => {
  using lab = new HostLab();
  const { host, station } = lab.wire({ addresses: ADDRESSES, linkLocal: false }, options);
  host.udp(53, () => {});
  const before = host.statistics().ip;
  station.ask(frame);
  const after = host.statistics().ip;
  const moved = Object.entries(after).filter(([key, value]) => value !== before[key as keyof IpStatistics]);
  const quiet = new Set(["received", "receivedBytes", "sent", "unresolved", "full"]);
  return Object.fromEntries(moved.filter(([key]) => !quiet.has(key)).map(([key]) => [key, 1]));
};

const group4 = address("239.9.9.9");
const group6 = address("ff05::9");

describe("a frame", () => {
  const datagram = udpFrame(pattern(5));
  const broken = (at: number, value: number): Uint8Array => {
    const copy = datagram.slice();
    copy[at] = value;
    return copy;
  };
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["for us", datagram, "delivered"],
    ["for us, with IPv6", udpFrame(pattern(5), { to: HOST6 }), "delivered"],
    [
      "for another station",
      udpFrame(pattern(5), { toMac: MacAddress.parse("02:00:00:00:00:99") }),
      "otherHost",
    ],
    ["of another type", broken(12, 0x88), "unknownType"],
    ["of another version", broken(14, 0x65), "malformed"],
    ["with a short header length", broken(14, 0x44), "malformed"],
    ["longer than itself", broken(16, 0x70), "malformed"],
    ["with a bad header checksum", broken(24, 0x77), "malformed"],
    ["cut in its header", datagram.slice(0, 30), "malformed"],
    ["cut in its payload", datagram.slice(0, datagram.length - 1), "malformed"],
    ["cut in its IPv6 header", udpFrame(pattern(5), { to: HOST6 }).slice(0, 50), "malformed"],
    ["for another address", udpFrame(pattern(5), { to: address("10.0.0.9") }), "notOurs"],
    ["for another address, with IPv6", udpFrame(pattern(5), { to: address("2001:db8::9") }), "notOurs"],
    ["to a group of others", udpFrame(pattern(5), { to: group4, toMac: multicastMac(group4) }), "noMember"],
    [
      "to a group of others, with IPv6",
      udpFrame(pattern(5), { to: group6, toMac: multicastMac(group6) }),
      "noMember",
    ],
    ["to everybody", udpFrame(pattern(5), { to: BROADCAST4, toMac: BROADCAST_MAC }), "delivered"],
    [
      "to everybody in our network",
      udpFrame(pattern(5), { to: address("10.0.0.255"), toMac: BROADCAST_MAC }),
      "delivered",
    ],
    ["with a TTL of 0", udpFrame(pattern(5), { more4: { ttl: 0 } }), "delivered"],
    ["of an unknown protocol", ether(ip(253, pattern(5))), "unknownProtocol"],
    ["with nothing in it", ether(ip(PROTOCOL.NONE, pattern(0), { to: HOST6 })), "delivered"],
    [
      "that is a fragment",
      ether(ip(PROTOCOL.UDP, pattern(8), { more4: { moreFragments: true } })),
      "fragments",
    ],
  ];
  test.each(cases)("%s", (_name, frame, counter) => {
    expect(countersOf(frame)).toEqual({ [counter]: 1 });
  });

  const martians: readonly (readonly [string, Uint8Array])[] = [
    ...[
      "127.0.0.1",
      "224.0.0.1",
      "240.0.0.1",
      "255.255.255.255",
      "10.0.0.255",
      "0.0.0.0",
      "0.1.2.3",
      "10.0.0.2",
    ].map((from) => [`from ${from}`, udpFrame(pattern(1), { from: address(from) })] as const),
    ...["::1", "::", "ff02::1", "2001:db8::2"].map(
      (from) => [`from ${from}`, udpFrame(pattern(1), { from: address(from), to: HOST6 })] as const,
    ),
    ["to 127.0.0.1", udpFrame(pattern(1), { to: address("127.0.0.1") })],
    ["to ::1", udpFrame(pattern(1), { to: address("::1"), from: STATION6 })],
    ["to ::", udpFrame(pattern(1), { to: address("::"), from: STATION6 })],
    [
      "to ff01::1",
      udpFrame(pattern(1), {
        to: address("ff01::1"),
        from: STATION6,
        toMac: multicastMac(address("ff01::1")),
      }),
    ],
    ["to one, in a frame to all", udpFrame(pattern(1), { toMac: BROADCAST_MAC })],
    ["to one, in a frame to all, with IPv6", udpFrame(pattern(1), { to: HOST6, toMac: BROADCAST_MAC })],
    [
      "to another, in a frame to all",
      udpFrame(pattern(1), { to: address("10.0.0.9"), toMac: BROADCAST_MAC }),
    ],
  ];
  test.each(martians)("%s is a martian", (_name, frame) => {
    expect(countersOf(frame)).toEqual({ martian: 1 });
    expect(countersOf(frame, { forwarding: true })).toEqual({ martian: 1 });
  });

  test("from IPv4 in disguise is a martian", () => {
    const frame = udpFrame(pattern(1), { to: HOST6 });
    frame.fill(0, 14 + 8, 14 + 24);
    frame.set([0xff, 0xff, 10, 0, 0, 1], 14 + 18);
    expect(countersOf(frame)).toEqual({ martian: 1 });
  });

  test("in a first chunk that ends in its header is malformed, also at the end of memory", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire(
      { addresses: ADDRESSES, linkLocal: false },
      {},
      { chunkCount: 8, chunkBytes: 256, headroomBytes: 0 },
    );
    const { umem, queues } = station.device;
    const queue = queues[0]!;
    const taken = Array.from({ length: 8 }, () => umem.take());
    const last = Math.max(...taken);
    const [other, ...rest] = taken.filter((at) => at !== last);
    for (const at of rest) umem.release(at);
    const frame = udpFrame(pattern(9));
    const head = 14;
    umem.bytes.set(frame.slice(0, head), last + 256 - head);
    umem.bytes.set(frame.slice(head), other!);
    queue.send(last + 256 - head, head, true);
    queue.send(other!, frame.length - head, false);
    queue.flush();
    lab.run(0);
    expect(lab.errors).toEqual([]);
    expect(host.statistics().ip.malformed).toBe(1);
  });
});

describe("two interfaces", () => {
  const two = (lab: HostLab, options: HostOptions) => {
    const first = lab.wire({ name: "one", addresses: ADDRESSES, linkLocal: false }, options);
    const second = lab.attach(first.host, {
      name: "two",
      addresses: ["10.9.0.2/24", "2001:db9::2/64", "fe80::9/64"],
      linkLocal: false,
    });
    first.station.introduce("10.0.0.1", "2001:db8::1");
    return { ...first, second };
  };
  const far = [address("10.9.0.2"), address("2001:db9::2")];

  test("a host takes what is for the interface that it came in on (RFC 1122 3.3.4.2)", () => {
    using lab = new HostLab();
    const { host, station } = two(lab, {});
    host.udp(53, (datagram) => void datagram.reply());
    for (const to of far) expect(station.ask(udpFrame(pattern(3), { to }))).toEqual([]);
    expect(host.statistics().ip.notOurs).toBe(2);
  });

  test("a router takes what is for any address of its own (RFC 1812 5.2.3), but no link-local one of another link", () => {
    using lab = new HostLab();
    const { host, station, second } = two(lab, { forwarding: true });
    host.udp(53, (datagram) => void datagram.reply());
    for (const to of far) expect(station.ask(udpFrame(pattern(3), { to }))).toHaveLength(1);
    const request = { kind: "echo-request", identifier: 1, sequence: 1, data: pattern(3) } as const;
    expect(
      station.ask(icmp4Frame(request, { to: far[0]! }), icmp6Frame(request, { to: far[1]! })),
    ).toHaveLength(2);
    expect(station.ask(udpFrame(pattern(3), { to: address("fe80::9") }))).toEqual([]);
    expect(second.station.takeIp()).toEqual([]);
  });

  test("one of each VLAN of a device", () => {
    using lab = new HostLab();
    const { host, station, device } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    const tagged = host.join(device, { vlan: 5, addresses: ["10.5.0.2/24"], dad: false, linkLocal: false });
    expect(tagged.name).toBe("left.5");
    expect(() => host.join(device, { vlan: 5 })).toThrow(/joined this host already/);
    expect(() => host.join(device, {})).toThrow(/joined this host already/);
    const seen: string[] = [];
    host.udp(53, (datagram) => void seen.push(datagram.interface.name));
    const to = address("10.5.0.2");
    const from = address("10.5.0.1");
    station.ask(
      udpFrame(pattern(1)),
      udpFrame(pattern(1), { to, from, vlan: 5 }),
      udpFrame(pattern(1), { to, from }),
      udpFrame(pattern(1), { vlan: 5 }),
      udpFrame(pattern(1), { vlan: 6 }),
    );
    expect(seen).toEqual(["left", "left.5"]);
    host.leave(tagged);
    station.ask(udpFrame(pattern(1), { to, from, vlan: 5 }), udpFrame(pattern(1)));
    expect(seen).toEqual(["left", "left.5", "left"]);
  });
});

/** Makes the checksums of a frame right again, so that what is wrong with it is met further in. */
const mend = (frame: Uint8Array): void => {
  const view = viewOf(frame);
  const at = 14;
  if (frame.length < at + ipv6.HEADER_BYTES) return;
  const is4 = ipv4.version(view, at) === 4;
  const protocol = is4 ? ipv4.protocol(view, at) : ipv6.nextHeader(view, at);
  const upperAt = at + (is4 ? ipv4.headerBytes(view, at) : ipv6.HEADER_BYTES);
  const length = is4 ? ipv4.totalLength(view, at) - (upperAt - at) : ipv6.payloadLength(view, at);
  const whole = length >= 8 && upperAt + length <= frame.length;
  if (whole && is4 && protocol === PROTOCOL.ICMP) icmp4.setChecksum(view, upperAt, length);
  if (whole && !is4 && protocol === PROTOCOL.ICMPV6)
    icmp6.setChecksum(view, upperAt, length, pseudo6(view, at, protocol, length));
  if (whole && protocol === PROTOCOL.UDP)
    udp.writeChecksum(view, upperAt, (is4 ? pseudo4 : pseudo6)(view, at, protocol, length), length);
  if (is4 && upperAt <= frame.length) ipv4.setChecksum(view, at);
};

describe("any bytes", () => {
  const group = address("ff02::1");
  const fragment = (at: number, more: boolean) =>
    ether(
      ip(
        PROTOCOL.FRAGMENT,
        join(
          extension({ kind: "fragment", nextHeader: PROTOCOL.UDP, offset: at, more, identification: 1 }),
          udpOf(pattern(64), { to: HOST6 }).slice(at, more ? at + 40 : undefined),
        ),
        { to: HOST6 },
      ),
    );
  const quote = ip(PROTOCOL.UDP, udpOf(pattern(9), { fromPort: 53 }), {
    from: HOST4,
    to: address("10.0.0.1"),
  });
  const seeds: readonly Uint8Array[] = [
    udpFrame(pattern(20)),
    udpFrame(pattern(20), { to: HOST6 }),
    udpFrame(pattern(20), { vlan: 5 }),
    udpFrame(pattern(20), { port: 99 }),
    udpFrame(pattern(20), { to: address("10.9.0.7") }),
    udpFrame(pattern(20), { to: address("2001:db9::7") }),
    udpFrame(pattern(20), { to: BROADCAST4, toMac: BROADCAST_MAC }),
    udpFrame(pattern(20), { more4: { options: [{ type: 7, data: pattern(9) }] } }),
    ether(ip(PROTOCOL.UDP, udpOf(pattern(60)).slice(0, 40), { more4: { moreFragments: true } })),
    ether(ip(PROTOCOL.UDP, udpOf(pattern(60)).slice(40), { more4: { fragmentOffset: 40 } })),
    fragment(0, true),
    fragment(40, false),
    icmp4Frame({ kind: "echo-request", identifier: 1, sequence: 1, data: pattern(30) }),
    icmp6Frame(
      { kind: "echo-request", identifier: 1, sequence: 1, data: pattern(30) },
      { toMac: multicastMac(group), to: group },
    ),
    icmp4Frame({ kind: "destination-unreachable", code: 4, mtu: 700, quote, extensions: new Uint8Array(0) }),
    icmp4Frame({ kind: "time-exceeded", code: 0, quote, extensions: new Uint8Array(0) }),
    ether(
      ip(
        PROTOCOL.DESTINATION_OPTIONS,
        join(
          extension({ kind: "destination-options", nextHeader: PROTOCOL.UDP, options: [] }),
          udpOf(pattern(5), { to: HOST6 }),
        ),
        { to: HOST6 },
      ),
    ),
    ether(ip(PROTOCOL.ICMP, pattern(40))),
    ether(ip(PROTOCOL.IGMP, pattern(12))),
    ether(ip(PROTOCOL.ICMPV6, pattern(60), { to: HOST6, more6: { hopLimit: 255 } })),
  ];

  test.each([false, true])(
    "do no harm: nothing is thrown, and no chunk is lost (forwarding: %p)",
    (forwarding) => {
      using lab = new HostLab();
      const small = { chunkBytes: 256, headroomBytes: 64, chunkCount: 2048, mtu: 4000 };
      const { host, station, device } = lab.wire(
        { addresses: ADDRESSES, slaac: true },
        { forwarding },
        small,
      );
      host.join(device, { vlan: 5, addresses: ["10.5.0.2/24"], dad: false });
      lab.attach(
        host,
        { addresses: ["10.9.0.2/24", "2001:db9::2/64"] },
        { ...small, mtu: 1400, names: ["b0", "b1"] },
      );
      host.udp(53, (datagram) => void datagram.reply(Math.min(datagram.room, datagram.length + 3)));
      const frames = fc.array(
        mangled(fc.constantFrom(...seeds)).filter((bytes) => bytes.length > 0),
        { maxLength: 12 },
      );
      fc.assert(
        fc.property(frames, fc.boolean(), fc.boolean(), (some, wait, mended) => {
          for (const frame of some) {
            // So that it is not over at the Ethernet address.
            if (frame.length >= 14 && (frame[11]! & 7) !== 0) frame.set([2, 0, 0, 0, 0, 1], 0);
            if (mended) mend(frame);
            station.put(frame);
          }
          lab.run(wait ? 500 : 0);
          station.take();
          expect(lab.errors).toEqual([]);
        }),
        { numRuns: 1500, seed: 4 },
      );
      lab.run(90_000);
      station.take();
      lab.expectWhole();
    },
  );
});

/** Everything on the heap, what is no longer reachable included. */
const objects = (): number => {
  const counts: Record<string, number> = heapStats().objectTypeCounts;
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
};

test("a million echoes leave nothing on the heap", () => {
  using lab = new HostLab();
  const { host, station, device } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
  station.introduce("10.0.0.1", "2001:db8::1");
  host.udp(53, (datagram) => void datagram.reply());
  lab.run(5000);
  // The same frames go round: what comes back is turned into the question again by whoever the station is now.
  const questions = [
    udpFrame(pattern(64)),
    udpFrame(pattern(64), { to: HOST6 }),
    icmp4Frame({ kind: "echo-request", identifier: 1, sequence: 1, data: pattern(64) }),
  ];
  const { bytes } = station.device.umem;
  const queue = station.device.queues[0]!;
  const random = seededRandom(1);
  let answered = 0;
  const rounds = (count: number): void => {
    for (let round = 0; round < count; round++) {
      for (let i = 0; i < 64; i++) {
        const question = questions[random.next() % questions.length]!;
        const at = station.device.umem.take();
        bytes.set(question, at);
        queue.send(at, question.length, false);
      }
      queue.flush();
      lab.loop.turn();
    }
  };
  station.hear = () => void (answered += 1);
  rounds(2000);
  Bun.gc(true);
  const before = objects();
  answered = 0;
  let most = 0;
  // Looked at in between too: a collection may come and go.
  for (let part = 0; part < 25; part++) {
    rounds(625);
    most = Math.max(most, objects() - before);
  }
  lab.run(0);
  expect(answered).toBeGreaterThanOrEqual(1_000_000 - 64);
  // Garbage counts too until it is collected: an object for each echo would be 40 000 of them in each part.
  expect(most).toBeLessThan(10_000);
  expect(device.umem.accounts()).toMatchObject({ lent: 0, kept: 0 });
}, 60_000);

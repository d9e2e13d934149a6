/** A host that forwards: what goes through, what does not and who hears of it, in place, by copy, tagged and in chunks. */
import { describe, expect, test } from "bun:test";
import type { JoinOptions } from "../../stack/ip/options.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import {
  ether,
  HOST4,
  HOST6,
  HOST_MAC,
  icmp4Frame,
  icmp6Frame,
  ip,
  pattern,
  STATION_MAC,
  STATION4,
  STATION6,
  type UdpFrameOptions,
  udpFrame,
  udpOf,
} from "../support/host-frames.ts";
import { HostLab, line, Station } from "../support/host-lab.ts";
import { join } from "../support/wire-frames.ts";

const FAR4 = IpAddress.parse("10.9.0.7");
const FAR6 = IpAddress.parse("2001:db9::7");
const OUT_MAC = "02:00:00:00:00:03";
const NOTHING = new Uint8Array(0);
const macOf = (text: string): MacAddress => MacAddress.parse(text);

interface Sides {
  readonly near?: JoinOptions;
  readonly far?: JoinOptions;
  /** One memory for both links, so that frames go through in place. */
  readonly shared?: boolean;
  readonly chunkBytes?: number;
  readonly mtus?: readonly [number, number];
  readonly txRing?: number;
}

/** A router between station a (10.0.0.0/24) and station b (10.9.0.0/24), who know each other but for `silent` b. */
const router = (lab: HostLab, sides: Sides = {}, known = true) => {
  const { chunkBytes = 2048, mtus = [1500, 1500], shared = true } = sides;
  const size = { chunkBytes, chunkCount: 2048, headroomBytes: 64 };
  const one = new MemoryUmem(size);
  const two = shared ? one : new MemoryUmem(size);
  const host = lab.host({ forwarding: true });
  const mac = (last: number) => Uint8Array.of(2, 0, 0, 0, 0, last);
  const [left, a] = lab.link({
    umems: [one, one],
    mtu: mtus[0],
    names: ["near", "a"],
    macs: [mac(1), mac(2)],
  });
  const [right, b] = lab.link({
    umems: [two, two],
    mtu: mtus[1],
    names: ["far", "b"],
    macs: [mac(3), mac(4)],
    ...(sides.txRing === undefined ? {} : { txRing: sides.txRing }),
  });
  const near = host.join(left, {
    addresses: ["10.0.0.2/24", "2001:db8::2/64"],
    dad: false,
    linkLocal: false,
    ...sides.near,
  });
  const far = host.join(right, {
    addresses: ["10.9.0.2/24", "2001:db9::2/64"],
    dad: false,
    linkLocal: false,
    ...sides.far,
  });
  const stations = { a: new Station(lab, a, near), b: new Station(lab, b, far) };
  stations.a.introduce("10.0.0.1", "2001:db8::1");
  if (known) stations.b.introduce("10.9.0.7", "2001:db9::7", "10.9.0.1", "2001:db9::1");
  return { host, near, far, ...stations };
};

const onward = (payload: Uint8Array, options: UdpFrameOptions & { vlan?: number } = {}) => {
  const from = options.from ?? (options.to?.family === 6 ? STATION6 : STATION4);
  const [ttl, hopLimit] = [63, 63];
  return udpFrame(payload, {
    ...options,
    from,
    fromMac: macOf(OUT_MAC),
    toMac: macOf("02:00:00:00:00:04"),
    more4: { ttl, ...options.more4 },
    more6: { hopLimit, ...options.more6 },
  });
};

const ask = (
  payload: Uint8Array,
  to: IpAddress,
  more: UdpFrameOptions & { vlan?: number; pad?: number } = {},
) => udpFrame(payload, { to, ...(to.family === 6 ? { from: STATION6 } : {}), ...more });

const ways: readonly (readonly [string, Sides])[] = [
  ["in place", {}],
  ["by copy", { shared: false }],
];

describe.each(ways)("a packet that goes through %s", (_name, sides) => {
  test.each([FAR4, FAR6])("to %s has one hop less and nothing else", (to) => {
    using lab = new HostLab();
    const { a, b, host } = router(lab, sides);
    for (const length of [0, 1, 100, 1400]) {
      expect(a.ask(ask(pattern(length), to))).toEqual([]);
      expect(b.take()).toEqual([onward(pattern(length), { to })]);
    }
    // Padding stays behind, and a checksum that a device was to finish is finished.
    a.ask(ask(pattern(1), to, { pad: 17 }), ask(pattern(9), to, { checksum: "partial" }));
    expect(b.take()).toEqual([onward(pattern(1), { to }), onward(pattern(9), { to })]);
    expect(host.statistics().ip.forwarded).toBe(6);
  });

  test.each([
    ["to a tagged link", { ...sides, far: { vlan: 9 } }, {}, { vlan: 9 }],
    ["from a tagged link", { ...sides, near: { vlan: 8 } }, { vlan: 8 }, {}],
    ["from one to another", { ...sides, near: { vlan: 8 }, far: { vlan: 9 } }, { vlan: 8 }, { vlan: 9 }],
  ] as const)("%s", (_way, tagged, before, after) => {
    using lab = new HostLab();
    const { a, b } = router(lab, tagged);
    for (const to of [FAR4, FAR6]) {
      a.ask(ask(pattern(7), to, { ...before, pad: 5 }));
      expect(b.take()).toEqual([onward(pattern(7), { to, ...after })]);
    }
  });

  test("in several chunks", () => {
    using lab = new HostLab();
    const { a, b } = router(lab, { ...sides, chunkBytes: 512, mtus: [9000, 9000] });
    for (const to of [FAR4, FAR6]) {
      for (const checksum of ["good", "partial"] as const) {
        a.ask(ask(pattern(5001), to, { checksum }));
        expect(b.take()).toEqual([onward(pattern(5001), { to })]);
      }
      // What is behind the packet in its last chunk stays; more of it is no packet of anybody's.
      a.ask(ask(pattern(1000), to, { pad: 30 }), ask(pattern(100), to, { pad: 2000 }));
      expect(b.take()).toEqual([onward(pattern(1000), { to })]);
    }
  });

  test("waits for its next hop, and goes when that is found", () => {
    using lab = new HostLab();
    const { a, b } = router(lab, sides, false);
    a.ask(ask(pattern(3), FAR4), ask(pattern(4), FAR6));
    expect(b.takeIp()).toEqual([]);
    expect(b.introduce("10.9.0.7")).toEqual([onward(pattern(3), { to: FAR4 })]);
    expect(b.introduce("2001:db9::7")).toEqual([onward(pattern(4), { to: FAR6 })]);
    lab.expectWhole();
  });
});

describe("errors to the sender", () => {
  const back = {
    from: HOST4,
    to: STATION4,
    fromMac: HOST_MAC,
    toMac: STATION_MAC,
    more4: { dscp: 48, dontFragment: true },
  };
  const back6 = { from: HOST6, to: STATION6, fromMac: HOST_MAC, toMac: STATION_MAC };

  test("the last hop", () => {
    using lab = new HostLab();
    const { a, b, host } = router(lab);
    for (const ttl of [0, 1]) {
      const asked = ask(pattern(3), FAR4, { more4: { ttl } });
      expect(a.ask(asked)).toEqual([
        icmp4Frame({ kind: "time-exceeded", code: 0, quote: asked.slice(14), extensions: NOTHING }, back),
      ]);
      const asked6 = ask(pattern(3), FAR6, { more6: { hopLimit: ttl } });
      expect(a.ask(asked6)).toEqual([
        icmp6Frame({ kind: "time-exceeded", code: 0, quote: asked6.slice(14), extensions: NOTHING }, back6),
      ]);
    }
    expect([b.take().length, host.statistics().ip.forwardRefused]).toEqual([0, 4]);
  });

  test("no route, one that prohibits, and one that is silent", () => {
    using lab = new HostLab();
    const { a, host } = router(lab);
    const codes: string[] = [];
    const say = (text: string) => {
      const to = IpAddress.parse(text);
      codes.push(
        ...a
          .ask(ask(pattern(3), to))
          .map(
            (frame) => `${frame[34 + (to.family === 6 ? 20 : 0)]} ${frame[35 + (to.family === 6 ? 20 : 0)]}`,
          ),
        "-",
      );
    };
    for (const [prefix, kind] of [
      ["192.0.2.0/24", "prohibit"],
      ["198.51.100.0/24", "blackhole"],
      ["2001:dba::/32", "prohibit"],
      ["2001:dbb::/32", "blackhole"],
      ["203.0.113.0/24", "unreachable"],
    ] as const)
      host.addRoute({ prefix: Prefix.parse(prefix), interface: 0, metric: 1, kind });
    for (const to of [
      "172.16.0.1",
      "2001:dbc::1",
      "192.0.2.1",
      "2001:dba::1",
      "198.51.100.1",
      "2001:dbb::1",
      "203.0.113.1",
    ])
      say(to);
    expect(codes).toEqual(["3 0", "-", "1 0", "-", "3 13", "-", "1 1", "-", "-", "-", "3 0", "-"]);
  });

  test("too big where it may not be cut, and cut where it may", () => {
    using lab = new HostLab();
    const { a, b } = router(lab, { mtus: [1500, 1300] });
    const asked = ask(pattern(1400), FAR4, { more4: { dontFragment: true } });
    const code = icmp4.UNREACHABLE.FRAGMENTATION_NEEDED;
    expect(a.ask(asked)).toEqual([
      icmp4Frame(
        {
          kind: "destination-unreachable",
          code,
          mtu: 1300,
          quote: asked.slice(14, 14 + 548),
          extensions: NOTHING,
        },
        back,
      ),
    ]);
    const asked6 = ask(pattern(1400), FAR6);
    expect(a.ask(asked6)).toEqual([
      icmp6Frame({ kind: "packet-too-big", code: 0, mtu: 1300, quote: asked6.slice(14, 14 + 1232) }, back6),
    ]);
    expect(b.take()).toEqual([]);
    const whole = udpOf(pattern(1400), { to: FAR4 });
    const piece = (at: number, end: number) =>
      ether(
        ip(PROTOCOL.UDP, whole.slice(at, end), {
          to: FAR4,
          more4: { ttl: 63, identification: 9, moreFragments: end < whole.length, fragmentOffset: at },
        }),
        { fromMac: macOf(OUT_MAC), toMac: macOf("02:00:00:00:00:04") },
      );
    for (const checksum of ["good", "partial"] as const) {
      expect(a.ask(ask(pattern(1400), FAR4, { checksum, more4: { identification: 9 } }))).toEqual([]);
      expect(b.take()).toEqual([piece(0, 1280), piece(1280, 1408)]);
    }
  });

  test("a jumbo packet is cut for a small link too", () => {
    using lab = new HostLab();
    const { a, b, host } = router(lab, { chunkBytes: 1024, mtus: [9000, 1500] });
    a.ask(ask(pattern(5000), FAR4));
    const parts = b.take();
    expect(parts).toHaveLength(4);
    expect(join(...parts.map((part) => part.slice(34)))).toEqual(udpOf(pattern(5000), { to: FAR4 }));
    expect(host.statistics().reassembly.handedOut).toBe(0);
    const told = a.ask(ask(pattern(5000), FAR4, { more4: { dontFragment: true } }), ask(pattern(5000), FAR6));
    expect(told.map((frame) => frame.length)).toEqual([14 + 576, 14 + 40 + 8 + 1024 - 64 - 14]);
  });

  test("a neighbour that says nothing", () => {
    using lab = new HostLab();
    const { a, b, host } = router(lab, {}, false);
    const asked = ask(pattern(3), FAR4);
    const asked6 = ask(pattern(3), FAR6);
    expect(a.ask(asked, asked6)).toEqual([]);
    lab.run(3500);
    // The packet had been on its way: one hop less.
    const gone = (frame: Uint8Array) => line(frame).replace(/\(ttl.*?\)/, "");
    const told = a.takeIp();
    expect(told.map(gone)).toEqual([
      gone(
        icmp4Frame(
          {
            kind: "destination-unreachable",
            code: 1,
            mtu: 0,
            quote: onward(pattern(3), { to: FAR4 }).slice(14),
            extensions: NOTHING,
          },
          back,
        ),
      ),
      gone(
        icmp6Frame(
          {
            kind: "destination-unreachable",
            code: 3,
            quote: onward(pattern(3), { to: FAR6 }).slice(14),
            extensions: NOTHING,
          },
          back6,
        ),
      ),
    ]);
    expect(b.takeIp()).toEqual([]);
    expect(host.statistics().ip.unresolved).toBe(2);
    lab.expectWhole();
  });

  test("more than may wait for one neighbour is dropped in silence", () => {
    using lab = new HostLab();
    const { a, host } = router(lab, {}, false);
    a.ask(...Array.from({ length: 40 }, () => ask(pattern(3), FAR4)));
    expect(host.statistics().ip.unresolved).toBe(24);
    expect(a.takeIp()).toEqual([]);
    host.close();
    lab.expectWhole();
  });
});

describe("what does not go through", () => {
  test.each([
    ["link-local to", ask(pattern(1), IpAddress.parse("169.254.1.1"))],
    ["link-local from", ask(pattern(1), FAR4, { from: IpAddress.parse("169.254.1.1") })],
    ["link-local IPv6 to", ask(pattern(1), IpAddress.parse("fe80::1"))],
    ["link-local IPv6 from", ask(pattern(1), FAR6, { from: IpAddress.parse("fe80::1") })],
    ["to nobody", ask(pattern(1), IpAddress.parse("0.0.0.0"))],
    ["from nobody", ask(pattern(1), FAR4, { from: IpAddress.parse("0.0.0.0") })],
    ["from nobody in IPv6", ask(pattern(1), FAR6, { from: IpAddress.parse("::") })],
    ["to everybody there (RFC 2644)", ask(pattern(1), IpAddress.parse("10.9.0.255"))],
    ["to everybody there, in pieces", ask(pattern(1400), IpAddress.parse("10.9.0.255"))],
  ] as const)("%s", (_name, frame) => {
    using lab = new HostLab();
    const { a, b, host, far } = router(lab, { mtus: [1500, 1300] });
    host.addRoute({
      prefix: Prefix.parse("0.0.0.0/0"),
      gateway: IpAddress.parse("10.9.0.1"),
      interface: far.index,
      metric: 9,
      kind: "unicast",
    });
    host.addRoute({
      prefix: Prefix.parse("::/0"),
      gateway: IpAddress.parse("2001:db9::1"),
      interface: far.index,
      metric: 9,
      kind: "unicast",
    });
    expect(a.ask(frame)).toEqual([]);
    lab.run(4000);
    expect([a.takeIp(), b.takeIp(), host.statistics().ip.forwardRefused]).toEqual([[], [], 1]);
  });

  test("what the link out has no room for", () => {
    using lab = new HostLab();
    const { a, b, host } = router(lab, { txRing: 2 });
    a.ask(...Array.from({ length: 5 }, () => ask(pattern(3), FAR4)));
    expect([b.take().length, host.statistics().ip.forwardRefused]).toEqual([2, 3]);
    lab.expectWhole();
  });

  test("what should go out of an interface that is down, or has left", () => {
    using lab = new HostLab();
    const { a, b, host, far } = router(lab);
    b.device.setUp(false);
    lab.run(10);
    expect(a.ask(ask(pattern(3), FAR4))).toHaveLength(1);
    b.device.setUp(true);
    lab.run(10);
    b.introduce("10.9.0.7");
    a.ask(ask(pattern(3), FAR4));
    expect(b.takeIp()).toHaveLength(1);
    host.leave(far);
    expect(a.ask(ask(pattern(3), FAR4))).toHaveLength(1);
  });

  test("anything, where the host does not forward", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ["10.0.0.2/24", "2001:db8::2/64"], linkLocal: false });
    lab.attach(
      host,
      { addresses: ["10.9.0.2/24", "2001:db9::2/64"], linkLocal: false },
      { names: ["far", "b"] },
    );
    expect(station.ask(ask(pattern(1), FAR4), ask(pattern(1), FAR6))).toEqual([]);
    expect(host.statistics().ip).toMatchObject({ notOurs: 2, forwarded: 0 });
  });
});

/** A balancer between clients and backends: what goes where and how, what is the host's, and who hears of trouble. */
import { describe, expect, test } from "bun:test";
import { IpAddress } from "../../stack/wire/address.ts";
import { fold, pseudoOf } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { BROADCAST_MAC } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import {
  ask,
  backendAddress,
  BalanceLab,
  type BalanceOptions,
  backendMac,
  CLIENT6,
  FLAGS,
  OUT4,
  OUT6,
  OUT_MAC,
  PORT,
  segment,
  VIP4,
  VIP6,
} from "../support/balance-lab.ts";
import {
  ether,
  HOST4,
  HOST6,
  icmp4Frame,
  icmp6Frame,
  ip,
  pattern,
  STATION4,
  udpFrame,
  udpOf,
  type UdpFrameOptions,
} from "../support/host-frames.ts";
import { line, viewOf } from "../support/host-lab.ts";

const ETHERNET = ethernet.HEADER_BYTES;
const NOTHING = new Uint8Array(0);
const vipOf = (family: 4 | 6): IpAddress => (family === 4 ? VIP4 : VIP6);
const families = [[4], [6]] as const;

/** What of a client's datagram arrives at backend `i` in direct mode. */
const onward = (i: number, payload: Uint8Array, options: UdpFrameOptions & { vlan?: number } = {}) =>
  ask(payload, {
    ...options,
    fromMac: OUT_MAC,
    toMac: backendMac(i),
    more4: { ttl: 63, ...options.more4 },
    more6: { hopLimit: 63, ...options.more6 },
    checksum: "good",
  });

describe.each(families)("direct server return over IPv%d", (family) => {
  const to = vipOf(family);

  test("changes Ethernet addresses and counts a hop, and nothing else", () => {
    using bed = new BalanceLab({ family, backends: 1 });
    for (const length of [0, 1, 100, 1400]) {
      bed.clients.put(ask(pattern(length), { to, pad: length < 20 ? 9 : 0 }));
      bed.lab.run(0);
      expect(bed.backends.take()).toEqual([onward(1, pattern(length), { to })]);
    }
    expect(bed.clients.take()).toEqual([]);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 4, tunnelled: 0, full: 0 });
    expect(bed.backend(1)).toMatchObject({ packets: 4, flows: 1 });
  });

  test("finishes the checksums that a device was to finish", () => {
    using bed = new BalanceLab({ family, backends: 1 });
    bed.reach(ask(pattern(9), { to, checksum: "partial" }));
    bed.clients.put(ask(pattern(9), { to, checksum: "partial" }));
    bed.lab.run(0);
    expect(bed.backends.take()).toEqual([onward(1, pattern(9), { to })]);
    using tcp = new BalanceLab({ family, backends: 1, protocol: "tcp" });
    tcp.clients.put(segment({ to, partial: true, payload: pattern(5) }));
    tcp.clients.put(segment({ to, payload: pattern(5) }));
    tcp.lab.run(0);
    const [finished, whole] = tcp.backends.take();
    expect(finished).toEqual(whole!);
  });

  test("goes between links with tags and without", () => {
    for (const vlans of [
      [8, undefined],
      [undefined, 9],
      [8, 9],
    ] as const) {
      using bed = new BalanceLab({ family, backends: 1, vlans });
      const [near, far] = vlans;
      bed.clients.put(ask(pattern(7), { to, pad: 5, ...(near === undefined ? {} : { vlan: near }) }));
      bed.lab.run(0);
      const expected = onward(1, pattern(7), { to, ...(far === undefined ? {} : { vlan: far }) });
      expect(bed.backends.take()).toEqual([expected]);
    }
  });

  test("asks for a backend's Ethernet address, and packets wait for it", () => {
    using bed = new BalanceLab({ family, backends: 1, known: false });
    bed.clients.put(ask(pattern(3), { to }));
    bed.lab.run(0);
    expect(bed.backends.takeIp()).toEqual([]);
    const sent = bed.backends.introduce(backendAddress(1, family));
    expect(sent.map((frame) => frame.slice(ETHERNET))).toEqual([
      onward(1, pattern(3), { to }).slice(ETHERNET),
    ]);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 1, unresolved: 0 });
  });

  test("gives up what waits for a backend that does not answer", () => {
    using bed = new BalanceLab({ family, backends: 1, known: false });
    bed.clients.put(ask(pattern(3), { to }));
    bed.lab.run(10_000);
    expect(bed.backends.takeIp()).toEqual([]);
    expect(bed.balancer.statistics()).toMatchObject({ unresolved: 1 });
    bed.lab.expectWhole();
  });
});

const tunnels = [
  ["IPv4 in IPv4", 4, 4, PROTOCOL.IPV4],
  ["IPv6 in IPv6", 6, 6, PROTOCOL.IPV6],
  ["IPv4 in IPv6", 4, 6, PROTOCOL.IPV4],
  ["IPv6 in IPv4", 6, 4, PROTOCOL.IPV6],
] as const;

describe.each(tunnels)("a tunnel of %s", (_name, family, backendFamily, protocol) => {
  const to = vipOf(family);
  const options: BalanceOptions = { family, backendFamily, backends: 1, mode: "tunnel" };

  test("has an outer header that leads to the backend, and the packet with one hop less in it", () => {
    using bed = new BalanceLab(options);
    const inner = { more4: { dscp: 10, ecn: 2 }, more6: { trafficClass: 42 } };
    for (const length of [0, 1, 1400]) {
      bed.clients.put(ask(pattern(length), { to, pad: 7, ...inner }));
      bed.lab.run(0);
      const [frame] = bed.backends.take();
      const view = viewOf(frame!);
      const packet = onward(1, pattern(length), {
        to,
        more4: { ...inner.more4, ttl: 63 },
        more6: { ...inner.more6, hopLimit: 63 },
      }).slice(ETHERNET);
      expect(ethernet.destination(view, 0).equals(backendMac(1))).toBe(true);
      expect(ethernet.type(view, 0)).toBe(backendFamily === 4 ? 0x0800 : 0x86dd);
      const header = backendFamily === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
      expect(frame!.slice(ETHERNET + header)).toEqual(packet);
      const bytes = frame!.length - ETHERNET;
      if (backendFamily === 4) {
        expect(ipv4.check(view, ETHERNET, bytes)).toBe(0);
        expect(ipv4.parse(view, ETHERNET, bytes)).toMatchObject({
          dscp: 10,
          ecn: 2,
          dontFragment: true,
          ttl: 64,
          protocol,
          payloadLength: packet.length,
        });
        expect(ipv4.source(view, ETHERNET).equals(OUT4)).toBe(true);
        expect(ipv4.destination(view, ETHERNET).toString()).toBe(backendAddress(1, 4));
      } else {
        expect(ipv6.parse(view, ETHERNET, bytes)).toMatchObject({
          trafficClass: 42,
          hopLimit: 64,
          nextHeader: protocol,
          payloadLength: packet.length,
        });
        expect(ipv6.flowLabel(view, ETHERNET)).not.toBe(0);
        expect(ipv6.source(view, ETHERNET).equals(OUT6)).toBe(true);
        expect(ipv6.destination(view, ETHERNET).toString()).toBe(backendAddress(1, 6));
      }
    }
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 3, tunnelled: 3 });
  });

  test("carries less than its link, and says so", () => {
    using bed = new BalanceLab(options);
    const mtu = 1500 - (backendFamily === 4 ? 20 : 40);
    const header = (family === 4 ? 20 : 40) + 8;
    const more = { to, more4: { dontFragment: true } };
    expect(bed.reach(ask(pattern(mtu - header), more))).toEqual([1]);
    const asked = ask(pattern(mtu - header + 1), more);
    expect(bed.reach(asked)).toEqual([]);
    const [answer] = bed.clients.takeIp();
    const view = viewOf(answer!);
    const at = ETHERNET + (family === 4 ? 20 : 40);
    const said = family === 4 ? icmp4.mtu(view, at) : view.getUint32(at + icmp4.REST);
    expect(said).toBe(mtu);
    // It comes from the balancer's own address, not from the service's.
    const source = family === 4 ? ipv4.source(view, ETHERNET) : ipv6.source(view, ETHERNET);
    expect(source.equals(family === 4 ? HOST4 : HOST6)).toBe(true);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 1, tooBig: 1 });
  });
});

test("a tunnel begins at an address that is no service's, or at the one that was given", () => {
  const farAddresses = ["10.9.0.77/32", "10.9.0.2/24", "10.9.0.3/24"];
  for (const [sources, from] of [
    [[], "10.9.0.2"],
    [["10.9.0.3"], "10.9.0.3"],
  ] as const) {
    using bed = new BalanceLab({ backends: 0, farAddresses, balancer: { sources } });
    const service = bed.balancer.service({ address: "10.9.0.77", protocol: "udp", port: 1, mode: "tunnel" });
    service.add({ address: backendAddress(1), mac: backendMac(1).toString() });
    bed.clients.put(ask(pattern(3), { to: IpAddress.parse("10.9.0.77"), port: 1 }));
    bed.lab.run(0);
    expect(ipv4.source(viewOf(bed.backends.take()[0]!), ETHERNET).toString()).toBe(from);
  }
});

describe("what is too long for the next link", () => {
  test("is cut where IPv4 allows it, and each piece is tunnelled", () => {
    using bed = new BalanceLab({ backends: 1, mode: "tunnel" });
    const payload = pattern(1472);
    bed.clients.put(ask(payload, { more4: { identification: 77 } }));
    bed.lab.run(0);
    const frames = bed.backends.take();
    expect(frames).toHaveLength(2);
    const inner = frames.map((frame) => {
      const view = viewOf(frame);
      expect(ipv4.check(view, ETHERNET, frame.length - ETHERNET)).toBe(0);
      const at = ETHERNET + ipv4.HEADER_BYTES;
      const record = ipv4.parse(view, at, frame.length - at)!;
      expect(record).toMatchObject({ identification: 77, ttl: 63, protocol: PROTOCOL.UDP });
      return { ...record, data: frame.slice(at + ipv4.HEADER_BYTES) };
    });
    expect(inner.map(({ moreFragments }) => moreFragments)).toEqual([true, false]);
    expect(Buffer.concat(inner.map(({ data }) => data)).equals(udpOf(payload, { to: VIP4 }))).toBe(true);
    expect(inner[1]!.fragmentOffset).toBe(inner[0]!.data.length);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 1, cut: 1, tooBig: 0 });
  });

  test("is what routers on a tunnel's way say", () => {
    using bed = new BalanceLab({ backends: 1, mode: "tunnel" });
    expect(bed.reach(ask(pattern(1400), { more4: { dontFragment: true } }))).toEqual([1]);
    bed.host.pathMtu.lower(IpAddress.parse(backendAddress(1)), 1400, 1500);
    expect(bed.reach(ask(pattern(1400), { more4: { dontFragment: true } }))).toEqual([]);
    expect(icmp4.mtu(viewOf(bed.clients.takeIp()[0]!), ETHERNET + 20)).toBe(1380);
    expect(bed.reach(ask(pattern(1300), { more4: { dontFragment: true } }))).toEqual([1]);
  });

  test("is told in direct mode, too", () => {
    using bed = new BalanceLab({ backends: 1, mtus: [1500, 1300] });
    expect(bed.reach(ask(pattern(1400), { more4: { dontFragment: true } }))).toEqual([]);
    expect(icmp4.mtu(viewOf(bed.clients.takeIp()[0]!), ETHERNET + 20)).toBe(1300);
    expect(bed.reach(ask(pattern(1400)))).toEqual([1, 1]);
  });
});

describe("the last hop", () => {
  test.each(families)("of IPv%d ends at the balancer, whose own address says so", (family) => {
    using bed = new BalanceLab({ family, backends: 1 });
    const asked = ask(pattern(3), { to: vipOf(family), more4: { ttl: 1 }, more6: { hopLimit: 1 } });
    expect(bed.reach(asked)).toEqual([]);
    const [answer] = bed.clients.takeIp();
    expect(line(answer!)).toContain(family === 4 ? "10.0.0.2 > 10.0.0.1" : "2001:db8::2 > 2001:db8::1");
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 0, expired: 1 });
  });
});

describe("what is the host's", () => {
  test("an echo request to a service's address", () => {
    using bed = new BalanceLab();
    const echo = { identifier: 5, sequence: 1, data: pattern(8) };
    bed.clients.put(icmp4Frame({ kind: "echo-request", ...echo }, { to: VIP4 }));
    bed.clients.put(icmp6Frame({ kind: "echo-request", ...echo }, { from: CLIENT6, to: VIP6 }));
    bed.lab.run(0);
    expect(bed.clients.takeIp()).toHaveLength(2);
    expect(bed.backends.take()).toEqual([]);
  });

  test("a port that is no service, another address, a broken header and what nobody can have sent", () => {
    using bed = new BalanceLab();
    let heard = 0;
    bed.host.udp(9000, () => void (heard += 1));
    const broken = ask(pattern(3));
    broken[ETHERNET + ipv4.CHECKSUM]! ^= 1;
    const frames = [
      ask(pattern(3), { port: 9000 }),
      udpFrame(pattern(3), { to: HOST4, port: 9000 }),
      broken,
      ask(pattern(3), { from: VIP4 }),
      ask(pattern(3), { from: IpAddress.parse("127.0.0.1") }),
      ask(pattern(3), { from: IpAddress.parse("224.0.0.1") }),
      ask(pattern(3), { to: VIP6, from: IpAddress.parse("ff02::1") }),
    ];
    expect(bed.reach(...frames)).toEqual([]);
    expect(heard).toBe(2);
    expect(bed.near.link.counters).toMatchObject({ malformed: 1 });
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 0 });
  });

  test("a frame to everybody, whomever the packet in it is for", () => {
    using bed = new BalanceLab();
    expect(bed.reach(ask(pattern(3), { toMac: BROADCAST_MAC }))).toEqual([]);
    expect(bed.near.link.counters).toMatchObject({ martian: 1 });
  });

  test("the packets of one service that is closed, and not those of another at the address", () => {
    using bed = new BalanceLab();
    const other = bed.balancer.service({ address: VIP4, protocol: "udp", port: 99 });
    other.add({ address: backendAddress(3), mac: backendMac(3).toString() });
    expect(bed.reach(ask(pattern(3), { port: 99 }))).toEqual([3]);
    other.close();
    expect(bed.reach(ask(pattern(3), { port: 99 }))).toEqual([]);
    expect(bed.reach(ask(pattern(3)))).toHaveLength(1);
    expect(bed.balancer.statistics().unserved).toBe(0);
    expect(bed.balancer.services).toEqual([bed.service]);
  });

  test("all, when the service or the balancer is closed", () => {
    using bed = new BalanceLab();
    bed.service.close();
    bed.service.close();
    expect(bed.reach(ask(pattern(3)))).toEqual([]);
    expect(line(bed.clients.takeIp()[0]!)).toContain("destination unreachable: port");
    const again = bed.balancer.service({ address: VIP4, protocol: "udp", port: PORT });
    again.add({ address: backendAddress(2), mac: backendMac(2).toString() });
    expect(bed.reach(ask(pattern(3)))).toEqual([2]);
    bed.balancer.close();
    bed.balancer.close();
    expect(bed.reach(ask(pattern(3)))).toEqual([]);
    expect(() => bed.balancer.service({ address: VIP4, protocol: "udp", port: 1 })).toThrow("closed");
  });
});

describe("ICMP errors about what a backend sent", () => {
  /** What a backend answered, as a router on its way quotes it. */
  const quote4 = (fromPort: number) =>
    ip(PROTOCOL.UDP, udpOf(pattern(60), { from: VIP4, to: STATION4, fromPort: PORT, port: fromPort }), {
      from: VIP4,
      to: STATION4,
    });
  const router = { from: IpAddress.parse("10.0.0.77"), to: VIP4 };
  const tooBig = (quote: Uint8Array) =>
    icmp4Frame({ kind: "destination-unreachable", code: 4, mtu: 1280, quote, extensions: NOTHING }, router);

  test("go to the backend that has the flow, also when hashing says another", () => {
    using bed = new BalanceLab();
    const ports = Array.from({ length: 30 }, (_, i) => 2000 + i);
    const before = bed.reach(...ports.map((fromPort) => ask(pattern(3), { fromPort })));
    for (const backend of bed.service.backends) backend.drain();
    bed.service.add({ address: backendAddress(9), mac: backendMac(9).toString() });
    expect(bed.reach(...ports.map((port) => tooBig(quote4(port).slice(0, 28))))).toEqual(before);
    // One about a flow that began nowhere here goes where it would begin, and begins none.
    expect(bed.reach(tooBig(quote4(5555)))).toEqual([9]);
    expect(bed.service.backend(backendAddress(9))!.flows).toBe(0);
    expect(bed.balancer.statistics()).toMatchObject({ icmpErrors: 31, strayErrors: 0 });
  });

  test("over IPv6, too", () => {
    using bed = new BalanceLab({ family: 6 });
    const [backend] = bed.reach(ask(pattern(3), { to: VIP6, fromPort: 2000 }));
    const quote = ip(
      PROTOCOL.UDP,
      udpOf(pattern(60), { from: VIP6, to: CLIENT6, fromPort: PORT, port: 2000 }),
      { from: VIP6, to: CLIENT6 },
    );
    const from = IpAddress.parse("2001:db8::77");
    const error = icmp6Frame({ kind: "packet-too-big", code: 0, mtu: 1280, quote }, { from, to: VIP6 });
    expect(bed.reach(error)).toEqual([backend!]);
    expect(bed.balancer.statistics()).toMatchObject({ icmpErrors: 1 });
  });

  test("are the host's where they are about nothing of a service", () => {
    using bed = new BalanceLab();
    const elsewhere = ip(PROTOCOL.UDP, udpOf(pattern(60), { from: HOST4, to: STATION4, fromPort: PORT }), {
      from: HOST4,
      to: STATION4,
    });
    const noService = ip(PROTOCOL.UDP, udpOf(pattern(9), { from: VIP4, to: STATION4, fromPort: 99 }), {
      from: VIP4,
      to: STATION4,
    });
    const later = ip(PROTOCOL.UDP, pattern(32), {
      from: VIP4,
      to: STATION4,
      more4: { fragmentOffset: 80 },
    });
    expect(bed.reach(...[elsewhere, noService, later].map(tooBig))).toEqual([]);
    expect(bed.balancer.statistics()).toMatchObject({ icmpErrors: 0, strayErrors: 1 });
  });
});

describe("fragments", () => {
  const payload = pattern(3000);
  /** A datagram of IPv4 in three pieces. */
  const pieces = (fromPort: number, identification: number): Uint8Array[] => {
    const whole = udpOf(payload, { to: VIP4, fromPort });
    return [0, 1200, 2400].map((offset) =>
      ether(
        ip(PROTOCOL.UDP, whole.slice(offset, offset + 1200), {
          to: VIP4,
          more4: { identification, fragmentOffset: offset, moreFragments: offset < 2400 },
        }),
      ),
    );
  };

  test("go where the first one goes, which goes where its flow goes", () => {
    using bed = new BalanceLab();
    for (let i = 0; i < 20; i++) {
      const [backend] = bed.reach(ask(pattern(3), { fromPort: 3000 + i }));
      expect(bed.reach(...pieces(3000 + i, i))).toEqual([backend!, backend!, backend!]);
    }
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 80, fragments: 40, earlyFragments: 0 });
  });

  test("arrive as they were, with one hop less", () => {
    using bed = new BalanceLab({ backends: 1 });
    const sent = pieces(3000, 7);
    for (const piece of sent) bed.clients.put(piece);
    bed.lab.run(0);
    const got = bed.backends.take();
    expect(got.map((frame) => frame.slice(ETHERNET + 20))).toEqual(
      sent.map((frame) => frame.slice(ETHERNET + 20)),
    );
    for (const frame of got) expect(ipv4.check(viewOf(frame), ETHERNET, frame.length - ETHERNET)).toBe(0);
  });

  test("keep a checksum that looks unfinished: a part cannot be summed up", () => {
    using bed = new BalanceLab({ backends: 1 });
    const whole = udpOf(pattern(100), { to: VIP4 });
    udp.setChecksum(viewOf(whole), 0, fold(pseudoOf(STATION4, VIP4, PROTOCOL.UDP, 48)));
    const more4 = { identification: 3, moreFragments: true };
    bed.clients.put(ether(ip(PROTOCOL.UDP, whole.slice(0, 48), { to: VIP4, more4 })));
    bed.lab.run(0);
    expect(bed.backends.take()[0]!.slice(ETHERNET + ipv4.HEADER_BYTES)).toEqual(whole.slice(0, 48));
  });

  test("of a number that is used again follow the newer first one", () => {
    using bed = new BalanceLab();
    const ports = Array.from({ length: 12 }, (_, i) => 3000 + i);
    const backends = new Set<number>();
    for (const port of ports) {
      const [first, ...rest] = bed.reach(...pieces(port, 7));
      expect(rest).toEqual([first!, first!]);
      backends.add(first!);
    }
    expect(backends.size).toBe(3);
  });

  test("that come too early are the host's, as those of what is no service", () => {
    using bed = new BalanceLab();
    const [first, ...later] = pieces(3000, 7);
    expect(bed.reach(...later, first!)).toHaveLength(1);
    let heard = 0;
    bed.host.udp(9000, ({ length }) => void (heard += length));
    const whole = udpOf(payload, { to: VIP4, port: 9000 });
    const foreign = [0, 1200, 2400].map((offset) =>
      ether(
        ip(PROTOCOL.UDP, whole.slice(offset, offset + 1200), {
          to: VIP4,
          more4: { identification: 9, fragmentOffset: offset, moreFragments: offset < 2400 },
        }),
      ),
    );
    expect(bed.reach(...foreign)).toEqual([]);
    expect(heard).toBe(3000);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 1, earlyFragments: 4 });
  });
});

describe("what the options say wrong is named", () => {
  test.each([
    ["protocol", { protocol: "sctp" as "udp" }, TypeError],
    ["port", { port: 0 }, RangeError],
    ["idleSeconds", { idleSeconds: 0 }, RangeError],
    ["mode", { mode: "nat" as "direct" }, TypeError],
    ["places", { places: 100 }, RangeError],
    ["no IP address", { address: "10.0.0" }, TypeError],
    ["already", { port: PORT }, TypeError],
  ])("%s of a service", (says, wrong, kind) => {
    using bed = new BalanceLab();
    const make = () => bed.balancer.service({ address: VIP4, protocol: "udp", port: 99, ...wrong });
    expect(make).toThrow(kind);
    expect(make).toThrow(says);
  });

  test.each([
    ["weight", { weight: 1.5 }, RangeError],
    ["weight", { weight: 1001 }, RangeError],
    ["no Ethernet address", { mac: "02:00" }, TypeError],
    ["already", { name: backendAddress(1) }, TypeError],
  ])("%s of a backend", (says, wrong, kind) => {
    using bed = new BalanceLab();
    const make = () => bed.service.add({ address: "10.9.0.99", ...wrong });
    expect(make).toThrow(kind);
    expect(make).toThrow(says);
    expect(bed.service.backends).toHaveLength(3);
  });

  test("a second balancer on an interface", () => {
    using bed = new BalanceLab();
    expect(() => bed.balancer.listen(bed.near)).toThrow("intercepted already");
  });
});

test("a connection's packets are told from those that begin one", () => {
  using bed = new BalanceLab({ protocol: "tcp", backends: 1 });
  bed.reach(segment({ flags: FLAGS.syn }), segment());
  expect(bed.backend(1)).toMatchObject({ packets: 2, flows: 1 });
});

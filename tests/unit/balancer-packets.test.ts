/** Packets of all shapes through a balancer: long ones, options, extension headers, fragments cut again, senders of one link. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IpAddress } from "../../stack/wire/address.ts";
import { finish, sum } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ask, BalanceLab, backendMac, CLIENT6, PORT, VIP4, VIP6 } from "../support/balance-lab.ts";
import { ether, icmp6Frame, ip, pattern, udpOf } from "../support/host-frames.ts";
import { viewOf } from "../support/host-lab.ts";

const ETHERNET = ethernet.HEADER_BYTES;
const vipOf = (family: 4 | 6): IpAddress => (family === 4 ? VIP4 : VIP6);

/** The packet in a frame, with the hop that it has gone back. */
const before = (frame: Uint8Array, at = ETHERNET): Uint8Array => {
  const packet = frame.slice(at);
  const view = viewOf(packet);
  if (packet[0]! >> 4 === 6) {
    ipv6.setHopLimit(view, 0, ipv6.hopLimit(view, 0) + 1);
    return packet;
  }
  expect(ipv4.check(view, 0, packet.length)).toBe(0);
  ipv4.setTtl(view, 0, ipv4.ttl(view, 0) + 1);
  ipv4.setChecksum(view, 0);
  return packet;
};

describe.each([4, 6] as const)("packets of several chunks over IPv%d", (family) => {
  const to = vipOf(family);

  test.each(["direct", "tunnel"] as const)("go on as they are in %s mode, padding or not", (mode) => {
    using bed = new BalanceLab({ family, backends: 1, mode, mtus: [9000, 9000] });
    for (const length of [1000, 2000, 4001, 6000]) {
      for (const pad of [0, 3]) {
        const asked = ask(pattern(length), { to, pad });
        bed.clients.put(asked);
        bed.lab.run(0);
        const [frame] = bed.backends.take();
        const outer = mode === "direct" ? 0 : family === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
        expect(before(frame!, ETHERNET + outer)).toEqual(asked.slice(ETHERNET, asked.length - pad));
      }
    }
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 8, full: 0, tooBig: 0 });
  });

  test("have their checksums finished", () => {
    using bed = new BalanceLab({ family, backends: 1, mtus: [9000, 9000] });
    bed.clients.put(ask(pattern(5001), { to, checksum: "partial" }));
    bed.clients.put(ask(pattern(5001), { to }));
    bed.lab.run(0);
    const [finished, whole] = bed.backends.take();
    expect(finished).toEqual(whole!);
  });

  test("that are too long for the next link are told, or counted where they were to be cut", () => {
    using bed = new BalanceLab({ family, backends: 1, mtus: [9000, 1500] });
    expect(bed.reach(ask(pattern(6000), { to, more4: { dontFragment: true } }))).toEqual([]);
    expect(bed.clients.takeIp()).toHaveLength(1);
    expect(bed.balancer.statistics()).toMatchObject({ tooBig: 1, full: 0 });
    if (family === 4) expect(bed.reach(ask(pattern(6000), { to }))).toEqual([]);
    expect(bed.balancer.statistics()).toMatchObject({ full: family === 4 ? 1 : 0 });
    bed.lab.expectWhole();
  });
});

describe("IPv4", () => {
  test("counts a hop and has the sum that a fresh one would have, whatever is in the header", () => {
    using bed = new BalanceLab({ backends: 1 });
    const header = fc.record({
      ttl: fc.integer({ min: 2, max: 255 }),
      identification: fc.nat(0xffff),
      dscp: fc.nat(63),
      ecn: fc.nat(3),
    });
    fc.assert(
      fc.property(header, (more4) => {
        bed.clients.put(ask(pattern(4), { more4 }));
        bed.lab.run(0);
        const [frame] = bed.backends.take();
        const view = viewOf(frame!);
        expect(ipv4.ttl(view, ETHERNET)).toBe(more4.ttl - 1);
        const said = ipv4.checksum(view, ETHERNET);
        view.setUint16(ETHERNET + ipv4.CHECKSUM, 0);
        expect(said).toBe(finish(sum(view, ETHERNET, ipv4.HEADER_BYTES)));
      }),
      { numRuns: 500 },
    );
  });

  test("options travel on, and those that want it into every piece where the packet is cut", () => {
    using bed = new BalanceLab({ backends: 1, mtus: [1500, 576] });
    // A stream identifier, which is copied, and a record of the route, which is not (RFC 791 section 3.1).
    const options = [
      { type: 0x88, data: Uint8Array.of(0x12, 0x34) },
      { type: 7, data: Uint8Array.of(4, 0, 0, 0, 0) },
    ];
    const payload = pattern(1000);
    const whole = udpOf(payload, { to: VIP4 });
    bed.clients.put(ether(ip(PROTOCOL.UDP, whole, { to: VIP4, more4: { identification: 5, options } })));
    bed.clients.put(
      ether(ip(PROTOCOL.UDP, udpOf(pattern(9), { to: VIP4 }), { to: VIP4, more4: { options } })),
    );
    bed.lab.run(0);
    const frames = bed.backends.take();
    const parts: Uint8Array[] = [];
    for (const [i, frame] of frames.slice(0, -1).entries()) {
      const view = viewOf(frame);
      const bytes = frame.length - ETHERNET;
      expect(bytes).toBeLessThanOrEqual(576);
      expect(ipv4.check(view, ETHERNET, bytes)).toBe(0);
      expect(ipv4.headerBytes(view, ETHERNET)).toBe(i === 0 ? 32 : 24);
      expect(view.getUint32(ETHERNET + ipv4.OPTIONS)).toBe(0x8804_1234);
      expect(ipv4.fragmentOffset(view, ETHERNET)).toBe(parts.reduce((done, part) => done + part.length, 0));
      parts.push(frame.slice(ETHERNET + ipv4.headerBytes(view, ETHERNET)));
    }
    expect(Buffer.concat(parts).equals(whole)).toBe(true);
    expect(frames.at(-1)!.slice(ETHERNET + ipv4.OPTIONS, ETHERNET + 32)).toEqual(
      Uint8Array.of(0x88, 4, 0x12, 0x34, 7, 7, 4, 0, 0, 0, 0, 0),
    );
  });

  test("fragments that are cut once more are pieces of the same packet", () => {
    using bed = new BalanceLab({ backends: 1, mtus: [1500, 576], mode: "tunnel" });
    const whole = udpOf(pattern(2800), { to: VIP4 });
    for (const offset of [0, 1400])
      bed.clients.put(
        ether(
          ip(PROTOCOL.UDP, whole.slice(offset, offset + 1400), {
            to: VIP4,
            more4: { identification: 99, fragmentOffset: offset, moreFragments: true },
          }),
        ),
      );
    const last = ip(PROTOCOL.UDP, whole.slice(2800), {
      to: VIP4,
      more4: { identification: 99, fragmentOffset: 2800 },
    });
    bed.clients.put(ether(last));
    bed.lab.run(0);
    const parts = bed.backends.take().map((frame) => {
      const at = ETHERNET + ipv4.HEADER_BYTES;
      expect(frame.length - ETHERNET).toBeLessThanOrEqual(576);
      return ipv4.parse(viewOf(frame), at, frame.length - at)!;
    });
    let next = 0;
    for (const [i, part] of parts.entries()) {
      expect(part).toMatchObject({
        identification: 99,
        fragmentOffset: next,
        moreFragments: i < parts.length - 1,
      });
      next += part.payloadLength;
    }
    expect(next).toBe(whole.length);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 3, fragments: 2, cut: 2, tunnelled: 3 });
  });
});

describe("IPv6", () => {
  const udp6 = udpOf(pattern(16), { from: CLIENT6, to: VIP6, fromPort: 2000 });
  const options = Uint8Array.of(PROTOCOL.UDP, 0, 1, 4, 0, 0, 0, 0);

  test.each([
    ["hop-by-hop", PROTOCOL.HOP_BY_HOP],
    ["destination", PROTOCOL.DESTINATION_OPTIONS],
  ])("%s options in front do not hide the flow", (_, protocol) => {
    using bed = new BalanceLab({ family: 6 });
    const [plain] = bed.reach(ask(pattern(16), { to: VIP6, fromPort: 2000 }));
    const packet = ip(protocol, Buffer.concat([options, udp6]), { from: CLIENT6, to: VIP6 });
    bed.clients.put(ether(packet));
    bed.lab.run(0);
    const [frame] = bed.backends.take();
    expect(ethernet.destination(viewOf(frame!), 0).equals(backendMac(plain!))).toBe(true);
    expect(before(frame!)).toEqual(packet);
    expect(bed.balancer.statistics().flows.flows).toBe(1);
  });

  test("an error about a fragment that a backend sent is the backend's", () => {
    using bed = new BalanceLab({ family: 6 });
    const ports = Array.from({ length: 12 }, (_, i) => 2000 + i);
    const backends = bed.reach(...ports.map((fromPort) => ask(pattern(3), { to: VIP6, fromPort })));
    const quoteOf = (offset: number, port: number): Uint8Array =>
      ip(
        PROTOCOL.FRAGMENT,
        Buffer.concat([
          Uint8Array.of(PROTOCOL.UDP, 0, offset >> 8, (offset & 0xff) | 1, 0, 0, 0, 9),
          udpOf(pattern(400), { from: VIP6, to: CLIENT6, fromPort: PORT, port }),
        ]),
        { from: VIP6, to: CLIENT6 },
      );
    const from = IpAddress.parse("2001:db8::77");
    const tooBig = (quote: Uint8Array): Uint8Array =>
      icmp6Frame({ kind: "packet-too-big", code: 0, mtu: 1280, quote }, { from, to: VIP6 });
    expect(bed.reach(...ports.map((port) => tooBig(quoteOf(0, port))))).toEqual(backends);
    // A later one names nobody.
    expect(bed.reach(tooBig(quoteOf(400, 2000)), tooBig(quoteOf(0, 2000).slice(0, 50)))).toEqual([]);
    expect(bed.balancer.statistics()).toMatchObject({ icmpErrors: 12 });
  });
});

describe("senders of their own link alone", () => {
  test.each([
    ["IPv4", VIP4, "169.254.1.1"],
    ["IPv6", VIP6, "fe80::77"],
  ])("are not sent to another link (%s)", (_, to, from) => {
    using bed = new BalanceLab({ family: to.family });
    expect(bed.reach(ask(pattern(3), { to, from: IpAddress.parse(from) }))).toEqual([]);
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 0, unreachable: 1 });
    // On the very link they are served.
    for (const backend of bed.service.backends) backend.remove();
    const near = to.family === 4 ? "10.0.0.50" : "2001:db8::50";
    bed.service.add({ address: near, mac: backendMac(5).toString() });
    bed.clients.take();
    bed.clients.put(ask(pattern(3), { to, from: IpAddress.parse(from) }));
    bed.lab.run(0);
    const sent = bed.clients
      .take()
      .filter((frame) => ethernet.destination(viewOf(frame), 0).equals(backendMac(5)));
    expect(sent).toHaveLength(1);
  });
});

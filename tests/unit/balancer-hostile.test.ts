/** Broken packets for a balancer: whatever comes, nothing is thrown, no chunk is lost, and what goes on is well formed. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ask, BalanceLab, backendOf, CLIENT6, PORT, segment, VIP4, VIP6 } from "../support/balance-lab.ts";
import { ether, icmp4Frame, icmp6Frame, ip, pattern, STATION4, udpOf } from "../support/host-frames.ts";
import { viewOf } from "../support/host-lab.ts";

/** A property takes seconds where nothing else runs. */
const LIMIT_MS = 60_000;
const NOTHING = new Uint8Array(0);
const quote4 = ip(PROTOCOL.UDP, udpOf(pattern(20), { from: VIP4, to: STATION4, fromPort: PORT }), {
  from: VIP4,
  to: STATION4,
});
const quote6 = ip(PROTOCOL.UDP, udpOf(pattern(20), { from: VIP6, to: CLIENT6, fromPort: PORT }), {
  from: VIP6,
  to: CLIENT6,
});
/** Good packets of all kinds, to be broken. */
const GOOD: readonly Uint8Array[] = [
  ask(pattern(40)),
  ask(pattern(40), { to: VIP6 }),
  segment({ payload: pattern(9) }),
  segment({ to: VIP6, payload: pattern(9) }),
  ether(ip(PROTOCOL.UDP, udpOf(pattern(40), { to: VIP4 }), { to: VIP4, more4: { moreFragments: true } })),
  ether(ip(PROTOCOL.UDP, pattern(40), { to: VIP4, more4: { fragmentOffset: 48 } })),
  // A destination option, a fragment header, and a datagram.
  ether(
    ip(
      PROTOCOL.DESTINATION_OPTIONS,
      Uint8Array.from(
        [PROTOCOL.FRAGMENT, 0, 1, 4, 0, 0, 0, 0, PROTOCOL.UDP, 0, 0, 1, 0, 0, 0, 9].concat([
          ...udpOf(pattern(16), { to: VIP6 }),
        ]),
      ),
      { from: CLIENT6, to: VIP6 },
    ),
  ),
  icmp4Frame(
    { kind: "destination-unreachable", code: 3, mtu: 0, quote: quote4, extensions: NOTHING },
    { to: VIP4 },
  ),
  icmp6Frame({ kind: "packet-too-big", code: 0, mtu: 1280, quote: quote6 }, { from: CLIENT6, to: VIP6 }),
];

const broken = fc
  .record({
    which: fc.nat(GOOD.length - 1),
    flips: fc.array(fc.record({ at: fc.nat(120), to: fc.nat(255) }), { maxLength: 4 }),
    cut: fc.option(fc.nat(120), { nil: undefined }),
    // A header with a right sum is looked into.
    repair: fc.boolean(),
  })
  .map(({ which, flips, cut, repair }) => {
    const frame = GOOD[which]!.slice(0, Math.max(ethernet.HEADER_BYTES + 1, cut ?? 4096));
    for (const { at, to } of flips) if (at >= 6 && at < frame.length) frame[at] = to;
    const view = viewOf(frame);
    const at = ethernet.HEADER_BYTES;
    const four = frame.length >= at + ipv4.HEADER_BYTES && frame[at]! >> 4 === 4;
    if (repair && four && at + ipv4.headerBytes(view, at) <= frame.length) ipv4.setChecksum(view, at);
    return frame;
  });

test.each(["direct", "tunnel"] as const)(
  "in %s mode",
  (mode) => {
    fc.assert(
      fc.property(fc.array(broken, { minLength: 1, maxLength: 20 }), (frames) => {
        using bed = new BalanceLab({ mode });
        bed.balancer.service({ address: VIP4, protocol: "tcp", port: PORT, mode }).add({
          address: "10.9.0.11",
          mac: "02:00:00:00:01:01",
        });
        const six = bed.balancer.service({ address: VIP6, protocol: "udp", port: PORT, mode });
        six.add({ address: "2001:db9::11", mac: "02:00:00:00:01:01" });
        for (const frame of frames) bed.clients.put(frame);
        bed.lab.run(0);
        for (const frame of bed.backends.take()) {
          const view = viewOf(frame);
          const at = ethernet.HEADER_BYTES;
          expect(backendOf(frame)).toBeGreaterThan(0);
          const judge = ethernet.type(view, 0) === ethernet.ETHERTYPE.IPV4 ? ipv4.check : ipv6.check;
          expect(judge(view, at, frame.length - at)).toBe(0);
        }
        // Closing the bed fails where a handler threw or a chunk is missing.
      }),
      { numRuns: 150 },
    );
  },
  LIMIT_MS,
);

test("all of the good ones go on, or would: none is the balancer's by its form alone", () => {
  using bed = new BalanceLab();
  const six = bed.balancer.service({ address: VIP6, protocol: "udp", port: PORT });
  six.add({ address: "2001:db9::11", mac: "02:00:00:00:01:01" });
  for (const protocol of ["tcp"] as const)
    for (const address of [VIP4, VIP6])
      bed.balancer
        .service({ address, protocol, port: PORT })
        .add({ address: "10.9.0.11", mac: "02:00:00:00:01:01" });
  expect(GOOD.map((frame) => bed.reach(frame).length)).toEqual(GOOD.map(() => 1));
});

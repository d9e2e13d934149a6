/** Faults around a device: each kind, both directions, repeatable, with every chunk accounted for. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { faulty, type FaultOptions, type FaultRates } from "../../stack/device/fault.ts";
import { createLink, type LinkOptions } from "../../stack/device/memory.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Loop } from "../../stack/loop/loop.ts";
import { deviceContract, expectWhole } from "../support/device-contract.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

deviceContract("memory with no faults around it", {
  create: () => {
    const [left, right] = createLink({ chunkCount: 512, txRing: 128, rxRing: 128, mtu: 9000 });
    const options = { random: seededRandom(1), clock: new VirtualClock() };
    return { left: faulty(left, options), right: faulty(right, options) };
  },
  longPacketBytes: 9000,
});

/** Sends `count` numbered packets through a pair whose left (tx) or right (rx) end has faults. */
const run = (
  side: "rx" | "tx",
  rates: FaultRates,
  count: number,
  options: LinkOptions & { seed?: number; every?: number } = {},
) => {
  const clock = new VirtualClock();
  const faults: FaultOptions = { random: seededRandom(options.seed ?? 5), clock, [side]: rates };
  const [left, right] = createLink({ mtu: 9000, ...options });
  const from = side === "tx" ? faulty(left, faults) : left;
  const to = side === "rx" ? faulty(right, faults) : right;
  const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
  const arrived: number[] = [];
  const times: number[] = [];
  loop.receive(to, (frame) => {
    arrived.push(frame.view.getUint32(frame.at));
    times.push(clock.nowMs());
  });
  loop.add(from);
  const transmitter = new Transmitter(from.queues[0]!);
  const packet = new Uint8Array(64);
  const lengths = (i: number): number => (i % 10 === 9 ? 4000 : 64);
  for (let i = 0; i < count; i++) {
    new DataView(packet.buffer).setUint32(0, i);
    transmitter.send(lengths(i), (frame) => frame.bytes.set(packet, frame.at));
    loop.turn();
    clock.advance(options.every ?? 0.1);
  }
  for (let i = 0; i < 200; i++) {
    clock.advance(1);
    loop.turn();
  }
  const device = side === "rx" ? to : from;
  for (const each of [left, right]) expect(expectWhole(each.umem)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
  const counts = (device as ReturnType<typeof faulty>).faults()[side];
  expect(counts.passed).toBe(count - counts.dropped + counts.duplicated - counts.lost);
  expect((device as ReturnType<typeof faulty>).nextDueMs).toBe(Infinity);
  return { arrived, times, counts, statistics: device.statistics() };
};

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

for (const side of ["rx", "tx"] as const) {
  describe(`faults of ${side}`, () => {
    test("none changes nothing", () => {
      expect(run(side, {}, 300).arrived).toEqual(all(300));
    });

    test("drop loses packets and counts them", () => {
      const { arrived, counts, statistics } = run(side, { drop: 0.2 }, 1000);
      expect(arrived.length).toBe(1000 - counts.dropped);
      expect(Math.abs(counts.dropped - 200)).toBeLessThan(60);
      expect(statistics[side === "rx" ? "rxDropped" : "txDropped"]).toBe(counts.dropped);
      expect(arrived).toEqual([...arrived].sort((a, b) => a - b));
    });

    test("duplicate doubles them, in a row", () => {
      const { arrived, counts } = run(side, { duplicate: 0.2 }, 500);
      expect(arrived.length).toBe(500 + counts.duplicated);
      expect(counts.duplicated).toBeGreaterThan(50);
      expect([...new Set(arrived)]).toEqual(all(500));
      expect(arrived).toEqual([...arrived].sort((a, b) => a - b));
    });

    test("reorder lets the next one overtake", () => {
      const { arrived, counts } = run(side, { reorder: 0.2 }, 500);
      expect(counts.reordered).toBeGreaterThan(50);
      expect([...arrived].sort((a, b) => a - b)).toEqual(all(500));
      const late = arrived.filter((number, i) => i > 0 && number < arrived[i - 1]!);
      expect(late.length).toBeGreaterThan(30);
    });

    test("a packet that nobody overtakes is let go in time", () => {
      const { arrived, counts } = run(side, { reorder: 1, reorderMs: 3 }, 1);
      expect([arrived, counts.reordered]).toEqual([[0], 1]);
    });

    test("delay holds them for their time, not less", () => {
      const { arrived, times, counts } = run(side, { delay: 1, delayMs: [10, 10] }, 100, { every: 1 });
      expect(arrived).toEqual(all(100));
      expect(counts.delayed).toBe(100);
      times.forEach((time, i) => expect(time - i).toBeGreaterThanOrEqual(10 - 1e-9));
      times.forEach((time, i) => expect(time - i).toBeLessThanOrEqual(12));
    });

    test("corrupt flips one bit", () => {
      const { arrived, counts } = run(side, { corrupt: 1 }, 200);
      expect([arrived.length, counts.corrupted]).toEqual([200, 200]);
      for (const [i, number] of arrived.entries()) {
        const difference = (number ^ i) >>> 0;
        expect(difference & (difference - 1)).toBe(0);
      }
    });

    test("all at once, from the same seed, are the same again", () => {
      const rates: FaultRates = {
        drop: 0.1,
        duplicate: 0.1,
        reorder: 0.1,
        delay: 0.3,
        delayMs: [0, 8],
        corrupt: 0.1,
      };
      const first = run(side, rates, 400);
      expect(run(side, rates, 400)).toEqual(first);
      expect(run(side, rates, 400, { seed: 6 }).arrived).not.toEqual(first.arrived);
    });

    test("no chunk is lost or doubled, however small the pool", () => {
      const rate = fc.double({ min: 0, max: 1, noNaN: true });
      const rates = fc.record({ drop: rate, duplicate: rate, reorder: rate, delay: rate, corrupt: rate });
      fc.assert(
        fc.property(
          rates,
          fc.integer({ min: 16, max: 64 }),
          fc.boolean(),
          fc.nat(),
          (each, chunkCount, shared, seed) => {
            const clock = new VirtualClock();
            const [left, right] = createLink({ chunkCount, shared, rxRing: 16, txRing: 8, mtu: 9000 });
            const options = { random: seededRandom(seed), clock, [side]: each, holdPackets: 8 };
            const from = side === "tx" ? faulty(left, options) : left;
            const to = side === "rx" ? faulty(right, options) : right;
            const loop = new Loop({ clock, waiter: new ManualWaiter(clock), burst: 18 });
            loop.receive(to, (frame) => void (frame.length % 3 === 0 ? frame.send() : frame.drop()));
            loop.add(from);
            const transmitter = new Transmitter(from.queues[0]!);
            for (let i = 0; i < 60; i++) {
              transmitter.sendBytes(new Uint8Array(((seed + i) % 4000) + 1));
              if (i % 3 === 0) loop.turn();
              clock.advance(0.3);
              expectWhole(left.umem);
              expectWhole(right.umem);
            }
            from.close();
            to.close();
            for (const device of [left, right]) expect(expectWhole(device.umem).pool).toBe(chunkCount);
          },
        ),
        { numRuns: 60 },
      );
    });
  });
}

test("a frame that is held on its way out survives the end of the burst that it came in", () => {
  const clock = new VirtualClock();
  const [left, right] = createLink({ shared: true, chunkCount: 64 });
  const slow = faulty(right, { random: seededRandom(1), clock, tx: { delay: 1, delayMs: [5, 5] } });
  const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
  const back: number[] = [];
  loop.receive(slow, (frame) => frame.send());
  loop.receive(left, (frame) => void back.push(frame.bytes[frame.at]!));
  const transmitter = new Transmitter(left.queues[0]!);
  for (let i = 0; i < 10; i++) transmitter.sendBytes(Uint8Array.of(i));
  loop.turn();
  loop.turn();
  expect(expectWhole(left.umem).kept).toBe(10);
  expect(slow.nextDueMs).toBe(5);
  for (let i = 0; i < 20; i++) {
    transmitter.sendBytes(Uint8Array.of(99));
    loop.turn();
  }
  clock.advance(5);
  loop.turn();
  loop.turn();
  expect(back.slice(0, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("twins take nothing that a sender was told is free", () => {
  const [left] = createLink({ chunkCount: 16, txRing: 8, rxRing: 8, fillRing: 4 });
  const twice = faulty(left, { random: seededRandom(1), clock: new VirtualClock(), tx: { duplicate: 1 } });
  const [queue] = twice.queues;
  const { umem } = twice;
  expect(queue!.reserve(8)).toBe(true);
  expect(umem.available).toBeGreaterThanOrEqual(8);
  for (let i = 0; i < 8; i++) {
    const chunk = umem.take();
    expect(chunk).toBeGreaterThanOrEqual(0);
    expect(queue!.send(chunk, 1, false)).toBe(true);
  }
  expect(twice.faults().tx).toMatchObject({ passed: 8, duplicated: 0, spared: 8 });
});

test("rates out of range are refused by name", () => {
  const [left] = createLink();
  const base = { random: seededRandom(1), clock: new VirtualClock() };
  for (const rx of [
    { drop: 1.1 },
    { corrupt: -0.1 },
    { delay: Number.NaN },
    { delayMs: [5, 1] as const },
    { reorderMs: -1 },
  ]) {
    expect(() => faulty(left, { ...base, rx })).toThrow(RangeError);
  }
  expect(() => faulty(left, { ...base, holdPackets: -1 })).toThrow("holdPackets");
});

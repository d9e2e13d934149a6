/**
 * What holds for a feed whatever its sides bring: losses on either side and on both, doubles, overtaking, numbers that wrap,
 * publishers that begin anew. All in virtual time; nothing is handed on twice, and nothing held for ever.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FeedLab, FIELDS } from "../support/feed-lab.ts";

/** A property takes a second where nothing else runs. */
const LIMIT_MS = 60_000;
const WAIT_MS = 10;
const INTERVAL_MS = 1;
/** Longer than anything is on its way or waited for. */
const SETTLE_MS = 200;

interface Arrival {
  readonly atMs: number;
  readonly side: number;
  /** Counted from 0, before it wraps. */
  readonly index: number;
}

/** What one side makes of the feed: each number lost, or late by so much, or brought twice. */
const side = (length: number, latest: number) =>
  fc.array(
    fc.record({
      lost: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
      lateMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: latest })),
      again: fc.option(fc.integer({ min: 0, max: latest }), { freq: 5 }),
    }),
    { minLength: length, maxLength: length },
  );

type Side = readonly { readonly lost: boolean; readonly lateMs: number; readonly again: number | null }[];

const arrivalsOf = (sides: readonly Side[]): Arrival[] =>
  sides
    .flatMap((fates, which) =>
      fates.flatMap(({ lost, lateMs, again }, index) => {
        const sentMs = index * INTERVAL_MS;
        // Halves keep the sides from arriving at one moment, so that there is an order to speak of.
        const at = (late: number): Arrival => ({ atMs: sentMs + late + which / 2 ** 4, side: which, index });
        return [...(lost ? [] : [at(lateMs)]), ...(again === null ? [] : [at(again)])];
      }),
    )
    .sort((a, b) => a.atMs - b.atMs);

const play = (bed: FeedLab, arrivals: readonly Arrival[], bring: (arrival: Arrival) => void): void => {
  for (const arrival of arrivals) {
    bed.run(Math.max(0, arrival.atMs - bed.nowMs));
    bring(arrival);
  }
  bed.run(SETTLE_MS);
};

/**
 * What the figures have to be, from all that arrived and when, with no window and no order of delivery: a number is lost where it
 * did not come within `waitMs` of the first later one.
 */
const figuresOf = (arrivals: readonly Arrival[], waitMs: number) => {
  const sides = [0, 1].map(() => ({
    received: 0,
    first: 0,
    filled: 0,
    second: 0,
    repeated: 0,
    tooLate: 0,
    leadsMs: [] as number[],
  }));
  const begin = arrivals[0]?.index ?? 0;
  const last = Math.max(begin - 1, ...arrivals.map(({ index }) => index));
  const deadlineOf = (index: number): number =>
    Math.min(Infinity, ...arrivals.filter((one) => one.index > index).map(({ atMs }) => atMs + waitMs));
  const winners = new Map<number, Arrival>();
  const brought = new Set<string>();
  for (const arrival of arrivals) {
    const { atMs, index, side: which } = arrival;
    const own = sides[which]!;
    const winner = winners.get(index);
    own.received += 1;
    if (index < begin || (winner === undefined && atMs > deadlineOf(index))) {
      own.tooLate += 1;
    } else if (winner === undefined) {
      winners.set(index, arrival);
      own.first += 1;
      // Of all that came before it there was a later number.
      if (deadlineOf(index) - waitMs < atMs) own.filled += 1;
    } else if (brought.has(`${which} ${index}`)) {
      own.repeated += 1;
    } else {
      own.second += 1;
      sides[winner.side]!.leadsMs.push(atMs - winner.atMs);
    }
    brought.add(`${which} ${index}`);
  }
  return { sides, delivered: winners.size, lost: last + 1 - begin - winners.size };
};

describe("any two sides", () => {
  const LENGTH = 40;
  const MODULUS = 65_536;
  const runs = { numRuns: 80 } as const;

  test(
    "give every number once, in order, or say that it is lost, and only where it did not come in time",
    () => {
      fc.assert(
        fc.property(fc.tuple(side(LENGTH, 25), side(LENGTH, 25)), fc.nat(MODULUS - 1), (sides, start) => {
          using bed = new FeedLab({ modulus: MODULUS, window: 64, waitMs: WAIT_MS });
          const arrivals = arrivalsOf(sides);
          play(bed, arrivals, ({ side: which, index }) => bed.bring(which, (start + index) % MODULUS));
          const indexOf = (sequence: number): number => (sequence - start + MODULUS) % MODULUS;
          // One row from the first to the last, each number in it either way.
          const row = bed.told.flatMap((each) => {
            if (each.kind === "datagram") return [indexOf(each.sequence)];
            if (each.kind === "lost")
              return Array.from({ length: each.count }, (_, i) => indexOf(each.first) + i);
            return [];
          });
          const begin = arrivals[0]?.index ?? 0;
          expect(row).toEqual(Array.from({ length: row.length }, (_, i) => begin + i));
          const last = Math.max(begin - 1, ...arrivals.map(({ index }) => index));
          expect(row.length).toBe(arrivals.length === 0 ? 0 : last - begin + 1);
          for (const each of bed.told) {
            if (each.kind !== "lost") continue;
            for (let index = indexOf(each.first); index < indexOf(each.first) + each.count; index++) {
              const beyond = arrivals.filter((one) => one.index > index).map(({ atMs }) => atMs);
              const deadline = Math.min(...beyond) + WAIT_MS;
              // It was waited for all of the time, and not longer; what came before that was no loss.
              expect(each.atMs).toBeCloseTo(deadline, 6);
              for (const one of arrivals)
                if (one.index === index) expect(one.atMs).toBeGreaterThan(deadline - 1e-6);
            }
          }
          const { delivered, lost, held, sides: scores } = bed.feed.statistics();
          expect([delivered + lost, held]).toEqual([row.length, 0]);
          expect(scores.reduce((sum, each) => sum + each.first, 0)).toBe(delivered);
          for (const { received, first, second, repeated, tooLate } of scores)
            expect(first + second + repeated + tooLate).toBe(received);
        }),
        runs,
      );
    },
    LIMIT_MS,
  );

  test(
    "have figures that are exact: who was first, what was filled, doubled, too late, and by how much they led",
    () => {
      // No arrival is at the very moment at which a gap is given up.
      const waitMs = WAIT_MS + 1 / 2;
      fc.assert(
        fc.property(fc.tuple(side(LENGTH, 25), side(LENGTH, 25)), fc.nat(MODULUS - 1), (sides, start) => {
          using bed = new FeedLab({ modulus: MODULUS, window: 64, waitMs });
          const arrivals = arrivalsOf(sides);
          play(bed, arrivals, ({ side: which, index }) => bed.bring(which, (start + index) % MODULUS));
          const { sides: scores, delivered, lost, gaps } = bed.feed.statistics();
          const model = figuresOf(arrivals, waitMs);
          expect([delivered, lost]).toEqual([model.delivered, model.lost]);
          expect(gaps).toBe(bed.told.filter(({ kind }) => kind === "lost").length);
          for (const [i, { meanLeadMs, maxLeadMs, name, ...counts }] of scores.entries()) {
            const { leadsMs, ...expected } = model.sides[i]!;
            expect(counts).toEqual({ ...expected, elsewhere: 0, malformed: 0 });
            expect(maxLeadMs).toBeCloseTo(Math.max(0, ...leadsMs), 6);
            expect(meanLeadMs * leadsMs.length).toBeCloseTo(
              leadsMs.reduce((sum, ms) => sum + ms, 0),
              6,
            );
            expect(name).toBe(String(i));
          }
        }),
        runs,
      );
    },
    LIMIT_MS,
  );

  test(
    "give a number as soon as both it and all before it have come",
    () => {
      fc.assert(
        fc.property(fc.tuple(side(LENGTH, 8), side(LENGTH, 8)), (sides) => {
          using bed = new FeedLab({ waitMs: WAIT_MS });
          // Somebody has to bring the first in time, or the feed begins later.
          const first = { lost: false, lateMs: 0, again: null };
          const arrivals = arrivalsOf(sides.map((fates) => [first, ...fates.slice(1)]));
          play(bed, arrivals, ({ side: which, index }) => bed.bring(which, index));
          let readyMs = 0;
          for (const each of bed.told) {
            if (each.kind === "reset") continue;
            if (each.kind === "lost") {
              readyMs = Math.max(readyMs, each.atMs);
              continue;
            }
            const came = Math.min(
              ...arrivals.filter(({ index }) => index === each.sequence).map(({ atMs }) => atMs),
            );
            readyMs = Math.max(readyMs, came);
            expect(each.atMs).toBeCloseTo(readyMs, 6);
          }
        }),
        runs,
      );
    },
    LIMIT_MS,
  );

  test(
    "with little room give no number twice, lose none that was told as delivered, and end with nothing held",
    () => {
      fc.assert(
        fc.property(
          fc.tuple(side(LENGTH, 40), side(LENGTH, 40), side(LENGTH, 40)),
          fc.integer({ min: 1, max: 6 }),
          fc.constantFrom(16, 32),
          (sides, hold, window) => {
            using bed = new FeedLab({ waitMs: WAIT_MS, hold, window }, { sides: 3 });
            let most = 0;
            play(bed, arrivalsOf(sides), ({ side: which, index }) => {
              bed.bring(which, 1000 + index);
              most = Math.max(most, bed.feed.statistics().held);
            });
            expect(most).toBeLessThanOrEqual(hold);
            let next = -1;
            for (const each of bed.told) {
              // A jump backwards begins anew: what follows may be old numbers again.
              if (each.kind === "reset") next = -1;
              if (each.kind === "datagram") {
                expect(each.sequence).toBeGreaterThanOrEqual(next);
                next = each.sequence + 1;
              }
              if (each.kind === "lost") {
                expect(each.first).toBeGreaterThanOrEqual(next);
                next = each.first + each.count;
              }
            }
            expect(bed.feed.statistics().held).toBe(0);
            for (const { device } of bed.stations) expect(device.umem.accounts().kept).toBe(0);
          },
        ),
        runs,
      );
    },
    LIMIT_MS,
  );

  test(
    "of several messages a datagram, cut in any way, give each message once",
    () => {
      const cut = fc.array(
        fc.record({
          from: fc.nat(60),
          count: fc.nat(9),
          side: fc.nat(1),
          waitMs: fc.integer({ min: 0, max: 4 }),
        }),
        { maxLength: 80 },
      );
      fc.assert(
        fc.property(cut, (all) => {
          using bed = new FeedLab({ count: FIELDS.count, waitMs: WAIT_MS, window: 128, hold: 8 });
          const counts = new Map<number, number[]>();
          for (const { from, count, side: which, waitMs } of all) {
            counts.set(from, [...(counts.get(from) ?? []), count]);
            bed.bring(which, from, { count });
            bed.run(waitMs);
          }
          bed.run(SETTLE_MS);
          // The messages that a datagram brought that had not been: from its number and skip to wherever the next one begins.
          let next: number | undefined;
          let delivered = 0;
          for (const [i, each] of bed.told.entries()) {
            if (each.kind === "reset") throw new Error("no number was far away");
            const begins = each.kind === "lost" ? each.first : each.sequence + each.skip;
            expect(begins).toBe(next ?? begins);
            const after = bed.told[i + 1];
            const until =
              after === undefined
                ? bed.feed.next!
                : after.kind === "lost"
                  ? after.first
                  : after.kind === "datagram"
                    ? after.sequence + after.skip
                    : 0;
            if (each.kind === "lost") {
              expect(until).toBe(each.first + each.count);
            } else {
              expect(until).toBeGreaterThan(begins);
              expect(counts.get(each.sequence)).toContain(until - each.sequence);
              delivered += until - begins;
            }
            next = until;
          }
          const statistics = bed.feed.statistics();
          expect([statistics.delivered, statistics.held]).toEqual([delivered, 0]);
        }),
        runs,
      );
    },
    LIMIT_MS,
  );
});

describe("any sessions", () => {
  test(
    "are handed on one after the other, each in order",
    () => {
      const published = fc.array(
        // Longer than the slower side is late: of sessions only the last one is remembered, to drop the end of it.
        fc.record({
          length: fc.integer({ min: 7, max: 14 }),
          lost: fc.array(fc.integer({ min: 1, max: 13 })),
          lateMs: fc.nat(5),
        }),
        { minLength: 1, maxLength: 5 },
      );
      fc.assert(
        fc.property(published, (sessions) => {
          using bed = new FeedLab({ session: FIELDS.session, first: 0, waitMs: WAIT_MS, window: 64 });
          const arrivals: (Arrival & { readonly session: number })[] = [];
          let atMs = 0;
          for (const [session, { length, lost, lateMs }] of sessions.entries()) {
            for (let index = 0; index < length; index++, atMs += INTERVAL_MS) {
              if (!lost.includes(index)) arrivals.push({ atMs, side: 0, index, session });
              arrivals.push({ atMs: atMs + lateMs + 0.5, side: 1, index, session });
            }
          }
          arrivals.sort((a, b) => a.atMs - b.atMs);
          for (const arrival of arrivals) {
            bed.run(Math.max(0, arrival.atMs - bed.nowMs));
            bed.bring(arrival.side, arrival.index, { session: arrival.session });
          }
          bed.run(SETTLE_MS);
          // Split at the resets: a row from 0 on each, as far as it was heard before the next began.
          const rows: number[][] = [[]];
          for (const each of bed.told) {
            if (each.kind === "reset") rows.push([]);
            if (each.kind === "datagram") rows.at(-1)!.push(each.sequence);
            if (each.kind === "lost")
              rows.at(-1)!.push(...Array.from({ length: each.count }, (_, i) => each.first + i));
          }
          for (const row of rows) expect(row).toEqual(Array.from({ length: row.length }, (_, i) => i));
          expect(rows.length).toBe(sessions.length);
          expect(rows.at(-1)!.length).toBe(sessions.at(-1)!.length);
          expect(bed.feed.statistics().held).toBe(0);
        }),
        { numRuns: 60 },
      );
    },
    LIMIT_MS,
  );
});

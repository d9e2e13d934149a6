/** Feeds whose sides are far apart: farther than the window, in other sessions, cut otherwise, or with less room than they need. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FeedArbiter } from "../../stack/multipath/feed-arbiter.ts";
import { QUIET_MS } from "../../stack/multipath/feed-rows.ts";
import type { Datagram } from "../../stack/udp/datagram.ts";
import { FeedLab, FIELDS } from "../support/feed-lab.ts";

const [A, B] = [0, 1];
const LIMIT_MS = 60_000;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("a side that is farther behind than the window", () => {
  test("does not take the feed back: what it brings was handed on", () => {
    using bed = new FeedLab({ window: 16 });
    for (let n = 0; n < 200; n++) {
      bed.bring(A, n);
      if (n >= 50) bed.bring(B, n - 50);
    }
    expect(bed.delivered).toEqual(upTo(200));
    expect(bed.feed.statistics()).toMatchObject({ resets: 0, lost: 0, strays: 0 });
    expect(bed.feed.statistics().sides[B]).toMatchObject({ received: 150, first: 0, elsewhere: 150 });
  });

  test("neither where it loses some of it, nor where the other one pauses", () => {
    using bed = new FeedLab({ window: 16 });
    for (const n of upTo(200)) bed.bring(A, n);
    for (const n of upTo(150)) {
      if (n % 7 !== 3) bed.bring(B, n);
      bed.run(1);
    }
    bed.bring(A, 200);
    expect(bed.delivered).toEqual(upTo(201));
    expect(bed.feed.statistics()).toMatchObject({ resets: 0, lost: 0 });
  });

  test("carries the feed on where the other one has died, but for what neither brought", () => {
    using bed = new FeedLab({ window: 16 });
    for (const n of upTo(100)) bed.bring(A, n);
    for (let n = 40; n < 130; n++) bed.bring(B, n);
    expect(bed.delivered).toEqual(upTo(130));
    expect(bed.feed.statistics()).toMatchObject({ resets: 0, lost: 0 });
  });

  test("is followed when nothing else has come for long", () => {
    using bed = new FeedLab({ window: 16 });
    for (const n of [5000, 5001]) bed.bring(A, n);
    for (const n of [0, 1]) bed.bring(B, n);
    bed.run(QUIET_MS - 1);
    bed.bring(B, 2);
    expect(bed.delivered).toEqual([5000, 5001]);
    bed.run(1);
    bed.bring(B, 3);
    bed.bring(B, 4);
    expect(bed.words).toEqual(["5000", "5001", "reset", "3", "4"]);
  });
});

describe("a publisher that begins anew without saying so", () => {
  test("is followed while the sides take turns, each at its own number", () => {
    using bed = new FeedLab({ window: 64 });
    for (const n of [1000, 1001]) for (const side of [A, B]) bed.bring(side, n);
    // The second of side A is lost, so that no number follows the one before it, on a side or in the order of arrival.
    bed.bring(A, 1);
    for (let n = 3; n < 10; n++) {
      bed.bring(B, n - 2);
      bed.bring(A, n);
    }
    expect(bed.words.slice(0, 4)).toEqual(["1000", "1001", "reset", "3"]);
    expect(bed.delivered.slice(2)).toEqual([3, 4, 5, 6, 7, 8, 9]);
  });

  test("takes the feed along though the other side is still at the end of the old numbers", () => {
    using bed = new FeedLab({ window: 64 });
    for (const n of upTo(100)) bed.bring(A, 1000 + n);
    for (const n of upTo(30)) {
      bed.bring(A, n);
      bed.bring(B, 1070 + n);
    }
    for (const n of upTo(30)) bed.bring(B, n);
    expect(bed.delivered.slice(100)).toEqual(upTo(30).slice(1));
    expect(bed.feed.statistics()).toMatchObject({ resets: 1, lost: 0, strays: 1 });
  });

  test("at a number from which on nothing is known needs two datagrams in the beginning too", () => {
    using bed = new FeedLab({ first: 0, window: 16 });
    // A copy of the one before, or one from before it, does not go on from there.
    for (const n of [77_777, 500, 500, 499, 77_778, 800, 802, 803]) bed.bring(A, n);
    expect(bed.words).toEqual(["lost 0-801", "802", "803"]);
    expect(bed.feed.statistics()).toMatchObject({ strays: 6, lost: 802 });
    expect(bed.feed.statistics().sides[A]).toMatchObject({ elsewhere: 0 });
  });
});

describe("sessions", () => {
  const options = { session: FIELDS.session, first: 1, waitMs: 10 } as const;

  test("that a slow side still brings are over, however slow it is", () => {
    using bed = new FeedLab(options);
    const LAG_MS = 50;
    for (const session of [7, 8, 9])
      for (let n = 1; n <= 40; n++) {
        bed.bring(A, n, { session });
        const late = (session - 7) * 40 + n - LAG_MS;
        if (late > 0) bed.bring(B, ((late - 1) % 40) + 1, { session: 7 + Math.floor((late - 1) / 40) });
        bed.run(1);
      }
    const day = upTo(40).map((n) => `${n + 1}`);
    expect(bed.words).toEqual([...day, "reset", ...day, "reset", ...day]);
    expect(bed.feed.statistics()).toMatchObject({ resets: 2, lost: 0, stragglers: 70 });
  });

  test("go on with the old one where nobody brings the new one any more", () => {
    using bed = new FeedLab(options);
    bed.bring(A, 1, { session: 7 });
    bed.bring(B, 1, { session: 7 });
    bed.bring(A, 1, { session: 8 });
    bed.run(QUIET_MS - 1);
    bed.bring(B, 2, { session: 7 });
    expect(bed.words).toEqual(["1", "reset", "1"]);
    bed.run(1);
    bed.bring(B, 3, { session: 7 });
    bed.run(20);
    expect(bed.words.slice(3)).toEqual(["reset", "lost 1-2", "3"]);
  });

  test(
    "of any length, on a side that is late by more than one of them, come one after the other",
    () => {
      const lengths = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 7 });
      fc.assert(
        fc.property(lengths, fc.nat(60), (sessions, lagMs) => {
          using bed = new FeedLab({ ...options, first: 0 });
          const sent = sessions.flatMap((length, session) => upTo(length).map((n) => ({ n, session })));
          for (let ms = 0; ms < sent.length + lagMs; ms++) {
            for (const [side, at] of [ms, ms - lagMs].entries()) {
              const one = sent[at];
              if (one !== undefined) bed.bring(side, one.n, { session: one.session });
            }
            bed.run(1);
          }
          expect(bed.delivered).toEqual(sent.map(({ n }) => n));
          expect(bed.feed.statistics()).toMatchObject({ lost: 0, resets: sessions.length - 1 });
        }),
        { numRuns: 40 },
      );
    },
    LIMIT_MS,
  );
});

describe("datagrams of several messages", () => {
  const options = { count: FIELDS.count, waitMs: 10 } as const;

  test("that are early and say more than the one that waits take its place", () => {
    using bed = new FeedLab(options);
    bed.bring(A, 1);
    bed.bring(A, 3);
    bed.bring(B, 3, { count: 4 });
    bed.bring(A, 3, { count: 2 });
    expect(bed.stations[B]!.device.umem.accounts().kept).toBe(1);
    expect(bed.stations[A]!.device.umem.accounts().kept).toBe(0);
    bed.bring(A, 2);
    expect(bed.words).toEqual(["1", "2", "3"]);
    expect([bed.feed.next, bed.feed.statistics().delivered]).toEqual([7, 6]);
    expect(bed.feed.statistics().sides).toMatchObject([
      { first: 3, second: 0, repeated: 1 },
      { first: 0, second: 1, repeated: 0 },
    ]);
  });

  test("that are longer than the window are copies on the other side, not a new beginning", () => {
    using bed = new FeedLab({ ...options, window: 16 });
    for (const i of upTo(20)) for (const side of [A, B]) bed.bring(side, i * 40, { count: 40 });
    expect(bed.delivered).toEqual(upTo(20).map((i) => i * 40));
    expect(bed.feed.statistics()).toMatchObject({ delivered: 800, lost: 0, resets: 0 });
  });

  test("that wait and reach beyond a far number make that one no loss", () => {
    using bed = new FeedLab({ ...options, window: 16, waitMs: 1000 });
    bed.bring(A, 0);
    bed.bring(A, 5, { count: 20 });
    bed.bring(B, 0);
    // From side B a new beginning, unless what side A brought reaches beyond it.
    for (const n of [20, 22, 23]) bed.bring(B, n);
    expect(bed.words).toEqual(["0", "lost 1-4", "5"]);
    expect(bed.feed.statistics()).toMatchObject({ lost: 4, delivered: 21, resets: 0 });
    expect(bed.feed.next).toBe(25);
  });

  test("a heartbeat that comes late is no copy of the number that it names", () => {
    using bed = new FeedLab(options);
    bed.bring(A, 1);
    bed.bring(A, 2);
    bed.bring(B, 1, { count: 0 });
    bed.bring(B, 1);
    bed.bring(B, 2);
    expect(bed.feed.statistics().sides[B]).toMatchObject({ received: 3, second: 2, repeated: 0, tooLate: 0 });
  });
});

describe("a feed with little room", () => {
  test("gives up no more than what is before the datagram that has come", () => {
    using bed = new FeedLab({ hold: 2, waitMs: 1000 });
    for (const n of [1, 10, 11, 5]) bed.bring(A, n);
    expect(bed.words).toEqual(["1", "lost 2-4", "5"]);
    bed.bring(A, 6);
    bed.bring(B, 7);
    expect(bed.words.slice(3)).toEqual(["6", "7"]);
    expect(bed.feed.statistics()).toMatchObject({ forced: 1, held: 2, lost: 3 });
  });

  test("survives as many heartbeats as there are places", () => {
    const window = 65_536;
    using bed = new FeedLab({ count: FIELDS.count, hold: 1, window, waitMs: 1e6 });
    let called = 0;
    const fields = { view: undefined, length: 0, keep: () => ({ release: () => {} }) };
    let told: readonly [number, number] = [0, 1];
    using feed = new FeedArbiter(
      bed.lab.loop,
      {
        sequence: () => told[0],
        count: () => told[1],
        window,
        hold: 1,
        waitMs: 1e6,
      },
      () => void (called += 1),
    );
    const side = feed.addSide("a");
    const take = (sequence: number, count: number): void => {
      told = [sequence, count];
      feed.take({ ...fields, at: 0 } as unknown as Datagram, side);
    };
    take(0, 1);
    for (let n = 3; n < window - 2; n += 2) take(n, 0);
    const lent = { release: () => {}, lend: (fn: () => void) => fn() };
    fields.keep = () => lent;
    take(window - 2, 1);
    take(window - 1, 1);
    expect(called).toBe(3);
    expect(feed.statistics()).toMatchObject({ delivered: 3, lost: window - 3, held: 0 });
  });
});

describe("what hears of a race", () => {
  test("may throw, and nothing is lost by it", () => {
    using bed = new FeedLab({
      count: FIELDS.count,
      onLead: () => {
        throw new Error("about a lead");
      },
    });
    bed.bring(A, 1);
    bed.bring(B, 1, { count: 3 });
    bed.run(1);
    expect(bed.words).toEqual(["1", "1+1"]);
    expect(bed.lab.errors.splice(0).map(String)).toEqual(["Error: about a lead"]);
    expect(bed.feed.statistics()).toMatchObject({ delivered: 3, failed: 1 });
  });

  test("may close the feed", () => {
    const bed: FeedLab = new FeedLab({ count: FIELDS.count, onLead: () => bed.feed.close() });
    using ending = bed;
    ending.bring(A, 1);
    ending.bring(A, 5);
    ending.bring(B, 1, { count: 3 });
    expect(ending.words).toEqual(["1"]);
    expect(ending.feed.statistics().held).toBe(0);
  });
});

test("a handler that hands the feed another datagram gets the rest of its own first", () => {
  const handed: number[] = [];
  using bed = new FeedLab();
  let told: readonly [number, number] = [1, 3];
  using feed = new FeedArbiter(
    bed.lab.loop,
    { sequence: () => told[0], count: () => told[1] },
    (_, sequence) => {
      handed.push(sequence);
      if (sequence !== 1) return;
      for (const n of [2, 4]) {
        told = [n, 1];
        feed.take({ at: 0 } as Datagram, 0);
      }
    },
  );
  feed.addSide("a");
  feed.take({ at: 0 } as Datagram, 0);
  expect(handed).toEqual([1, 4]);
  expect(feed.statistics()).toMatchObject({ delivered: 4 });
});

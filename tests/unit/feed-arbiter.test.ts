/** A/B feed arbitration in virtual time: one thing at a time. What holds for any traffic is in feed-arbiter-any.test.ts. */
import { describe, expect, test } from "bun:test";
import type { KeptDatagram } from "../../stack/udp/datagram.ts";
import { FeedArbiter } from "../../stack/multipath/feed-arbiter.ts";
import { FEED_PORT, FeedLab, FIELDS } from "../support/feed-lab.ts";
import { HostLab } from "../support/host-lab.ts";

const [A, B] = [0, 1];

describe("a feed", () => {
  test("is handed on once, whoever brings it first, and the race is told", () => {
    using bed = new FeedLab();
    for (let n = 10; n < 20; n++) {
      const [early, late] = n % 2 === 0 ? [A, B] : [B, A];
      bed.bring(early, n);
      bed.run(3);
      bed.bring(late, n);
      bed.run(1);
    }
    expect(bed.words).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 10}`));
    const { sides, ...rest } = bed.feed.statistics();
    expect(rest).toMatchObject({
      delivered: 10,
      lost: 0,
      gaps: 0,
      held: 0,
      mostHeld: 0,
      strays: 0,
      failed: 0,
    });
    for (const side of sides)
      expect(side).toMatchObject({ received: 10, first: 5, second: 5, filled: 0, repeated: 0, tooLate: 0 });
    expect(sides[0]!.meanLeadMs).toBeCloseTo(3, 9);
    expect(sides[1]!.maxLeadMs).toBeCloseTo(3, 9);
  });

  test("has its gaps filled by either side, in order, and keeps what is early until then", () => {
    using bed = new FeedLab();
    bed.bring(A, 1);
    bed.bring(A, 3);
    bed.bring(A, 4);
    expect([bed.words, bed.feed.statistics().held]).toEqual([["1"], 2]);
    bed.bring(B, 6);
    bed.run(9);
    bed.bring(B, 2);
    expect(bed.words).toEqual(["1", "2", "3", "4"]);
    bed.bring(A, 5);
    bed.run(100);
    expect(bed.words).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(bed.feed.statistics()).toMatchObject({ delivered: 6, lost: 0, held: 0, mostHeld: 3 });
    expect(bed.feed.statistics().sides.map(({ filled }) => filled)).toEqual([1, 1]);
  });

  test("loses what nobody brings, as soon as it was waited for, and not before", () => {
    using bed = new FeedLab({ waitMs: 7 });
    bed.bring(A, 1);
    bed.run(5);
    bed.bring(A, 4);
    bed.run(6.5);
    bed.bring(B, 6);
    expect(bed.words).toEqual(["1"]);
    bed.run(100);
    expect(bed.words).toEqual(["1", "lost 2-3", "4", "lost 5", "6"]);
    const times = bed.told.map(({ atMs }) => atMs);
    expect(times.map((ms) => Math.round(ms * 10) / 10)).toEqual([0, 12, 12, 18.5, 18.5]);
    bed.bring(B, 3);
    bed.bring(B, 5);
    bed.bring(B, 7);
    expect(bed.words.at(-1)).toBe("7");
    expect(bed.feed.statistics()).toMatchObject({ delivered: 4, lost: 3, gaps: 2 });
    expect(bed.feed.statistics().sides[B]!.tooLate).toBe(2);
  });

  test("gives a gap up early where as many wait as may", () => {
    using bed = new FeedLab({ hold: 3, waitMs: 1000 });
    for (const n of [1, 3, 5, 7, 8]) bed.bring(A, n);
    expect(bed.words).toEqual(["1", "lost 2", "3"]);
    expect(bed.feed.statistics()).toMatchObject({ forced: 1, held: 3, mostHeld: 3 });
    bed.bring(B, 4);
    bed.bring(B, 6);
    expect(bed.words.slice(3)).toEqual(["4", "5", "6", "7", "8"]);
  });

  test("wraps around", () => {
    using bed = new FeedLab({ modulus: 65_536, window: 64 });
    for (const n of [65_534, 0, 65_535, 2, 1, 3]) {
      bed.bring(A, n);
      bed.bring(B, n);
    }
    expect(bed.delivered).toEqual([65_534, 65_535, 0, 1, 2, 3]);
    expect(bed.feed.statistics().sides[B]).toMatchObject({ second: 6, tooLate: 0 });
    bed.bring(A, 6);
    bed.run(100);
    expect(bed.words.slice(6)).toEqual(["lost 4-5", "6"]);
    expect(bed.feed.next).toBe(7);
  });

  test("knows early numbers from those that were in their places long ago", () => {
    using bed = new FeedLab({ window: 16 });
    for (let n = 0; n < 100; n++) bed.bring(A, n);
    for (let n = 103; n < 112; n++) bed.bring(B, n);
    expect(bed.feed.statistics()).toMatchObject({ held: 9, delivered: 100 });
    for (let n = 100; n < 112; n++) bed.bring(A, n);
    expect(bed.feed.statistics()).toMatchObject({ held: 0, delivered: 112, lost: 0 });
    expect(bed.feed.statistics().sides[A]).toMatchObject({ first: 103, second: 9, repeated: 0 });
  });

  test("of numbers that never wrap goes beyond 32 bits", () => {
    using bed = new FeedLab({ modulus: 2 ** 53 });
    const start = 2 ** 32 - 2;
    for (const n of [0, 2, 1, 4, 3]) bed.bring(n % 2, start + n);
    expect(bed.delivered).toEqual([0, 1, 2, 3, 4].map((n) => start + n));
  });

  test("tells a side that repeats itself from the other side", () => {
    using bed = new FeedLab();
    for (const side of [A, A, B, B, A]) bed.bring(side, 1);
    bed.bring(A, 3);
    bed.bring(A, 3);
    bed.bring(B, 3);
    const { sides } = bed.feed.statistics();
    expect(sides[A]).toMatchObject({ first: 2, second: 0, repeated: 3 });
    expect(sides[B]).toMatchObject({ first: 0, second: 2, repeated: 1 });
  });

  test("counts what has no number, and is not disturbed", () => {
    using bed = new FeedLab({ count: FIELDS.count });
    bed.bring(A, 1);
    bed.put(A, new Uint8Array(3));
    bed.bring(A, 1.5);
    bed.bring(A, -1);
    bed.bring(A, 2 ** 32);
    bed.bring(A, 2, { count: -1 });
    bed.bring(A, 2, { count: 65_537 });
    bed.bring(A, 2);
    expect(bed.words).toEqual(["1", "2"]);
    expect(bed.feed.statistics().sides[A]!.malformed).toBe(6);
  });
});

describe("datagrams of several messages", () => {
  const options = { count: FIELDS.count } as const;

  test("count as many numbers, and a heartbeat none", () => {
    using bed = new FeedLab(options);
    bed.bring(A, 1, { count: 3 });
    bed.bring(B, 1, { count: 3 });
    bed.bring(A, 4, { count: 0 });
    bed.bring(A, 9, { count: 2 });
    bed.bring(B, 4, { count: 5 });
    expect(bed.words).toEqual(["1", "4", "9"]);
    expect(bed.feed.statistics()).toMatchObject({ delivered: 10, lost: 0 });
    expect(bed.feed.next).toBe(11);
  });

  test("a heartbeat shows a gap that nothing follows", () => {
    using bed = new FeedLab({ ...options, waitMs: 5 });
    bed.bring(A, 1, { count: 1 });
    bed.bring(A, 4, { count: 0 });
    bed.run(3);
    bed.bring(B, 4, { count: 0 });
    bed.bring(B, 2);
    expect(bed.words).toEqual(["1", "2"]);
    bed.run(2);
    expect(bed.words).toEqual(["1", "2", "lost 3"]);
    bed.bring(A, 4);
    expect([bed.words.at(-1), bed.feed.statistics().lost]).toEqual(["4", 1]);
  });

  test("a heartbeat and the datagram that it spoke of wait as one, from the heartbeat on", () => {
    using bed = new FeedLab({ ...options, waitMs: 5 });
    bed.bring(A, 1);
    bed.bring(A, 4, { count: 0 });
    bed.run(3);
    bed.bring(B, 4);
    bed.bring(B, 6);
    bed.run(2);
    expect(bed.words).toEqual(["1", "lost 2-3", "4"]);
    bed.run(3);
    expect(bed.words.slice(3)).toEqual(["lost 5", "6"]);
    expect(bed.feed.statistics()).toMatchObject({ held: 0, delivered: 3, lost: 3 });
  });

  test("that are cut otherwise on the other side lose nothing and give nothing twice", () => {
    using bed = new FeedLab(options);
    bed.bring(A, 1, { count: 4 });
    // 3 and 4 were handed on.
    bed.bring(B, 3, { count: 4 });
    bed.bring(A, 8, { count: 2 });
    bed.bring(A, 9, { count: 4 });
    bed.bring(A, 11, { count: 1 });
    bed.bring(B, 5, { count: 4 });
    expect(bed.words).toEqual(["1", "3+2", "5+2", "8+1", "9+1"]);
    expect(bed.feed.statistics()).toMatchObject({ delivered: 12, lost: 0, held: 0 });
    expect(bed.feed.next).toBe(13);
  });
});

describe("a publisher that begins anew", () => {
  test("is recognised by its session, and the end of the old one is dropped", () => {
    using bed = new FeedLab({ session: FIELDS.session, first: 1, waitMs: 10 });
    bed.bring(A, 1, { session: 7 });
    bed.bring(A, 2, { session: 7 });
    bed.bring(A, 4, { session: 7 });
    bed.bring(A, 1, { session: 8 });
    bed.bring(B, 3, { session: 7 });
    bed.bring(B, 1, { session: 8 });
    bed.bring(B, 3, { session: 8 });
    bed.run(20);
    expect(bed.words).toEqual(["1", "2", "lost 3", "4", "reset", "1", "lost 2", "3"]);
    expect(bed.feed.statistics()).toMatchObject({ resets: 1, stragglers: 1 });
    // Later than a straggler can be, it went back.
    bed.bring(A, 1, { session: 7 });
    bed.bring(A, 1, { session: Number.NaN });
    expect(bed.words.slice(-2)).toEqual(["reset", "1"]);
    expect(bed.feed.statistics().sides[A]!.malformed).toBe(1);
  });

  test("is recognised without sessions by two datagrams in a row on one side, one alone is dropped", () => {
    using bed = new FeedLab({ window: 64 });
    for (const n of [1000, 1001, 1003]) bed.bring(A, n);
    bed.bring(A, 5);
    bed.bring(B, 1002);
    bed.bring(B, 5);
    bed.bring(A, 900_000);
    // In a row means with nothing between on that side.
    bed.bring(A, 1004);
    bed.bring(A, 900_001);
    bed.bring(B, 1004);
    expect(bed.words).toEqual(["1000", "1001", "1002", "1003", "1004"]);
    expect(bed.feed.statistics()).toMatchObject({ strays: 4, resets: 0 });
    bed.bring(A, 1006);
    bed.bring(A, 1);
    bed.bring(B, 1);
    bed.bring(A, 2);
    bed.bring(B, 2);
    bed.bring(B, 4);
    bed.bring(B, 3);
    expect(bed.words.slice(5)).toEqual(["lost 1005", "1006", "reset", "2", "3", "4"]);
  });

  test("that was not heard for longer than the window goes on, and what it said is lost", () => {
    using bed = new FeedLab({ window: 64 });
    for (const n of [1, 2, 4, 500, 501, 502]) bed.bring(A, n);
    expect(bed.words).toEqual(["1", "2", "lost 3", "4", "lost 5-500", "501", "502"]);
    expect(bed.feed.statistics()).toMatchObject({ delivered: 5, lost: 497, resets: 0 });
  });

  test("and a reset by hand", () => {
    using bed = new FeedLab();
    bed.bring(A, 100);
    bed.bring(A, 102);
    bed.feed.reset();
    expect(bed.feed.next).toBeUndefined();
    bed.bring(A, 5);
    bed.feed.reset(1);
    bed.bring(A, 2);
    bed.feed.flush();
    expect(bed.words).toEqual(["100", "lost 101", "102", "reset", "5", "reset", "lost 1", "2"]);
    expect(() => bed.feed.reset(-1)).toThrow(/next/);
  });
});

describe("what a handler does", () => {
  test("it may keep any datagram, early or in order, and the feed releases the others", () => {
    const kept: KeptDatagram[] = [];
    using bed = new FeedLab(
      {},
      { handler: (datagram, sequence) => void (sequence % 2 === 0 && kept.push(datagram.keep())) },
    );
    for (const n of [1, 2, 5, 4, 3, 6]) bed.bring(A, n);
    expect(kept.map((each) => FIELDS.sequence(each.view, each.at, each.length))).toEqual([2, 4, 6]);
    const accounts = bed.stations[A]!.device.umem.accounts();
    expect(accounts.kept).toBe(3);
    for (const each of kept) each.release();
  });

  test("it may answer, also a datagram that waited", () => {
    using bed = new FeedLab({}, { handler: (datagram) => void datagram.reply() });
    bed.stations[A]!.introduce("10.0.0.1");
    for (const n of [1, 3, 2]) bed.bring(A, n);
    bed.run(1);
    expect(bed.stations[A]!.takeIp().length).toBe(3);
  });

  test("it may throw: the loop reports it, the feed goes on", () => {
    using bed = new FeedLab(
      {},
      {
        handler: (_, sequence) => {
          if (sequence !== 4) throw new Error(`about ${sequence}`);
        },
      },
    );
    for (const n of [1, 3, 4, 2]) bed.bring(A, n);
    bed.run(1);
    expect(bed.delivered).toEqual([1, 2, 3, 4]);
    expect(bed.lab.errors.splice(0).map(String)).toEqual([1, 2, 3].map((n) => `Error: about ${n}`));
    expect(bed.feed.statistics().failed).toBe(3);
  });

  test.each(["close", "reset", "flush"] as const)("it may %s the feed", (verb) => {
    let once = true;
    const bed: FeedLab = new FeedLab(
      { count: FIELDS.count },
      {
        handler: (_, sequence) => {
          if (sequence !== 3 || !once) return;
          once = false;
          bed.feed[verb]();
        },
      },
    );
    using ending = bed;
    bed.bring(A, 1, { count: 2 });
    for (const n of [5, 6, 9]) bed.bring(A, n);
    bed.bring(A, 3, { count: 2 });
    bed.run(100);
    const words = {
      close: ["1", "3"],
      reset: ["1", "3", "5", "6", "lost 7-8", "9", "reset"],
      flush: ["1", "3", "5", "6", "lost 7-8", "9"],
    };
    expect(ending.words).toEqual(words[verb]);
    expect(bed.feed.statistics().held).toBe(0);
    if (verb === "close") bed.feed.close();
  });
});

describe("a feed that ends", () => {
  test("releases what waits and hears nothing more", () => {
    using bed = new FeedLab();
    for (const n of [1, 3, 5]) bed.bring(A, n);
    expect(bed.stations[A]!.device.umem.accounts().kept).toBe(2);
    bed.feed.close();
    bed.feed.close();
    expect(bed.stations[A]!.device.umem.accounts().kept).toBe(0);
    bed.bring(A, 2);
    expect(bed.words).toEqual(["1"]);
    expect(() => bed.feed.addSide("c")).toThrow(/closed/);
  });

  test("goes on without an interface that leaves, also with what that one brought", () => {
    using bed = new FeedLab();
    bed.bring(A, 1);
    bed.bring(A, 3);
    bed.host.leave(bed.host.interfaces[0]!);
    bed.bring(A, 4);
    bed.bring(B, 2);
    bed.bring(B, 4);
    expect(bed.words).toEqual(["1", "2", "3", "4"]);
    expect(bed.feed.statistics().sides.map(({ received }) => received)).toEqual([2, 2]);
  });
});

describe("wrong use", () => {
  const make = (options: unknown, handler: unknown = () => {}): FeedArbiter =>
    new FeedArbiter({ now: 0, after: () => ({}) as never }, options as never, handler as never);
  const sequence = FIELDS.sequence;

  test.each([
    [undefined, /object of options/],
    [{}, /sequence is a function/],
    [{ sequence, count: 1 }, /count is a function/],
    [{ sequence, wait: 1 }, /no option "wait"/],
    [{ sequence, modulus: 100 }, /modulus/],
    [{ sequence, modulus: 256, window: 128 }, /window/],
    [{ sequence, window: 100 }, /power of two/],
    [{ sequence, hold: 0 }, /hold/],
    [{ sequence, waitMs: -1 }, /waitMs/],
    [{ sequence, first: 2 ** 32 }, /first/],
  ])("%p is refused by name", (options, says) => {
    expect(() => make(options)).toThrow(says);
  });

  test("of sides", () => {
    using lab = new HostLab();
    const { host, on } = lab.wire({ addresses: ["10.0.0.2/24"], linkLocal: false });
    using feed = new FeedArbiter(lab.loop, { sequence }, () => {});
    expect(() => new FeedArbiter(lab.loop, { sequence }, 1 as never)).toThrow(/handler/);
    expect(() => feed.take(undefined as never, 0)).toThrow(/none is 0/);
    expect(() => feed.join(host, { group: "10.0.0.9", port: FEED_PORT, interface: on.name })).toThrow();
    expect(() => feed.join(host, { group: "239.1.1.1", port: FEED_PORT, interface: "no" })).toThrow(/"no"/);
    expect(feed.statistics().sides).toEqual([]);
    expect(host.statistics().udp.sockets).toBe(0);
    for (let i = 0; i < 8; i++) expect(feed.addSide(`${i}`)).toBe(i);
    expect(() => feed.addSide("9")).toThrow(/at most 8/);
  });
});

/** Token buckets: never more than burst and rate allow, peers apart, bounded under forged addresses. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { RateLimiter, type RateLimitOptions, TokenBucket } from "../../stack/ip/icmp/rate-limit.ts";

/** A price that never varies. */
const STEADY = { next: () => 2 ** 31 };
const ROOMY = { perSecond: 1e9, burst: 1e9 };

const setUp = (options: RateLimitOptions = {}, random = STEADY) => {
  const limiter = new RateLimiter(random, options);
  const allow = (peer: number, nowMs: number): boolean => limiter.allow(0, 0, 0xffff, peer, nowMs);
  return { limiter, allow };
};

/** How often `ask` says yes in `times`. */
const count = (times: number, ask: (i: number) => boolean): number => {
  let allowed = 0;
  for (let i = 0; i < times; i++) allowed += Number(ask(i));
  return allowed;
};

describe("a bucket", () => {
  test("gives its burst at once, then its rate", () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 5 });
    expect(count(20, () => bucket.take(0))).toBe(5);
    expect(bucket.take(99)).toBe(false);
    expect(bucket.take(100)).toBe(true);
    expect(bucket.take(100)).toBe(false);
    expect(count(20, () => bucket.take(10_000))).toBe(5);
  });

  test("neither gives nor takes where the clock goes back", () => {
    const bucket = new TokenBucket({ perSecond: 1000, burst: 1 }, 1000);
    expect(bucket.take(1000)).toBe(true);
    expect(bucket.take(0)).toBe(false);
    expect(bucket.take(1)).toBe(true);
  });

  test("never gives more than burst and time allow", () => {
    const gaps = fc.array(fc.double({ min: 0, max: 500, noNaN: true }), { maxLength: 200 });
    fc.assert(
      fc.property(
        gaps,
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 9 }),
        (steps, perSecond, burst) => {
          const bucket = new TokenBucket({ perSecond, burst });
          let now = 0;
          let allowed = 0;
          for (const step of steps) {
            now += step;
            allowed += Number(bucket.take(now));
            expect(allowed).toBeLessThanOrEqual(burst + (now * perSecond) / 1000 + 1e-6);
          }
        },
      ),
    );
  });

  test("needs a rate and room for one", () => {
    expect(() => new TokenBucket({ perSecond: 0, burst: 1 })).toThrow("perSecond");
    expect(() => new TokenBucket({ perSecond: NaN, burst: 1 })).toThrow("perSecond");
    expect(() => new TokenBucket({ perSecond: 1, burst: 0.5 })).toThrow("burst");
  });
});

describe("a limiter", () => {
  test("keeps peers apart", () => {
    const { limiter, allow } = setUp({ peer: { perSecond: 10, burst: 3 }, global: ROOMY });
    expect(count(10, () => allow(1, 0))).toBe(3);
    expect(count(10, () => allow(2, 0))).toBe(3);
    expect(count(10, () => allow(1, 100))).toBe(1);
    expect(limiter.statistics()).toEqual({ allowed: 7, peerRefused: 23, globalRefused: 0, evicted: 0 });
  });

  test("keeps all of them under the common limit, and a refused peer pays nothing there", () => {
    const { limiter, allow } = setUp({
      peer: { perSecond: 1, burst: 1 },
      global: { perSecond: 10, burst: 5 },
    });
    expect(count(100, () => allow(1, 0))).toBe(1);
    expect(count(100, (i) => allow(2 + i, 0))).toBe(4);
    expect(limiter.statistics()).toMatchObject({ allowed: 5, peerRefused: 99, globalRefused: 96 });
    // Whom the common bucket refused still has his own token.
    expect(allow(100, 1000)).toBe(true);
  });

  test("stays under it with prices that vary, on average", () => {
    const global = { perSecond: 100, burst: 50 };
    const { allow } = setUp({ peer: ROOMY, global }, seededRandom(7));
    const allowed = count(100_000, (i) => allow(i, i / 10));
    expect(allowed).toBeGreaterThan(950);
    expect(allowed).toBeLessThan(1150);
    // The exact number is what a stranger must not be able to count on.
    const bursts = new Set(
      Array.from({ length: 20 }, (_, seed) => {
        const { allow: ask } = setUp({ peer: ROOMY, global }, seededRandom(seed));
        return count(500, (i) => ask(i, 0));
      }),
    );
    expect(bursts.size).toBeGreaterThan(5);
  });

  test("is bounded: forged addresses push out peers, and only the common limit is left", () => {
    const { limiter, allow } = setUp({
      peer: { perSecond: 1, burst: 1 },
      global: { perSecond: 1, burst: 100 },
      peers: 8,
    });
    expect(count(10_000, (i) => allow(i, 0))).toBe(100);
    expect(limiter.statistics().evicted).toBeGreaterThan(0);
  });

  test("tells peers apart by the whole address, even where they share a place", () => {
    const words = [1, 2, 3, 4] as const;
    for (let i = 0; i < words.length; i++) {
      // All peers of so small a table lie side by side.
      const limiter = new RateLimiter(STEADY, { peer: { perSecond: 1, burst: 1 }, global: ROOMY, peers: 4 });
      const other = words.map((word, at) => (at === i ? -word : word)) as [number, number, number, number];
      expect(limiter.allow(...words, 0)).toBe(true);
      expect(limiter.allow(...other, 0)).toBe(true);
      expect(limiter.allow(...other, 0)).toBe(false);
      expect(limiter.allow(...words, 0)).toBe(false);
      expect(limiter.statistics().evicted).toBe(0);
    }
  });

  test("names an option out of range", () => {
    expect(() => setUp({ peers: 0 })).toThrow("peers");
    expect(() => setUp({ peer: { perSecond: -1, burst: 1 } })).toThrow("perSecond");
    expect(() => setUp({ global: { perSecond: 1, burst: 0 } })).toThrow("burst");
  });
});

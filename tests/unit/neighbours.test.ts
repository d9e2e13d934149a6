/** Neighbour caches in virtual time: RFC 4861 section 7.2.5 and appendix C row by row, the bounds, and the mirror. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MirroredNeighbours } from "../../stack/ip/neighbours/mirrored-neighbours.ts";
import {
  NeighbourCache,
  type Neighbour,
  type NeighbourIo,
  type NeighbourOptions,
  type NeighbourState,
} from "../../stack/ip/neighbours/neighbours.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const A = IpAddress.parse("fe80::a");
const MAC1 = MacAddress.parse("02:00:00:00:00:0a");
const MAC2 = MacAddress.parse("02:00:00:00:00:0b");
const numbered = (n: number): IpAddress => IpAddress.v4(0x0a00_0000 + n);
const macOf = (n: number): MacAddress => MacAddress.words(0x0200_0000, n);

/** Notes what a cache does. */
class Notes implements NeighbourIo<string> {
  readonly solicits: string[] = [];
  readonly sent: string[] = [];
  readonly discarded: string[] = [];
  readonly states: string[] = [];
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  solicit(neighbour: Neighbour<string>, unicast: boolean): void {
    this.solicits.push(
      `${this.#time.now} ${unicast ? "unicast" : "multicast"} ${neighbour.address.toString()}`,
    );
  }

  send(parked: string, neighbour: Neighbour<string>): void {
    expect(neighbour.usable).toBe(true);
    this.sent.push(`${parked} ${neighbour.mac!.toString()}`);
  }

  discard(parked: string, _neighbour: Neighbour<string>, reason: string): void {
    this.discarded.push(`${parked} ${reason}`);
  }

  changed(neighbour: Neighbour<string>): void {
    this.states.push(neighbour.live ? neighbour.state : `${neighbour.state} gone`);
  }
}

const setUp = (options: NeighbourOptions = {}) => {
  const time = new VirtualTime();
  const notes = new Notes(time);
  const cache = new NeighbourCache<string>(time, notes, options);
  const find = (address = A): Neighbour<string> | undefined =>
    cache.lookup(address.w0, address.w1, address.w2, address.w3);
  /** Brings A to a state, with MAC1 where it has one. */
  const bring = (state: NeighbourState): Neighbour<string> => {
    if (state === "incomplete" || state === "failed") cache.resolve(A);
    else
      cache.learn(
        A,
        MAC1,
        state === "permanent" ? "permanent" : state === "reachable" ? "reachable" : "stale",
      );
    if (state === "failed") time.advance(3000);
    const neighbour = find()!;
    if (state === "delay" || state === "probe") cache.used(neighbour);
    if (state === "probe") time.advance(5000);
    expect(neighbour.state).toBe(state);
    return neighbour;
  };
  return { time, notes, cache, find, bring };
};

describe("sending (RFC 4861 section 7.2.2, appendix C)", () => {
  test("a new neighbour is asked for three times a second apart, then what waited is unreachable", () => {
    const { time, notes, cache, find } = setUp();
    const neighbour = cache.resolve(A)!;
    expect(neighbour).toMatchObject({ state: "incomplete", usable: false, live: true, isRouter: false });
    cache.park(neighbour, "p1");
    cache.park(neighbour, "p2");
    time.advance(2999);
    expect(notes.solicits).toEqual([
      "0 multicast fe80::a",
      "1000 multicast fe80::a",
      "2000 multicast fe80::a",
    ]);
    expect(notes.discarded).toEqual([]);
    time.advance(1);
    expect(notes.discarded).toEqual(["p1 unreachable", "p2 unreachable"]);
    expect(notes.states).toEqual(["incomplete", "failed"]);
    // For a second nobody is asked again.
    expect(cache.resolve(A)).toBe(neighbour);
    cache.park(neighbour, "p3");
    expect(notes.discarded.at(-1)).toBe("p3 unreachable");
    time.advance(999);
    expect(find()).toBe(neighbour);
    time.advance(1);
    expect(find()).toBeUndefined();
    expect(neighbour.live).toBe(false);
    expect(time.idle).toBe(true);
    expect(cache.resolve(A)).not.toBe(neighbour);
    expect(notes.solicits).toHaveLength(4);
  });

  test("an answer sends what waited, in order, and it is reachable until nobody confirms it", () => {
    const { time, notes, cache } = setUp();
    const neighbour = cache.resolve(A)!;
    cache.park(neighbour, "p1");
    cache.park(neighbour, "p2");
    time.advance(10);
    cache.advertised(A, MAC1, { solicited: true, override: true, router: true });
    expect(notes.sent).toEqual(["p1 02:00:00:00:00:0a", "p2 02:00:00:00:00:0a"]);
    expect(neighbour).toMatchObject({
      state: "reachable",
      usable: true,
      isRouter: true,
      mac: MAC1,
      macHigh: MAC1.high,
      macLow: MAC1.low,
      updatedMs: 10,
    });
    time.advance(14_999);
    expect(neighbour.state).toBe("reachable");
    time.advance(30_001);
    expect(neighbour.state).toBe("stale");
    expect(notes.solicits).toHaveLength(1);
    expect(time.idle).toBe(true);
    cache.park(neighbour, "p3");
    expect(notes.sent.at(-1)).toBe("p3 02:00:00:00:00:0a");
  });

  test("a stale neighbour in use is probed after five seconds, three times, then gone", () => {
    const { time, notes, cache, bring, find } = setUp();
    const neighbour = bring("stale");
    time.advance(100_000);
    expect(notes.solicits).toEqual([]);
    cache.used(neighbour);
    expect(neighbour.state).toBe("delay");
    expect(neighbour.usable).toBe(true);
    time.advance(4999);
    expect(notes.solicits).toEqual([]);
    time.advance(1);
    expect(neighbour.state).toBe("probe");
    time.advance(2999);
    expect(notes.solicits.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "105000 unicast",
      "106000 unicast",
      "107000 unicast",
    ]);
    expect(neighbour.usable).toBe(true);
    time.advance(1);
    expect(find()).toBeUndefined();
    expect(neighbour).toMatchObject({ state: "failed", usable: false, live: false });
    expect(notes.states.at(-1)).toBe("failed gone");
    // Its Ethernet address may be another now: the next packet asks everybody, at once.
    cache.resolve(A);
    expect(notes.solicits.at(-1)).toBe("108000 multicast fe80::a");
  });

  test("confirmations keep it reachable without probes, and end doubt", () => {
    const { time, notes, cache, bring } = setUp();
    const neighbour = bring("reachable");
    for (let i = 0; i < 100; i++) {
      time.advance(10_000);
      cache.used(neighbour);
      cache.confirm(neighbour);
      expect(neighbour.state).toBe("reachable");
    }
    expect(notes.solicits).toEqual([]);
    expect(notes.states).toEqual(["reachable"]);
    for (const state of ["stale", "delay", "probe"] as const) {
      const other = setUp();
      const doubted = other.bring(state);
      other.cache.confirm(doubted);
      expect(doubted.state).toBe("reachable");
    }
    const unknown = setUp();
    const incomplete = unknown.bring("incomplete");
    unknown.cache.confirm(incomplete);
    expect(incomplete.state).toBe("incomplete");
  });

  test("ReachableTime is random within its bounds and follows what a router says", () => {
    const times = new Set<number>();
    for (let seed = 0; seed < 50; seed++) {
      const time = new VirtualTime(seed);
      const cache = new NeighbourCache<string>(time, new Notes(time));
      cache.setTimes(1000, 10);
      cache.learn(A, MAC1, "reachable");
      times.add(time.timers.nextTimerMs);
    }
    expect(Math.min(...times)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...times)).toBeLessThanOrEqual(1500);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(700);
    const { time, cache, notes } = setUp();
    cache.learn(numbered(1), MAC1, "reachable");
    cache.setTimes(10, undefined);
    const short = cache.resolve(numbered(1))!;
    cache.confirm(short);
    cache.learn(numbered(2), MAC2, "reachable");
    time.advance(15);
    expect(cache.resolve(numbered(2))!.state).toBe("stale");
    cache.forget(numbered(1));
    cache.setTimes(undefined, 10);
    cache.resolve(A);
    time.advance(30);
    expect(notes.solicits.map((line) => line.split(" ")[0])).toEqual(["15", "25", "35"]);
  });
});

/** A row: state before, message, state and Ethernet address after. MAC1 is the one known. */
type Row = readonly [
  before: NeighbourState,
  mac: MacAddress | undefined,
  solicited: boolean,
  override: boolean,
  after: NeighbourState,
  macAfter: MacAddress | undefined,
];

const settled = ["reachable", "stale", "delay", "probe"] as const;
const rows: Row[] = [
  ["incomplete", undefined, true, true, "incomplete", undefined],
  ["incomplete", MAC1, false, false, "stale", MAC1],
  ["incomplete", MAC1, false, true, "stale", MAC1],
  ["incomplete", MAC1, true, false, "reachable", MAC1],
  ["incomplete", MAC1, true, true, "reachable", MAC1],
  ...settled.flatMap((before): Row[] => [
    // The same address, or none, with S: reachable. Without S nothing happens.
    [before, MAC1, true, false, "reachable", MAC1],
    [before, MAC1, true, true, "reachable", MAC1],
    [before, undefined, true, false, "reachable", MAC1],
    [before, undefined, true, true, "reachable", MAC1],
    [before, MAC1, false, false, before, MAC1],
    [before, MAC1, false, true, before, MAC1],
    [before, undefined, false, true, before, MAC1],
    // Another address without O: doubt where it was reachable, else nothing; the address stays.
    [before, MAC2, true, false, before === "reachable" ? "stale" : before, MAC1],
    [before, MAC2, false, false, before === "reachable" ? "stale" : before, MAC1],
    // Another address with O: taken.
    [before, MAC2, true, true, "reachable", MAC2],
    [before, MAC2, false, true, "stale", MAC2],
  ]),
  ["permanent", MAC2, true, true, "permanent", MAC1],
  ["failed", MAC2, true, true, "failed", undefined],
];

describe("advertisements (RFC 4861 section 7.2.5)", () => {
  for (const [before, mac, solicited, override, after, macAfter] of rows) {
    const address = mac === undefined ? "no address" : mac === MAC1 ? "address 1" : "address 2";
    const flags = `${solicited ? "S" : "-"}${override ? "O" : "-"}`;
    test(`${before}, ${address}, ${flags}: ${after}`, () => {
      const { cache, bring } = setUp();
      const neighbour = bring(before);
      cache.advertised(A, mac, { solicited, override, router: false });
      expect(neighbour.state).toBe(after);
      expect(neighbour.mac?.toString()).toBe(macAfter?.toString());
      expect(neighbour.usable).toBe(macAfter !== undefined);
      if (macAfter !== undefined)
        expect([neighbour.macHigh, neighbour.macLow]).toEqual([macAfter.high, macAfter.low]);
    });
  }

  test("nobody that wasn't asked for is made known", () => {
    const { cache, find } = setUp();
    cache.advertised(A, MAC1, { solicited: true, override: true, router: false });
    expect(find()).toBeUndefined();
    expect(cache.statistics().ignored).toBe(1);
  });

  test("the router flag follows, except where the advertisement is ignored; and the io hears of it", () => {
    const { cache, bring, notes } = setUp();
    const neighbour = bring("reachable");
    cache.advertised(A, MAC1, { solicited: false, override: false, router: true });
    expect(neighbour.isRouter).toBe(true);
    const heard = notes.states.length;
    cache.advertised(A, undefined, { solicited: false, override: false, router: false });
    expect(neighbour.isRouter).toBe(false);
    expect(notes.states).toHaveLength(heard + 1);
    cache.learn(A, MAC1, "stale");
    cache.advertised(A, MAC2, { solicited: true, override: false, router: true });
    expect(neighbour.isRouter).toBe(false);
  });

  test("a new address ends the probes of the old one", () => {
    for (const state of ["delay", "probe"] as const) {
      const { time, cache, bring } = setUp();
      bring(state);
      cache.advertised(A, MAC2, { solicited: false, override: true, router: false });
      expect(time.idle).toBe(true);
    }
  });

  test("an ignored answer does not stop the probes", () => {
    const { time, cache, bring, find } = setUp();
    bring("probe");
    cache.advertised(A, MAC2, { solicited: true, override: false, router: false });
    time.advance(3000);
    expect(find()).toBeUndefined();
  });
});

describe("what others say unasked (RFC 4861 section 7.3.3, appendix C)", () => {
  test("makes them known, stale", () => {
    const { cache, find, notes } = setUp();
    cache.solicited(A, MAC1);
    expect(find()).toMatchObject({ state: "stale", mac: MAC1, isRouter: false });
    expect(notes.states).toEqual(["stale"]);
  });

  test("answers a resolution: what waited goes out, and use begins the delay", () => {
    const { cache, bring, notes } = setUp();
    const neighbour = bring("incomplete");
    cache.park(neighbour, "p");
    cache.solicited(A, MAC1, true);
    expect(neighbour).toMatchObject({ state: "stale", isRouter: true });
    expect(notes.sent).toEqual(["p 02:00:00:00:00:0a"]);
  });

  for (const state of settled) {
    test(`in ${state} the same address changes nothing, another one makes it stale`, () => {
      const { cache, bring } = setUp();
      const neighbour = bring(state);
      cache.solicited(A, MAC1);
      expect(neighbour.state).toBe(state);
      cache.solicited(A, MAC2);
      expect(neighbour).toMatchObject({ state: "stale", mac: MAC2 });
    });
  }

  test("does not move a permanent one, and brings back one that failed", () => {
    const permanent = setUp();
    permanent.cache.solicited(A, MAC2);
    const neighbour = permanent.bring("permanent");
    permanent.cache.solicited(A, MAC2);
    expect(neighbour.mac).toBe(MAC1);
    const failed = setUp();
    const back = failed.bring("failed");
    failed.cache.solicited(A, MAC1);
    expect(back).toMatchObject({ state: "stale", usable: true, live: true });
    failed.time.advance(10_000);
    expect(back.live).toBe(true);
  });

  test("a group address is nobody's", () => {
    const { cache, find } = setUp();
    cache.solicited(A, MacAddress.parse("33:33:00:00:00:01"));
    expect(find()).toBeUndefined();
    expect(() => cache.learn(A, MacAddress.parse("ff:ff:ff:ff:ff:ff"), "stale")).toThrow(RangeError);
  });
});

describe("fast probes", () => {
  test("find a dead neighbour in 30 ms", () => {
    const { time, notes, cache, bring } = setUp({ fastProbe: { intervalMs: 10, count: 3 } });
    const neighbour = bring("reachable");
    time.advance(100);
    cache.probe(neighbour);
    expect(neighbour).toMatchObject({ state: "probe", usable: true });
    time.advance(29);
    expect(neighbour.usable).toBe(true);
    time.advance(1);
    expect(neighbour).toMatchObject({ state: "failed", usable: false, live: false });
    expect(notes.solicits.map((line) => line.split(" ")[0])).toEqual(["100", "110", "120"]);
  });

  test("end with an answer", () => {
    const { time, cache, bring } = setUp({ fastProbe: { intervalMs: 10, count: 3 } });
    const neighbour = bring("stale");
    cache.probe(neighbour);
    time.advance(15);
    cache.advertised(A, undefined, { solicited: true, override: false, router: false });
    time.advance(1000);
    expect(neighbour.state).toBe("reachable");
  });
});

describe("bounds", () => {
  test("each queue and all of them together lose their oldest", () => {
    const { cache, notes } = setUp({ parkedLimit: 2, parkedTotal: 3 });
    const [a, b] = [cache.resolve(numbered(1))!, cache.resolve(numbered(2))!];
    for (const name of ["a1", "a2", "a3"]) cache.park(a, name);
    expect(notes.discarded).toEqual(["a1 full"]);
    cache.park(b, "b1");
    cache.park(b, "b2");
    expect(notes.discarded).toEqual(["a1 full", "a2 full"]);
    expect(cache.statistics()).toMatchObject({ parked: 3, discardedFull: 2 });
    cache.forget(numbered(1));
    expect(notes.discarded.at(-1)).toBe("a3 unreachable");
    expect(cache.statistics().parked).toBe(2);
  });

  test("unanswered ones push out only each other, those that failed first", () => {
    const { time, cache, find } = setUp({ limit: 4, unresolvedLimit: 2 });
    for (let i = 1; i <= 4; i++) cache.learn(numbered(i), macOf(i), "reachable");
    const failed = cache.resolve(numbered(101))!;
    time.advance(3000);
    expect(failed.state).toBe("failed");
    const waiting = cache.resolve(numbered(102))!;
    const next = cache.resolve(numbered(103))!;
    expect([failed.live, waiting.live, next.live]).toEqual([false, true, true]);
    cache.park(waiting, "p");
    cache.resolve(numbered(104));
    expect([waiting.live, next.live]).toEqual([false, true]);
    expect(cache.statistics()).toMatchObject({ discardedFull: 1, evicted: 2, size: 6 });
    for (let i = 1; i <= 4; i++) expect(find(numbered(i))!.live).toBe(true);
  });

  test("of those that are known the least recently used goes, the stale before others, never a permanent one", () => {
    const { time, cache, find } = setUp({ limit: 4 });
    cache.learn(numbered(1), macOf(1), "permanent");
    for (const n of [2, 3]) cache.learn(numbered(n), macOf(n), "reachable");
    cache.learn(numbered(4), macOf(4), "stale");
    for (const n of [3, 2]) {
      time.advance(1);
      cache.used(find(numbered(n))!);
    }
    const alive = (): number[] => [1, 2, 3, 4, 5, 6, 7].filter((n) => find(numbered(n)) !== undefined);
    const answer = (n: number): void => {
      cache.resolve(numbered(n));
      time.advance(1);
      cache.advertised(numbered(n), macOf(n), { solicited: true, override: true, router: false });
    };
    answer(5);
    expect(alive()).toEqual([1, 2, 3, 5]);
    answer(6);
    expect(alive()).toEqual([1, 2, 5, 6]);
    answer(7);
    expect(alive()).toEqual([1, 5, 6, 7]);
    for (const n of [5, 6, 7]) cache.learn(numbered(n), macOf(n), "permanent");
    expect(cache.learn(numbered(2), macOf(2), "permanent")).toBe(false);
    const lost = cache.resolve(numbered(2))!;
    cache.advertised(numbered(2), macOf(2), { solicited: true, override: true, router: false });
    expect(lost.live).toBe(false);
    expect(find(numbered(2))).toBeUndefined();
    expect(cache.statistics().refused).toBe(2);
  });

  test("a stranger takes the place of a stale one, of no other", () => {
    const { cache, find } = setUp({ limit: 2 });
    cache.learn(numbered(1), macOf(1), "reachable");
    cache.learn(numbered(2), macOf(2), "stale");
    cache.solicited(numbered(3), macOf(3));
    expect([1, 2, 3].map((n) => find(numbered(n)) !== undefined)).toEqual([true, false, true]);
    cache.confirm(find(numbered(3))!);
    cache.solicited(numbered(4), macOf(4));
    expect([1, 3, 4].map((n) => find(numbered(n)) !== undefined)).toEqual([true, true, false]);
    expect(cache.statistics()).toMatchObject({ evicted: 1, refused: 1 });
  });

  test("a flood of strangers doesn't reach those in use", () => {
    const { time, cache, find } = setUp({ limit: 8, unresolvedLimit: 4 });
    for (let i = 0; i < 5; i++) {
      cache.learn(numbered(i), macOf(i), "reachable");
      cache.used(find(numbered(i))!);
    }
    const inUse = [...cache.values()];
    for (let i = 0; i < 20_000; i++) {
      // Both kinds: strangers that speak, and addresses that somebody makes us ask for.
      cache.solicited(numbered(1000 + i), macOf(i));
      const asked = cache.resolve(numbered(100_000 + i));
      if (asked !== undefined) cache.park(asked, "p");
      if (i % 100 === 0) time.advance(1);
      if (i % 10 === 0) for (const neighbour of inUse) cache.used(neighbour);
    }
    expect(inUse.map((neighbour) => neighbour.live)).toEqual([true, true, true, true, true]);
    const { size, parked, throttled, multicastSolicits } = cache.statistics();
    expect(size).toBeLessThanOrEqual(12);
    expect(parked).toBeLessThanOrEqual(4);
    // 1024 at once, and 1024 in a second, of which 200 ms passed.
    expect(throttled).toBeGreaterThan(38_000);
    expect(multicastSolicits).toBeLessThan(1300);
  });

  test("whatever happens, limits hold, packets come out once, and closing leaves nothing", () => {
    const addresses = fc.integer({ min: 0, max: 11 });
    const macs = fc.integer({ min: 0, max: 2 });
    const step = fc.oneof(
      fc.record({ do: fc.constant("send" as const), n: addresses }),
      fc.record({ do: fc.constant("confirm" as const), n: addresses }),
      fc.record({ do: fc.constant("probe" as const), n: addresses }),
      fc.record({ do: fc.constant("forget" as const), n: addresses }),
      fc.record({ do: fc.constant("solicited" as const), n: addresses, mac: macs }),
      fc.record({ do: fc.constant("learn" as const), n: addresses, mac: macs }),
      fc.record({
        do: fc.constant("advertised" as const),
        n: addresses,
        mac: fc.option(macs, { nil: undefined }),
        solicited: fc.boolean(),
        override: fc.boolean(),
        router: fc.boolean(),
      }),
      fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 0, max: 99 }), (steps, seed) => {
        const time = new VirtualTime(seed);
        const notes = new Notes(time);
        const cache = new NeighbourCache<string>(time, notes, {
          limit: 3,
          unresolvedLimit: 2,
          parkedLimit: 2,
          parkedTotal: 3,
        });
        let packets = 0;
        const find = (n: number): Neighbour<string> | undefined => {
          const { w0, w1, w2, w3 } = numbered(n);
          return cache.lookup(w0, w1, w2, w3);
        };
        for (const s of steps) {
          const neighbour = "n" in s ? find(s.n) : undefined;
          if (s.do === "wait") time.advance(s.ms);
          else if (s.do === "forget") cache.forget(numbered(s.n));
          else if (s.do === "solicited") cache.solicited(numbered(s.n), macOf(s.mac));
          else if (s.do === "learn") cache.learn(numbered(s.n), macOf(s.mac), "stale");
          else if (s.do === "advertised")
            cache.advertised(numbered(s.n), s.mac === undefined ? undefined : macOf(s.mac), s);
          else if (s.do === "send") {
            const to = neighbour ?? cache.resolve(numbered(s.n))!;
            if (to.usable) cache.used(to);
            else cache.park(to, `p${packets++}`);
          } else if (neighbour !== undefined) cache[s.do](neighbour);
          const all = [...cache.values()];
          const statistics = cache.statistics();
          expect(statistics.size).toBe(all.length);
          expect(statistics.incomplete + statistics.failed).toBeLessThanOrEqual(2);
          expect(all.length - statistics.incomplete - statistics.failed).toBeLessThanOrEqual(3);
          expect(statistics.parked).toBeLessThanOrEqual(3);
          expect(statistics.parked).toBe(all.reduce((sum, { parked }) => sum + parked.length, 0));
          for (const one of all) {
            expect(one.live).toBe(true);
            expect(one.usable).toBe(one.state !== "incomplete" && one.state !== "failed");
            expect(one.parked.length).toBeLessThanOrEqual(one.state === "incomplete" ? 2 : 0);
            // What waits for an answer has a timer.
            if (one.state !== "stale") expect(time.idle).toBe(false);
          }
        }
        cache.close();
        const names = [...notes.sent, ...notes.discarded].map((line) => line.split(" ")[0]!);
        expect(new Set(names).size).toBe(packets);
        expect(names).toHaveLength(packets);
        expect(cache.statistics()).toMatchObject({ size: 0, parked: 0 });
        expect(time.idle).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("options out of range are named", () => {
    const time = new VirtualTime();
    const make = (options: NeighbourOptions) => () =>
      new NeighbourCache<string>(time, new Notes(time), options);
    expect(make({ limit: 0 })).toThrow("limit must be");
    expect(make({ retransMs: 0 })).toThrow("retransMs must be");
    expect(make({ unicastSolicits: 0.5 })).toThrow("unicastSolicits must be");
    expect(make({ newPerSecond: 0 })).toThrow("newPerSecond must be");
  });
});

describe("closing", () => {
  test("gives back what waits, stops the timers, and nothing comes after", () => {
    const { time, cache, notes, bring } = setUp();
    const neighbour = bring("incomplete");
    cache.park(neighbour, "p");
    cache.close();
    cache.close();
    expect(notes.discarded).toEqual(["p closed"]);
    expect(time.idle).toBe(true);
    expect(cache.resolve(A)).toBeUndefined();
    cache.solicited(A, MAC1);
    expect([...cache.values()]).toEqual([]);
    cache.park(neighbour, "q");
    expect(notes.discarded.at(-1)).toBe("q unreachable");
  });
});

describe("mirrored from a kernel", () => {
  const mirror = () => {
    const time = new VirtualTime();
    const notes = new Notes(time);
    return {
      time,
      notes,
      cache: new MirroredNeighbours<string>(time, notes, { limit: 2, unresolvedLimit: 2 }),
    };
  };

  test("the kernel is asked, and its answer sends what waited", () => {
    const { time, notes, cache } = mirror();
    const neighbour = cache.resolve(A)!;
    cache.park(neighbour, "p");
    expect(notes.solicits).toEqual(["0 multicast fe80::a"]);
    time.advance(5);
    cache.mirror(A, undefined, "incomplete", false);
    cache.mirror(A, MAC1, "reachable", true);
    expect(neighbour).toMatchObject({ state: "reachable", usable: true, isRouter: true, macLow: MAC1.low });
    expect(notes.sent).toEqual(["p 02:00:00:00:00:0a"]);
    time.advance(100_000);
    expect(notes.solicits).toHaveLength(1);
  });

  test("a kernel that says it failed, or nothing, ends the wait", () => {
    for (const says of [true, false]) {
      const { time, notes, cache } = mirror();
      const neighbour = cache.resolve(A)!;
      cache.park(neighbour, "p");
      time.advance(3000);
      if (says) cache.mirror(A, undefined, "failed", false);
      else time.advance(1000);
      expect(notes.discarded).toEqual(["p unreachable"]);
      expect(neighbour.state).toBe("failed");
      expect(notes.solicits).toHaveLength(4);
      time.advance(1000);
      expect(neighbour.live).toBe(false);
      expect(time.idle).toBe(true);
    }
  });

  test("a stale neighbour in use is asked for once a second, unless an upper layer has news", () => {
    const { time, notes, cache } = mirror();
    cache.mirror(A, MAC1, "stale", false);
    const neighbour = cache.lookup(A.w0, A.w1, A.w2, A.w3)!;
    expect(notes.solicits).toEqual([]);
    for (let i = 0; i < 2500; i++) {
      cache.used(neighbour);
      time.advance(1);
    }
    expect(notes.solicits.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "0 unicast",
      "1000 unicast",
      "2000 unicast",
    ]);
    cache.confirm(neighbour);
    time.advance(29_000);
    cache.used(neighbour);
    expect(notes.solicits).toHaveLength(3);
    time.advance(1000);
    cache.used(neighbour);
    expect(notes.solicits).toHaveLength(4);
  });

  test("a dump ends what it doesn't tell", () => {
    const { cache, notes } = mirror();
    cache.mirror(numbered(1), macOf(1), "reachable", false);
    cache.mirror(numbered(2), macOf(2), "stale", false);
    cache.resolve(numbered(3));
    cache.beginDump();
    cache.mirror(numbered(2), macOf(2), "stale", false);
    cache.endDump();
    expect([...cache.values()].map(({ address }) => address.toString())).toEqual(["10.0.0.2", "10.0.0.3"]);
    expect(notes.states.at(-1)).toBe("reachable gone");
  });

  test("what nobody uses here doesn't push out what is used", () => {
    const { cache } = mirror();
    for (const n of [1, 2]) cache.mirror(numbered(n), macOf(n), "reachable", false);
    cache.mirror(numbered(3), macOf(3), "reachable", false);
    cache.mirror(numbered(4), undefined, "incomplete", false);
    expect(cache.statistics()).toMatchObject({ size: 2, refused: 1 });
    cache.resolve(numbered(3));
    cache.mirror(numbered(3), macOf(3), "reachable", false);
    expect([...cache.values()].map(({ address }) => address.toString())).toEqual(["10.0.0.2", "10.0.0.3"]);
  });

  test("a known one that the kernel asks for anew, forgets, or loses is usable no longer", () => {
    const { cache, notes } = mirror();
    cache.mirror(A, MAC1, "permanent", false);
    const neighbour = cache.lookup(A.w0, A.w1, A.w2, A.w3)!;
    cache.mirror(A, undefined, "incomplete", false);
    expect(neighbour).toMatchObject({ state: "incomplete", usable: false, live: true });
    cache.park(neighbour, "p");
    cache.mirror(A, MAC2, "reachable", false);
    expect(notes.sent).toEqual(["p 02:00:00:00:00:0b"]);
    cache.forget(A);
    expect(neighbour).toMatchObject({ usable: false, live: false });
    cache.close();
    expect(cache.resolve(A)).toBeUndefined();
  });
});

/** What redundant sending is made of, each against a plain model: the header, windows of numbers, streams, keys, scores. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ARRIVAL } from "../../stack/multipath/arrival.ts";
import * as header from "../../stack/multipath/copy-header.ts";
import { MAX_SCORED, PathScores } from "../../stack/multipath/path-scores.ts";
import { RecentKeys } from "../../stack/multipath/recent-keys.ts";
import { checkRedundantOptions } from "../../stack/multipath/redundant-options.ts";
import { SequenceWindows } from "../../stack/multipath/sequence-windows.ts";
import { StreamTable } from "../../stack/multipath/stream-table.ts";
import type { LinkInterface } from "../../stack/transport/network.ts";

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });

describe("the header", () => {
  const record = fc.record({
    streamHigh: uint32,
    streamLow: uint32,
    sequence: uint32,
    payload: fc.uint8Array({ maxLength: 50 }),
  });

  test("is read as it was written, over whatever lay there", () => {
    fc.assert(
      fc.property(record, fc.nat(9), (given, at) => {
        const bytes = new Uint8Array(at + header.lengthOf(given) + 3).fill(0xa5);
        const view = new DataView(bytes.buffer);
        const length = header.emit(given, view, at);
        expect(length).toBe(header.HEADER_BYTES + given.payload.length);
        expect(header.check(view, at, length)).toBe(0);
        expect(header.parse(view, at, length)).toEqual(given);
        expect(header.sequence(view, at)).toBe(given.sequence | 0);
        expect([...bytes.subarray(at + length)]).toEqual([0xa5, 0xa5, 0xa5]);
        expect([...bytes.subarray(0, at)].every((byte) => byte === 0xa5)).toBe(true);
      }),
    );
  });

  test("has these bytes", () => {
    const view = new DataView(new ArrayBuffer(18));
    const given = {
      streamHigh: 0x01020304,
      streamLow: 0x05060708,
      sequence: 0xfffffffe,
      payload: Uint8Array.of(9, 8),
    };
    header.emit(given, view, 0);
    expect(Buffer.from(view.buffer).toString("hex")).toBe(
      "4d520100" + "01020304" + "05060708" + "fffffffe" + "0908",
    );
  });

  test("that is short, of another kind or of another version is none", () => {
    const view = new DataView(new ArrayBuffer(header.HEADER_BYTES));
    header.writeHeader(view, 0, 1, 2, 3);
    expect(header.check(view, 0, header.HEADER_BYTES - 1)).toBe(header.BAD.short);
    expect(header.parse(view, 0, header.HEADER_BYTES - 1)).toBeUndefined();
    view.setUint8(header.RESERVED, 0xff);
    expect(header.check(view, 0, header.HEADER_BYTES)).toBe(0);
    for (const at of [header.MAGIC, header.MAGIC + 1, header.VERSION]) {
      view.setUint8(at, view.getUint8(at) ^ 1);
      expect(header.check(view, 0, header.HEADER_BYTES)).toBe(header.BAD.kind);
      view.setUint8(at, view.getUint8(at) ^ 1);
    }
    expect(() =>
      header.emit({ streamHigh: 0, streamLow: 0, sequence: -1, payload: new Uint8Array(0) }, view, 0),
    ).toThrow(/sequence/);
  });
});

describe("a window of numbers", () => {
  const SIZE = 64;

  /** Unbounded memory: the highest number, and who brought which when. */
  class Model {
    readonly seen = new Map<number, { path: number; ms: number }>();
    highest: number | undefined;
    first = 0;

    judge(sequence: number, path: number, ms: number): number {
      if (this.highest === undefined) this.first = this.highest = sequence;
      if (sequence <= this.highest - SIZE) return ARRIVAL.stale;
      if (this.seen.has(sequence)) return ARRIVAL.duplicate;
      this.seen.set(sequence, { path, ms });
      if (sequence < this.highest) return ARRIVAL.overtaken;
      this.highest = sequence;
      return ARRIVAL.newest;
    }

    /** Numbers since the first that nobody brought, while they could be. */
    get missing(): number {
      let count = 0;
      for (let n = this.first; n <= (this.highest ?? this.first); n++) if (!this.seen.has(n)) count += 1;
      return count;
    }
  }

  test("says of each what an unbounded memory would, from anywhere on the circle", () => {
    const steps = fc.array(
      fc.record({
        // Near the highest, a window back, and leaps.
        by: fc.oneof(
          fc.integer({ min: -3, max: 4 }),
          fc.integer({ min: -SIZE - 3, max: SIZE + 3 }),
          fc.nat(200),
        ),
        path: fc.integer({ min: 1, max: 3 }),
        later: fc.nat(5),
      }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(uint32, steps, fc.nat(2), (start, all, stream) => {
        const windows = new SequenceWindows(3, SIZE);
        const model = new Model();
        let ms = 10;
        windows.begin(stream, start | 0);
        // The others are their own.
        windows.begin((stream + 1) % 3, start | 0);
        for (const { by, path, later } of [{ by: 0, path: 1, later: 0 }, ...all]) {
          ms += later;
          const number = (model.highest ?? 0) + by;
          const wanted = model.judge(number, path, ms);
          expect(windows.judge(stream, (start + number) | 0, path, ms)).toBe(wanted as 0);
          if (wanted === ARRIVAL.duplicate)
            expect([windows.firstPath, windows.firstMs]).toEqual([
              model.seen.get(number)!.path,
              model.seen.get(number)!.ms,
            ]);
        }
        expect(windows.skipped - windows.filled).toBe(model.missing);
      }),
      { numRuns: 300 },
    );
  });

  test("takes what was overtaken before the first, and does not count it as missed", () => {
    const windows = new SequenceWindows(1, SIZE);
    windows.begin(0, 5);
    expect([5, 4, 7, 4, 6].map((n) => windows.judge(0, n, 1, 0))).toEqual([
      ARRIVAL.newest,
      ARRIVAL.overtaken,
      ARRIVAL.newest,
      ARRIVAL.duplicate,
      ARRIVAL.overtaken,
    ]);
    expect([windows.skipped, windows.filled]).toEqual([1, 1]);
  });
});

describe("a table of streams", () => {
  test("knows the last so many, of those that were heard once a quarter, in the order of their use", () => {
    const ids = fc.array(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.integer({ min: -3, max: 3 })), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(ids, fc.integer({ min: 1, max: 9 }), fc.integer(), (all, limit, seed) => {
        const table = new StreamTable(limit, seed);
        // A Map keeps the order of insertion: the oldest is its first.
        const once = new Map<string, number>();
        const again = new Map<string, number>();
        let evicted = 0;
        for (const [high, low] of all) {
          const key = `${high} ${low}`;
          const known = once.get(key) ?? again.get(key);
          const found = table.find(high, low);
          expect(found).toBe(known ?? -1);
          if (known === undefined && once.size + again.size === limit) {
            const from = once.size >= limit / 4 ? once : again;
            const [oldest, place] = [...from][0]!;
            expect(table.add(high, low)).toBe(place);
            from.delete(oldest);
            once.set(key, place);
            evicted += 1;
          } else if (known === undefined) {
            once.set(key, table.add(high, low));
          } else {
            once.delete(key);
            again.delete(key);
            again.set(key, known);
          }
          const places = [...once.values(), ...again.values()];
          expect(new Set(places).size).toBe(places.length);
        }
        expect([table.size, table.evicted]).toEqual([once.size + again.size, evicted]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("recent keys", () => {
  test("are the last so many first copies", () => {
    const keys = fc.array(
      fc.oneof(
        fc.integer({ min: -20, max: 20 }),
        fc.integer({ min: 2 ** 32 - 3, max: 2 ** 32 + 3 }),
        fc.maxSafeNat(),
      ),
      { maxLength: 300 },
    );
    fc.assert(
      fc.property(keys, fc.integer(), fc.constantFrom(1, 4, 16), (all, seed, limit) => {
        const recent = new RecentKeys(limit, seed);
        const model: { key: number; path: number; ms: number }[] = [];
        for (const [ms, key] of all.entries()) {
          const path = 1 + (ms % 3);
          const known = model.find((one) => one.key === key);
          expect(recent.judge(key, path, ms)).toBe(known === undefined ? ARRIVAL.newest : ARRIVAL.duplicate);
          if (known !== undefined) {
            expect([recent.firstPath, recent.firstMs]).toEqual([known.path, known.ms]);
            continue;
          }
          model.push({ key, path, ms });
          if (model.length > limit) model.shift();
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("scores", () => {
  test("of more interfaces than are told apart are counted together", () => {
    const scores = new PathScores();
    for (let round = 0; round < 2; round++) {
      for (let index = 1; index <= MAX_SCORED + 9; index++) {
        const number = scores.numberOf({ index, name: `eth${index}` } as LinkInterface);
        expect(number).toBe(Math.min(index, MAX_SCORED));
        scores.first(number);
        scores.duplicate(number, index);
      }
    }
    const all = scores.values();
    expect(all.length).toBe(MAX_SCORED);
    expect(all[0]).toEqual({ interface: "eth1", first: 2, duplicates: 2, meanLateMs: 1, maxLateMs: 1 });
    expect(all.at(-1)).toMatchObject({ interface: "others", first: 20, maxLateMs: MAX_SCORED + 9 });
  });
});

describe("options", () => {
  const key = (): number => 1;
  test.each([
    [undefined, /options/],
    [{ window: 100 }, /window is a power of two/],
    [{ window: 32 }, /window/],
    [{ streams: 0 }, /streams/],
    [{ window: 65_536, streams: 65_536 }, /window times streams/],
    [{ header: false }, /by a key/],
    [{ header: true, key }, /not by both/],
    [{ header: 1 }, /header/],
    [{ key: 1 }, /key is a function/],
    [{ interface: "eth0" }, /"interface"/],
    [{ interfaces: [] }, /interfaces/],
    [{ remote: [] }, /remote/],
    [{ remote: "10.0.0.1" }, /remote/],
  ])("%p are refused by name", (options, says) => {
    expect(() => checkRedundantOptions(options as never)).toThrow(says);
  });
});

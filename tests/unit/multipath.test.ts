/** Redundant sending between two hosts with two links between them, in virtual time, with faults on each. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEADER_BYTES, writeHeader } from "../../stack/multipath/copy-header.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { NUMBER_BYTES, PEER, PERFECT, PORT, TwoLinks, upTo } from "../support/redundant-links.ts";

/** A property takes a second where nothing else runs. */
const LIMIT_MS = 60_000;
const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b);

describe("redundant sending", () => {
  test("takes every way, and each datagram is handed on once", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear();
    const sending = bed.open();
    expect(bed.send(sending, upTo(20))).toEqual(upTo(20).map(() => 2));
    expect(bed.heard).toEqual(upTo(20));
    const { paths, ...counts } = receiving.statistics();
    expect(counts).toMatchObject({
      received: 20,
      duplicates: 20,
      reordered: 0,
      missing: 0,
      stale: 0,
      malformed: 0,
    });
    expect(counts).toMatchObject({ streams: 1, evicted: 0 });
    expect(counts.socket.received).toBe(40);
    expect(paths.map((path) => path.first + path.duplicates)).toEqual([20, 20]);
    const { sent, unsent, ways } = sending.remote!.statistics();
    expect([sent, unsent]).toEqual([20, 0]);
    expect(ways).toEqual(
      [0, 1].map((i) => ({
        remote: `${PEER}:${PORT}`,
        interface: `near${i}`,
        sent: 20,
        skipped: 0,
        refused: 0,
      })),
    );
  });

  test("says who was first, and by how much", () => {
    using bed = new TwoLinks([PERFECT, { delay: 1, delayMs: [7, 7] }]);
    const late: [number, string][] = [];
    const receiving = bed.hear({ onDuplicate: (lateMs, name) => void late.push([Math.round(lateMs), name]) });
    bed.send(bed.open(), upTo(10));
    for (let i = 0; i < 20; i++) bed.lab.run(1);
    expect(bed.heard).toEqual(upTo(10));
    const { paths } = receiving.statistics();
    expect(paths[0]).toMatchObject({ interface: "far0", first: 10, duplicates: 0, meanLateMs: 0 });
    expect(paths[1]).toMatchObject({ interface: "far1", first: 0, duplicates: 10 });
    expect(paths[1]!.meanLateMs).toBeCloseTo(7, 3);
    expect(late).toEqual(upTo(10).map(() => [7, "far1"]));
  });

  test("loses nothing when a path dies in the middle, silently or not", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear();
    const sending = bed.open();
    bed.send(sending, upTo(10));
    // Nobody is told: what is sent there is lost.
    bed.receiver.leave(bed.links[0]!.to);
    bed.send(sending, [10, 11, 12]);
    bed.links[0]!.near.setUp(false);
    bed.lab.run(10);
    expect(bed.send(sending, [13, 14])).toEqual([1, 1]);
    expect(sending.remote!.statistics().ways[0]).toMatchObject({ sent: 13, skipped: 2, refused: 0 });
    bed.links[1]!.near.setUp(false);
    bed.lab.run(10);
    expect(bed.send(sending, [15])).toEqual([0]);
    expect(sending.socket.statistics().refusedOther).toBe(0);
    bed.links[1]!.near.setUp(true);
    bed.lab.run(2000);
    bed.send(sending, [16]);
    expect(bed.heard).toEqual([...upTo(15), 16]);
    expect(receiving.statistics()).toMatchObject({ received: 16, missing: 0, reordered: 0 });
    expect(sending.remote!.statistics()).toMatchObject({ sent: 16, unsent: 1 });
  });

  test("finds an interface that joins later, and forgets one that leaves", () => {
    using bed = new TwoLinks();
    bed.hear();
    const sending = bed.open();
    bed.sender.leave(bed.links[1]!.from);
    expect(bed.send(sending, [0])).toEqual([1]);
    const { near } = bed.links[1]!;
    const back = bed.sender.join(near, { addresses: ["10.0.1.1/24"], linkLocal: false, dad: false });
    bed.lab.run(0);
    bed.sender.addRoute({
      prefix: Prefix.parse(`${PEER}/32`),
      gateway: IpAddress.parse("10.0.1.2"),
      interface: back.index,
      kind: "unicast",
      metric: 1,
    });
    bed.send(sending, [1]);
    bed.lab.run(2000);
    expect(bed.send(sending, [2])).toEqual([2]);
    bed.lab.run(10);
    expect(bed.heard).toEqual([0, 1, 2]);
    expect(sending.remote!.statistics().ways.map((way) => way.interface)).toEqual(["near0", "near1"]);
  });

  test("sends nothing over a path that is known to be down", () => {
    using bed = new TwoLinks();
    bed.hear();
    const sending = bed.open();
    const gateway = IpAddress.parse("10.0.0.2");
    const path = bed.sender.paths.find({ interface: "near0", gateway })!;
    expect(bed.send(sending, [0])).toEqual([2]);
    bed.sender.paths.set(path, "down");
    expect(bed.send(sending, [1, 2])).toEqual([1, 1]);
    bed.sender.paths.set(path, "up");
    bed.lab.run(5000);
    bed.links[0]!.near.setUp(false);
    bed.lab.run(10);
    expect(bed.send(sending, [3])).toEqual([1]);
    bed.links[0]!.near.setUp(true);
    bed.lab.run(10);
    // A copy more over what may yet fail does no harm.
    expect(path.state).toBe("verifying");
    expect(bed.send(sending, [4])).toEqual([2]);
    expect(bed.heard).toEqual(upTo(5));
    expect(sending.remote!.statistics().ways[0]).toMatchObject({ sent: 2, skipped: 3, refused: 0 });
  });

  test("finds an interface that was not there when it began", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear();
    const sending = bed.open();
    expect(bed.send(sending, [0])).toEqual([2]);
    bed.add();
    bed.lab.run(10);
    expect(bed.send(sending, [1])).toEqual([3]);
    expect(bed.heard).toEqual([0, 1]);
    expect(receiving.statistics()).toMatchObject({ received: 2, duplicates: 3 });
  });

  test("to several addresses of a peer sends to each once", () => {
    using bed = new TwoLinks();
    bed.hear();
    const remote = [0, 1].map((i) => ({ address: `10.0.${i}.2`, port: PORT }));
    const sending = bed.open({ remote });
    expect(bed.send(sending, [0, 1])).toEqual([2, 2]);
    expect(bed.heard).toEqual([0, 1]);
    expect(sending.remote!.statistics().ways.map((way) => way.remote)).toEqual([
      "10.0.0.2:9000",
      "10.0.1.2:9000",
    ]);
    const one = bed.open({ interfaces: ["near1"] });
    expect(bed.send(one, [2])).toEqual([1]);
    const zone = bed.open({ remote: { address: `${PEER}%near0`, port: PORT } });
    expect(bed.send(zone, [3])).toEqual([1]);
    expect(bed.heard).toEqual([0, 1, 2, 3]);
  });

  test("of a sender that starts again is new from the first number on", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear();
    for (let start = 0; start < 4; start++) {
      const sending = bed.open();
      bed.send(sending, upTo(5));
      sending.close();
    }
    expect(bed.heard).toEqual([...upTo(5), ...upTo(5), ...upTo(5), ...upTo(5)]);
    expect(receiving.statistics()).toMatchObject({ duplicates: 20, streams: 4 });
  });

  test("of more senders than are told apart forgets the one that was silent longest", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear({ streams: 4, window: 64 });
    const all = upTo(5).map(() => bed.open());
    for (let round = 0; round < 3; round++)
      for (const [i, one] of all.slice(0, 4).entries()) bed.send(one, [i]);
    expect(receiving.statistics()).toMatchObject({ streams: 4, evicted: 0, received: 12, duplicates: 12 });
    bed.send(all[4]!, [4]);
    // The first was silent longest; the second still is known.
    bed.send(all[1]!, [1]);
    expect(receiving.statistics()).toMatchObject({
      streams: 4,
      evicted: 1,
      received: 14,
      duplicates: 14,
      missing: 0,
    });
  });

  test("by a key of the application's sends datagrams as they are", () => {
    using bed = new TwoLinks();
    const key = (view: DataView, at: number, length: number): number =>
      length === NUMBER_BYTES ? view.getInt32(at) : Number.NaN;
    const receiving = bed.hear({ key, window: 64 });
    const sending = bed.open({ key });
    bed.send(sending, [5, 900, 6, 5]);
    sending.send(Uint8Array.of(1));
    bed.lab.run(1);
    expect(bed.heard).toEqual([5, 900, 6]);
    expect(receiving.statistics()).toMatchObject({
      received: 3,
      duplicates: 5,
      malformed: 2,
      streams: 0,
      missing: 0,
    });
  });

  test("writes in place, and shorter than was asked for", () => {
    using bed = new TwoLinks();
    bed.hear();
    const sending = bed.open();
    let calls = 0;
    const write = (view: DataView, at: number, length: number): number => {
      expect(length).toBe(50);
      calls += 1;
      view.setInt32(at, 77);
      return NUMBER_BYTES;
    };
    expect(sending.send(50, write)).toBe(2);
    bed.lab.run(1);
    expect([bed.heard, calls]).toEqual([[77], 2]);
    const bad =
      (wrong: number): (() => unknown) =>
      () =>
        sending.send(10, () => wrong);
    expect(bad(-1)).toThrow(/wrote/);
    expect(bad(11)).toThrow(/wrote/);
    expect(() => sending.send(-20, write)).toThrow(RangeError);
    expect(() => sending.send(4, undefined as never)).toThrow(/writer/);
    expect(() => sending.send("text" as never)).toThrow(/Uint8Array/);
    bed.send(sending, [78]);
    expect(bed.heard).toEqual([77, 78]);
  });

  test("counts what has no header and what is too old", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear({ window: 64 });
    const plain = bed.sender.udp(0, () => {});
    const put = (sequence: number): void => {
      plain.send({ address: PEER, port: PORT }, HEADER_BYTES + NUMBER_BYTES, (view, at) => {
        writeHeader(view, at, 1, 2, sequence);
        view.setInt32(at + HEADER_BYTES, sequence);
      });
    };
    for (const sequence of [-3, 100, 36, 37, 37, 99]) put(sequence);
    plain.send({ address: PEER, port: PORT }, Uint8Array.of(1, 2, 3));
    bed.lab.run(1);
    expect(bed.heard).toEqual([-3, 100, 37, 99]);
    expect(receiving.statistics()).toMatchObject({
      stale: 1,
      malformed: 1,
      duplicates: 1,
      reordered: 2,
      missing: 100,
    });
  });

  test("lets a handler keep and answer the datagram", () => {
    using bed = new TwoLinks();
    const kept: (() => void)[] = [];
    bed.hear({}, (datagram) => {
      const one = datagram.keep();
      kept.push(() => one.release());
    });
    bed.send(bed.open(), upTo(3));
    expect(bed.heard).toEqual(upTo(3));
    for (const release of kept) release();
  });
});

describe("any faults on both paths", () => {
  const rate = fc.constantFrom(0, 0.05, 0.3, 1);
  const rates = fc.record({
    drop: rate,
    duplicate: fc.constantFrom(0, 0.2),
    reorder: fc.constantFrom(0, 0.2),
    delay: fc.constantFrom(0, 0.3),
    delayMs: fc.constant([1, 12] as const),
  });

  test.each(["header", "key"] as const)(
    "hand no datagram on twice, and each that came over either (%s)",
    (by) => {
      fc.assert(
        fc.property(rates, rates, fc.nat(1000), (first, second, seed) => {
          using bed = new TwoLinks([first, second], seed);
          const options = by === "header" ? {} : { key: (view: DataView, at: number) => view.getInt32(at) };
          const receiving = bed.hear(options);
          const sending = bed.open(options);
          const COUNT = 60;
          bed.send(sending, upTo(COUNT));
          for (let ms = 0; ms < 30; ms++) bed.lab.run(1);
          expect(new Set(bed.heard).size).toBe(bed.heard.length);
          if (first.drop === 0 || second.drop === 0) expect(sorted(bed.heard)).toEqual(upTo(COUNT));
          if (first.drop === 1 && second.drop === 1) expect(bed.heard).toEqual([]);
          const { received, duplicates, missing, stale, socket, paths } = receiving.statistics();
          // Each copy is one or the other.
          expect([received + duplicates + stale, stale]).toEqual([socket.received, 0]);
          expect(received).toBe(bed.heard.length);
          const from = bed.heard[0] ?? 0;
          const heard = new Set(bed.heard);
          const gone = upTo(Math.max(-1, ...bed.heard) + 1).filter((n) => n > from && !heard.has(n));
          if (by === "header") expect(missing).toBe(gone.length);
          expect(paths.reduce((sum, path) => sum + path.first, 0)).toBe(received);
          expect(paths.reduce((sum, path) => sum + path.duplicates, 0)).toBe(duplicates);
        }),
        { numRuns: 60 },
      );
    },
    LIMIT_MS,
  );
});

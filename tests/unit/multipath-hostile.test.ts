/** Redundant sending where somebody floods, forges, blunders, or where the two paths are not alike. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEADER_BYTES, writeHeader } from "../../stack/multipath/copy-header.ts";
import { redundant } from "../../stack/multipath/redundant.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { NUMBER_BYTES, numbered, PEER, PORT, TwoLinks, upTo } from "../support/redundant-links.ts";

/** A datagram of any stream, from a socket that knows the header; over the first path. */
const forger = (bed: TwoLinks) => {
  const plain = bed.sender.udp(0, () => {});
  return (high: number, low: number, sequence: number, number = sequence): void =>
    void plain.send({ address: PEER, port: PORT }, HEADER_BYTES + NUMBER_BYTES, (view, at) => {
      writeHeader(view, at, high, low, sequence);
      view.setInt32(at + HEADER_BYTES, number);
    });
};

describe("strangers", () => {
  test("that make up streams do not make the receiver forget one that it hears", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear({ streams: 16 });
    const forge = forger(bed);
    let stream = 0;
    const flood = (count: number): void => {
      for (let i = 0; i < count; i++) forge(7, stream++, 1, NaN);
      bed.lab.run(1);
    };
    // One that is heard already, with a copy of each datagram a flood later.
    forge(1, 2, 0);
    forge(1, 2, 0);
    for (const n of upTo(20)) {
      forge(1, 2, n + 1);
      flood(40);
      forge(1, 2, n + 1);
    }
    // One that begins meanwhile, while fewer than a quarter of the places come between its copies.
    for (const n of upTo(20)) {
      forge(3, 4, 100 + n);
      flood(n === 0 ? 3 : 40);
      forge(3, 4, 100 + n);
    }
    bed.lab.run(1);
    expect(bed.heard.filter((n) => n !== 0)).toEqual([...upTo(21).slice(1), ...upTo(20).map((n) => 100 + n)]);
    const { streams, evicted, duplicates, received } = receiving.statistics();
    expect([streams, evicted]).toEqual([16, received - 41 + 2 - 16]);
    expect(duplicates).toBe(41);
  });

  test("can send whatever they like: each datagram has one outcome, and nothing is thrown", () => {
    const header = fc.record({
      high: fc.constantFrom(0, 1, -1),
      low: fc.integer({ min: 0, max: 9 }),
      sequence: fc.oneof(fc.integer(), fc.constantFrom(-(2 ** 31), -1, 0, 2 ** 31 - 1)),
    });
    const any = fc.array(fc.oneof(header, fc.uint8Array({ maxLength: 40 })), { maxLength: 60 });
    fc.assert(
      fc.property(any, (all) => {
        using bed = new TwoLinks();
        let heard = 0;
        const receiving = redundant(bed.receiver, { port: PORT, streams: 4, window: 64 }, () => void heard++);
        const forge = forger(bed);
        const plain = bed.sender.udp(0, () => {});
        for (const one of all) {
          if (one instanceof Uint8Array) plain.send({ address: PEER, port: PORT }, one);
          else forge(one.high, one.low, one.sequence);
        }
        bed.lab.run(1);
        const { received, duplicates, stale, malformed, streams, missing } = receiving.statistics();
        expect(received + duplicates + stale + malformed).toBe(all.length);
        expect(received).toBe(heard);
        expect(streams).toBeLessThanOrEqual(4);
        expect(missing).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe("numbers", () => {
  test("go around, however late the copies are within the window; later they are too old to tell", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear({ window: 64 });
    const forge = forger(bed);
    const all = upTo(200).map((i) => (0xffff_ff9c + i) | 0);
    for (const [i, sequence] of all.entries()) {
      forge(1, 2, sequence, i);
      if (i >= 63) forge(1, 2, all[i - 63]!, i - 63);
    }
    bed.lab.run(1);
    expect(bed.heard).toEqual(upTo(200));
    expect(receiving.statistics()).toMatchObject({ duplicates: 137, stale: 0, missing: 0 });
    for (const [i, sequence] of all.slice(0, 136).entries()) forge(1, 2, sequence, i);
    bed.lab.run(1);
    expect(bed.heard.length).toBe(200);
    expect(receiving.statistics()).toMatchObject({ duplicates: 137, stale: 136 });
  });

  test("are taken from the middle by a receiver that comes late", () => {
    using bed = new TwoLinks();
    const sending = bed.open();
    bed.sender.udp(0, () => {});
    expect(bed.send(sending, upTo(5))).toEqual([2, 2, 2, 2, 2]);
    const receiving = bed.hear();
    bed.send(sending, [5, 6]);
    expect(bed.heard).toEqual([5, 6]);
    expect(receiving.statistics()).toMatchObject({ missing: 0, reordered: 0, duplicates: 2 });
  });
});

describe("paths that are not alike", () => {
  test("one that carries less has the datagram in fragments, and it is handed on once", () => {
    using bed = new TwoLinks([{}, {}], 1, { mtu: 600 });
    const lengths: number[] = [];
    const kept: { release(): void; readonly length: number }[] = [];
    const receiving = redundant(bed.receiver, { port: PORT }, (datagram, _, length) => {
      lengths.push(length);
      kept.push(datagram.keep());
    });
    const sending = bed.open();
    for (const length of [1400, 500, 1400]) {
      expect(sending.send(new Uint8Array(length))).toBe(2);
      bed.lab.run(1);
    }
    expect(lengths).toEqual([1400, 500, 1400]);
    expect(receiving.statistics()).toMatchObject({ received: 3, duplicates: 3, missing: 0 });
    for (const one of kept) one.release();
  });

  test("one without room is counted, the other carries on, and the socket hears when there is room", () => {
    let drained = 0;
    using bed = new TwoLinks([{}, {}], 1, { chunkCount: 16 });
    const receiving = bed.hear();
    const sending = bed.open({ onDrain: () => void (drained += 1) });
    const copies = upTo(40).map((n) => sending.send(numbered(n)));
    expect(copies[0]).toBe(2);
    expect(copies.at(-1)).toBe(1);
    const [first, second] = sending.remote!.statistics().ways;
    expect(first!.refused).toBe(copies.filter((count) => count === 1).length);
    expect(first!.sent + first!.refused).toBe(40);
    expect(second).toMatchObject({ sent: 40, refused: 0 });
    expect(sending.remote!.statistics()).toMatchObject({ sent: 40, unsent: 0 });
    expect(sending.socket.statistics().refusedFull).toBe(first!.refused);
    bed.lab.run(10);
    expect(drained).toBe(1);
    expect(bed.heard).toEqual(upTo(40));
    expect(receiving.statistics()).toMatchObject({ missing: 0, duplicates: first!.sent });
    expect(sending.send(numbered(40))).toBe(2);
    bed.lab.run(1);
  });

  test("one that goes and comes back between two datagrams is used again", () => {
    using bed = new TwoLinks();
    bed.hear();
    const sending = bed.open();
    expect(bed.send(sending, [0])).toEqual([2]);
    for (let again = 1; again <= 70; again++) {
      const { near, from } = bed.links[1]!;
      bed.sender.leave(bed.sender.interfaces.find(({ name }) => name === from.name)!);
      const back = bed.sender.join(near, { addresses: ["10.0.1.1/24"], linkLocal: false, dad: false });
      bed.sender.addRoute({
        prefix: Prefix.parse(`${PEER}/32`),
        gateway: IpAddress.parse("10.0.1.2"),
        interface: back.index,
        kind: "unicast",
        metric: 1,
      });
      bed.lab.run(2000);
      expect(bed.send(sending, [again])).toEqual([2]);
    }
    expect(bed.heard).toEqual(upTo(71));
    expect(sending.remote!.statistics().ways.map((way) => way.interface)).toEqual(["near0", "near1"]);
  });
});

describe("a writer", () => {
  test("that throws at the second copy has sent the first one, and its number is gone", () => {
    using bed = new TwoLinks();
    const receiving = bed.hear();
    const sending = bed.open();
    let calls = 0;
    const write = (view: DataView, at: number): void => {
      if (++calls === 2) throw new Error("the second");
      view.setInt32(at, 5);
    };
    expect(() => sending.send(NUMBER_BYTES, write)).toThrow("the second");
    bed.send(sending, [6]);
    expect(bed.heard).toEqual([5, 6]);
    expect(sending.remote!.statistics()).toMatchObject({ sent: 2, unsent: 0 });
    expect(receiving.statistics()).toMatchObject({ received: 2, duplicates: 1, missing: 0 });
  });

  test("that sends is told so, and its own copies are not touched", () => {
    using bed = new TwoLinks();
    bed.hear();
    const sending = bed.open();
    let thrown = 0;
    const write = (view: DataView, at: number): void => {
      view.setInt32(at, 7);
      try {
        sending.send(numbered(99));
      } catch {
        thrown += 1;
      }
    };
    expect(sending.send(NUMBER_BYTES, write)).toBe(2);
    bed.lab.run(1);
    bed.send(sending, [8]);
    expect([thrown, bed.heard]).toEqual([2, [7, 8]]);
    expect(sending.remote!.statistics()).toMatchObject({ sent: 2, unsent: 0 });
  });
});

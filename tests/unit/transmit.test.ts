/** The transmitter and the generator of random numbers. */
import { describe, expect, test } from "bun:test";
import { createBurst } from "../../stack/device/frame.ts";
import { createLink } from "../../stack/device/memory.ts";
import { below, chance, seededRandom } from "../../stack/device/random.ts";
import { MAX_PACKET_CHUNKS, Transmitter } from "../../stack/device/transmit.ts";
import { expectWhole } from "../support/device-contract.ts";

describe("the transmitter", () => {
  test("lends a fresh chunk, and queues what was written", () => {
    const [left, right] = createLink();
    const transmitter = new Transmitter(left.queues[0]!);
    for (let i = 0; i < 5; i++) {
      const sent = transmitter.send(60, (frame) => {
        expect([frame.length, frame.head, frame.chunks]).toEqual([60, 60, 1]);
        frame.bytes.fill(i, frame.at, frame.at + frame.length);
      });
      expect(sent).toBe(true);
    }
    left.queues[0]!.flush();
    const burst = createBurst(64);
    expect(right.queues[0]!.receive(burst)).toBe(5);
    for (let i = 0; i < 5; i++) expect(right.umem.bytes[burst.address[i]! + 59]).toBe(i);
    expect(expectWhole(left.umem)).toMatchObject({ lent: 0, tx: 0 });
  });

  test("takes several chunks for what is longer than one, up to the most that a packet may have", () => {
    const [left] = createLink({ chunkBytes: 1024, headroomBytes: 0, chunkCount: 64, mtu: 20000 });
    const transmitter = new Transmitter(left.queues[0]!);
    for (const [length, chunks] of [
      [1024, 1],
      [1025, 2],
      [MAX_PACKET_CHUNKS * 1024, MAX_PACKET_CHUNKS],
    ] as const) {
      let bytes = 0;
      transmitter.send(length, (frame) => {
        expect(frame.chunks).toBe(chunks);
        for (let i = 0; i < frame.chunks; i++) bytes += frame.chunkLength(i);
      });
      expect(bytes).toBe(length);
    }
    for (const bad of [0, -1, 1.5, Number.NaN, MAX_PACKET_CHUNKS * 1024 + 1]) {
      expect(() => transmitter.send(bad, () => {})).toThrow(RangeError);
    }
    left.queues[0]!.flush();
    expect(expectWhole(left.umem)).toMatchObject({ lent: 0, tx: 0 });
  });

  test("says no, without asking the writer, when the ring or the pool is full", () => {
    for (const options of [{ txRing: 4 }, { chunkCount: 8, fillRing: 4 }]) {
      const [left] = createLink(options);
      const transmitter = new Transmitter(left.queues[0]!);
      let written = 0;
      for (let i = 0; i < 10; i++) transmitter.send(60, () => void (written += 1));
      expect([written, transmitter.refused]).toEqual([4, 6]);
      left.queues[0]!.flush();
      expect(transmitter.send(60, () => {})).toBe(true);
      left.queues[0]!.flush();
      expect(expectWhole(left.umem)).toMatchObject({ lent: 0, tx: 0 });
    }
  });

  test("a writer that throws gives the chunks back", () => {
    const [left] = createLink();
    const transmitter = new Transmitter(left.queues[0]!);
    for (const length of [60, 5000]) {
      const throwing = (): void => {
        throw new Error("no idea");
      };
      expect(() => transmitter.send(length, throwing)).toThrow("no idea");
      expect(expectWhole(left.umem)).toMatchObject({ lent: 0, tx: 0 });
    }
    expect(transmitter.sendBytes(Uint8Array.of(1))).toBe(true);
  });

  test("a writer may trim the frame or drop it; it may not send through the same transmitter", () => {
    const [left, right] = createLink();
    const transmitter = new Transmitter(left.queues[0]!);
    expect(transmitter.send(60, (frame) => void frame.adjustTail(-20))).toBe(true);
    expect(transmitter.send(60, (frame) => frame.drop())).toBe(false);
    expect(() => transmitter.send(60, () => void transmitter.sendBytes(Uint8Array.of(1)))).toThrow(
      "writer called send",
    );
    left.queues[0]!.flush();
    const burst = createBurst(64);
    expect(right.queues[0]!.receive(burst)).toBe(1);
    expect(burst.length[0]).toBe(40);
    expect(expectWhole(left.umem)).toMatchObject({ lent: 0, tx: 0 });
  });
});

describe("randomness", () => {
  test("a seed gives the same numbers again, another seed others", () => {
    const draw = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 1000 }, () => random.next());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7).filter((value, i) => value === draw(8)[i])).toHaveLength(0);
    expect(draw(2 ** 40)).not.toEqual(draw(0));
    for (const value of draw(1)) expect(Number.isInteger(value) && value >= 0 && value < 2 ** 32).toBe(true);
    expect(() => seededRandom(0.5)).toThrow(RangeError);
  });

  test("numbers are spread evenly, and chances come as often as they should", () => {
    const random = seededRandom(42);
    const buckets = new Array<number>(16).fill(0);
    for (let i = 0; i < 160_000; i++) buckets[below(random, 16)]! += 1;
    for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    let hits = 0;
    for (let i = 0; i < 100_000; i++) hits += chance(random, 0.03) ? 1 : 0;
    expect(Math.abs(hits - 3000)).toBeLessThan(300);
    expect([chance(random, 0), chance(random, 1)]).toEqual([false, true]);
  });
});

/** The rings' arithmetic: free-running indices through their wrap, cached copies, and peers that lie. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConsumerRing, ProducerRing } from "../../ffi/xsk/ring.ts";
import { fakeRing, reserveOne } from "../support/fake-rings.ts";

const BEFORE_WRAP = 0xfffffff0;
const ADDRESS_WORDS = 2;

describe("producer", () => {
  test("crosses the u32 wrap without losing or repeating a slot", () => {
    const memory = fakeRing(8, ADDRESS_WORDS, BEFORE_WRAP);
    const ring = new ProducerRing(memory.layout);
    for (let i = 0; i < 64; i++) {
      const at = reserveOne(ring);
      expect(at).toBe(memory.at(BEFORE_WRAP + i));
      memory.words[at] = i;
      ring.submit();
      expect(memory.producer).toBe((BEFORE_WRAP + i + 1) >>> 0);
      expect(ring.pending()).toBe(1);
      expect(memory.words[memory.at(memory.consumer)]).toBe(i);
      memory.consumer = memory.consumer + 1;
      expect(ring.pending()).toBe(0);
    }
    expect(memory.producer).toBe(64 - 16);
  });

  test("is full after size entries, also across the wrap, and has room again when the consumer moves", () => {
    const memory = fakeRing(4, ADDRESS_WORDS, 0xfffffffe);
    const ring = new ProducerRing(memory.layout);
    for (let i = 0; i < 4; i++) expect(reserveOne(ring)).toBeGreaterThan(0);
    expect(reserveOne(ring)).toBe(-1);
    expect(ring.free(1)).toBe(0);
    memory.consumer = 0xffffffff;
    expect(ring.free(1)).toBe(1);
    expect(reserveOne(ring)).toBeGreaterThan(0);
    expect(reserveOne(ring)).toBe(-1);
  });

  test("shows nothing before submit, and submit says whether there was anything", () => {
    const memory = fakeRing(4, ADDRESS_WORDS);
    const ring = new ProducerRing(memory.layout);
    reserveOne(ring);
    expect(memory.producer).toBe(0);
    expect(ring.submit()).toBe(true);
    expect(memory.producer).toBe(1);
    expect(ring.submit()).toBe(false);
  });

  test("a consumer index from beyond the producer leaves no free slot", () => {
    const memory = fakeRing(4, ADDRESS_WORDS, 10);
    const ring = new ProducerRing(memory.layout);
    for (let i = 0; i < 4; i++) reserveOne(ring);
    memory.consumer = 500;
    expect(ring.free(1)).toBe(0);
    expect(reserveOne(ring)).toBe(-1);
  });

  test("reads the wakeup flag each time", () => {
    const memory = fakeRing(4, ADDRESS_WORDS);
    const ring = new ProducerRing(memory.layout);
    expect(ring.needWakeup).toBe(false);
    memory.flags = 1;
    expect(ring.needWakeup).toBe(true);
  });
});

describe("consumer", () => {
  test("crosses the u32 wrap in order", () => {
    const memory = fakeRing(8, ADDRESS_WORDS, BEFORE_WRAP);
    const ring = new ConsumerRing(memory.layout);
    for (let i = 0; i < 64; i++) {
      memory.words[memory.at(memory.producer)] = i;
      memory.producer = memory.producer + 1;
      expect(ring.peek(8)).toBe(1);
      expect(memory.words[ring.slot(0)]).toBe(i);
      ring.release(1);
      expect(memory.consumer).toBe((BEFORE_WRAP + i + 1) >>> 0);
    }
  });

  test("a producer index further than the ring is long is not believed", () => {
    const memory = fakeRing(8, ADDRESS_WORDS);
    const ring = new ConsumerRing(memory.layout);
    memory.producer = 9;
    expect(ring.peek(64)).toBe(0);
    memory.producer = 0xffffffff;
    expect(ring.peek(64)).toBe(0);
    memory.producer = 8;
    expect(ring.peek(64)).toBe(8);
  });

  test("peek alone gives nothing back", () => {
    const memory = fakeRing(8, ADDRESS_WORDS);
    const ring = new ConsumerRing(memory.layout);
    memory.producer = 3;
    expect(ring.peek(2)).toBe(2);
    expect(memory.consumer).toBe(0);
    ring.release(2);
    expect(memory.consumer).toBe(2);
    expect(ring.peek(8)).toBe(1);
  });
});

test("what goes in comes out, in order, for any schedule of the two sides and any start", () => {
  const step = fc.record({ produce: fc.nat(9), consume: fc.nat(9) });
  const run = (start: number, power: number, steps: { produce: number; consume: number }[]): void => {
    const memory = fakeRing(1 << power, ADDRESS_WORDS, start);
    const producer = new ProducerRing(memory.layout);
    const consumer = new ConsumerRing(memory.layout);
    let sent = 0;
    let got = 0;
    for (const { produce, consume } of steps) {
      for (let i = 0; i < produce; i++) {
        const at = reserveOne(producer);
        if (at < 0) {
          expect(sent - got).toBe(1 << power);
          break;
        }
        memory.words[at] = sent++;
      }
      producer.submit();
      const ready = consumer.peek(consume);
      for (let i = 0; i < ready; i++) expect(memory.words[consumer.slot(i)]).toBe(got++);
      if (ready > 0) consumer.release(ready);
    }
  };
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 0x7ffffff8, 0xfffffff0, 0xffffffff),
      fc.nat(5),
      fc.array(step, { maxLength: 40 }),
      run,
    ),
  );
});

test.each([0, 3, -4, 1.5, 1 << 17, Number.NaN])("a ring of %p entries is refused", (size) => {
  const layout = { ...fakeRing(4, ADDRESS_WORDS).layout, size };
  expect(() => new ProducerRing(layout)).toThrow(RangeError);
  expect(() => new ConsumerRing(layout)).toThrow(RangeError);
});

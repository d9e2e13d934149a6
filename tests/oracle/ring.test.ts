/** Our rings against libxdp's own exported functions: the same schedule, word for word the same memory. */
import { dlopen, type Pointer } from "bun:ffi";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { addressOf } from "../../ffi/sys/memory.ts";
import { ConsumerRing, ProducerRing } from "../../ffi/xsk/ring.ts";
import { type FakeRing, fakeRing, reserveOne } from "../support/fake-rings.ts";

const { symbols: libxdp } = dlopen("libxdp.so.1", {
  xsk_ring_prod__reserve: { args: ["ptr", "u32", "ptr"], returns: "u32" },
  xsk_ring_prod__submit: { args: ["ptr", "u32"], returns: "void" },
  xsk_ring_prod__needs_wakeup: { args: ["ptr"], returns: "i32" },
  xsk_ring_prod__fill_addr: { args: ["ptr", "u32"], returns: "ptr" },
  xsk_ring_cons__peek: { args: ["ptr", "u32", "ptr"], returns: "u32" },
  xsk_ring_cons__release: { args: ["ptr", "u32"], returns: "void" },
  xsk_ring_cons__rx_desc: { args: ["ptr", "u32"], returns: "ptr" },
});

const WORD = 4;
/** struct xsk_ring_prod and xsk_ring_cons of xdp/xsk.h: four u32, then four pointers. */
const CACHED_PROD = 0;
const CACHED_CONS = CACHED_PROD + WORD;
const MASK = CACHED_CONS + WORD;
const SIZE = MASK + WORD;
const PRODUCER = SIZE + WORD;
const POINTER = 8;
const CONSUMER = PRODUCER + POINTER;
const RING = CONSUMER + POINTER;
const FLAGS = RING + POINTER;
const RING_STRUCT_BYTES = FLAGS + POINTER;

interface Theirs {
  readonly ring: Uint8Array;
  readonly index: Uint32Array;
  readonly memory: FakeRing;
  readonly base: number;
}

const theirs = (memory: FakeRing, producerSide: boolean): Theirs => {
  const ring = new Uint8Array(new ArrayBuffer(RING_STRUCT_BYTES));
  const view = new DataView(ring.buffer);
  const base = addressOf(memory.words.buffer as ArrayBuffer);
  const { layout } = memory;
  const pointer = (at: number, word: number): void => view.setBigUint64(at, BigInt(base + word * WORD), true);
  view.setUint32(CACHED_PROD, memory.producer, true);
  // A producer's cached consumer runs one ring ahead (the comment at xsk_prod_nb_free).
  view.setUint32(CACHED_CONS, memory.consumer + (producerSide ? layout.size : 0), true);
  view.setUint32(MASK, layout.size - 1, true);
  view.setUint32(SIZE, layout.size, true);
  pointer(PRODUCER, layout.producerAt);
  pointer(CONSUMER, layout.consumerAt);
  pointer(RING, layout.entriesAt);
  pointer(FLAGS, layout.flagsAt);
  return { ring, index: new Uint32Array(new ArrayBuffer(WORD)), memory, base };
};

const wordOf = (of: Theirs, address: Pointer | bigint | null): number => (Number(address) - of.base) / WORD;

const starts = fc.constantFrom(0, 5, 0x7ffffffd, 0xfffffff0, 0xffffffff);

test("producer: reserve, submit and wakeup agree with libxdp for any schedule", () => {
  const steps = fc.array(fc.record({ reserve: fc.nat(5), taken: fc.nat(5), flag: fc.boolean() }), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(starts, fc.nat(4), steps, (start, power, schedule) => {
      const ourMemory = fakeRing(1 << power, 2, start);
      const ours = new ProducerRing(ourMemory.layout);
      const other = theirs(fakeRing(1 << power, 2, start), true);
      for (const { reserve, taken, flag } of schedule) {
        let reserved = 0;
        for (let i = 0; i < reserve; i++) {
          const at = reserveOne(ours);
          const got = libxdp.xsk_ring_prod__reserve(other.ring, 1, other.index);
          expect(at >= 0 ? 1 : 0).toBe(got);
          if (at < 0) break;
          expect(wordOf(other, libxdp.xsk_ring_prod__fill_addr(other.ring, other.index[0]!))).toBe(at);
          ourMemory.words[at] = i;
          other.memory.words[at] = i;
          reserved += 1;
        }
        ours.submit();
        libxdp.xsk_ring_prod__submit(other.ring, reserved);
        for (const memory of [ourMemory, other.memory]) {
          const waiting = (memory.producer - memory.consumer) >>> 0;
          memory.consumer = memory.consumer + Math.min(taken, waiting);
          memory.flags = flag ? 1 : 0;
        }
        expect(ours.needWakeup).toBe(libxdp.xsk_ring_prod__needs_wakeup(other.ring) !== 0);
        expect([...ourMemory.words]).toEqual([...other.memory.words]);
      }
    }),
  );
});

test("consumer: peek, entry and release agree with libxdp for any schedule", () => {
  const steps = fc.array(
    fc.record({ deliver: fc.nat(5), peek: fc.integer({ min: 1, max: 6 }), release: fc.nat(6) }),
    {
      maxLength: 30,
    },
  );
  fc.assert(
    fc.property(starts, fc.nat(4), steps, (start, power, schedule) => {
      const size = 1 << power;
      const ourMemory = fakeRing(size, 4, start);
      const ours = new ConsumerRing(ourMemory.layout);
      const other = theirs(fakeRing(size, 4, start), false);
      for (const { deliver, peek } of schedule) {
        for (const memory of [ourMemory, other.memory]) {
          const room = size - ((memory.producer - memory.consumer) >>> 0);
          memory.producer = memory.producer + Math.min(deliver, room);
        }
        const ready = ours.peek(peek);
        const got = libxdp.xsk_ring_cons__peek(other.ring, peek, other.index);
        expect(ready).toBe(got);
        for (let i = 0; i < ready; i++) {
          expect(ours.slot(i)).toBe(
            wordOf(other, libxdp.xsk_ring_cons__rx_desc(other.ring, other.index[0]! + i)),
          );
        }
        if (ready > 0) ours.release(ready);
        libxdp.xsk_ring_cons__release(other.ring, got);
        expect(ourMemory.consumer).toBe(other.memory.consumer);
      }
    }),
  );
});

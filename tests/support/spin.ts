/**
 * A program that spins on one look at a ring until another thread's store shows: `bun run spin.ts LOOK`. It prints how
 * long that took. Where the engine hoists the load out of the loop it never ends, which is what `plain` does.
 */
import { ConsumerRing, ProducerRing } from "../../ffi/xsk/ring.ts";
import { mapAnonymous } from "../../ffi/sys/memory.ts";
import type { StoreOrder } from "./store-later.ts";

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const PRODUCER = 0;
const CONSUMER = PRODUCER + 16;
const FLAGS = CONSUMER + 1;
const ENTRIES = CONSUMER + 16;
const SIZE = 16;
const ENTRY_WORDS = 4;

const mapping = mapAnonymous((ENTRIES + SIZE * ENTRY_WORDS) * WORD_BYTES)!;
const words = new Int32Array(mapping.buffer);
const layout = {
  words,
  producerAt: PRODUCER,
  consumerAt: CONSUMER,
  flagsAt: FLAGS,
  entriesAt: ENTRIES,
  entryWords: ENTRY_WORDS,
  size: SIZE,
};

/**
 * Each look: the word that the other thread will set to 1, and the loop that waits for it. None counts its rounds: the
 * overflow of a counter leaves the compiled loop after some seconds, and then the store would be seen after all.
 */
const LOOKS: Readonly<Record<string, readonly [number, () => () => void]>> = {
  peek: [
    PRODUCER,
    () => {
      const ring = new ConsumerRing(layout);
      return () => {
        while (ring.peek(1) === 0);
      };
    },
  ],
  needWakeup: [
    FLAGS,
    () => {
      const ring = new ProducerRing(layout);
      return () => {
        while (!ring.needWakeup);
      };
    },
  ],
  pending: [
    CONSUMER,
    () => {
      const ring = new ProducerRing(layout);
      ring.advance(1);
      ring.submit();
      return () => {
        while (ring.pending() > 0);
      };
    },
  ],
  free: [
    CONSUMER,
    () => {
      const ring = new ProducerRing(layout);
      ring.advance(ring.free(SIZE));
      ring.submit();
      return () => {
        while (ring.free(1) === 0);
      };
    },
  ],
  plain: [
    PRODUCER,
    () => () => {
      while (words[PRODUCER] === 0);
    },
  ],
};

const [word, make] = LOOKS[process.argv[2]!]!;
const loop = make();
const worker = new Worker(new URL("./store-later.ts", import.meta.url).href);
const order: StoreOrder = { address: mapping.address + word * WORD_BYTES, value: 1 };
worker.onmessage = () => {
  const began = performance.now();
  loop();
  console.log(JSON.stringify({ ms: performance.now() - began }));
  process.exit(0);
};
worker.postMessage(order);

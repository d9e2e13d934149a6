/**
 * The rings that a program shares with the kernel: single producer, single consumer, over mapped memory.
 *
 * Indices are u32 that run freely; an entry's slot is `index & mask`. The producer writes entries, then publishes its
 * index with a store-release; the consumer reads that index with a load-acquire, the entries after it, and then
 * publishes its own (Documentation/networking/af_xdp.rst). Both keep a cached copy of the other's index and look
 * again only when the copy says that nothing is left, so that a burst costs one acquire and one release.
 *
 * This is the only file that uses `Atomics`. Two facts about the engine shape it. It hoists plain loads out of loops,
 * also on shared memory, unless a store to some typed array stands before them. And its `Atomics.load` is a locked
 * add on x86, which takes the cache line away from the kernel on every look. So where the processor orders loads by
 * itself (x86) an acquire is a store to a scratch word and a plain load; elsewhere it is `Atomics.load`.
 */
import { XDP_RING_NEED_WAKEUP } from "../sys/abi.ts";

/** Where a ring's parts lie in `words`, as 32-bit word indices. */
export interface RingLayout {
  readonly words: Int32Array;
  readonly producerAt: number;
  readonly consumerAt: number;
  readonly flagsAt: number;
  readonly entriesAt: number;
  /** Words of one entry: 2 for an address, 4 for a descriptor. */
  readonly entryWords: number;
  /** Entries, a power of two. */
  readonly size: number;
}

/** Smallest and largest ring that `setsockopt` takes: any power of two; the upper end keeps one mapping sensible. */
export const MIN_RING_SIZE = 1;
export const MAX_RING_SIZE = 1 << 16;

const scratch = new Int32Array(new ArrayBuffer(4));

const loadBehindStore = (words: Int32Array, at: number): number => {
  scratch[0] = at;
  return words[at]!;
};
const loadAtomically = (words: Int32Array, at: number): number => Atomics.load(words, at);

/** Reads a word that the kernel writes; no later load is satisfied before it. */
const loadAcquire = process.arch === "x64" ? loadBehindStore : loadAtomically;

/**
 * Publishes a word to the kernel; no earlier store becomes visible after it. On x86 it is a full fence, which the
 * look at the wakeup flag that follows needs: without it, both sides can believe the other one awake.
 */
const storeRelease = (words: Int32Array, at: number, value: number): void => {
  Atomics.store(words, at, value);
};

const checkLayout = (layout: RingLayout): void => {
  const { size, words, entriesAt, entryWords } = layout;
  if (!Number.isInteger(size) || size < MIN_RING_SIZE || size > MAX_RING_SIZE || (size & (size - 1)) !== 0) {
    throw new RangeError(
      `a ring has a power of two entries from ${MIN_RING_SIZE} to ${MAX_RING_SIZE}, not ${size}`,
    );
  }
  if (entriesAt + size * entryWords > words.length)
    throw new RangeError("the ring's entries exceed its memory");
};

/** The side that writes entries: fill and tx rings. */
export class ProducerRing {
  readonly words: Int32Array;
  readonly size: number;
  readonly #mask: number;
  readonly #entryWords: number;
  readonly #entriesAt: number;
  readonly #producerAt: number;
  readonly #consumerAt: number;
  readonly #flagsAt: number;
  /** Index of the next entry to write; published by `submit`. */
  #head: number;
  /** The kernel's index as last seen. */
  #tail: number;
  #submitted: number;

  constructor(layout: RingLayout) {
    checkLayout(layout);
    this.words = layout.words;
    this.size = layout.size;
    this.#mask = layout.size - 1;
    this.#entryWords = layout.entryWords;
    this.#entriesAt = layout.entriesAt;
    this.#producerAt = layout.producerAt;
    this.#consumerAt = layout.consumerAt;
    this.#flagsAt = layout.flagsAt;
    this.#head = loadAcquire(layout.words, layout.producerAt);
    this.#tail = loadAcquire(layout.words, layout.consumerAt);
    this.#submitted = this.#head;
  }

  /** Slots that can be written now; looks at the kernel's index only if fewer than `wanted` are known to be free. */
  free(wanted: number): number {
    const known = this.size - ((this.#head - this.#tail) >>> 0);
    if (known >= wanted) return known;
    this.#tail = loadAcquire(this.words, this.#consumerAt);
    const used = (this.#head - this.#tail) >>> 0;
    // An index beyond ours can only be a broken consumer: no slot is safe to write then.
    return used < this.size ? this.size - used : 0;
  }

  /** The word index of the `i`th free slot, of those that `free` counted. */
  slot(i: number): number {
    return this.#entriesAt + ((this.#head + i) & this.#mask) * this.#entryWords;
  }

  /** Reserves the first `count` free slots, which the caller has filled. */
  advance(count: number): void {
    this.#head = (this.#head + count) | 0;
  }

  /** Shows the kernel everything reserved so far; false when there was nothing new. */
  submit(): boolean {
    if (this.#head === this.#submitted) return false;
    this.#submitted = this.#head;
    storeRelease(this.words, this.#producerAt, this.#head);
    return true;
  }

  /** Entries submitted that the kernel has not taken yet. */
  pending(): number {
    this.#tail = loadAcquire(this.words, this.#consumerAt);
    return (this.#submitted - this.#tail) >>> 0;
  }

  /** Entries reserved that the kernel has not taken yet, submitted or not. */
  waiting(): number {
    this.#tail = loadAcquire(this.words, this.#consumerAt);
    return (this.#head - this.#tail) >>> 0;
  }

  /** True when the kernel sleeps on this ring and wants a system call. */
  get needWakeup(): boolean {
    return (loadAcquire(this.words, this.#flagsAt) & XDP_RING_NEED_WAKEUP) !== 0;
  }
}

/** The side that reads entries: completion and rx rings. */
export class ConsumerRing {
  readonly words: Int32Array;
  readonly size: number;
  readonly #mask: number;
  readonly #entryWords: number;
  readonly #entriesAt: number;
  readonly #producerAt: number;
  readonly #consumerAt: number;
  /** The kernel's index as last seen. */
  #head: number;
  /** Index of the next entry to read; published by `release`. */
  #tail: number;

  constructor(layout: RingLayout) {
    checkLayout(layout);
    this.words = layout.words;
    this.size = layout.size;
    this.#mask = layout.size - 1;
    this.#entryWords = layout.entryWords;
    this.#entriesAt = layout.entriesAt;
    this.#producerAt = layout.producerAt;
    this.#consumerAt = layout.consumerAt;
    this.#tail = loadAcquire(layout.words, layout.consumerAt);
    this.#head = this.#tail;
  }

  /** How many entries can be read now, `wanted` at the most; looks at the kernel's index only when none are known. */
  peek(wanted: number): number {
    let ready = (this.#head - this.#tail) >>> 0;
    if (ready === 0) {
      const head = loadAcquire(this.words, this.#producerAt);
      ready = (head - this.#tail) >>> 0;
      // More than the ring holds can only be a broken producer: nothing in it can be trusted.
      if (ready > this.size) return 0;
      this.#head = head;
    }
    return ready < wanted ? ready : wanted;
  }

  /** The word index of the `i`th entry that `peek` counted. */
  slot(i: number): number {
    return this.#entriesAt + ((this.#tail + i) & this.#mask) * this.#entryWords;
  }

  /** Gives the first `count` entries back to the kernel. */
  release(count: number): void {
    this.#tail = (this.#tail + count) | 0;
    storeRelease(this.words, this.#consumerAt, this.#tail);
  }
}

/**
 * Which parts of a datagram are there: for each slot a bit for every eight bytes, which is what fragments are made of.
 *
 * A second bit marks where fragments begin, so that the very same fragment again is told from one that overlaps others.
 * Unlike the hole lists of RFC 815 this takes the same few steps for any number of holes.
 */

/** Bytes that one bit stands for (RFC 791 section 3.1, RFC 8200 section 4.5). */
export const UNIT_SHIFT = 3;
export const UNIT_BYTES = 1 << UNIT_SHIFT;
const UNIT_REST = UNIT_BYTES - 1;

/** Units that so many bytes take up. */
export const units = (bytes: number): number => (bytes + UNIT_REST) >> UNIT_SHIFT;

/** What `place` finds. */
export const PLACED = {
  /** Nothing was there, and now it is marked. */
  new: 0,
  /** One fragment of exactly this range was there. */
  duplicate: 1,
  /** Something else was there. */
  overlap: 2,
} as const;

const WORD_SHIFT = 5;
const WORD_BITS = 1 << WORD_SHIFT;
const WORD_MASK = WORD_BITS - 1;

const column = (words: number): Int32Array =>
  new Int32Array(new ArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT));

/** The maps of `slots` slots of `units` units each. */
export class FragmentMap {
  /** Words of one slot. */
  readonly #stride: number;
  readonly #there: Int32Array;
  readonly #starts: Int32Array;

  constructor(slots: number, units: number) {
    // One more word, so that the unit behind the last may be asked for.
    this.#stride = (units >> WORD_SHIFT) + 1;
    this.#there = column(slots * this.#stride);
    this.#starts = column(slots * this.#stride);
  }

  /** Forgets what is marked up to unit `end`. */
  clear(slot: number, end: number): void {
    const base = slot * this.#stride;
    const stop = base + Math.min(this.#stride, (end >> WORD_SHIFT) + 1);
    // A loop, because `fill` costs more than the few words that most datagrams have.
    for (let at = base; at < stop; at++) {
      this.#there[at] = 0;
      this.#starts[at] = 0;
    }
  }

  /** Marks `count` units, 1 or more, from `first` on, unless any of them is marked: one of `PLACED`. */
  place(slot: number, first: number, count: number): number {
    const end = first + count;
    const found = this.#count(this.#there, slot, first, end);
    if (found === 0) {
      this.#mark(slot, first, end);
      return PLACED.new;
    }
    const same =
      found === count &&
      this.#has(this.#starts, slot, first) &&
      this.#count(this.#starts, slot, first, end) === 1 &&
      (!this.#has(this.#there, slot, end) || this.#has(this.#starts, slot, end));
    return same ? PLACED.duplicate : PLACED.overlap;
  }

  #mark(slot: number, first: number, end: number): void {
    const base = slot * this.#stride;
    this.#starts[base + (first >> WORD_SHIFT)]! |= 1 << (first & WORD_MASK);
    for (let at = first; at < end; at = (at | WORD_MASK) + 1)
      this.#there[base + (at >> WORD_SHIFT)]! |= maskFrom(at, end);
  }

  #has(bits: Int32Array, slot: number, at: number): boolean {
    return ((bits[slot * this.#stride + (at >> WORD_SHIFT)]! >>> (at & WORD_MASK)) & 1) !== 0;
  }

  /** Bits set from `first` to before `end`. */
  #count(bits: Int32Array, slot: number, first: number, end: number): number {
    const base = slot * this.#stride;
    let count = 0;
    for (let at = first; at < end; at = (at | WORD_MASK) + 1) {
      const word = bits[base + (at >> WORD_SHIFT)]! & maskFrom(at, end);
      if (word !== 0) count += ones(word);
    }
    return count;
  }
}

/** The bits of the word of `at`, from `at` to its end or to before `end`. */
const maskFrom = (at: number, end: number): number => {
  const upper = -1 << (at & WORD_MASK);
  const left = end - (at & ~WORD_MASK);
  return left >= WORD_BITS ? upper : upper & ~(-1 << left);
};

/** How many bits of a word are set, by adding neighbours. */
const ones = (word: number): number => {
  word -= (word >>> 1) & 0x5555_5555;
  word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
};

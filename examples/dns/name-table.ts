/**
 * Which of a zone's names stands at a place in a message, whatever its case: a hash table that is asked with bytes in place.
 *
 * A name is hashed and compared four bytes at a time. The bit that makes a letter small is set in every byte for the hash, which
 * may then take two names for one, and for the comparison only where the name has a letter, which may not.
 */
import { lowerOctet } from "./names.ts";

const WORD_BYTES = 4;
const WORD_SHIFT = 2;
const CASE_BITS = 0x20202020;
const CASE_BIT = 0x20;
const SMALL_A = 0x61;
const LETTERS = 26;
/** Which bytes of a little-endian word belong to a name of which 0 (all four), 1, 2 or 3 bytes are left. */
const KEEP = Int32Array.of(-1, 0xff, 0xffff, 0xffffff);
const KEEP_MASK = WORD_BYTES - 1;
/** Odd constants that spread bits (the finalizer of MurmurHash3). */
const MIX_1 = 0x85ebca6b;
const MIX_2 = 0xc2b2ae35;
const MIX_SHIFT_1 = 13;
const MIX_SHIFT_2 = 16;

/** Words of a slot: the hash, the name's number plus one (0 where it is free), its length, and where its words begin. */
const SLOT_NUMBER = 1;
const SLOT_LENGTH = SLOT_NUMBER + 1;
const SLOT_WORDS_AT = SLOT_LENGTH + 1;
const SLOT_SHIFT = 2;
const SLOT_WORDS = 1 << SLOT_SHIFT;

/** What `find` says where the name is none of the table's. */
export const ABSENT = -1;

/** Hash of the `length` bytes at `at`; up to three bytes behind them are read as well. */
export const hashName = (view: DataView, at: number, length: number): number => {
  let hash = length;
  const whole = at + (length & ~KEEP_MASK);
  for (let from = at; from < whole; from += WORD_BYTES)
    hash = mix(hash, view.getInt32(from, true) | CASE_BITS);
  const left = length & KEEP_MASK;
  if (left !== 0) hash = mix(hash, (view.getInt32(whole, true) | CASE_BITS) & KEEP[left]!);
  return hash ^ (hash >>> MIX_SHIFT_2);
};

const mix = (hash: number, word: number): number => {
  const mixed = Math.imul(hash ^ Math.imul(word, MIX_1), MIX_2);
  return mixed ^ (mixed >>> MIX_SHIFT_1);
};

export class NameTable {
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** Of each name its words in small letters, and beside each word the bits that its letters may lack. */
  readonly #words: Int32Array;

  /** A table of these names, each without regard to its case; `find` returns their indices. */
  constructor(names: readonly Uint8Array[]) {
    // At most half full: a name that is not there is known after a step or two.
    let capacity = SLOT_WORDS;
    while (capacity < 2 * names.length) capacity *= 2;
    this.#slots = new Int32Array(capacity * SLOT_WORDS);
    this.#mask = this.#slots.length - 1;
    this.#words = new Int32Array(names.reduce((sum, name) => sum + 2 * wordsOf(name.length), 0));
    let used = 0;
    for (const [number, name] of names.entries()) {
      this.#place(number, name, used);
      used += 2 * wordsOf(name.length);
    }
  }

  /**
   * The number of the name of `length` bytes at `at`, whose hash is `hash`, or `ABSENT`. Up to three bytes behind it are read as
   * well. Allocates nothing.
   */
  find(view: DataView, at: number, length: number, hash: number): number {
    const slots = this.#slots;
    let slot = (hash << SLOT_SHIFT) & this.#mask;
    for (let number = slots[slot + SLOT_NUMBER]!; number !== 0; number = slots[slot + SLOT_NUMBER]!) {
      if (slots[slot] === hash && slots[slot + SLOT_LENGTH] === length) {
        if (this.#equal(view, at, length, slots[slot + SLOT_WORDS_AT]!)) return number - 1;
      }
      slot = (slot + SLOT_WORDS) & this.#mask;
    }
    return ABSENT;
  }

  #equal(view: DataView, at: number, length: number, wordsAt: number): boolean {
    const words = this.#words;
    const whole = at + (length & ~KEEP_MASK);
    let word = wordsAt;
    for (let from = at; from < whole; from += WORD_BYTES, word += 2) {
      if ((view.getInt32(from, true) | words[word + 1]!) !== words[word]) return false;
    }
    const left = length & KEEP_MASK;
    return left === 0 || ((view.getInt32(whole, true) & KEEP[left]!) | words[word + 1]!) === words[word];
  }

  #place(number: number, name: Uint8Array, wordsAt: number): void {
    const small = new Uint8Array(wordsOf(name.length) * WORD_BYTES);
    small.set(name.map(lowerOctet));
    const view = new DataView(small.buffer);
    const letters = new DataView(small.map(letterBit).buffer);
    for (let from = 0; from < small.length; from += WORD_BYTES) {
      const word = wordsAt + 2 * (from >>> WORD_SHIFT);
      this.#words[word] = view.getInt32(from, true);
      this.#words[word + 1] = letters.getInt32(from, true);
    }
    const hash = hashName(view, 0, name.length);
    let slot = (hash << SLOT_SHIFT) & this.#mask;
    while (this.#slots[slot + SLOT_NUMBER] !== 0) slot = (slot + SLOT_WORDS) & this.#mask;
    this.#slots[slot] = hash;
    this.#slots[slot + SLOT_NUMBER] = number + 1;
    this.#slots[slot + SLOT_LENGTH] = name.length;
    this.#slots[slot + SLOT_WORDS_AT] = wordsAt;
  }
}

const wordsOf = (length: number): number => (length + WORD_BYTES - 1) >>> WORD_SHIFT;

const letterBit = (code: number): number => ((code - SMALL_A) >>> 0 < LETTERS ? CASE_BIT : 0);

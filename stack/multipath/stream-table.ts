/**
 * Finds the streams that are known by their 64-bit numbers; where it is full, one that was silent for long makes room.
 *
 * Whoever can send here can make up streams. So those that were heard once wait in a list of their own, and have a quarter of
 * the places where all are taken: a flood of them forgets no stream that was heard twice, which would be handed on twice.
 *
 * Entries lie in typed arrays that are made once: chains of a hash table, and the two lists in the order of use.
 */
import { hashAddress } from "../wire/address-hash.ts";

const NONE = -1;
/** The lists: of streams that were heard once, and of those that were heard again. */
const ONCE = 0;
const AGAIN = 1;
const LISTS = 2;
/** Of so many places one is for those that were heard once, where all are taken. */
const ONCE_PART = 4;

export class StreamTable {
  readonly limit: number;
  /** Streams that were forgotten for others. */
  evicted = 0;
  readonly #seed: number;
  readonly #high: Int32Array;
  readonly #low: Int32Array;
  readonly #heads: Int32Array;
  readonly #chain: Int32Array;
  /** The neighbours of each in the order of use. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #listOf: Uint8Array;
  readonly #newest = new Int32Array(LISTS).fill(NONE);
  readonly #oldest = new Int32Array(LISTS).fill(NONE);
  #once = 0;
  readonly #mostOnce: number;
  #size = 0;

  /** `seed` keeps strangers from choosing numbers that share a chain. */
  constructor(limit: number, seed: number) {
    this.limit = limit;
    this.#seed = seed;
    this.#high = new Int32Array(limit);
    this.#low = new Int32Array(limit);
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(limit))).fill(NONE);
    this.#chain = new Int32Array(limit);
    this.#newer = new Int32Array(limit);
    this.#older = new Int32Array(limit);
    this.#listOf = new Uint8Array(limit);
    this.#mostOnce = Math.ceil(limit / ONCE_PART);
  }

  get size(): number {
    return this.#size;
  }

  /** The entry of a stream, which is then the one heard last of those that were heard again; -1 where it is not known. */
  find(high: number, low: number): number {
    let entry = this.#heads[this.#bucket(high, low)]!;
    while (entry >= 0 && !(this.#low[entry] === low && this.#high[entry] === high))
      entry = this.#chain[entry]!;
    if (entry >= 0 && entry !== this.#newest[AGAIN]) {
      this.#unlink(entry);
      this.#link(entry, AGAIN);
    }
    return entry;
  }

  /** An entry for a stream that is not known. */
  add(high: number, low: number): number {
    const entry = this.#size < this.limit ? this.#size++ : this.#evict();
    const bucket = this.#bucket(high, low);
    this.#high[entry] = high;
    this.#low[entry] = low;
    this.#chain[entry] = this.#heads[bucket]!;
    this.#heads[bucket] = entry;
    this.#link(entry, ONCE);
    return entry;
  }

  #bucket(high: number, low: number): number {
    return hashAddress(0, 0, high, low, this.#seed) & (this.#heads.length - 1);
  }

  #evict(): number {
    const entry = this.#oldest[this.#once >= this.#mostOnce ? ONCE : AGAIN]!;
    this.#unlink(entry);
    const bucket = this.#bucket(this.#high[entry]!, this.#low[entry]!);
    const after = this.#chain[entry]!;
    if (this.#heads[bucket] === entry) {
      this.#heads[bucket] = after;
    } else {
      let before = this.#heads[bucket]!;
      while (this.#chain[before] !== entry) before = this.#chain[before]!;
      this.#chain[before] = after;
    }
    this.evicted += 1;
    return entry;
  }

  #link(entry: number, list: number): void {
    const newest = this.#newest[list]!;
    this.#newer[entry] = NONE;
    this.#older[entry] = newest;
    this.#listOf[entry] = list;
    if (newest === NONE) this.#oldest[list] = entry;
    else this.#newer[newest] = entry;
    this.#newest[list] = entry;
    if (list === ONCE) this.#once += 1;
  }

  #unlink(entry: number): void {
    const list = this.#listOf[entry]!;
    const newer = this.#newer[entry]!;
    const older = this.#older[entry]!;
    if (newer === NONE) this.#newest[list] = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest[list] = newer;
    else this.#newer[older] = newer;
    if (list === ONCE) this.#once -= 1;
  }
}

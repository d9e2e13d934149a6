/**
 * Finds the streams that are known by their 64-bit numbers; where it is full, the one that was silent longest makes room.
 *
 * Entries lie in typed arrays that are made once: chains of a hash table, and a list in the order of use.
 */
import { hashAddress } from "../wire/address-hash.ts";

const NONE = -1;

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
  #newest = NONE;
  #oldest = NONE;
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
  }

  get size(): number {
    return this.#size;
  }

  /** The entry of a stream, which is then the one used last; -1 where it is not known. */
  find(high: number, low: number): number {
    let entry = this.#heads[this.#bucket(high, low)]!;
    while (entry >= 0 && !(this.#low[entry] === low && this.#high[entry] === high))
      entry = this.#chain[entry]!;
    if (entry >= 0 && entry !== this.#newest) {
      this.#unlink(entry);
      this.#link(entry);
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
    this.#link(entry);
    return entry;
  }

  #bucket(high: number, low: number): number {
    return hashAddress(0, 0, high, low, this.#seed) & (this.#heads.length - 1);
  }

  #evict(): number {
    const entry = this.#oldest;
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

  #link(entry: number): void {
    this.#newer[entry] = NONE;
    this.#older[entry] = this.#newest;
    if (this.#newest === NONE) this.#oldest = entry;
    else this.#newer[this.#newest] = entry;
    this.#newest = entry;
  }

  #unlink(entry: number): void {
    const newer = this.#newer[entry]!;
    const older = this.#older[entry]!;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
  }
}

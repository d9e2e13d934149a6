/**
 * Which of the latest keys have come, over which path first, and when: for datagrams that an application's own key tells apart.
 *
 * The last so many keys lie in a ring of typed arrays, chained by their hash; the oldest makes room for the newest.
 */
import { hashAddress } from "../wire/address-hash.ts";
import { ARRIVAL, type Arrival, type FirstCopy } from "./arrival.ts";

const NONE = -1;
const WORD_RANGE = 2 ** 32;

export class RecentKeys implements FirstCopy {
  firstPath = 0;
  firstMs = 0;
  readonly #seed: number;
  readonly #limit: number;
  readonly #keys: Float64Array;
  readonly #path: Uint8Array;
  readonly #atMs: Float64Array;
  readonly #chain: Int32Array;
  readonly #heads: Int32Array;
  #size = 0;
  /** The place of the next key: where the ring is full, that of the oldest. */
  #next = 0;

  /** Remembers the last `limit` keys, a power of two. `seed` keeps strangers from choosing keys that share a chain. */
  constructor(limit: number, seed: number) {
    this.#limit = limit;
    this.#seed = seed;
    this.#keys = new Float64Array(limit);
    this.#path = new Uint8Array(limit);
    this.#atMs = new Float64Array(limit);
    this.#chain = new Int32Array(limit);
    this.#heads = new Int32Array(limit).fill(NONE);
  }

  /** Takes in a key, a whole number, that came over path `path`: "newest", or "duplicate" with `firstPath` and `firstMs`. */
  judge(key: number, path: number, nowMs: number): Arrival {
    const bucket = this.#bucket(key);
    for (let entry = this.#heads[bucket]!; entry >= 0; entry = this.#chain[entry]!) {
      if (this.#keys[entry] !== key) continue;
      this.firstPath = this.#path[entry]!;
      this.firstMs = this.#atMs[entry]!;
      return ARRIVAL.duplicate;
    }
    const entry = this.#next;
    if (this.#size === this.#limit) this.#forget(entry);
    else this.#size += 1;
    this.#next = (entry + 1) & (this.#limit - 1);
    this.#keys[entry] = key;
    this.#path[entry] = path;
    this.#atMs[entry] = nowMs;
    this.#chain[entry] = this.#heads[bucket]!;
    this.#heads[bucket] = entry;
    return ARRIVAL.newest;
  }

  /** The oldest of a chain is its last: new ones come in front. */
  #forget(entry: number): void {
    const bucket = this.#bucket(this.#keys[entry]!);
    let before = NONE;
    for (let at = this.#heads[bucket]!; at !== entry; at = this.#chain[at]!) before = at;
    if (before === NONE) this.#heads[bucket] = NONE;
    else this.#chain[before] = NONE;
  }

  #bucket(key: number): number {
    return hashAddress(0, 0, Math.floor(key / WORD_RANGE) | 0, key | 0, this.#seed) & (this.#limit - 1);
  }
}

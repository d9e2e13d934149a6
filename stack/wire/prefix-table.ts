/**
 * Longest prefix match over both families: a trie each, and no allocation in a lookup.
 */
import { MAPPED } from "./address.ts";
import type { Prefix } from "./prefix.ts";
import { type Branch, collect, find, graft, longest, longest4, prune, TrieNode } from "./prefix-trie.ts";

/** The most prefixes unless another limit is given: more than the Internet has routes in either family (2026). */
export const DEFAULT_PREFIXES = 2 ** 21;

/** Values of `T`, which must not include undefined. */
export class PrefixTable<T> {
  /** The most prefixes of both families together. */
  readonly limit: number;
  #root4: Branch<T>;
  #root6: Branch<T>;
  #size = 0;

  /** @throws RangeError where the limit is no whole number from 1 on. */
  constructor(limit: number = DEFAULT_PREFIXES) {
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new RangeError(`limit is a whole number from 1 on, not ${String(limit)}`);
    this.limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Gives the prefix a value, in place of the one that it had. False where the prefix is new and the table is full.
   *
   * @throws TypeError where the value is undefined.
   */
  set(prefix: Prefix, value: T): boolean {
    if (value === undefined) throw new TypeError("value must not be undefined");
    if (this.get(prefix) === undefined) {
      if (this.#size >= this.limit) return false;
      this.#size += 1;
    }
    const leaf = new TrieNode(prefix, value);
    if (prefix.family === 4) this.#root4 = graft(this.#root4, leaf);
    else this.#root6 = graft(this.#root6, leaf);
    return true;
  }

  /** The value of this very prefix. */
  get(prefix: Prefix): T | undefined {
    return find(prefix.family === 4 ? this.#root4 : this.#root6, prefix)?.value;
  }

  /** False where there was none. */
  delete(prefix: Prefix): boolean {
    if (this.get(prefix) === undefined) return false;
    if (prefix.family === 4) this.#root4 = prune(this.#root4, prefix);
    else this.#root6 = prune(this.#root6, prefix);
    this.#size -= 1;
    return true;
  }

  /** The value of the longest prefix that contains the address with these int32 words. */
  lookup(w0: number, w1: number, w2: number, w3: number): T | undefined {
    return (w0 | w1 | (w2 ^ MAPPED)) === 0 ? longest4(this.#root4, w3) : longest(this.#root6, w0, w1, w2, w3);
  }

  /** All prefixes with their values, as they are now: IPv4 first, then by address, shorter ones first. */
  entries(): Iterable<[Prefix, T]> {
    const all: [Prefix, T][] = [];
    collect(this.#root4, all);
    collect(this.#root6, all);
    return all;
  }

  clear(): void {
    this.#root4 = undefined;
    this.#root6 = undefined;
    this.#size = 0;
  }
}

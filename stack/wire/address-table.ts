/**
 * A bounded hash table from addresses to values, whose lookup takes four words and allocates nothing.
 *
 * Open addressing with linear probing: the words of all keys lie in one Int32Array, their values beside them, so that a
 * lookup mostly touches one cache line of each. A deletion moves the entries behind it back, so there are no tombstones
 * to wade through after years of coming and going. The table starts small and doubles up to its limit, because most tables
 * of a host hold a handful of entries, and a small one stays in the cache; it never shrinks.
 */
import { hashAddress, IpAddress } from "./address.ts";

/** Words of a key. */
const KEY_SHIFT = 2;
const KEY_WORDS = 1 << KEY_SHIFT;
const W0 = 0;
const W1 = W0 + 1;
const W2 = W1 + 1;
const W3 = W2 + 1;

const FIRST_SLOTS = 16;
/** Half of the slots stay free, so that a search that fails looks at two or three (Knuth, volume 3, section 6.4). */
const SLOTS_PER_ENTRY = 2;
/** The largest limit: its keys are 256 MiB. */
export const MAX_ADDRESS_TABLE = 2 ** 23;

const NOT_FOUND = -1;

/** Values of `T`, which must not include undefined. */
export class AddressTable<T> {
  /** The most entries that it holds. */
  readonly limit: number;
  readonly #seed: number;
  #words = new Int32Array(FIRST_SLOTS * KEY_WORDS);
  #values: (T | undefined)[] = Array<T | undefined>(FIRST_SLOTS).fill(undefined);
  #mask = FIRST_SLOTS - 1;
  #size = 0;

  /**
   * @param limit the most entries, 1 to `MAX_ADDRESS_TABLE`.
   * @param seed any number; a secret one where strangers choose the addresses.
   * @throws RangeError where the limit is no such number.
   */
  constructor(limit: number, seed: number) {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_ADDRESS_TABLE)
      throw new RangeError(`limit is a whole number from 1 to ${MAX_ADDRESS_TABLE}, not ${String(limit)}`);
    this.limit = limit;
    this.#seed = seed | 0;
  }

  get size(): number {
    return this.#size;
  }

  /** The value of the address with these int32 words. */
  get(w0: number, w1: number, w2: number, w3: number): T | undefined {
    const words = this.#words;
    const values = this.#values;
    const mask = this.#mask;
    let slot = hashAddress(w0, w1, w2, w3, this.#seed) & mask;
    for (;;) {
      const value = values[slot];
      if (value === undefined) return undefined;
      const key = slot << KEY_SHIFT;
      if (
        words[key + W3] === w3 &&
        words[key + W2] === w2 &&
        words[key + W1] === w1 &&
        words[key + W0] === w0
      )
        return value;
      slot = (slot + 1) & mask;
    }
  }

  /**
   * Gives the address a value, in place of the one that it had. False where the address is new and the table is full.
   *
   * @throws TypeError where the value is undefined.
   */
  set(address: IpAddress, value: T): boolean {
    if (value === undefined) throw new TypeError("value must not be undefined");
    const slot = this.#slotOf(address);
    if (slot !== NOT_FOUND) {
      this.#values[slot] = value;
      return true;
    }
    if (this.#size === this.limit) return false;
    if ((this.#size + 1) * SLOTS_PER_ENTRY > this.#values.length) this.#double();
    this.#insert(address.w0, address.w1, address.w2, address.w3, value);
    this.#size += 1;
    return true;
  }

  /** False where there was none. */
  delete(address: IpAddress): boolean {
    const slot = this.#slotOf(address);
    if (slot === NOT_FOUND) return false;
    this.#closeGap(slot);
    this.#size -= 1;
    return true;
  }

  /** The values as they are now: entries may come and go while the caller walks over them. */
  values(): Iterable<T> {
    return this.#values.filter((value): value is T => value !== undefined);
  }

  /** The addresses with their values, as they are now. */
  entries(): Iterable<[IpAddress, T]> {
    const entries: [IpAddress, T][] = [];
    for (const [slot, value] of this.#values.entries())
      if (value !== undefined) entries.push([this.#addressAt(slot), value]);
    return entries;
  }

  clear(): void {
    this.#values.fill(undefined);
    this.#size = 0;
  }

  #addressAt(slot: number): IpAddress {
    const key = slot << KEY_SHIFT;
    return IpAddress.words(
      this.#words[key + W0]!,
      this.#words[key + W1]!,
      this.#words[key + W2]!,
      this.#words[key + W3]!,
    );
  }

  #homeOf(slot: number): number {
    const { w0, w1, w2, w3 } = this.#addressAt(slot);
    return hashAddress(w0, w1, w2, w3, this.#seed) & this.#mask;
  }

  #slotOf(address: IpAddress): number {
    const { w0, w1, w2, w3 } = address;
    let slot = hashAddress(w0, w1, w2, w3, this.#seed) & this.#mask;
    while (this.#values[slot] !== undefined) {
      if (this.#addressAt(slot).equals(address)) return slot;
      slot = (slot + 1) & this.#mask;
    }
    return NOT_FOUND;
  }

  /** Puts a key that is not there into the first free slot from its home on. */
  #insert(w0: number, w1: number, w2: number, w3: number, value: T): void {
    let slot = hashAddress(w0, w1, w2, w3, this.#seed) & this.#mask;
    while (this.#values[slot] !== undefined) slot = (slot + 1) & this.#mask;
    const key = slot << KEY_SHIFT;
    this.#words[key + W0] = w0;
    this.#words[key + W1] = w1;
    this.#words[key + W2] = w2;
    this.#words[key + W3] = w3;
    this.#values[slot] = value;
  }

  #double(): void {
    const words = this.#words;
    const values = this.#values;
    const slots = values.length * 2;
    this.#words = new Int32Array(slots * KEY_WORDS);
    this.#values = Array<T | undefined>(slots).fill(undefined);
    this.#mask = slots - 1;
    for (let slot = 0; slot < values.length; slot++) {
      const value = values[slot];
      const key = slot << KEY_SHIFT;
      if (value !== undefined)
        this.#insert(words[key + W0]!, words[key + W1]!, words[key + W2]!, words[key + W3]!, value);
    }
  }

  /**
   * Empties a slot: of the entries behind it, each that would be found there too moves back into the gap, which goes on
   * behind it (Knuth, volume 3, section 6.4, algorithm R).
   */
  #closeGap(gap: number): void {
    const mask = this.#mask;
    for (let slot = (gap + 1) & mask; this.#values[slot] !== undefined; slot = (slot + 1) & mask) {
      const distanceFromHome = (slot - this.#homeOf(slot)) & mask;
      const distanceFromGap = (slot - gap) & mask;
      if (distanceFromHome < distanceFromGap) continue;
      this.#words.copyWithin(gap << KEY_SHIFT, slot << KEY_SHIFT, (slot + 1) << KEY_SHIFT);
      this.#values[gap] = this.#values[slot];
      gap = slot;
    }
    this.#values[gap] = undefined;
  }
}

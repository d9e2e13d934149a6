/**
 * Byte strings made small numbers: a table of fixed size that knows a name again by its bytes, without making a text of it.
 */

/** FNV-1a (draft-eastlake-fnv), 32 bits. */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
/** Brings the better mixed upper bits down to where the place is taken from. */
const HIGH_SHIFT = 15;
/** Twice as many places as names keep the chains of an open table short. */
const PLACES_PER_NAME = 2;
const FREE = -1;

export interface NameLimits {
  /** Names that are told apart; a power of two. */
  readonly names: number;
  /** Bytes of all of them together. */
  readonly bytes: number;
  /** Bytes of one. */
  readonly longest: number;
}

/** Each name is a part of a salt (what else must be equal), and up to two byte strings. */
export class Names {
  readonly #limits: NameLimits;
  readonly #places: Int32Array;
  readonly #mask: number;
  readonly #hashes: Int32Array;
  readonly #salts: Uint8Array;
  readonly #starts: Int32Array;
  /** Where the second string of a name begins. */
  readonly #middles: Int32Array;
  readonly #memory: Uint8Array;
  #count = 0;
  #used = 0;
  /** Names that were refused: the table was full, or they were too long. */
  refused = 0;

  constructor(limits: NameLimits) {
    const { names, bytes } = limits;
    this.#limits = limits;
    this.#places = new Int32Array(PLACES_PER_NAME * names).fill(FREE);
    this.#mask = this.#places.length - 1;
    this.#hashes = new Int32Array(names);
    this.#salts = new Uint8Array(names);
    this.#starts = new Int32Array(names + 1);
    this.#middles = new Int32Array(names);
    this.#memory = new Uint8Array(bytes);
  }

  get count(): number {
    return this.#count;
  }

  /**
   * The number of a name, counted from 0 in the order in which they came; a fresh one for a name that was not there yet, and -1
   * where there is no room for it. The second string may be empty.
   */
  intern(
    bytes: Uint8Array,
    salt: number,
    at: number,
    length: number,
    secondAt: number,
    secondLength: number,
  ): number {
    let hash = Math.imul(FNV_OFFSET ^ salt, FNV_PRIME);
    for (let i = at; i < at + length; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
    for (let i = secondAt; i < secondAt + secondLength; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
    for (let place = (hash ^ (hash >>> HIGH_SHIFT)) & this.#mask; ; place = (place + 1) & this.#mask) {
      const name = this.#places[place]!;
      if (name === FREE) return this.#add(place, hash, bytes, salt, at, length, secondAt, secondLength);
      if (this.#hashes[name] !== hash || this.#salts[name] !== salt) continue;
      const start = this.#starts[name]!;
      const middle = this.#middles[name]!;
      if (middle - start !== length || this.#starts[name + 1]! - middle !== secondLength) continue;
      if (this.#holds(start, bytes, at, length) && this.#holds(middle, bytes, secondAt, secondLength))
        return name;
    }
  }

  #holds(from: number, bytes: Uint8Array, at: number, length: number): boolean {
    for (let i = 0; i < length; i++) if (this.#memory[from + i] !== bytes[at + i]) return false;
    return true;
  }

  #add(
    place: number,
    hash: number,
    bytes: Uint8Array,
    salt: number,
    at: number,
    length: number,
    secondAt: number,
    secondLength: number,
  ): number {
    const { names, longest } = this.#limits;
    const total = length + secondLength;
    if (this.#count === names || total > longest || this.#used + total > this.#memory.length) {
      this.refused += 1;
      return -1;
    }
    const name = this.#count;
    const start = this.#used;
    const middle = start + length;
    for (let i = 0; i < length; i++) this.#memory[start + i] = bytes[at + i]!;
    for (let i = 0; i < secondLength; i++) this.#memory[middle + i] = bytes[secondAt + i]!;
    this.#places[place] = name;
    this.#hashes[name] = hash;
    this.#salts[name] = salt;
    this.#starts[name] = start;
    this.#middles[name] = middle;
    this.#used = middle + secondLength;
    this.#starts[name + 1] = this.#used;
    this.#count += 1;
    return name;
  }
}

/**
 * Maglev hashing: a table from hashes to backends that gives each its share, and that changes little when backends come and
 * go (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).
 *
 * Every backend has an order of its own over all places of the table, and takes in its turn the first of them that is free. The
 * orders come from names alone, so that balancers which know the same backends have the same table, whoever told them in
 * whichever order.
 */
import { hashAddress } from "../wire/address.ts";

/** A backend as the table sees it. */
export interface MaglevEntry {
  /** What its order is made of: the same on every balancer, and on no two backends. */
  readonly name: string;
  /** What the table gives for it, 0 to `MAX_NUMBER`. */
  readonly number: number;
  /** Its share relative to that of the others, 0 (none) to `MAX_WEIGHT`. */
  readonly weight: number;
}

/**
 * Places: a prime, so that every order meets every place. The paper's choice for speed: 1 % of imbalance with 655 backends, and
 * 128 KiB that stay in a processor's second cache.
 */
export const DEFAULT_PLACES = 65_537;
/** The paper's larger choice. */
export const MAX_PLACES = 655_373;
/** The smallest that the hash of two backends is not plainly uneven over. */
export const MIN_PLACES = 11;
/** Places are 16 bits with a sign. */
export const MAX_NUMBER = 0x7fff;
/** Below it a turn in so many is fair enough, and the rounds of the others stay few. */
export const MAX_WEIGHT = 1000;
/** Nobody has the place: there are no backends. */
export const NOBODY = -1;

/** Any two numbers that differ: where an order starts and how it goes on must not depend on each other. */
const OFFSET_SEED = 0x6d61_676c;
const SKIP_SEED = 0x6576_3136;

/** @throws RangeError where `places` is no prime in range. */
export const requirePlaces = (places: number): void => {
  if (!Number.isInteger(places) || places < MIN_PLACES || places > MAX_PLACES || !isPrime(places))
    throw new RangeError(`places is a prime from ${MIN_PLACES} to ${MAX_PLACES}, not ${String(places)}`);
};

const isPrime = (value: number): boolean => {
  for (let factor = 2; factor * factor <= value; factor++) if (value % factor === 0) return false;
  return true;
};

/** An unsigned 32-bit hash of a text. */
const hashName = (name: string, seed: number): number => {
  let hash = seed;
  for (let i = 0; i < name.length; i++) hash = hashAddress(0, 0, hash, name.charCodeAt(i), seed);
  return hash >>> 0;
};

/** Where a backend looks for a free place next. */
class Order {
  readonly number: number;
  readonly weight: number;
  readonly #skip: number;
  #at: number;
  /** Turns owed, in units of the largest weight. */
  #credit = 0;

  constructor({ name, number, weight }: MaglevEntry, places: number) {
    this.number = number;
    this.weight = weight;
    this.#at = hashName(name, OFFSET_SEED) % places;
    this.#skip = (hashName(name, SKIP_SEED) % (places - 1)) + 1;
  }

  /** True where it is this one's turn: always for the heaviest, for others as often as their weight says. */
  turn(heaviest: number): boolean {
    this.#credit += this.weight;
    if (this.#credit < heaviest) return false;
    this.#credit -= heaviest;
    return true;
  }

  /** Takes the next place of its order that is free; there must be one. */
  take(table: Int16Array): void {
    const places = table.length;
    const skip = this.#skip;
    let at = this.#at;
    while (table[at] !== NOBODY) {
      at += skip;
      if (at >= places) at -= places;
    }
    table[at] = this.number;
    this.#at = at;
  }
}

/**
 * Fills a table, whose length is the number of places, with the numbers of the backends; with `NOBODY` where none has a weight.
 * Takes some 20 ns a place.
 *
 * @throws RangeError where the table's length is no prime in range.
 */
export const fillPlaces = (table: Int16Array, entries: readonly MaglevEntry[]): void => {
  const places = table.length;
  requirePlaces(places);
  table.fill(NOBODY);
  const orders = entries
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((entry) => new Order(entry, places));
  if (orders.length === 0) return;
  const heaviest = Math.max(...orders.map(({ weight }) => weight));
  for (let taken = 0; ;) {
    for (const order of orders) {
      if (!order.turn(heaviest)) continue;
      order.take(table);
      taken += 1;
      if (taken === places) return;
    }
  }
};

/**
 * What a feed reads of each datagram: its number, and how many numbers it stands for.
 */
import type { Datagram } from "../udp/datagram.ts";
import type { CheckedFeedOptions, FeedField } from "./feed-options.ts";

/** Numbers that one datagram stands for: more would be less than a byte each. */
export const MAX_COUNT = 65_536;

export class FeedFields {
  sequence = 0;
  count = 1;
  readonly #sequence: FeedField;
  readonly #count: FeedField | undefined;
  readonly #modulus: number;

  constructor({ sequence, count, modulus }: CheckedFeedOptions) {
    this.#sequence = sequence;
    this.#count = count;
    this.#modulus = modulus;
  }

  /** False where the datagram says nothing that makes sense. */
  read({ view, at, length }: Datagram): boolean {
    const sequence = this.#sequence(view, at, length);
    if (!(Number.isInteger(sequence) && sequence >= 0 && sequence < this.#modulus)) return false;
    this.sequence = sequence;
    if (this.#count === undefined) return true;
    const count = this.#count(view, at, length);
    this.count = count;
    return Number.isInteger(count) && count >= 0 && count <= MAX_COUNT;
  }
}

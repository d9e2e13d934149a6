/**
 * Who still needs the packets that lie in the reassembler's memory: the delivery that runs, and those who kept one.
 */
import type { Reassembler } from "./reassembly.ts";

export class Slots {
  readonly #reassembler: Reassembler;
  readonly #kept = new Set<number>();

  constructor(reassembler: Reassembler) {
    this.#reassembler = reassembler;
  }

  /** Slots that somebody keeps beyond the delivery. */
  get kept(): number {
    return this.#kept.size;
  }

  /** Somebody needs it beyond the delivery, until `free`. */
  keep(slot: number): void {
    this.#kept.add(slot);
  }

  /** The delivery is over: the slot goes back unless somebody kept it. */
  delivered(slot: number): void {
    if (!this.#kept.has(slot)) this.#reassembler.free(slot);
  }

  /** Nobody needs it any more who kept it. */
  free(slot: number): void {
    if (this.#kept.delete(slot)) this.#reassembler.free(slot);
  }
}

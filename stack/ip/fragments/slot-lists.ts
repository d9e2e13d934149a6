/**
 * Lists of numbered slots, each slot in at most one list, without an allocation after the construction.
 *
 * Doubly linked and circular, in columns: each list has a node of its own behind those of the slots, which stands for both
 * of its ends.
 */

/** No slot. */
export const NONE = -1;

/** `lists` lists over `slots` slots, all empty in the beginning. */
export class SlotLists {
  readonly #slots: number;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #listOf: Int32Array;

  constructor(lists: number, slots: number) {
    const nodes = slots + lists;
    this.#slots = slots;
    this.#next = column(nodes).map((_, node) => node);
    this.#previous = this.#next.slice();
    this.#listOf = column(slots).fill(NONE);
  }

  /** The list that the slot is in, or `NONE`. */
  listOf(slot: number): number {
    return this.#listOf[slot] ?? NONE;
  }

  /** The slot that is in this list the longest, or `NONE`. */
  first(list: number): number {
    return this.#slotOf(this.#next[this.#slots + list]!);
  }

  /** The slot that came into the same list next, or `NONE`. */
  next(slot: number): number {
    return this.#slotOf(this.#next[slot]!);
  }

  /** Puts a slot that is in no list at the end of this one. */
  push(list: number, slot: number): void {
    const end = this.#slots + list;
    const last = this.#previous[end]!;
    this.#next[last] = slot;
    this.#previous[slot] = last;
    this.#next[slot] = end;
    this.#previous[end] = slot;
    this.#listOf[slot] = list;
  }

  /** Takes a slot out of the list that it is in; nothing where it is in none. */
  remove(slot: number): void {
    if (this.#listOf[slot] === NONE) return;
    const next = this.#next[slot]!;
    const previous = this.#previous[slot]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#listOf[slot] = NONE;
  }

  #slotOf(node: number): number {
    return node < this.#slots ? node : NONE;
  }
}

const column = (length: number): Int32Array =>
  new Int32Array(new ArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));

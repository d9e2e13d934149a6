/**
 * The timers that are due soon, as a binary heap: by due time, and of the same due time by the order of their setting.
 */
import { IDLE, type TimerEntry } from "./timer-entry.ts";

export class TimerHeap {
  readonly #heap: TimerEntry[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The first one, undefined where there is none. */
  get top(): TimerEntry | undefined {
    return this.#heap[0];
  }

  /** Takes in an entry that is nowhere else, by its `placedMs` and `placedSequence`. */
  add(entry: TimerEntry): void {
    entry.slot = this.#heap.length;
    this.#heap.push(entry);
    this.#rise(entry.slot);
  }

  /** Takes out an entry that is in this heap. */
  remove(entry: TimerEntry): void {
    const { slot } = entry;
    entry.slot = IDLE;
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#heap[slot] = last;
    last.slot = slot;
    this.moved(last);
  }

  /** Puts an entry of this heap where its changed `placedMs` and `placedSequence` want it. */
  moved(entry: TimerEntry): void {
    this.#rise(entry.slot);
    this.#sink(entry.slot);
  }

  clear(): void {
    for (const entry of this.#heap) entry.slot = IDLE;
    this.#heap.length = 0;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const entry = heap[from]!;
    let slot = from;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      const above = heap[parent]!;
      if (!before(entry, above)) break;
      heap[slot] = above;
      above.slot = slot;
      slot = parent;
    }
    heap[slot] = entry;
    entry.slot = slot;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const entry = heap[from]!;
    let slot = from;
    for (;;) {
      let child = slot * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      const below = heap[child]!;
      if (!before(below, entry)) break;
      heap[slot] = below;
      below.slot = slot;
      slot = child;
    }
    heap[slot] = entry;
    entry.slot = slot;
  }
}

const before = (a: TimerEntry, b: TimerEntry): boolean =>
  a.placedMs < b.placedMs || (a.placedMs === b.placedMs && a.placedSequence < b.placedSequence);

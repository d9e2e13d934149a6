/**
 * The timers that are due later, as a hashed timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels",
 * scheme 6): setting and cancelling cost the same however many there are.
 *
 * Time is cut into ticks, and a timer lies in the list of its tick modulo the size of the wheel, unsorted. Shortly before
 * a tick begins its list is gone through: what is due in it moves to the heap, which sorts; what is due in a later
 * round of the wheel stays. A sweep does so with all ticks up to a horizon; it may take several turns.
 */
import type { TimerHeap } from "./heap.ts";
import { IDLE, IN_WHEEL, type TimerEntry } from "./timer-entry.ts";

/** Length of a tick in ms. A power of two, so that the division is exact: a rounded one could put a timer too late. */
export const TICK_MS = 8;

/** Lists of the wheel, a power of two. With ticks of 8 ms a round takes 33 s: most timers of protocols stay for one. */
export const WHEEL_TICKS = 4096;

/** Ticks before their own that timers move to the heap: a busy loop never finds a due one in the wheel. */
const LEAD_TICKS = 1;

/** Timers that a turn moves or looks at while it sweeps, at most: some 100 us, also where a million share one tick. */
export const MOVES_PER_TURN = 4096;

/** The list, after those of the ticks, that is being gone through. */
const SWEPT = WHEEL_TICKS;

const WORD_BITS = 32;
const WORD_SHIFT = 5;
const WORD_MASK = WORD_BITS - 1;
const WORDS = WHEEL_TICKS / WORD_BITS;

export class TimerWheel {
  /** First timers of the lists. */
  readonly #heads: (TimerEntry | undefined)[] = Array.from({ length: WHEEL_TICKS + 1 }, () => undefined);
  /** A bit for each list of a tick that has timers. */
  readonly #occupied = new Int32Array(new ArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  /** For each list that has timers: when its first one is due, or was before it was cancelled. */
  readonly #earliestMs = new Float64Array(new ArrayBuffer(WHEEL_TICKS * Float64Array.BYTES_PER_ELEMENT));
  #size = 0;
  /** The least of `#earliestMs`, Infinity for none, NaN where it has to be looked for. */
  #firstMs = Infinity;
  /** What is due in this tick or before is never taken in, and leaves with the present sweep. */
  #horizon: number;
  /** No timer of this tick or before is left but in the list SWEPT, whose timers are not due before this tick. */
  #swept: number;
  /** Until then a sweep would find nothing to do. */
  #quietUntilMs = -Infinity;

  constructor(nowMs: number) {
    this.#horizon = tickOf(nowMs) + LEAD_TICKS;
    this.#swept = this.#horizon;
  }

  get size(): number {
    return this.#size;
  }

  /** No timer in the wheel is due before this; those in the heap may run up to here. */
  get clearMs(): number {
    return (this.#heads[SWEPT] === undefined ? this.#swept + 1 : this.#swept) * TICK_MS;
  }

  /** When the first timer is due, in ms; Infinity for none. Earlier where that one was cancelled or moved, never later. */
  get nextMs(): number {
    if (this.#heads[SWEPT] !== undefined) return this.#swept * TICK_MS;
    if (Number.isNaN(this.#firstMs)) this.#firstMs = this.#findFirst();
    return this.#firstMs;
  }

  /** Takes in an entry that is nowhere else, by its `placedMs`. False where that is too soon for the wheel. */
  add(entry: TimerEntry): boolean {
    const tick = tickOf(entry.placedMs);
    if (tick <= this.#horizon) return false;
    this.#link(entry, bucketOf(tick));
    return true;
  }

  /** Takes out an entry that is in this wheel. */
  remove(entry: TimerEntry): void {
    const { next, previous, bucket } = entry;
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) previous.next = next;
    else {
      this.#heads[bucket] = next;
      // The list may have become SWEPT as a whole: only its first timer knows.
      if (next !== undefined) next.bucket = bucket;
      else if (bucket !== SWEPT) this.#vacate(bucket);
    }
    // A timer that its user holds on to must not hold on to others.
    entry.next = undefined;
    entry.previous = undefined;
    entry.slot = IDLE;
    this.#size -= 1;
  }

  /** Moves to `heap` what is due at `nowMs` or shortly after, MOVES_PER_TURN at most; `clearMs` says how far it came. */
  sweep(nowMs: number, heap: TimerHeap): void {
    if (nowMs < this.#quietUntilMs) return;
    let left = MOVES_PER_TURN;
    for (;;) {
      left = this.#empty(heap, left);
      if (left === 0) return;
      if (this.#swept === this.#horizon && !this.#begin(nowMs)) return;
      const tick = tickOf(this.nextMs);
      if (tick > this.#horizon) this.#swept = this.#horizon;
      else this.#open(tick);
    }
  }

  clear(): void {
    for (let bucket = 0; bucket <= SWEPT; bucket++) {
      for (let head = this.#heads[bucket]; head !== undefined; head = this.#heads[bucket]) this.remove(head);
    }
  }

  /** Sets a new horizon after a sweep; false where it is no further yet. */
  #begin(nowMs: number): boolean {
    const horizon = tickOf(nowMs) + LEAD_TICKS;
    if (horizon <= this.#horizon) {
      this.#quietUntilMs = (this.#horizon - LEAD_TICKS + 1) * TICK_MS;
      return false;
    }
    this.#horizon = horizon;
    return true;
  }

  /** Makes the list of `tick` the one that is gone through. */
  #open(tick: number): void {
    const bucket = bucketOf(tick);
    const head = this.#heads[bucket]!;
    this.#heads[bucket] = undefined;
    this.#vacate(bucket);
    head.bucket = SWEPT;
    this.#heads[SWEPT] = head;
    this.#swept = tick;
  }

  /** Goes on through the list SWEPT, `most` timers at most; returns how many it left of those. */
  #empty(heap: TimerHeap, most: number): number {
    let left = most;
    while (left > 0) {
      const entry = this.#heads[SWEPT];
      if (entry === undefined) break;
      left -= 1;
      this.remove(entry);
      // It may have been moved since it was put here: now is the moment to move it.
      entry.placedMs = entry.dueMs;
      entry.placedSequence = entry.sequence;
      if (!this.add(entry)) heap.add(entry);
    }
    return left;
  }

  #link(entry: TimerEntry, bucket: number): void {
    const { placedMs } = entry;
    const head = this.#heads[bucket];
    if (head !== undefined) head.previous = entry;
    else {
      this.#occupied[bucket >> WORD_SHIFT]! |= 1 << (bucket & WORD_MASK);
      this.#earliestMs[bucket] = Infinity;
    }
    entry.next = head;
    entry.bucket = bucket;
    entry.slot = IN_WHEEL;
    this.#heads[bucket] = entry;
    this.#size += 1;
    if (placedMs < this.#earliestMs[bucket]!) this.#earliestMs[bucket] = placedMs;
    // Where it has to be looked for, this is false and it still has to.
    if (placedMs < this.#firstMs) this.#firstMs = placedMs;
  }

  /** Notes that a tick's list is empty. */
  #vacate(bucket: number): void {
    this.#occupied[bucket >> WORD_SHIFT]! &= ~(1 << (bucket & WORD_MASK));
    if (this.#earliestMs[bucket] === this.#firstMs) this.#firstMs = NaN;
  }

  /**
   * The least of `#earliestMs`. It looks at the lists in the order of their next ticks and is done with the first one
   * that is due in this round; only where there is none it has to look at them all.
   */
  #findFirst(): number {
    const first = this.#swept + 1;
    const firstBucket = bucketOf(first);
    let leastMs = Infinity;
    let word = firstBucket >> WORD_SHIFT;
    // Bits of the first word that lie before the first list are looked at last, after a round over all words.
    let bits = this.#occupied[word]! & (-1 << (firstBucket & WORD_MASK));
    for (let i = 0; i <= WORDS; i++) {
      for (; bits !== 0; bits &= bits - 1) {
        const bucket = (word << WORD_SHIFT) + lowestBit(bits);
        const earliestMs = this.#earliestMs[bucket]!;
        const tick = first + ((bucket - firstBucket) & (WHEEL_TICKS - 1));
        if (tickOf(earliestMs) <= tick) return earliestMs;
        if (earliestMs < leastMs) leastMs = earliestMs;
      }
      word = (word + 1) & (WORDS - 1);
      bits = this.#occupied[word]!;
    }
    return leastMs;
  }
}

const tickOf = (ms: number): number => Math.floor(ms / TICK_MS);

/** Ticks outgrow 32 bits, of which only the lowest count. */
const bucketOf = (tick: number): number => (tick | 0) & (WHEEL_TICKS - 1);

const lowestBit = (bits: number): number => WORD_MASK - Math.clz32(bits & -bits);

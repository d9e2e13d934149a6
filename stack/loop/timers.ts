/**
 * Timers of a loop, run from its turn, never early: a wheel for those that are due later, a heap for those due soon.
 *
 * A timer that is moved to a later moment (a retransmission timer at every acknowledgement) keeps its place and is moved
 * when that place comes up, so `restart` costs nothing then.
 */
import { TimerHeap } from "./heap.ts";
import { IDLE, IN_WHEEL, TimerEntry, type Timer, type TimerOwner } from "./timer-entry.ts";
import { MOVES_PER_TURN, TimerWheel } from "./wheel.ts";

export type { Timer } from "./timer-entry.ts";

/** Timers that one loop holds at most: 2^20 of them are some 150 MB, more is a leak in the program. */
export const MAX_TIMERS = 1 << 20;

/** Timers that run in one turn at most, so that a million of them due at once don't starve the devices. */
export const TIMERS_PER_TURN = 1024;

/** The longest time a timer may be set to, in ms: 2^45 is a thousand years, and sums stay exact to a microsecond. */
export const MAX_TIMER_MS = 2 ** 45;

/** The shortest period of `every` in ms; a turn is not shorter than a microsecond. */
export const MIN_PERIOD_MS = 0.001;

/** Runs what is due, and says when the next is. Time is an argument: it has no clock of its own. */
export class Timers implements TimerOwner {
  readonly #now: () => number;
  readonly #failed: (error: unknown, kind: string) => void;
  readonly #limit: number;
  readonly #heap = new TimerHeap();
  readonly #wheel: TimerWheel;
  #sequence = 0;

  /**
   * `now` gives the present time in ms for timers that are being set; `failed` hears of errors that timers throw;
   * `limit` is the most timers held.
   */
  constructor(now: () => number, failed: (error: unknown, kind: string) => void, limit = MAX_TIMERS) {
    this.#now = now;
    this.#failed = failed;
    this.#limit = limit;
    this.#wheel = new TimerWheel(now());
  }

  /** Timers that wait. */
  get size(): number {
    return this.#heap.size + this.#wheel.size;
  }

  /** The moment that the next timer is due, in ms of the clock; Infinity without one. May be earlier, never later. */
  get nextMs(): number {
    return Math.min(this.#heap.top?.placedMs ?? Infinity, this.#wheel.nextMs);
  }

  /** Runs `fn` once, `ms` from now or at most a turn later. Throws a RangeError where the limit is reached. */
  after(ms: number, fn: () => void): Timer {
    return this.#create(ms, 0, fn);
  }

  /**
   * Runs `fn` every `ms`, the first time `ms` from now. It does not drift: due times are whole periods apart. Periods
   * missed in a stall are skipped, not made up for: it runs once and then at the next due time of the old grid.
   */
  every(ms: number, fn: () => void): Timer {
    if (typeof ms !== "number") throw new TypeError(`a period is a number of ms, not ${typeof ms}`);
    if (!(ms >= MIN_PERIOD_MS)) throw new RangeError(`a period is at least ${MIN_PERIOD_MS} ms, not ${ms}`);
    return this.#create(ms, ms, fn);
  }

  /** Runs what is due at `nowMs`, not what those add; returns how many ran. */
  run(nowMs: number): number {
    const newest = this.#sequence;
    const heap = this.#heap;
    this.#wheel.sweep(nowMs, heap);
    // A sweep of very many timers takes several turns; until it has come to a tick, an earlier one may still turn up.
    const { clearMs } = this.#wheel;
    let ran = 0;
    let moved = 0;
    while (ran < TIMERS_PER_TURN && moved < MOVES_PER_TURN) {
      const timer = heap.top;
      if (timer === undefined || timer.placedMs > nowMs || timer.placedMs >= clearMs) break;
      if (timer.sequence !== timer.placedSequence) {
        // It was moved since it took this place: now is the moment to move it.
        this.#place(timer, timer.dueMs, timer.sequence);
        moved += 1;
        continue;
      }
      if (timer.sequence > newest) break;
      this.#settle(timer, nowMs);
      ran += 1;
      try {
        timer.fn();
      } catch (error) {
        this.#failed(error, timer.periodMs > 0 ? "every" : "after");
      }
    }
    return ran;
  }

  /** Cancels all. */
  clear(): void {
    this.#heap.clear();
    this.#wheel.clear();
  }

  /** Puts `timer` at `ms` from now. For TimerEntry. */
  set(timer: TimerEntry, ms: number): void {
    if (typeof ms !== "number") throw new TypeError(`a timer is set to a number of ms, not ${typeof ms}`);
    if (!(ms >= 0 && ms <= MAX_TIMER_MS))
      throw new RangeError(`a timer is set to 0 to ${MAX_TIMER_MS} ms, not ${ms}`);
    const dueMs = this.#now() + ms;
    if (timer.slot === IDLE) {
      if (this.size >= this.#limit)
        throw new RangeError(`a loop holds at most ${this.#limit} timers; cancel those that are not needed`);
    } else if (dueMs >= timer.placedMs) {
      timer.dueMs = dueMs;
      timer.sequence = ++this.#sequence;
      return;
    }
    this.#place(timer, dueMs, ++this.#sequence);
  }

  /** Takes `timer` out. For TimerEntry. */
  remove(timer: TimerEntry): void {
    if (timer.slot >= 0) this.#heap.remove(timer);
    else if (timer.slot === IN_WHEEL) this.#wheel.remove(timer);
  }

  /** Takes a due timer off the heap, or on to its next period. */
  #settle(timer: TimerEntry, nowMs: number): void {
    const { periodMs } = timer;
    if (periodMs === 0) {
      this.#heap.remove(timer);
      return;
    }
    const missed = Math.floor((nowMs - timer.dueMs) / periodMs);
    let dueMs = timer.dueMs + (missed + 1) * periodMs;
    // The division may round up to a whole period too few; a due time must lie ahead or the timer would run twice.
    if (dueMs <= nowMs) dueMs += periodMs;
    this.#place(timer, dueMs, ++this.#sequence);
  }

  #create(ms: number, periodMs: number, fn: () => void): Timer {
    if (typeof fn !== "function") throw new TypeError("a timer needs a function");
    const timer = new TimerEntry(this, fn, periodMs);
    this.set(timer, ms);
    return timer;
  }

  /** Puts `timer`, wherever it is now, where its due time belongs. */
  #place(timer: TimerEntry, dueMs: number, sequence: number): void {
    this.remove(timer);
    timer.dueMs = dueMs;
    timer.placedMs = dueMs;
    timer.sequence = sequence;
    timer.placedSequence = sequence;
    if (!this.#wheel.add(timer)) this.#heap.add(timer);
  }
}

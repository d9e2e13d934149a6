/**
 * Timers of a loop: a binary heap by due time, run from the loop's turn, never early.
 *
 * A timer that is moved to a later moment (a retransmission timer at every acknowledgement) keeps its place in the heap
 * and is moved when it comes up, so `restart` costs nothing then.
 */

/** Timers that one loop holds at most: 2^20 of them are some 100 MB, more is a leak in the program. */
export const MAX_TIMERS = 1 << 20;

/** Timers that run in one turn at most, so that a million of them due at once don't starve the devices. */
export const TIMERS_PER_TURN = 1024;

/** The longest time a timer may be set to, in ms: 2^45 is a thousand years, and sums stay exact to a microsecond. */
export const MAX_TIMER_MS = 2 ** 45;

/** The shortest period of `every` in ms; a turn is not shorter than a microsecond. */
export const MIN_PERIOD_MS = 0.001;

const IDLE = -1;

/** Handed out by `after` and `every`. */
export interface Timer {
  /** True while it will run (again). */
  readonly active: boolean;
  /** It does not run any more. Idempotent. */
  cancel(): void;
  /** Sets it anew, `ms` from now, whether it is active or not. Allocates nothing; an `every` goes on from there. */
  restart(ms: number): void;
  [Symbol.dispose](): void;
}

/** Runs what is due, and says when the next is. Time is an argument: the heap has no clock of its own. */
export class Timers {
  readonly #now: () => number;
  readonly #failed: (error: unknown, kind: string) => void;
  readonly #limit: number;
  readonly #heap: HeapTimer[] = [];
  #sequence = 0;

  /**
   * `now` gives the present time in ms for timers that are being set; `failed` hears of errors that timers throw;
   * `limit` is the most timers held.
   */
  constructor(now: () => number, failed: (error: unknown, kind: string) => void, limit = MAX_TIMERS) {
    this.#now = now;
    this.#failed = failed;
    this.#limit = limit;
  }

  /** Timers that wait. */
  get size(): number {
    return this.#heap.length;
  }

  /** The moment that the next timer is due, in ms of the clock; Infinity without one. May be earlier, never later. */
  get nextMs(): number {
    return this.#heap[0]?.placedMs ?? Infinity;
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
    let ran = 0;
    while (ran < TIMERS_PER_TURN) {
      const timer = this.#heap[0];
      if (timer === undefined || timer.placedMs > nowMs) break;
      if (timer.sequence !== timer.placedSequence) {
        // It was moved since it took this place: now is the moment to move it.
        this.#place(timer, timer.dueMs, timer.sequence);
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
    for (const timer of this.#heap) timer.slot = IDLE;
    this.#heap.length = 0;
  }

  /** Takes a due timer off the heap, or on to its next period. */
  #settle(timer: HeapTimer, nowMs: number): void {
    const { periodMs } = timer;
    if (periodMs === 0) {
      this.remove(timer);
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
    const timer = new HeapTimer(this, fn, periodMs);
    this.set(timer, ms);
    return timer;
  }

  /** Puts `timer` at `ms` from now. For HeapTimer. */
  set(timer: HeapTimer, ms: number): void {
    if (typeof ms !== "number") throw new TypeError(`a timer is set to a number of ms, not ${typeof ms}`);
    if (!(ms >= 0 && ms <= MAX_TIMER_MS))
      throw new RangeError(`a timer is set to 0 to ${MAX_TIMER_MS} ms, not ${ms}`);
    const dueMs = this.#now() + ms;
    if (timer.slot !== IDLE && dueMs >= timer.placedMs) {
      timer.dueMs = dueMs;
      timer.sequence = ++this.#sequence;
      return;
    }
    if (timer.slot === IDLE) {
      if (this.#heap.length >= this.#limit) {
        throw new RangeError(`a loop holds at most ${this.#limit} timers; cancel those that are not needed`);
      }
      timer.slot = this.#heap.length;
      this.#heap.push(timer);
    }
    this.#place(timer, dueMs, ++this.#sequence);
  }

  /** Takes `timer` off the heap. For HeapTimer. */
  remove(timer: HeapTimer): void {
    const { slot } = timer;
    if (slot === IDLE) return;
    timer.slot = IDLE;
    const last = this.#heap.pop()!;
    if (last === timer) return;
    this.#heap[slot] = last;
    last.slot = slot;
    this.#rise(slot);
    this.#sink(last.slot);
  }

  #place(timer: HeapTimer, dueMs: number, sequence: number): void {
    timer.dueMs = dueMs;
    timer.placedMs = dueMs;
    timer.sequence = sequence;
    timer.placedSequence = sequence;
    this.#rise(timer.slot);
    this.#sink(timer.slot);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const timer = heap[from]!;
    let slot = from;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      const above = heap[parent]!;
      if (!before(timer, above)) break;
      heap[slot] = above;
      above.slot = slot;
      slot = parent;
    }
    heap[slot] = timer;
    timer.slot = slot;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const timer = heap[from]!;
    let slot = from;
    for (;;) {
      let child = slot * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      const below = heap[child]!;
      if (!before(below, timer)) break;
      heap[slot] = below;
      below.slot = slot;
      slot = child;
    }
    heap[slot] = timer;
    timer.slot = slot;
  }
}

/** By due time; of the same due time, by the order in which they were set. */
const before = (a: HeapTimer, b: HeapTimer): boolean =>
  a.placedMs < b.placedMs || (a.placedMs === b.placedMs && a.sequence < b.sequence);

class HeapTimer implements Timer {
  readonly fn: () => void;
  readonly periodMs: number;
  readonly #timers: Timers;
  /** Place in the heap. */
  slot = IDLE;
  /** When it is due. */
  dueMs = 0;
  /** The due time that its place in the heap was chosen by: never after `dueMs`. */
  placedMs = 0;
  /** Counts up with every setting: the order among timers of the same due time. */
  sequence = 0;
  /** The sequence that its place in the heap was chosen by. */
  placedSequence = 0;

  constructor(timers: Timers, fn: () => void, periodMs: number) {
    this.#timers = timers;
    this.fn = fn;
    this.periodMs = periodMs;
  }

  get active(): boolean {
    return this.slot !== IDLE;
  }

  cancel(): void {
    this.#timers.remove(this);
  }

  restart(ms: number): void {
    this.#timers.set(this, ms);
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}

/**
 * One timer: what its user holds, and its place in the heap or the wheel of the loop that it belongs to.
 */

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

/** Whoever keeps the timers. */
export interface TimerOwner {
  /** Puts `entry` at `ms` from now. */
  set(entry: TimerEntry, ms: number): void;
  /** Takes `entry` out. */
  remove(entry: TimerEntry): void;
}

/** In `slot`: the timer does not wait. */
export const IDLE = -1;
/** In `slot`: the timer waits in the wheel, in the list `bucket`. */
export const IN_WHEEL = -2;

export class TimerEntry implements Timer {
  readonly fn: () => void;
  /** 0 for a timer that runs once. */
  readonly periodMs: number;
  readonly #owner: TimerOwner;
  /** Place in the heap, or IDLE, or IN_WHEEL. */
  slot = IDLE;
  /** When it is due. */
  dueMs = 0;
  /** The due time that its place was chosen by: never after `dueMs`. */
  placedMs = 0;
  /** Counts up with every setting: the order among timers of the same due time. */
  sequence = 0;
  /** The sequence that its place was chosen by. */
  placedSequence = 0;
  /** The list of the wheel that it is in, and its neighbours there. */
  bucket = 0;
  next: TimerEntry | undefined = undefined;
  previous: TimerEntry | undefined = undefined;

  constructor(owner: TimerOwner, fn: () => void, periodMs: number) {
    this.#owner = owner;
    this.fn = fn;
    this.periodMs = periodMs;
  }

  get active(): boolean {
    return this.slot !== IDLE;
  }

  cancel(): void {
    this.#owner.remove(this);
  }

  restart(ms: number): void {
    this.#owner.set(this, ms);
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}

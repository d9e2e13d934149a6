/**
 * Changes of paths on their way to those who listen: told one after the other, in the order in which they were made.
 *
 * A listener may cause further changes. Those are told after the ones that were made before, so that the last that anybody
 * hears of a path is how it is.
 */
import type { TimerSource } from "../environment.ts";
import type { PathChange } from "./path.ts";

/**
 * Told in one go at most, twice as many as there can be paths; the rest in the loop's next turn, for a listener that answers
 * each change with another must not stop everything else.
 */
export const MAX_TOLD_AT_ONCE = 8192;
/** Waiting at most: more come only of listeners that make several of each. */
export const MAX_UNTOLD = 65_536;

const asItIs = (change: PathChange): PathChange => change;

export class ChangeQueue {
  readonly #timers: TimerSource;
  readonly #tell: (change: PathChange) => void;
  #untold: PathChange[] = [];
  #busy = false;
  #later = false;
  #open = true;

  /** `tell` must not throw. */
  constructor(timers: TimerSource, tell: (change: PathChange) => void) {
    this.#timers = timers;
    this.#tell = tell;
  }

  /**
   * Tells of `changes`, each as `finish` makes it: before it returns, unless it is called from within what is told or finished.
   * All are finished before the first is told. Throws a RangeError where too many wait.
   */
  add(changes: readonly PathChange[], finish: (change: PathChange) => PathChange = asItIs): void {
    const waiting = this.#untold;
    if (waiting.length + changes.length > MAX_UNTOLD)
      throw new RangeError(
        `more than ${MAX_UNTOLD} changes of paths wait: listeners cause more than they hear`,
      );
    const first = waiting.length;
    // In their places first: what they lose is heard of at once, and whoever hears it may make further changes.
    waiting.push(...changes);
    const outermost = !this.#busy;
    this.#busy = true;
    try {
      for (const [i, change] of changes.entries()) waiting[first + i] = finish(change);
    } finally {
      this.#busy = !outermost;
    }
    if (outermost && !this.#later) this.#drain();
  }

  /** Tells nobody anything any more. */
  close(): void {
    this.#open = false;
    this.#untold = [];
  }

  #drain(): void {
    this.#busy = true;
    let told = 0;
    for (; this.#open && told < MAX_TOLD_AT_ONCE && told < this.#untold.length; told++)
      this.#tell(this.#untold[told]!);
    this.#busy = false;
    this.#untold.splice(0, told);
    if (this.#untold.length === 0) return;
    this.#later = true;
    this.#timers.after(0, () => {
      this.#later = false;
      this.#drain();
    });
  }
}

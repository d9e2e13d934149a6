/**
 * Who takes a loop's turns, and how: one after the other, with everything else that the runtime does in between, asleep
 * when there is nothing to do, until it is told to stop.
 *
 * Either `run` takes them or whoever iterates over `events`, never both.
 */
import type { Waiter } from "../device/device.ts";

/** What a drive does its turns with: the loop. */
export interface Engine {
  readonly closed: boolean;
  /** One turn; whether there was anything to do. */
  turn(): boolean;
  maySleep(): boolean;
  sleep(): void;
}

export type Driver = "run" | "events";

export class Drive {
  readonly #engine: Engine;
  readonly #waiter: Waiter;
  #driver: Driver | undefined;
  #stopping = false;
  /** The waiter has been asked for the next step. */
  #scheduled = false;
  #enough: () => boolean = never;
  #ended: (() => void) | undefined;

  constructor(engine: Engine, waiter: Waiter) {
    this.#engine = engine;
    this.#waiter = waiter;
  }

  /** Who takes the turns now. */
  get driver(): Driver | undefined {
    return this.#driver;
  }

  /** True from `stop` until the driver has noticed. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Makes `driver` the one that takes the turns, until `release`. Throws a TypeError where there is one. */
  claim(driver: Driver): void {
    const other = this.#driver;
    if (other !== undefined) {
      throw new TypeError(
        `loop.${driver}() takes the turns of the loop itself, but loop.${other}() does so already: end that one first`,
      );
    }
    this.#driver = driver;
  }

  /** Takes turns until `enough` after one of them, or `stop`, or `release`. One call at a time. */
  until(enough: () => boolean = never): Promise<void> {
    this.#enough = enough;
    const ended = new Promise<void>((resolve) => (this.#ended = resolve));
    this.#schedule();
    return ended;
  }

  stop(): void {
    if (this.#driver !== undefined) this.#stopping = true;
  }

  /** Ends the driving at once: nobody takes turns. Does nothing where nobody did. */
  release(): void {
    this.#driver = undefined;
    this.#stopping = false;
    this.#rest();
  }

  /** What the waiter calls: a turn, and a sleep with a turn after it where there is nothing to do. */
  readonly #step = (): void => {
    this.#scheduled = false;
    const engine = this.#engine;
    if (engine.closed || this.#ended === undefined) return;
    if (!this.#stopping && !engine.turn() && !this.#stopping && !this.#enough() && engine.maySleep()) {
      engine.sleep();
      // What woke us is handled here and now. Yielding first would let sends of the program wait behind the next sleep.
      engine.turn();
    }
    if (this.#stopping && this.#driver === "run") this.release();
    else if (this.#stopping || this.#enough()) this.#rest();
    else if (!engine.closed && this.#ended !== undefined) this.#schedule();
  };

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#waiter.yield(this.#step);
  }

  #rest(): void {
    const ended = this.#ended;
    this.#ended = undefined;
    this.#enough = never;
    ended?.();
  }
}

const never = (): boolean => false;

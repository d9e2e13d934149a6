/**
 * A bounded list of things that each hold until some time, with one timer for all of them.
 */
import type { Timer } from "../../loop/timers.ts";
import type { TimerSource } from "../environment.ts";

interface Entry<T> {
  readonly value: T;
  readonly untilMs: number;
}

export class ExpiringList<T> {
  readonly #timers: TimerSource;
  readonly #limit: number;
  readonly #expired: (value: T, key: string) => void;
  readonly #entries = new Map<string, Entry<T>>();
  #timer: Timer | undefined;

  /** Holds at most `limit`; `expired` is called for each whose time is over, after it is gone from the list. */
  constructor(timers: TimerSource, limit: number, expired: (value: T, key: string) => void) {
    this.#timers = timers;
    this.#limit = limit;
    this.#expired = expired;
  }

  get size(): number {
    return this.#entries.size;
  }

  get full(): boolean {
    return this.#entries.size >= this.#limit;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.value;
  }

  /** When it ends, in ms of the clock; 0 where it's not in the list. */
  untilMs(key: string): number {
    return this.#entries.get(key)?.untilMs ?? 0;
  }

  /** The key of what ends first. */
  soonest(): string | undefined {
    let soonest: string | undefined;
    for (const key of this.#entries.keys()) {
      if (soonest === undefined || this.untilMs(key) < this.untilMs(soonest)) soonest = key;
    }
    return soonest;
  }

  /** Adds or replaces; `Infinity` never ends. False where the list is full. */
  set(key: string, value: T, untilMs: number): boolean {
    if (this.full && !this.#entries.has(key)) return false;
    this.#entries.set(key, { value, untilMs });
    this.#schedule();
    return true;
  }

  /** Takes one off, without a call of `expired`. */
  delete(key: string): T | undefined {
    const value = this.#entries.get(key)?.value;
    this.#entries.delete(key);
    this.#schedule();
    return value;
  }

  /** In order of their first setting. */
  values(): T[] {
    return [...this.#entries.values()].map((entry) => entry.value);
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  /** Forgets all, without calls of `expired`, and stops the timer. */
  clear(): void {
    this.#entries.clear();
    this.#timer?.cancel();
  }

  #schedule(): void {
    let nextMs = Infinity;
    for (const { untilMs } of this.#entries.values()) nextMs = Math.min(nextMs, untilMs);
    if (nextMs === Infinity) {
      this.#timer?.cancel();
      return;
    }
    const waitMs = Math.max(0, nextMs - this.#timers.now);
    if (this.#timer === undefined) this.#timer = this.#timers.after(waitMs, () => this.#expire());
    else this.#timer.restart(waitMs);
  }

  #expire(): void {
    const over = [...this.#entries].filter(([, entry]) => entry.untilMs <= this.#timers.now);
    for (const [key] of over) this.#entries.delete(key);
    this.#schedule();
    for (const [key, { value }] of over) this.#expired(value, key);
  }
}

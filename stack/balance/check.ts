/**
 * Whether a backend lives: a probe, asked again and again, and how many answers in a row make a change.
 */
import type { Timer } from "../loop/timers.ts";

/** Asks a backend. Whatever comes of it is told once; nothing told in time counts as bad. */
export interface Probe {
  /** Begins to ask; `told` may be called at once or later, but for the last question only. */
  ask(told: (good: boolean) => void): void;
  /** Asks no more. Idempotent. */
  close(): void;
}

export interface CheckOptions {
  /** From one question to the next, in ms. Default 1000. */
  readonly intervalMs?: number;
  /** How long an answer may take, in ms; less than the interval. Default half of it. */
  readonly timeoutMs?: number;
  /** Good answers in a row that bring a backend back that was down. Default 2; the very first time one is enough. */
  readonly rise?: number;
  /** Bad ones in a row that take it out. Default 3. */
  readonly fall?: number;
  /** Called when the verdict has changed, after the backend has heard of it. */
  readonly onChange?: (healthy: boolean) => void;
}

/** What a check is about: a backend, or several that live and die together. */
export interface Checked {
  setHealthy(healthy: boolean): void;
}

/** What keeps the time: a loop. */
export interface CheckTimers {
  readonly now: number;
  after(ms: number, fn: () => void): Timer;
  every(ms: number, fn: () => void): Timer;
}

const DEFAULT_INTERVAL_MS = 1000;
const DEFAULT_RISE = 2;
const DEFAULT_FALL = 3;
/** A backend asked more often is not better known, but busy. */
const MIN_INTERVAL_MS = 10;
const MAX_IN_ROW = 1000;

export class BackendCheck {
  readonly backend: Checked;
  readonly #timers: CheckTimers;
  readonly #probe: Probe;
  readonly #timeoutMs: number;
  readonly #rise: number;
  readonly #fall: number;
  readonly #onChange: ((healthy: boolean) => void) | undefined;
  readonly #timer: Timer;
  #limit: Timer | undefined;
  /** Number of the question that is open, and of the last one: answers to others are too late. */
  #asked = 0;
  #askedMs = 0;
  #inRow = 0;
  #verdict: "unknown" | "up" | "down" = "unknown";
  #rttMs: number | undefined;
  #open = true;

  /**
   * Takes the backend out until its first good answer, and asks for that at once.
   *
   * @throws RangeError that names the option that is out of range, and what the probe throws.
   */
  constructor(timers: CheckTimers, backend: Checked, probe: Probe, options: CheckOptions = {}) {
    const { intervalMs = DEFAULT_INTERVAL_MS, rise = DEFAULT_RISE, fall = DEFAULT_FALL } = options;
    const timeoutMs = options.timeoutMs ?? intervalMs / 2;
    if (!(intervalMs >= MIN_INTERVAL_MS && intervalMs < Infinity))
      throw new RangeError(`intervalMs is a number from ${MIN_INTERVAL_MS}, not ${String(intervalMs)}`);
    if (!(timeoutMs > 0 && timeoutMs < intervalMs))
      throw new RangeError(`timeoutMs is more than 0 and less than the interval, not ${String(timeoutMs)}`);
    requireInRow("rise", rise);
    requireInRow("fall", fall);
    this.backend = backend;
    this.#timers = timers;
    this.#probe = probe;
    this.#timeoutMs = timeoutMs;
    this.#rise = rise;
    this.#fall = fall;
    this.#onChange = options.onChange;
    backend.setHealthy(false);
    this.#timer = timers.every(intervalMs, () => this.#ask());
    try {
      this.#ask();
    } catch (error) {
      // Nobody has this check to close it.
      this.close();
      throw error;
    }
  }

  get verdict(): "unknown" | "up" | "down" {
    return this.#verdict;
  }

  /** How long the last good answer took, in ms. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Asks no more; the backend stays as it is. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#timer.cancel();
    this.#limit?.cancel();
    this.#probe.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #ask(): void {
    const question = ++this.#asked;
    this.#askedMs = this.#timers.now;
    this.#limit?.cancel();
    this.#limit = this.#timers.after(this.#timeoutMs, () => this.#told(question, false));
    this.#probe.ask((good) => this.#told(question, good));
  }

  #told(question: number, good: boolean): void {
    if (!this.#open || question !== this.#asked || this.#limit === undefined) return;
    this.#limit.cancel();
    this.#limit = undefined;
    if (good) this.#rttMs = this.#timers.now - this.#askedMs;
    if (this.#verdict === (good ? "up" : "down")) {
      this.#inRow = 0;
      return;
    }
    this.#inRow += 1;
    const needed = this.#verdict === "unknown" ? 1 : good ? this.#rise : this.#fall;
    if (this.#inRow < needed) return;
    this.#inRow = 0;
    this.#verdict = good ? "up" : "down";
    this.backend.setHealthy(good);
    this.#onChange?.(good);
  }
}

const requireInRow = (name: string, value: number): void => {
  if (!Number.isInteger(value) || value < 1 || value > MAX_IN_ROW)
    throw new RangeError(`${name} is a whole number from 1 to ${MAX_IN_ROW}, not ${String(value)}`);
};

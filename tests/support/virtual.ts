/**
 * A clock, a waiter and a source of signals that a test moves by hand, so that a loop runs in virtual time.
 */
import type { Clock, SignalSource, Waiter } from "../../stack/device/device.ts";

/** Time that stands still until it is set. */
export class VirtualClock implements Clock {
  #nowMs: number;

  constructor(nowMs = 0) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  /** Moves time on by `ms`. */
  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

/** A waiter whose turns a test takes, and whose sleeps move the clock. */
export class ManualWaiter implements Waiter {
  readonly sleeps: number[] = [];
  readonly watched: (readonly number[])[] = [];
  /** Called in each sleep: what happens while the loop is asleep. */
  onSleep: (timeoutMs: number) => void = () => {};
  closed = 0;
  readonly #clock: VirtualClock;
  #turn: (() => void) | undefined;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  watch(fds: readonly number[]): void {
    this.watched.push([...fds]);
  }

  yield(turn: () => void): void {
    if (this.#turn !== undefined) throw new Error("the loop yielded twice");
    this.#turn = turn;
  }

  sleep(timeoutMs: number): void {
    this.sleeps.push(timeoutMs);
    this.#clock.advance(timeoutMs);
    this.onSleep(timeoutMs);
  }

  close(): void {
    this.closed += 1;
    this.#turn = undefined;
  }

  /** Takes `count` steps of the loop; false when it has none left to take. */
  step(count = 1): boolean {
    for (let i = 0; i < count; i++) {
      const turn = this.#turn;
      if (turn === undefined) return false;
      this.#turn = undefined;
      turn();
    }
    return true;
  }
}

/** Signals that a test raises. */
export class ManualSignals implements SignalSource {
  readonly #listeners = new Map<string, Set<() => void>>();

  listen(signal: string, listener: () => void): () => void {
    const listeners = this.#listeners.get(signal) ?? new Set();
    this.#listeners.set(signal, listeners);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  raise(signal: string): void {
    for (const listener of [...(this.#listeners.get(signal) ?? [])]) listener();
  }

  listeners(signal: string): number {
    return this.#listeners.get(signal)?.size ?? 0;
  }
}

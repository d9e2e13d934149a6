/**
 * A loop that checks its own timers: none early, none later than the first turn after it was due, none left behind.
 *
 * It also knows every device that is received from in it, loopbacks of hosts among them, so that a test finds their umems.
 */
import type { Clock, Device } from "../../stack/device/device.ts";
import { Loop } from "../../stack/loop/loop.ts";
import type { LoopOptions } from "../../stack/loop/options.ts";
import type { FrameHandler } from "../../stack/loop/receiver.ts";
import type { Subscription } from "../../stack/loop/subscription.ts";
import type { Timer } from "../../stack/loop/timers.ts";

/** Sums of fractions of a millisecond are exact to less than this. */
const EXACT_MS = 1e-6;

export class WatchedLoop extends Loop {
  /** Every device that was ever received from here. */
  readonly devices = new Set<Device>();
  /** What was wrong with timers. */
  readonly complaints: string[] = [];
  readonly #clock: Clock;
  readonly #active = new Set<WatchedTimer>();
  #turnMs = -Infinity;
  #beforeMs = -Infinity;

  constructor(options: LoopOptions) {
    super(options);
    this.#clock = options.clock;
  }

  /** Timers that wait now. */
  get timers(): number {
    return this.#active.size;
  }

  override receive(device: Device, handler: FrameHandler): Subscription {
    this.devices.add(device);
    return super.receive(device, handler);
  }

  override turn(nowMs: number = this.#clock.nowMs()): boolean {
    if (nowMs > this.#turnMs) {
      this.#beforeMs = this.#turnMs;
      this.#turnMs = nowMs;
    }
    return super.turn(nowMs);
  }

  override after(ms: number, fn: () => void): Timer {
    return this.#watch(ms, 0, fn, (run) => super.after(ms, run));
  }

  override every(ms: number, fn: () => void): Timer {
    return this.#watch(ms, ms, fn, (run) => super.every(ms, run));
  }

  #watch(ms: number, periodMs: number, fn: () => void, create: (run: () => void) => Timer): Timer {
    const timer: WatchedTimer = new WatchedTimer(
      () => this.#clock.nowMs(),
      create(() => {
        this.#judge(timer);
        timer.ran(this.#turnMs, periodMs);
        if (periodMs === 0) this.#active.delete(timer);
        fn();
      }),
      this.#active,
    );
    timer.begin(ms);
    return timer;
  }

  /** It runs in the first turn at or after its time: the turn before that was earlier than it was due. */
  #judge(timer: WatchedTimer): void {
    const { dueMs } = timer;
    if (this.#turnMs < dueMs - EXACT_MS)
      this.complaints.push(`a timer due at ${dueMs} ms ran at ${this.#turnMs} ms`);
    else if (this.#beforeMs > dueMs + EXACT_MS)
      this.complaints.push(`a timer due at ${dueMs} ms missed the turn at ${this.#beforeMs} ms`);
  }
}

class WatchedTimer implements Timer {
  dueMs = 0;
  readonly #now: () => number;
  readonly #inner: Timer;
  readonly #all: Set<WatchedTimer>;

  constructor(now: () => number, inner: Timer, all: Set<WatchedTimer>) {
    this.#now = now;
    this.#inner = inner;
    this.#all = all;
  }

  get active(): boolean {
    return this.#inner.active;
  }

  cancel(): void {
    this.#inner.cancel();
    this.#all.delete(this);
  }

  restart(ms: number): void {
    this.#inner.restart(ms);
    this.begin(ms);
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  begin(ms: number): void {
    this.dueMs = this.#now() + ms;
    this.#all.add(this);
  }

  /** On to the next period of the old grid. */
  ran(nowMs: number, periodMs: number): void {
    if (periodMs === 0) return;
    this.dueMs += (Math.floor((nowMs - this.dueMs) / periodMs) + 1) * periodMs;
    if (this.dueMs <= nowMs) this.dueMs += periodMs;
  }
}

/**
 * What a loop can be told and what it tells: options with their limits, and its counters.
 */
import type { Clock, SignalSource, Waiter } from "../device/device.ts";
import type { ErrorHandler } from "./errors.ts";

/** `spin` never sleeps, `adaptive` sleeps after `spinMs` without a frame, `sleep` whenever there is nothing to do. */
export type WaitMode = "spin" | "adaptive" | "sleep";

export interface LoopOptions {
  readonly clock: Clock;
  readonly waiter: Waiter;
  readonly signals?: SignalSource;
  /** Default: adaptive. */
  readonly mode?: WaitMode;
  /** Chunks that one burst holds, 18 to 1024. Default: 64. */
  readonly burst?: number;
  /** Adaptive mode spins this long after the last frame, in ms. Default: 0.1, several times what waking up costs. */
  readonly spinMs?: number;
  /** The longest single sleep in ms: how late the runtime's own timers may be. Default: 10. */
  readonly napMs?: number;
  /** Hears of everything that a handler throws. Default: prints each distinct error once on the console. */
  readonly onError?: ErrorHandler;
}

/** Counters since the loop was made. */
export interface LoopStatistics {
  readonly turns: number;
  /** Turns that found nothing to do. */
  readonly idleTurns: number;
  readonly bursts: number;
  readonly packets: number;
  readonly timers: number;
  readonly signals: number;
  readonly linkEvents: number;
  /** Events that watched sources said they handled. */
  readonly sourceEvents: number;
  readonly sleeps: number;
  /** What handlers (and the devices themselves) threw. */
  readonly handlerErrors: number;
  /** Devices in the loop now. */
  readonly devices: number;
}

/** A packet may be of 18 chunks (MAX_SKB_FRAGS and the head, include/linux/skbuff.h), and bursts hold whole packets. */
export const MIN_BURST = 18;
/** More only moves the cache misses: 1024 chunks are 2 MiB of packets. */
export const MAX_BURST = 1024;
/** A minute: longer sleeps or spins are a mistake in the unit. */
export const MAX_WAIT_MS = 60_000;
/** The kernel's timers are no finer than tens of us; a shorter nap is a spin with a system call in it. */
export const MIN_NAP_MS = 0.01;

const DEFAULT_BURST = 64;
const DEFAULT_SPIN_MS = 0.1;
/** An idle loop takes 2.3 % of a core with naps of 5 ms and 1.8 % with 10 (a virtual machine; bare Bun with a 10 ms timer: 1.1 %). */
const DEFAULT_NAP_MS = 10;

const KEYS: ReadonlySet<string> = new Set<keyof LoopOptions>([
  "clock",
  "waiter",
  "signals",
  "mode",
  "burst",
  "spinMs",
  "napMs",
  "onError",
]);

/** The options with defaults, checked. Throws a RangeError or TypeError that names the wrong one. */
export const checkLoopOptions = (options: LoopOptions) => {
  if (typeof options !== "object" || options === null)
    throw new TypeError("a loop takes an object of options");
  const unknown = Object.keys(options).find((key) => !KEYS.has(key));
  if (unknown !== undefined) {
    throw new TypeError(`a loop has no option "${unknown}"; it has ${[...KEYS].join(", ")}`);
  }
  const {
    mode = "adaptive",
    burst = DEFAULT_BURST,
    spinMs = DEFAULT_SPIN_MS,
    napMs = DEFAULT_NAP_MS,
  } = options;
  return {
    mode: checkMode(mode),
    burst: checkWhole("burst", checkRange("burst", burst, MIN_BURST, MAX_BURST)),
    spinMs: checkRange("spinMs", spinMs, 0, MAX_WAIT_MS),
    napMs: checkRange("napMs", napMs, MIN_NAP_MS, MAX_WAIT_MS),
  };
};

const checkMode = (mode: WaitMode): WaitMode => {
  if (mode === "spin" || mode === "adaptive" || mode === "sleep") return mode;
  throw new TypeError(`mode is "spin", "adaptive" or "sleep", not ${String(mode)}`);
};

const checkRange = (name: string, value: number, least: number, most: number): number => {
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new RangeError(`${name} is ${least} to ${most}, not ${String(value)}`);
};

const checkWhole = (name: string, value: number): number => {
  if (Number.isInteger(value)) return value;
  throw new RangeError(`${name} is a whole number, not ${value}`);
};

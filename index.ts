/**
 * The public names of millrace, and the wiring of `ffi/` to `stack/`: a loop that has a clock, sleeps and hears signals.
 */
import { PollWaiter } from "./ffi/index.ts";
import {
  type Clock,
  Loop as StackLoop,
  type LoopOptions as StackLoopOptions,
  type SignalSource,
} from "./stack/index.ts";

export * from "./ffi/index.ts";
export * from "./stack/index.ts";
/** The class over AF_XDP memory, which fits the seam's interface of the same name. */
export { Umem, type UmemOptions } from "./ffi/index.ts";

/** CLOCK_MONOTONIC as the runtime gives it: milliseconds since the process began, with a fraction. */
export const monotonicClock: Clock = { nowMs: () => performance.now() };

/** Signals of this process. While one is listened to, it does not end the process any more. */
export const processSignals: SignalSource = {
  listen(signal, listener) {
    process.on(signal, listener);
    return () => void process.off(signal, listener);
  },
};

/** What a loop can be told; clock, waiter and signals are the process's own unless given. */
export type LoopOptions = Partial<StackLoopOptions>;

/** A loop on this process's clock and signals, which sleeps in the kernel when there is nothing to do. */
export class Loop extends StackLoop {
  constructor(options: LoopOptions = {}) {
    super({ clock: monotonicClock, waiter: new PollWaiter(), signals: processSignals, ...options });
  }
}

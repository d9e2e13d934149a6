/**
 * What the life of a simulated world came to, whatever kind of world it was, and how one is lived through.
 */
import type { Trace } from "./witness.ts";

export interface Outcome {
  readonly seed: number;
  /** What was wrong; empty where nothing was. */
  readonly complaints: readonly string[];
  /** The last lines of the trace, where they were wanted. */
  readonly lines: readonly string[];
  /** Over every frame and its time. */
  readonly hash: number;
  readonly frames: number;
  /** Virtual time that passed. */
  readonly ms: number;
}

/** Goes through the parts of a life until something is wrong. Never throws for what is; the outcome is after `now` ms. */
export const liveThrough = (
  seed: number,
  trace: Trace,
  now: () => number,
  phases: readonly (() => void)[],
): Outcome => {
  try {
    for (const phase of phases) {
      phase();
      if (trace.complaints.length > 0) break;
    }
  } catch (error) {
    trace.complain(`thrown: ${(error as Error)?.stack ?? String(error)}`);
  }
  const { hash, frames, complaints, lines } = trace;
  return { seed, complaints, lines, hash, frames, ms: now() };
};

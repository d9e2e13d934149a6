/**
 * What is asked of every kind of simulated world: no seed breaks a promise, and the same seed goes the same way.
 */
import { expect, test } from "bun:test";
import type { Outcome } from "./outcome.ts";

/** Of one test; ten times what it takes. */
const PATIENCE_MS = 60_000;
const FIRST = 1;

/** A kind of world, and how much of it is tried. */
export interface Worlds<O extends Outcome> {
  readonly seeds: number;
  readonly inOneTest: number;
  /** Every so many seeds one is run twice. */
  readonly twiceEvery: number;
  readonly run: (seed: number) => O;
  /** What went wrong with a seed, in words. */
  readonly explain: (seed: number) => string;
  /** Hears of each outcome. */
  readonly add: (outcome: O) => void;
}

/** Declares the tests, inside a `describe`. */
export const keepsItsPromises = <O extends Outcome>(worlds: Worlds<O>): void => {
  const { seeds, inOneTest, twiceEvery, run, explain, add } = worlds;
  for (let from = FIRST; from < FIRST + seeds; from += inOneTest) {
    test(
      `keeps its promises with the seeds ${from} to ${from + inOneTest - 1}`,
      () => {
        for (let seed = from; seed < from + inOneTest; seed++) {
          const outcome = run(seed);
          add(outcome);
          if (outcome.complaints.length > 0) throw new Error(explain(seed));
        }
      },
      PATIENCE_MS,
    );
  }

  test(
    "goes the same way with the same seed",
    () => {
      for (let seed = FIRST; seed < FIRST + seeds; seed += twiceEvery) {
        const { hash, frames, ms } = run(seed);
        expect(run(seed)).toMatchObject({ hash, frames, ms });
      }
    },
    PATIENCE_MS,
  );
};

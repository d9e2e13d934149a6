/** Worlds of paths in virtual time, one for each seed: whatever is cut, flaps or leaves, service goes on where any path lives. */
import { describe, expect, test } from "bun:test";
import { explainLink, explainPaths, LifeTally } from "./paths/report.ts";
import { simulateLink, simulatePaths } from "./paths/simulate.ts";

const FIRST = 1;
const IN_ONE_TEST = 20;
/** Every so many seeds one is run twice. */
const TWICE_EVERY = 20;
/** Of one test; ten times what it takes. */
const PATIENCE_MS = 60_000;

const KINDS = [
  { what: "networks between two hosts", seeds: 80, run: simulatePaths, explain: explainPaths },
  { what: "one link with several interfaces", seeds: 40, run: simulateLink, explain: explainLink },
];

describe.each(KINDS)("a world of $what", ({ what, seeds, run, explain }) => {
  const all = new LifeTally(what);

  for (let from = FIRST; from < FIRST + seeds; from += IN_ONE_TEST) {
    test(
      `keeps its promises with the seeds ${from} to ${from + IN_ONE_TEST - 1}`,
      () => {
        for (let seed = from; seed < from + IN_ONE_TEST; seed++) {
          const outcome = run(seed);
          all.add(outcome);
          if (outcome.complaints.length > 0) throw new Error(explain(seed));
        }
      },
      PATIENCE_MS,
    );
  }

  test(
    "goes the same way with the same seed",
    () => {
      for (let seed = FIRST; seed < FIRST + seeds; seed += TWICE_EVERY) {
        const { hash, frames, ms } = run(seed);
        expect(run(seed)).toMatchObject({ hash, frames, ms });
      }
    },
    PATIENCE_MS,
  );

  test("was not empty", () => {
    expect(all.seeds).toBe(seeds);
    expect(all.frames).toBeGreaterThan(5000 * seeds);
    expect(all.questions).toBeGreaterThan(500 * seeds);
    // Most of the time something has just broken, and nobody can know of it yet.
    expect(all.required).toBeGreaterThan(100 * seeds);
  });
});

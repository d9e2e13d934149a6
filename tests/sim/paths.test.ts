/** Worlds of paths in virtual time, one for each seed: whatever is cut, flaps or leaves, service goes on where any path lives. */
import { describe, expect, test } from "bun:test";
import { explainLink, explainPaths, LifeTally } from "./paths/report.ts";
import { simulateLink, simulatePaths } from "./paths/simulate.ts";
import { keepsItsPromises } from "./suite.ts";

const KINDS = [
  { what: "networks between two hosts", seeds: 80, run: simulatePaths, explain: explainPaths },
  { what: "one link with several interfaces", seeds: 40, run: simulateLink, explain: explainLink },
];

describe.each(KINDS)("a world of $what", ({ what, seeds, run, explain }) => {
  const all = new LifeTally(what);

  keepsItsPromises({
    seeds,
    inOneTest: 10,
    twiceEvery: 20,
    run: (seed) => run(seed),
    explain,
    add: (outcome) => all.add(outcome),
  });

  test("was not empty", () => {
    expect(all.seeds).toBe(seeds);
    expect(all.frames).toBeGreaterThan(4000 * seeds);
    expect(all.questions).toBeGreaterThan(500 * seeds);
    // Most of the time something has just broken, and nobody can know of it yet.
    expect(all.required).toBeGreaterThan(100 * seeds);
  });
});

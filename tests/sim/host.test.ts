/** Worlds of hosts in virtual time, one for each seed: whatever goes wrong on the links, what must hold holds. */
import { describe, expect, test } from "bun:test";
import { explain, Tally } from "./report.ts";
import { simulate } from "./simulate.ts";

const SEEDS = 1000;
const IN_ONE_TEST = 100;
/** Every so many seeds one is run twice. */
const TWICE_EVERY = 50;
const FIRST = 1;
/** Of one test; ten times what it takes. */
const PATIENCE_MS = 60_000;

describe("a world of hosts", () => {
  const all = new Tally();

  for (let from = FIRST; from < FIRST + SEEDS; from += IN_ONE_TEST) {
    test(
      `keeps its promises with the seeds ${from} to ${from + IN_ONE_TEST - 1}`,
      () => {
        for (let seed = from; seed < from + IN_ONE_TEST; seed++) {
          const outcome = simulate(seed);
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
      for (let seed = FIRST; seed < FIRST + SEEDS; seed += TWICE_EVERY) {
        const { hash, frames, ms } = simulate(seed);
        expect(simulate(seed)).toMatchObject({ hash, frames, ms });
      }
    },
    PATIENCE_MS,
  );

  test("was not empty", () => {
    expect(all.seeds).toBe(SEEDS);
    expect(all.frames).toBeGreaterThan(200 * SEEDS);
    expect(all.datagrams).toBeGreaterThan(20 * SEEDS);
  });
});

/** Worlds of hosts in virtual time, one for each seed: whatever goes wrong on the links, what must hold holds. */
import { describe, expect, test } from "bun:test";
import { explain, Tally } from "./report.ts";
import { simulate } from "./simulate.ts";
import { keepsItsPromises } from "./suite.ts";

const SEEDS = 1000;

describe("a world of hosts", () => {
  const all = new Tally();

  keepsItsPromises({
    seeds: SEEDS,
    inOneTest: 100,
    twiceEvery: 50,
    run: (seed) => simulate(seed),
    explain,
    add: (outcome) => all.add(outcome),
  });

  test("was not empty", () => {
    expect(all.seeds).toBe(SEEDS);
    expect(all.frames).toBeGreaterThan(200 * SEEDS);
    expect(all.datagrams).toBeGreaterThan(20 * SEEDS);
  });
});

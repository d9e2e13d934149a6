/**
 * Runs any number of seeds: `bun run tests/sim/run.ts [SEEDS [FIRST]]`. Ends with 1 where one failed.
 */
import { explain, Tally } from "./report.ts";
import { simulate } from "./simulate.ts";

const DEFAULT_SEEDS = 1000;
const MOST_EXPLAINED = 3;
const TELL_EVERY_MS = 10_000;

const [seeds = DEFAULT_SEEDS, first = 1] = process.argv.slice(2).map(Number);
if (!(Number.isSafeInteger(seeds) && seeds > 0 && Number.isSafeInteger(first))) {
  console.error("usage: bun run tests/sim/run.ts [SEEDS [FIRST]]");
  process.exit(2);
}
const tally = new Tally();
const startMs = performance.now();
let toldMs = startMs;
for (let seed = first; seed < first + seeds; seed++) {
  const outcome = simulate(seed);
  tally.add(outcome);
  if (outcome.complaints.length > 0)
    console.log(tally.failed.length <= MOST_EXPLAINED ? explain(seed) : `seed ${seed} failed too`);
  const nowMs = performance.now();
  if (nowMs - toldMs < TELL_EVERY_MS) continue;
  toldMs = nowMs;
  console.log(`... ${tally} (${((nowMs - startMs) / tally.seeds).toFixed(1)} ms a seed)`);
}
console.log(`${tally} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`);
if (tally.failed.length > 0) console.log(`failed: ${tally.failed.join(" ")}`);
process.exit(tally.failed.length > 0 ? 1 : 0);

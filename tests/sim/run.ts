/**
 * Runs any number of seeds, each as a world of hosts, of networks between two hosts, and of one link:
 * `bun run tests/sim/run.ts [SEEDS [FIRST [JOBS]]]`. Ends with 1 where one failed. With JOBS, as many processes
 * each take a part of the seeds.
 */
import { explainLink, explainPaths, LifeTally } from "./paths/report.ts";
import { simulateLink, simulatePaths } from "./paths/simulate.ts";
import { explain, Tally } from "./report.ts";
import { simulate } from "./simulate.ts";

const DEFAULT_SEEDS = 1000;
const MOST_EXPLAINED = 3;
const TELL_EVERY_MS = 10_000;

const [seeds = DEFAULT_SEEDS, first = 1, jobs = 1] = process.argv.slice(2).map(Number);
if (!([seeds, first, jobs].every(Number.isSafeInteger) && seeds > 0 && jobs > 0)) {
  console.error("usage: bun run tests/sim/run.ts [SEEDS [FIRST [JOBS]]]");
  process.exit(2);
}
if (jobs > 1) process.exit(await divide(seeds, first, jobs));

/** Has a process each run a part of the seeds; 1 where one of them failed. */
async function divide(count: number, from: number, processes: number): Promise<0 | 1> {
  const share = Math.ceil(count / processes);
  const running: Promise<number>[] = [];
  for (let start = 0; start < count; start += share) {
    const own = [Math.min(share, count - start), from + start].map(String);
    const command = [process.execPath, "run", import.meta.path, ...own];
    running.push(Bun.spawn(command, { stdout: "inherit", stderr: "inherit" }).exited);
  }
  return (await Promise.all(running)).every((code) => code === 0) ? 0 : 1;
}

const hosts = new Tally();
const networks = new LifeTally("worlds of networks");
const links = new LifeTally("worlds of one link");
const failed = (): number => hosts.failed.length + networks.failed.length + links.failed.length;

/** Tells of a world that failed: of the first few all that is known. */
const tell = (seed: number, complaints: readonly string[], why: (seed: number) => string): void => {
  if (complaints.length === 0) return;
  console.log(failed() <= MOST_EXPLAINED ? why(seed) : `seed ${seed} failed too: ${complaints[0]}`);
};

/** Every kind of world of one seed. */
const run = (seed: number): void => {
  const ofHosts = simulate(seed);
  hosts.add(ofHosts);
  tell(seed, ofHosts.complaints, explain);
  const ofNetworks = simulatePaths(seed);
  networks.add(ofNetworks);
  tell(seed, ofNetworks.complaints, explainPaths);
  const ofLink = simulateLink(seed);
  links.add(ofLink);
  tell(seed, ofLink.complaints, explainLink);
};

const startMs = performance.now();
let toldMs = startMs;
for (let seed = first; seed < first + seeds; seed++) {
  run(seed);
  const nowMs = performance.now();
  if (nowMs - toldMs < TELL_EVERY_MS) continue;
  toldMs = nowMs;
  console.log(
    `... ${hosts}; ${networks}; ${links} (${((nowMs - startMs) / hosts.seeds).toFixed(1)} ms a seed)`,
  );
}
console.log(`${hosts}\n${networks}\n${links} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`);
for (const [what, tally] of Object.entries({ hosts, networks, links }))
  if (tally.failed.length > 0) console.log(`failed worlds of ${what}: ${tally.failed.join(" ")}`);
process.exit(failed() > 0 ? 1 : 0);

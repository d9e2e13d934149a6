/**
 * Runs the tests tier by tier, the fast ones first, each file in a process of its own, some side by side, and adds up what
 * they say.
 *
 * `bun run tests/run.ts [TIER...]`, where a tier is a folder or a file of tests/. A file that dies without a summary counts
 * as one failure. The last line is `N passed, N failed, N skipped`.
 */
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { formatTally, NO_TALLY, plus, type Tally } from "./support/tally.ts";

/** Order matters: a wrong index should be found before a hundred namespaces are made. */
const TIERS = ["unit", "oracle", "sim", "fuzz", "veth", "interop"] as const;
/** Tiers in virtual time, or whose programs mostly wait for each other. In "veth" the kernel's timing is part of the test. */
const TOGETHER: ReadonlySet<string> = new Set(["unit", "oracle", "sim", "fuzz", "interop"]);
/** More at once would try the patience of tests rather than the code. */
const MAX_WORKERS = 2;
/** The slowest test (1000 attaches, 200 kills) takes minutes on a busy machine. */
const TEST_TIMEOUT_MS = 300_000;

const root = import.meta.dir;

const filesOf = (tier: string): string[] => {
  const path = join(root, tier);
  if (tier.endsWith(".test.ts")) return [path];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => join(path, name));
};

const countOf = (output: string, word: string): number => {
  const found = output.match(new RegExp(`^\\s*(\\d+) ${word}$`, "m"));
  return found === null ? 0 : Number(found[1]);
};

const runFile = async (file: string): Promise<Tally> => {
  const name = relative(join(root, ".."), file);
  const started = performance.now();
  const child = Bun.spawn([process.execPath, "test", file, "--timeout", String(TEST_TIMEOUT_MS)], {
    cwd: join(root, ".."),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const output = `${stdout}${stderr}`;
  const failed = countOf(output, "fail");
  const tally = {
    passed: countOf(output, "pass"),
    // A crash, a syntax error or a failing hook leaves no failed test behind it, but an exit code.
    failed: child.exitCode !== 0 && failed === 0 ? 1 : failed,
    skipped: countOf(output, "skip"),
  };
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${tally.failed > 0 ? "FAIL" : "ok  "} ${name}: ${formatTally(tally)} (${seconds} s)`);
  const reasons = output.split("\n").filter((line) => line.startsWith("skipped: "));
  for (const reason of new Set(reasons)) console.log(`     ${reason}`);
  if (tally.failed > 0) console.log(output.replace(/^\(pass\).*\n/gm, ""));
  return tally;
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((tier) => !existsSync(join(root, tier)));
if (unknown !== undefined) {
  console.error(`there is no tier "${unknown}"; there are ${TIERS.join(", ")}`);
  process.exit(2);
}
/** An emulated processor has no time to share. */
const emulated = process.env.MILLRACE_VM === "1";

/**
 * Runs files, some at a time. Neighbours take processor time, on this machine and beside it: what fails is run once more, alone,
 * and that counts.
 */
const runAll = async (files: readonly string[], workers: number): Promise<Tally> => {
  const waiting = [...files];
  const again: string[] = [];
  let sum: Tally = NO_TALLY;
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const tally = await runFile(file);
      if (tally.failed > 0) again.push(file);
      else sum = plus(sum, tally);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  if (again.length > 0) console.log("     once more, alone; what fails twice has failed:");
  for (const file of again) sum = plus(sum, await runFile(file));
  return sum;
};

let total: Tally = NO_TALLY;
for (const tier of wanted.length > 0 ? wanted : TIERS) {
  const workers = emulated || !TOGETHER.has(tier) ? 1 : Math.min(MAX_WORKERS, availableParallelism());
  total = plus(total, await runAll(filesOf(tier), workers));
}
console.log(formatTally(total));
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

/**
 * Runs the tests tier by tier, the fast ones first, each file in a process of its own, and adds up what they say.
 *
 * `bun run tests/run.ts [TIER...]`, where a tier is a folder of tests/. A file that dies without a summary counts as
 * one failure. The last line is `N passed, N failed, N skipped`.
 */
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";

/** Order matters: a wrong index should be found before a hundred namespaces are made. */
const TIERS = ["unit", "oracle", "veth", "interop"] as const;
/** The slowest test (1000 attaches, 200 kills) takes minutes on a busy machine. */
const TEST_TIMEOUT_MS = 300_000;

const root = import.meta.dir;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const filesOf = (tier: string): string[] =>
  readdirSync(join(root, tier), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => join(root, tier, name));

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
  const tally = {
    passed: countOf(output, "pass"),
    failed: countOf(output, "fail"),
    skipped: countOf(output, "skip"),
  };
  // A crash, a syntax error or a failing hook leaves no failed test behind it, but an exit code.
  if (child.exitCode !== 0 && tally.failed === 0) tally.failed = 1;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${tally.failed > 0 ? "FAIL" : "ok  "} ${name}: ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped (${seconds} s)`,
  );
  const reasons = output.split("\n").filter((line) => line.startsWith("skipped: "));
  for (const reason of new Set(reasons)) console.log(`     ${reason}`);
  if (tally.failed > 0) console.log(output.replace(/^\(pass\).*\n/gm, ""));
  return tally;
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((tier) => !readdirSync(root).includes(tier));
if (unknown !== undefined) {
  console.error(`there is no tier "${unknown}"; there are ${TIERS.join(", ")}`);
  process.exit(2);
}
const total: Tally = { passed: 0, failed: 0, skipped: 0 };
const present: readonly string[] = readdirSync(root);
for (const tier of wanted.length > 0 ? wanted : TIERS.filter((name) => present.includes(name))) {
  for (const file of filesOf(tier)) {
    const tally = await runFile(file);
    total.passed += tally.passed;
    total.failed += tally.failed;
    total.skipped += tally.skipped;
  }
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

/**
 * The steady state: millions of packets cost no garbage. What the kernel is too slow for within the time goes through
 * rings of plain memory, so that 10^7 packets are passed in any case; the report says how many each carried.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { MARK_END, MARK_WARM, type SteadyReport } from "../support/steady.ts";
import { runFile } from "../support/subprocess.ts";
import { skipWithoutLab } from "../support/skip.ts";

const FILE = join(import.meta.dir, "..", "support", "steady.ts");
const PACKETS = 10_000_000;
const VETH_LIMIT_MS = 30_000;
/** Of the child as a whole, with its warm-up, on a busy machine. */
const CHILD_LIMIT_MS = 120_000;
/** A collection comes every 8 MiB of garbage: a single byte a packet would already make one. */
const MAX_COLLECTIONS = 3;
const MAX_HEAP_GROWTH_BYTES = 1 << 20;
const MAX_RSS_GROWTH_BYTES = 8 << 20;

const collections = (log: string): number =>
  log.slice(log.indexOf(MARK_WARM), log.indexOf(MARK_END)).match(/\bSTART\b/g)?.length ?? 0;

const run = async (
  where: "veth" | "rings" | "echo",
): Promise<SteadyReport & { readonly collections: number }> => {
  const child = await runFile(FILE, {
    args: [where, String(PACKETS), String(VETH_LIMIT_MS)],
    env: { BUN_JSC_logGC: "1" },
    limitMs: CHILD_LIMIT_MS,
  });
  expect({ ...child, stdout: "", stderr: child.code === 0 ? "" : child.stderr }).toMatchObject({
    code: 0,
    late: false,
    stderr: "",
  });
  const log = child.stderr;
  // The collections that the program itself asks for: without them in the log the count would prove nothing.
  expect(log.slice(0, log.indexOf(MARK_WARM))).toContain("START");
  const line = child.stdout.split("\n").find((text) => text.startsWith("{"));
  const report: SteadyReport = JSON.parse(line!);
  const result = { ...report, collections: collections(log) };
  const perSecond = Math.round(report.packets / report.seconds);
  const heap = report.heapAfter - report.heapBefore;
  const rss = report.rssAfter - report.rssBefore;
  console.log(
    `steady ${where}: ${report.packets} packets in ${report.seconds.toFixed(1)} s (${perSecond} pps), ` +
      `${result.collections} collections, heap ${heap >= 0 ? "+" : ""}${heap} bytes, rss ${rss >= 0 ? "+" : ""}${rss} bytes`,
  );
  return result;
};

const expectFlat = (report: Awaited<ReturnType<typeof run>>): void => {
  expect(report.disordered).toBe(0);
  expect(report.collections).toBeLessThanOrEqual(MAX_COLLECTIONS);
  expect(report.heapAfter - report.heapBefore).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
  expect(report.rssAfter - report.rssBefore).toBeLessThan(MAX_RSS_GROWTH_BYTES);
};

describe("steady state", () => {
  test.skipIf(skipWithoutLab(Lab.unavailable()))(
    "over a veth pair: in order, exact accounts, no garbage",
    async () => {
      const report = await run("veth");
      // Slow is no failure here, but a run that moved nothing would be flat too.
      expect(report.packets).toBeGreaterThan(100_000);
      expectFlat(report);
    },
    CHILD_LIMIT_MS,
  );

  test(
    "10^7 datagrams to a host, each echoed in its frame: not one collection",
    async () => {
      const report = await run("echo");
      expect(report.packets).toBeGreaterThanOrEqual(PACKETS);
      expectFlat(report);
      expect(report.collections).toBe(0);
    },
    CHILD_LIMIT_MS,
  );

  test(
    "10^7 packets through a socket's four rings, sent back in place",
    async () => {
      const report = await run("rings");
      expect(report.packets).toBeGreaterThanOrEqual(PACKETS);
      expectFlat(report);
    },
    CHILD_LIMIT_MS,
  );
});

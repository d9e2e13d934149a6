/** A million copies cost no garbage: received by header, by key and by a feed's arbiter, and sent. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { runFile } from "../support/subprocess.ts";

const FILE = join(import.meta.dir, "..", "support", "multipath-steady.ts");
const COPIES = 1_000_000;
const CHILD_LIMIT_MS = 60_000;
/** A collection comes every 8 MiB of garbage: 16 bytes a copy would make two. */
const MAX_COLLECTIONS = 1;

test.each(["header", "key", "feed", "send"])(
  "copies by %s",
  async (mode) => {
    const child = await runFile(FILE, {
      args: [mode, String(COPIES)],
      env: { BUN_JSC_logGC: "1" },
      limitMs: CHILD_LIMIT_MS,
    });
    expect([child.code, child.late]).toEqual([0, false]);
    expect(Number(child.stdout)).toBeGreaterThanOrEqual(COPIES / 2);
    const [before = "", steady] = child.stderr.split("mark: warm");
    // Collections that the start makes: without them in the log the count would prove nothing.
    expect(before).toContain("START");
    const collections = steady!.split("mark: end")[0]!.match(/\bSTART\b/g)?.length ?? 0;
    expect(collections).toBeLessThanOrEqual(MAX_COLLECTIONS);
  },
  CHILD_LIMIT_MS,
);

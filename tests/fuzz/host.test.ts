/** Broken frames through printer, parsers and a live host: nothing throws, hangs, grows or is lost. Old crashers first. */
import { describe as suite, expect, test } from "bun:test";
import { join } from "node:path";
import { seededRandom } from "../../stack/device/random.ts";
import { describe } from "../../stack/wire/printer.ts";
import { corpus } from "./corpus.ts";
import { readCrashers } from "./crashers.ts";
import { tryAll } from "./fuzz.ts";
import { Mutator } from "./mutator.ts";

const FRAMES = 100_000;
const SEED = 1;
/** Ten times what it takes on a busy machine: what takes longer does not end. */
const PATIENCE_MS = 240_000;

suite("the corpus", () => {
  test("is of frames that the printer finds no fault with", () => {
    const frames = corpus();
    expect(frames.length).toBeGreaterThan(60);
    for (const frame of frames) {
      const line = describe(new DataView(frame.buffer, frame.byteOffset, frame.length), 0, frame.length);
      expect(line).not.toMatch(/\bbad\b|\[\|/);
    }
  });

  test("is broken the same way with the same seed", () => {
    const hash = (seed: number): number => {
      const mutator = new Mutator(corpus(), seededRandom(seed));
      let all = 0;
      for (let i = 0; i < 1000; i++) {
        const length = mutator.next();
        all = Bun.hash.xxHash32(mutator.bytes.subarray(0, length), all);
      }
      return all;
    };
    expect(hash(SEED)).toBe(hash(SEED));
    expect(hash(SEED)).not.toBe(hash(SEED + 1));
  });

  test("does no harm as it is", () => {
    tryAll(corpus().map((frame, i) => ({ port: i % 3, frame })));
  });
});

suite("crashers", () => {
  for (const { name, what, inputs } of readCrashers()) test(`${name}: ${what}`, () => tryAll(inputs));
});

test(
  `${FRAMES} broken frames do no harm`,
  async () => {
    const child = Bun.spawn(
      [process.execPath, "run", join(import.meta.dir, "run.ts"), String(FRAMES), String(SEED)],
      { stdout: "pipe", stderr: "inherit", env: { ...process.env, FUZZ_TRACE: "1" }, timeout: PATIENCE_MS },
    );
    const [said, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    if (code !== 0)
      throw new Error(`the last that was heard of it (make fuzz N=${FRAMES}):\n${said.slice(-4000)}`);
    expect(said).toContain(`${FRAMES} frames of seed ${SEED}`);
  },
  PATIENCE_MS + 10_000,
);

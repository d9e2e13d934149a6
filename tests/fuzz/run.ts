/**
 * Runs any number of broken frames: `bun run tests/fuzz/run.ts [FRAMES [SEED]]`. Ends with 1 where one did harm.
 *
 * What did harm is saved in tests/fuzz/crashers/ and is a test from then on.
 */
import { BATCH, runBatch } from "./fuzz.ts";

const DEFAULT_FRAMES = 100_000;
const MOST_FAILURES = 5;
const TELL_EVERY_MS = 10_000;
/** Warm by then: what grows after this part of the run goes on growing. */
const WARM_PART = 0.4;
const MOST_GROWTH_BYTES = 16 << 20;
const MEGA = 2 ** 20;

const [wanted = DEFAULT_FRAMES, seed = 1] = process.argv.slice(2).map(Number);
if (!(Number.isSafeInteger(wanted) && wanted > 0 && Number.isSafeInteger(seed))) {
  console.error("usage: bun run tests/fuzz/run.ts [FRAMES [SEED]]");
  process.exit(2);
}

const heapBytes = (): number => {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
};

const batches = Math.ceil(wanted / BATCH);
const startMs = performance.now();
let toldMs = startMs;
let done = 0;
let emitted = 0;
let slowestMs = 0;
let warmBytes = 0;
let failures = 0;
for (let index = 0; index < batches && failures < MOST_FAILURES; index++) {
  // Said first: a frame that never ends is found by the batch that was the last.
  if (process.env.FUZZ_TRACE === "1") console.log(`batch ${index}`);
  const result = runBatch(seed, index, Math.min(BATCH, wanted - done));
  done += result.frames;
  emitted += result.emitted;
  slowestMs = Math.max(slowestMs, result.slowestMs);
  if (result.failure !== undefined) {
    failures += 1;
    console.log(`${result.failure.what}\nsaved as ${result.failure.path}`);
  }
  if (index === Math.floor(batches * WARM_PART)) warmBytes = heapBytes();
  const nowMs = performance.now();
  if (nowMs - toldMs < TELL_EVERY_MS) continue;
  toldMs = nowMs;
  const rate = (done / (nowMs - startMs)).toFixed(1);
  console.log(`... ${done} frames, ${rate} thousand a second, the slowest took ${slowestMs.toFixed(1)} ms`);
}
const grownBytes = heapBytes() - warmBytes;
if (grownBytes > MOST_GROWTH_BYTES) {
  failures += 1;
  console.log(`the heap grew by ${(grownBytes / MEGA).toFixed(1)} MB`);
}
const seconds = (performance.now() - startMs) / 1000;
console.log(
  `${done} frames of seed ${seed}, ${emitted} answers, ${failures} failures, heap ${(grownBytes / MEGA).toFixed(1)} MB, slowest ${slowestMs.toFixed(1)} ms (${seconds.toFixed(1)} s, ${(done / seconds / 1000).toFixed(1)} thousand a second)`,
);
process.exit(failures > 0 ? 1 : 0);

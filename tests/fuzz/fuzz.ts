/**
 * Feeds broken frames to all readers and to a live host, in batches that can each be repeated from its seed.
 */
import { below, seededRandom } from "../../stack/device/random.ts";
import { corpus } from "./corpus.ts";
import { saveCrasher, type Input } from "./crashers.ts";
import { LiveHost } from "./live.ts";
import { Mutator } from "./mutator.ts";
import { readAll } from "./readers.ts";

/** Frames that one host has to live through. */
export const BATCH = 5000;

/** What a batch came to. */
export interface Result {
  readonly frames: number;
  /** What the host sent meanwhile. */
  readonly emitted: number;
  /** The longest time that one frame took, in ms of real time; see SLOW_MS. */
  readonly slowestMs: number;
  readonly failure: { readonly what: string; readonly path: string } | undefined;
}

/** Ports of the live host: most frames come in at the first. */
const PORTS = [0, 0, 0, 0, 0, 1, 1, 2, 2] as const;
/** A frame that takes longer each time it comes is a way to stop a host: those of today take some 0.02 ms. */
const SLOW_MS = 50;
const TRIES = 3;
/** How many frames before the last one are saved where it alone does no harm. */
const HISTORY = 64;
const CHECK_EVERY = 250;
const PASS_EVERY = 16;
const LEAP_EVERY = 1000;
const LEAP_MS = 200_000;
const AGAIN_EVERY = 8;

const frames = corpus();

/** Runs batch `index` of the run with `seed`: `count` frames. */
export const runBatch = (seed: number, index: number, count = BATCH): Result => {
  const random = seededRandom(seed * 2 ** 20 + index);
  const mutator = new Mutator(frames, random);
  const history: Input[] = [];
  let slowestMs = 0;
  const host = new LiveHost(seed + index, mutator.hints);
  const result = (failure: Result["failure"]): Result => ({
    frames: count,
    emitted: host.emitted,
    slowestMs,
    failure,
  });
  try {
    for (let i = 0; i < count; i++) {
      const length = mutator.next();
      const input = { port: PORTS[below(random, PORTS.length)]!, frame: mutator.bytes.slice(0, length) };
      history.push(input);
      if (history.length > HISTORY) history.shift();
      const startMs = performance.now();
      read(input.frame, i % AGAIN_EVERY === 0);
      host.feed(input.port, input.frame);
      const tookMs = performance.now() - startMs;
      if (tookMs > SLOW_MS && fastest(input.frame) > SLOW_MS) throw new Error(`a frame takes ${tookMs} ms`);
      slowestMs = Math.max(slowestMs, tookMs);
      if (i % PASS_EVERY === 0) host.pass(below(random, 100));
      if (i % LEAP_EVERY === LEAP_EVERY - 1) host.pass(below(random, LEAP_MS));
      if (i % CHECK_EVERY === 0) host.check();
    }
    host.check();
    host.close();
    return result(undefined);
  } catch (error) {
    const what = `batch ${index} of seed ${seed}: ${(error as Error)?.stack ?? String(error)}`;
    return result({ what, path: saveCrasher(what, smallest(history)) });
  }
};

const read = (frame: Uint8Array, again: boolean): void =>
  readAll(new DataView(frame.buffer, frame.byteOffset, frame.length), again);

const processorMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

/** Whether it is the frame or the machine that is slow: the best of some tries, in ms of this thread's own processor time. */
const fastest = (frame: Uint8Array): number => {
  let best = Infinity;
  for (let i = 0; i < TRIES; i++) {
    const host = new LiveHost(i, { xid: 0 });
    const startMs = processorMs();
    read(frame, true);
    host.feed(0, frame);
    best = Math.min(best, processorMs() - startMs);
    host.close();
  }
  return best;
};

/** Throws what the frames do to the readers or to a fresh host. */
export const tryAll = (inputs: readonly Input[]): void => {
  const host = new LiveHost(1, { xid: 0 });
  for (const { port, frame } of inputs) {
    read(frame, true);
    host.feed(port, frame);
    host.check();
  }
  host.pass(LEAP_MS);
  host.close();
};

/** The fewest of the last frames that do harm to a fresh host; all of them where none do. */
const smallest = (history: readonly Input[]): readonly Input[] => {
  for (let count = 1; count <= history.length; count *= 2) {
    const last = history.slice(-count);
    try {
      tryAll(last);
    } catch {
      return last;
    }
  }
  return history;
};

/** The lab of `examples/lab.ts` for tests, with the waiting that tests need. */
import { readdirSync } from "node:fs";
import { Lab } from "../../examples/lab.ts";

export { Lab };
export type {
  Cable,
  End,
  ExecOptions,
  ExecResult,
  LabOptions,
  Pair,
  Side,
  SpawnOptions,
} from "../../examples/lab.ts";

/** Far above what any condition here needs on a busy machine, and below a test's own limit of 5 s. */
const WAIT_LIMIT_MS = 4000;
/** Short against every condition waited for, long against the cost of looking. */
const WAIT_STEP_MS = 2;

/** Returns the first value of `look` that is not undefined or false; throws, naming `what`, after `limitMs`. */
export const until = async <T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs: number = WAIT_LIMIT_MS,
): Promise<T> => {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for: ${what}`);
    await Bun.sleep(WAIT_STEP_MS);
  }
};

/** The same without leaving the call, for what must not let the event loop run meanwhile. */
export const untilSync = <T>(
  what: string,
  look: () => T | undefined | false,
  limitMs: number = WAIT_LIMIT_MS,
): T => {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for: ${what}`);
    Bun.sleepSync(WAIT_STEP_MS);
  }
};

/**
 * Open file descriptors of this process. What the runtime held for programs that ended may still go at any time, so a test
 * for leaks asks for "no more than before", over many repetitions.
 */
export const openFds = (): number => readdirSync("/proc/self/fd").length;

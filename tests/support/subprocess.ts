/** TypeScript in a child process: for tests that may crash Bun, never return, or must be killed. */
import { join, resolve } from "node:path";

/** Imports of a snippet are resolved as if it lay here, so `../../ffi/attach.ts` works as in a test. */
const SNIPPET_FOLDER = join(import.meta.dir, "..", "veth");
const DEFAULT_LIMIT_MS = 10_000;

export interface ChildResult {
  /** Exit code, or null if a signal ended it. */
  readonly code: number | null;
  /** "SIGSEGV" and the like, or null. */
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** True if it was killed for taking longer than its limit. */
  readonly late: boolean;
}

export interface ChildOptions {
  /** Milliseconds before the child is killed (SIGKILL). 10 000 unless given. */
  readonly limitMs?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Words in front of the command: `lab.enter("b")` runs the child in that namespace. */
  readonly prefix?: readonly string[];
}

export type Child = Bun.Subprocess<"pipe", "pipe", "pipe">;

/** A start of this very Bun. */
const start = (words: readonly string[], options: ChildOptions, cwd: string): Child =>
  Bun.spawn([...(options.prefix ?? []), process.execPath, ...words, ...(options.args ?? [])], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    cwd,
    env: { ...process.env, ...options.env },
  });

/** Starts a TypeScript file; the caller ends it. `stdin` is a pipe, so that a child can end when its parent does. */
export const startFile = (file: string, options: ChildOptions = {}): Child =>
  start(["run", resolve(file)], options, process.cwd());

/** Starts a TypeScript snippet; it imports as a file in tests/veth would. The caller ends it. */
export const startSnippet = (source: string, options: ChildOptions = {}): Child =>
  start(["-e", source], options, SNIPPET_FOLDER);

/** Runs a TypeScript file to its end. */
export const runFile = (file: string, options: ChildOptions = {}): Promise<ChildResult> =>
  finish(startFile(file, options), options.limitMs);

/** Runs a TypeScript snippet to its end; it imports as a file in tests/veth would. */
export const runSnippet = (source: string, options: ChildOptions = {}): Promise<ChildResult> =>
  finish(startSnippet(source, options), options.limitMs);

/** Collects what a child says until it ends, and ends it when its time is up. */
const finish = async (child: Child, limitMs: number = DEFAULT_LIMIT_MS): Promise<ChildResult> => {
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limitMs);
  try {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    const signal: string | null = child.signalCode as string | null;
    return { code: signal === null ? child.exitCode : null, signal, stdout, stderr, late };
  } finally {
    clearTimeout(limit);
  }
};

/** Runs a command to its end, with a time limit, for the lab and whoever works in it. */

/** A program run by `exec` that takes longer hangs: nothing in a lab of two hosts needs half a minute. */
const EXEC_LIMIT_MS = 30_000;

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  /** False returns a failure instead of throwing it. */
  readonly check?: boolean;
  readonly stdin?: string;
  /** Milliseconds after which the program is killed. 30 000 unless given. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command here, to its end. */
export const run = (command: readonly string[], options: ExecOptions): ExecResult => {
  const timeoutMs = options.timeoutMs ?? EXEC_LIMIT_MS;
  const done = Bun.spawnSync([...command], {
    stdin: options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    env: { ...process.env, ...options.env },
  });
  const stderr = done.stderr.toString();
  const late = done.exitedDueToTimeout ? `killed after ${timeoutMs} ms\n` : "";
  // A program that a signal ended has no exit code of its own.
  const result = { code: done.exitCode ?? -1, stdout: done.stdout.toString(), stderr: late + stderr };
  if (result.code !== 0 && options.check !== false) {
    throw new Error(
      `${command.join(" ")}: code ${result.code}: ${result.stderr.trim()}${result.stdout.trim()}`,
    );
  }
  return result;
};

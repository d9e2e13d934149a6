/**
 * Examples as a person runs them: in a process of their own, in a namespace, ended by a signal, with nothing left behind.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, type ChildOptions, startFile } from "./subprocess.ts";
import { until } from "./lab.ts";

const FOLDER = join(import.meta.dir, "..", "..", "examples");
/** A start of Bun, a lab and an attach take half a second; on a machine busy with other tests it may be twenty times that. */
const LINE_LIMIT_MS = 15_000;

/** A running example, its lines, and what must be gone when it is. */
export class Example {
  readonly child: Child;
  readonly lines: string[] = [];
  #read: Promise<unknown>;
  #stderr: Promise<string>;

  constructor(name: string, args: readonly string[], options: ChildOptions = {}) {
    this.child = startFile(join(FOLDER, `${name}.ts`), { ...options, args });
    this.#stderr = this.child.stderr.text();
    this.#read = this.#follow();
  }

  get stderr(): Promise<string> {
    return this.#stderr;
  }

  /** All of standard output so far. */
  get text(): string {
    return this.lines.join("\n");
  }

  /** The first line that `accept` takes. */
  line(what: string, accept: (line: string) => boolean): Promise<string> {
    return until(what, () => this.lines.find(accept) ?? this.#ended(what), LINE_LIMIT_MS);
  }

  /** The lines of --json so far. */
  get records(): Record<string, number>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, number>);
  }

  /** The first record that `accept` takes. */
  record(what: string, accept: (record: Record<string, number>) => boolean): Promise<Record<string, number>> {
    return until(what, () => this.records.find(accept) ?? this.#ended(what), LINE_LIMIT_MS);
  }

  /** Sends a signal and waits for the end; then nothing that it had started runs, and none of its namespaces is left. */
  async end(signal: "SIGINT" | "SIGTERM" = "SIGINT"): Promise<number | null> {
    const family = descendants(this.child.pid);
    this.child.kill(signal);
    return this.ended(family);
  }

  /** Waits until it ends by itself. */
  async ended(family: readonly number[] = []): Promise<number | null> {
    await this.child.exited;
    await this.#read;
    const { pid, exitCode } = this.child;
    await until("its programs to end", () => family.every((each) => !runs(each)));
    await until("its namespaces to go", () => namespacesOf(pid).length === 0);
    return exitCode;
  }

  /** For `finally`: ends what a failed test leaves. */
  [Symbol.dispose](): void {
    this.child.kill("SIGKILL");
  }

  async #follow(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      this.lines.push(...lines);
    }
  }

  #ended(what: string): undefined {
    if (this.child.exitCode === null) return undefined;
    throw new Error(`it ended with ${this.child.exitCode} before: ${what}`);
  }
}

/** Namespaces that carry a process's number. */
export const namespacesOf = (pid: number): string[] =>
  existsSync("/run/netns") ? readdirSync("/run/netns").filter((name) => name.startsWith(`mr-${pid}-`)) : [];

/** Zombies do not run. */
const runs = (pid: number): boolean => {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

/** Processes below `pid`, at this moment. */
export const descendants = (pid: number): number[] => {
  try {
    const own = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
    return [...own, ...own.flatMap(descendants)];
  } catch {
    return [];
  }
};

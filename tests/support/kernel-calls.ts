/** Counts how often functions of the kernel are called, by kprobes (Documentation/trace/kprobetrace.rst). */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const TRACING = "/sys/kernel/tracing";

/** Probes on functions; the count starts with the probe. Dispose of it, or the probes stay in the kernel. */
export class KernelCalls {
  readonly #group = `millrace_${process.pid}`;
  readonly #names: readonly string[];

  constructor(names: readonly string[]) {
    this.#names = names;
    if (!existsSync(join(TRACING, "kprobe_events"))) {
      const mounted = Bun.spawnSync(["mount", "-t", "tracefs", "tracefs", TRACING], { stderr: "pipe" });
      if (mounted.exitCode !== 0) throw new Error(`cannot count kernel calls: ${mounted.stderr.toString()}`);
    }
    for (const name of names)
      appendFileSync(join(TRACING, "kprobe_events"), `p:${this.#group}/${name} ${name}\n`);
    this.#enable(true);
  }

  /** Calls of a function since the beginning. */
  count(name: string): number {
    // A line is: event, hits, misses. What was missed was called all the same.
    for (const line of readFileSync(join(TRACING, "kprobe_profile"), "utf8").split("\n")) {
      const [event, hits, misses] = line.trim().split(/\s+/);
      if (event === name) return Number(hits) + Number(misses);
    }
    throw new Error(`the kernel does not count "${name}"`);
  }

  [Symbol.dispose](): void {
    this.#enable(false);
    for (const name of this.#names)
      appendFileSync(join(TRACING, "kprobe_events"), `-:${this.#group}/${name}\n`);
  }

  #enable(on: boolean): void {
    writeFileSync(join(TRACING, "events", this.#group, "enable"), on ? "1" : "0");
  }
}

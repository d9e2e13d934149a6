/** An example as a person at a terminal runs it: on a pseudo-terminal of some size, where Ctrl-C is a key. */
import { join } from "node:path";
import { descendants, namespacesOf } from "./example.ts";
import { until } from "./lab.ts";

const FOLDER = join(import.meta.dir, "..", "..", "examples");
const CTRL_C = "\u0003";
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";

export class OnTerminal {
  /** All that was written to the terminal so far, escape sequences included. */
  text = "";
  readonly #child: Bun.Subprocess;
  readonly #family = new Set<number>();

  constructor(name: string, args: readonly string[] = [], cols = 80, rows = 24) {
    const decoder = new TextDecoder();
    this.#child = Bun.spawn([process.execPath, "run", join(FOLDER, `${name}.ts`), ...args], {
      env: { ...process.env, TERM: "xterm-256color" },
      terminal: {
        cols,
        rows,
        data: (_, bytes) => {
          this.text += decoder.decode(bytes, { stream: true });
        },
      },
    });
  }

  /** True where the cursor is to be seen now. */
  get cursor(): boolean {
    return this.text.lastIndexOf(SHOW_CURSOR) >= this.text.lastIndexOf(HIDE_CURSOR);
  }

  /** Lines as they were written, also those that others were drawn over, without escape sequences. */
  get lines(): string[] {
    return Bun.stripANSI(this.text).split(/[\r\n]+/);
  }

  /** Presses Ctrl-C: the terminal signals all of its foreground programs. */
  interrupt(): void {
    this.#remember();
    this.#child.terminal!.write(CTRL_C);
  }

  /** Closes the terminal. */
  hangUp(): void {
    this.#remember();
    this.#child.terminal!.close();
  }

  /** True where it runs no more. */
  get over(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Waits for its end; then none of its programs runs, and none of its namespaces is left. */
  async ended(): Promise<number | null> {
    await this.#child.exited;
    const isGone = (pid: number): boolean => {
      try {
        return !process.kill(pid, 0);
      } catch {
        return true;
      }
    };
    await until("its programs to end", () => [...this.#family].every(isGone));
    await until("its namespaces to go", () => namespacesOf(this.#child.pid).length === 0);
    return this.#child.exitCode;
  }

  #remember(): void {
    for (const pid of descendants(this.#child.pid)) this.#family.add(pid);
  }

  /** For `using`: ends what a failed test leaves. */
  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
    this.#child.terminal?.close();
  }
}

/**
 * Programs on their cores in a lab: started, waited for until they are ready, read at their end.
 *
 * Every program of the bench, C or TypeScript, speaks the same way: `{"ready":true}` on stdout when it is set up, one
 * JSON line with its result at the end, its troubles on stderr.
 */
import { join } from "node:path";
import type { Lab, Side } from "../examples/lab.ts";
import { built } from "./build.ts";
import type { Readings } from "./contest.ts";

/** The sender's core and that of the program under test; with one core only they share it. */
export const SENDER_CORE = 0;
export const PROGRAM_CORE = Math.min(1, navigator.hardwareConcurrency - 1);

/** Setting up a program takes a second at the worst (a queue that its last owner still holds), ten on an emulated processor. */
const READY_LIMIT_MS = 60_000;
/** What a program may take beyond its measured time. */
const END_LIMIT_MS = 20_000;

/** A C program of the bench. */
export const peer = (name: string): string[] => [built(name)];

/** A millrace program of the bench. */
export const side = (name: string): string[] => [
  process.execPath,
  join(import.meta.dir, "sides", `${name}.ts`),
];

/** A script of the bench, under `runtime`: a peer in JavaScript. */
export const script = (runtime: string, name: string): string[] => [
  runtime,
  join(import.meta.dir, "peers", name),
];

/** How many frames a program has seen since it began, and when, by its own clock. */
export interface Report {
  readonly frames: number;
  readonly ms: number;
}

/** A running program. */
export class Actor {
  readonly pid: number;
  readonly #name: string;
  readonly #process: ReturnType<Lab["spawn"]>;
  readonly #errors: Promise<string>;
  readonly #lines: AsyncIterator<string>;

  constructor(name: string, process: ReturnType<Lab["spawn"]>) {
    this.#name = name;
    this.#process = process;
    this.pid = process.pid;
    this.#errors = new Response(process.stderr).text();
    this.#lines = linesOf(process.stdout);
  }

  /** Waits until a line of output satisfies `found`. Throws, with the program's own words, if it ends before. */
  async until(found: (line: string) => boolean, limitMs: number): Promise<string> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`${this.#name} said nothing for ${limitMs} ms`)),
      limitMs,
    );
    try {
      for (;;) {
        const next = await Promise.race([this.#lines.next(), late.promise]);
        if (next.done === true) throw new Error(`${this.#name} ended: ${(await this.#errors).trim()}`);
        if (found(next.value)) return next.value;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async ready(): Promise<this> {
    await this.until((line) => line.startsWith('{"ready"'), READY_LIMIT_MS);
    return this;
  }

  /** The result line's numbers. */
  async result(seconds: number): Promise<Readings> {
    const line = await this.until((each) => each.startsWith("{"), seconds * 1000 + END_LIMIT_MS);
    const parsed: unknown = JSON.parse(line);
    const numbers = Object.entries(parsed ?? {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    );
    return Object.fromEntries(numbers);
  }

  /** The next report of a running total; reports that nobody asked for in time come first. */
  async report(): Promise<Report> {
    const line = await this.until((each) => each.startsWith('{"frames"'), END_LIMIT_MS);
    return JSON.parse(line) as Report;
  }

  /** Stops all its threads until `resume`, so that it takes nothing from another program. */
  pause(): void {
    this.#process.kill("SIGSTOP");
  }

  resume(): void {
    this.#process.kill("SIGCONT");
  }

  /** Sends a line to the program. */
  write(text: string): void {
    const { stdin } = this.#process;
    if (typeof stdin !== "object") return;
    stdin.write(text);
    stdin.flush();
  }

  /** Asks it to end, and waits. Returns its own words on stderr. */
  async stop(): Promise<string> {
    this.#process.kill("SIGTERM");
    const limit = setTimeout(() => this.#process.kill("SIGKILL"), END_LIMIT_MS);
    await this.#process.exited;
    clearTimeout(limit);
    return (await this.#errors).trim();
  }
}

/** Starts a program in a side of the lab on a core, or wherever the kernel wants it. */
export const start = (
  lab: Lab,
  where: Side,
  core: number | undefined,
  command: readonly string[],
  stdin: "pipe" | "ignore" = "ignore",
) => {
  const [program = "program"] = command.filter((word) => word !== process.execPath);
  const pinned = core === undefined ? command : ["taskset", "-c", String(core), ...command];
  return new Actor(program.replace(/^.*\//, ""), lab.spawn(where, pinned, { stdin }));
};

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

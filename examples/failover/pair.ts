/**
 * Both ends of a conversation as programs of their own in a laboratory of two paths: a service at the host, a client at the
 * client, and what each of them tells.
 */
import type { PathReason, PathState } from "millrace";
import { example } from "../support/place.ts";
import { type PathSide, TwoPathLab, type TwoPathOptions } from "../two-path-lab.ts";
import type { FlowFigures, Trace } from "./ledger.ts";
import { endArguments } from "./text.ts";

export interface PairOptions {
  /** An end that the kernel owns is shared with it: the program lives beside. Default: both ends are the programs' alone. */
  readonly lab?: TwoPathOptions;
  /** Arguments for both ends besides those that say where they are. */
  readonly both?: readonly string[];
  /** Arguments for the client alone, such as how many flows. */
  readonly client?: readonly string[];
  /** Words in front of each end's command, such as those that put it on a core. */
  readonly prefix?: Readonly<Record<PathSide, readonly string[]>>;
}

/** What became of the questions of a window, and of each of them where that was asked for. */
export interface WindowFigures extends FlowFigures {
  readonly unsent: number;
  /** When the window began, in ms since 1970. */
  readonly beganAtMs?: number;
  readonly trace?: Trace;
}

/** A change of a path, as an end told it. */
export interface ToldChange {
  readonly end: PathSide;
  readonly path: string;
  readonly state: PathState;
  readonly previous?: PathState;
  readonly reason: PathReason;
  /** From the last sign of life to when it was seen, in ms. */
  readonly silentMs: number;
  readonly stranded: number;
  /** When it was seen, in ms since 1970. */
  readonly atMs: number;
}

/** Chunks of a device by owner, and all of them. */
export interface Accounts {
  readonly device: string;
  readonly pool: number;
  readonly fill: number;
  readonly lent: number;
  readonly kept: number;
  readonly tx: number;
  readonly total: number;
}

const SIDES = { client: "a", host: "b" } as const;
const ENDS = ["client", "host"] as const;
/** What the service calls its two interfaces: a host counts from 1, which is the loopback, in the order that they join. */
export const HEARD_ON = [2, 3] as const;
/** Starting Bun takes a quarter of a second, and each session of BFD begins with packets a second apart (RFC 5880 6.8.3). */
const READY_LIMIT_MS = 30_000;
const ANSWER_LIMIT_MS = 10_000;

type Program = ReturnType<TwoPathLab["lab"]["spawn"]>;
type Told = Readonly<Record<string, unknown>>;

export class Pair implements Disposable {
  readonly lab: TwoPathLab;
  /** All changes of paths so far, of both ends, as they came. */
  readonly changes: ToldChange[] = [];
  readonly #accounts: Accounts[] = [];
  readonly #ended: Readonly<Record<PathSide, Promise<void>>>;
  readonly #programs: Readonly<Record<PathSide, Program>>;
  readonly #waiting: ((figures: WindowFigures) => void)[] = [];
  readonly #ready = { client: Promise.withResolvers<void>(), host: Promise.withResolvers<void>() };

  private constructor(lab: TwoPathLab, options: PairOptions) {
    this.lab = lab;
    const { both = [], client = [], prefix = { client: [], host: [] } } = options;
    const start = (end: PathSide, role: string, more: readonly string[]): Program => {
      const words = [...example("failover", role, ...endArguments(lab, end)), "--json", ...both, ...more];
      return lab.lab.spawn(SIDES[end], [...prefix[end], ...words], { stdin: "pipe" });
    };
    this.#programs = {
      client: start("client", "ask", ["--windows", ...client]),
      host: start("host", "serve", []),
    };
    this.#ended = { client: this.#follow("client"), host: this.#follow("host") };
  }

  /** Makes the laboratory, and resolves when both ends run and say that all their paths live. */
  static async start(options: PairOptions = {}): Promise<Pair> {
    const lab = TwoPathLab.create({ client: "program", ...options.lab });
    try {
      const pair = new Pair(lab, options);
      await within("both ends to be ready", READY_LIMIT_MS, [
        pair.#ready.client.promise,
        pair.#ready.host.promise,
      ]);
      return pair;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  /** Begins to count anew. */
  begin(): void {
    this.#tell("begin");
  }

  /** What was counted since, and with `trace` what became of each question. */
  async figures(trace = false): Promise<WindowFigures> {
    const { promise, resolve } = Promise.withResolvers<WindowFigures>();
    this.#waiting.push(resolve);
    this.#tell(trace ? "trace" : "end");
    const [figures] = await within("the client to tell its figures", ANSWER_LIMIT_MS, [promise]);
    return figures;
  }

  /** Asks both programs to end; the chunks of each of their devices by owner, as they say them last. */
  async end(): Promise<readonly Accounts[]> {
    for (const end of ENDS) this.#programs[end].kill("SIGTERM");
    await within("both ends to end", ANSWER_LIMIT_MS, [this.#ended.client, this.#ended.host]);
    return this.#accounts;
  }

  /** Process ids of the ends. */
  get pids(): Readonly<Record<PathSide, number>> {
    return { client: this.#programs.client.pid, host: this.#programs.host.pid };
  }

  /** Ends both programs and removes the laboratory. Idempotent. */
  close(): void {
    this.lab.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #tell(line: string): void {
    const { stdin } = this.#programs.client;
    if (typeof stdin !== "object") return;
    stdin.write(`${line}\n`);
    stdin.flush();
  }

  async #follow(end: PathSide): Promise<void> {
    const { stdout, stderr } = this.#programs[end];
    const errors = new Response(stderr).text();
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#hear(end, JSON.parse(line) as Told);
    }
    this.#ready[end].reject(new Error(`the ${end} ended: ${(await errors).trim()}`));
  }

  #hear(end: PathSide, record: Told): void {
    if (record.ready === true) this.#ready[end].resolve();
    else if (typeof record.path === "string")
      this.changes.push({ ...(record as unknown as ToldChange), end });
    else if (typeof record.device === "string") this.#accounts.push(record as unknown as Accounts);
    else if (typeof record.sent === "number") this.#waiting.shift()?.(record as unknown as WindowFigures);
  }
}

/** Resolves with all of them, or rejects when the time is up. */
const within = async <T>(what: string, limitMs: number, all: readonly Promise<T>[]): Promise<[T, ...T[]]> => {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`waited ${limitMs} ms in vain for ${what}`)), limitMs);
  try {
    return (await Promise.race([Promise.all(all), late.promise])) as [T, ...T[]];
  } finally {
    clearTimeout(timer);
  }
};

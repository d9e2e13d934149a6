/** The programs of xdp-tools in a lab: what is loaded on an interface, the filter's counters, and a capture of xdpdump. */
import { existsSync, readdirSync } from "node:fs";
import { type End, type Lab, until } from "./lab.ts";
import { skipUnless } from "./skip.ts";

/** On an emulated processor that several share, loading a program takes seconds. */
const SLOW_LIMIT_MS = 120_000;
const BPFFS = "/sys/fs/bpf";

/** One program in a dispatcher, as `xdp-loader status` lists it. */
export interface Listed {
  readonly priority: number;
  readonly name: string;
  readonly id: number;
}

export interface Status {
  /** Name of the program that the interface runs, or undefined where there is none. */
  readonly main: string | undefined;
  /** "native" or "skb"; undefined where there is no program. */
  readonly mode: string | undefined;
  /** In the order in which they run. */
  readonly programs: readonly Listed[];
}

/** True (skip) where xdp-tools are missing. */
export const skipWithoutXdpTools = (): boolean =>
  skipUnless(
    ["xdp-loader", "xdp-filter", "xdpdump", "bpftool", "clang"].every((tool) => Bun.which(tool) !== null),
    "xdp-tools, bpftool or clang is not installed",
    { couldRun: true },
  );

/** What lies in the BPF file system, where libxdp pins what is in its dispatchers. */
export const pinned = (): string[] =>
  existsSync(BPFFS)
    ? readdirSync(BPFFS, { recursive: true, encoding: "utf8" })
        .filter((name) => name.includes("dispatch-"))
        .sort()
    : [];

const parseStatus = (text: string, name: string): Status => {
  const lines = text.split("\n");
  const at = lines.findIndex((line) => line.startsWith(`${name} `));
  const [, main, mode] = /^\S+\s+(\S+)\s+(native|skb)\s/.exec(lines[at] ?? "") ?? [];
  const programs: Listed[] = [];
  for (const line of lines.slice(at + 1)) {
    const [, priority, program, id] = /^ =>\s+(\d+)\s+(\S+)\s+(\d+)\s/.exec(line) ?? [];
    if (priority === undefined) break;
    programs.push({ priority: Number(priority), name: program!, id: Number(id) });
  }
  return { main, mode, programs };
};

/** xdp-tools at one end of a lab. */
export class XdpTools {
  readonly #lab: Lab;
  readonly #end: End;

  constructor(lab: Lab, end: End) {
    this.#lab = lab;
    this.#end = end;
  }

  status(): Status {
    const { stdout } = this.#lab.exec(this.#end.side, ["xdp-loader", "status"], { timeoutMs: SLOW_LIMIT_MS });
    return parseStatus(stdout, this.#end.name);
  }

  /** Names with priorities, as "10 xdpfilt_alw_all". */
  listed(): string[] {
    return this.status().programs.map(({ priority, name }) => `${priority} ${name}`);
  }

  idOf(name: string): number {
    const found = this.status().programs.find((each) => each.name === name);
    if (found === undefined) throw new Error(`xdp-loader lists no ${name} on ${this.#end.name}`);
    return found.id;
  }

  /** Runs one of the tools to its end while the caller goes on; rejects with what it said where it fails. */
  async run(...command: readonly string[]): Promise<void> {
    const child = this.#lab.spawn(this.#end.side, command);
    const [, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    if (child.exitCode !== 0)
      throw new Error(`${command.join(" ")}: code ${child.exitCode}: ${stdout}${stderr}`);
  }

  /** The filter, which drops datagrams to `port`. */
  async loadFilter(mode: "native" | "skb", port: number): Promise<void> {
    await this.run("xdp-filter", "load", "-m", mode, this.#end.name);
    await this.run("xdp-filter", "port", String(port), "-m", "dst", "-p", "udp");
  }

  unloadFilter(): Promise<void> {
    return this.run("xdp-filter", "unload", this.#end.name);
  }

  load(mode: "native" | "skb", file: string): Promise<void> {
    return this.run("xdp-loader", "load", "-m", mode, this.#end.name, file);
  }

  unload(name: string): Promise<void> {
    return this.run("xdp-loader", "unload", this.#end.name, "--id", String(this.idOf(name)));
  }

  unloadAll(): Promise<void> {
    return this.run("xdp-loader", "unload", this.#end.name, "--all");
  }

  /** Datagrams to `port` that the filter has dropped. */
  filtered(port: number): number {
    const { stdout } = this.#lab.exec(this.#end.side, ["xdp-filter", "status"], { timeoutMs: SLOW_LIMIT_MS });
    return Number(new RegExp(`^\\s*${port}\\s+\\S+\\s+(\\d+)\\s*$`, "m").exec(stdout)?.[1] ?? Number.NaN);
  }

  /** Starts xdpdump on every program of the interface, before and after each; returns when it listens. */
  async dump(): Promise<Dump> {
    const command = ["xdpdump", "-i", this.#end.name, "-p", "all", "--rx-capture", "entry,exit"];
    const child = this.#lab.spawn(this.#end.side, command);
    const dump = new Dump(child);
    await until("xdpdump to listen", () => dump.listening, SLOW_LIMIT_MS);
    return dump;
  }
}

/** A running xdpdump. */
export class Dump {
  readonly #child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;
  #said = "";
  #captured = "";
  readonly #read: Promise<unknown>;

  constructor(child: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">) {
    this.#child = child;
    const take = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const part of stream) add(decoder.decode(part, { stream: true }));
    };
    this.#read = Promise.all([
      take(child.stderr, (text) => void (this.#said += text)),
      take(child.stdout, (text) => void (this.#captured += text)),
    ]);
  }

  get listening(): boolean {
    if (this.#child.exitCode !== null) throw new Error(`xdpdump ended: ${this.#said}`);
    return this.#said.includes("listening on");
  }

  /** How often xdpdump saw `what`, such as "steer()@exit[REDIRECT]". */
  count(what: string): number {
    return this.#captured.split(`${what}: packet size`).length - 1;
  }

  get text(): string {
    return this.#captured + this.#said;
  }

  async end(): Promise<void> {
    this.#child.kill("SIGINT");
    await this.#child.exited;
    await this.#read;
  }
}

/**
 * A laboratory: network namespaces joined by veth pairs, made in some 30 ms and removed without a trace.
 *
 * Everything is done by `ip`, `ethtool` and `nsenter`, nothing by the code under examination. Namespaces are named after
 * the process (`mr-PID-N-a`), so that two runs never meet and what a killed run left behind is recognised and removed by the
 * next. Programs enter through `nsenter --net`, not `ip netns exec`: the latter remounts /sys and hides the bpffs.
 */
import { existsSync, readdirSync } from "node:fs";
import {
  labScript,
  labTopology,
  removalScript,
  type End,
  type LabOptions,
  type Pair,
  type Plan,
  type Side,
} from "./lab-plan.ts";

export type { End, LabOptions, Pair, Side };

/** Where iproute2 keeps named namespaces. */
const NETNS_FOLDER = "/run/netns";
/** A process that ends on SIGINT or SIGTERM reports 128 plus the signal's number, as shells do. */
const SIGNAL_EXIT_CODE = { SIGINT: 130, SIGTERM: 143 } as const;
/** A program run by `exec` that takes longer hangs: nothing in a lab of two hosts needs half a minute. */
const EXEC_LIMIT_MS = 30_000;
/** Making a lab takes 30 ms; on a machine busy with other tests a hundred times that is still no hang. */
const CREATE_LIMIT_MS = 10_000;

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

export interface SpawnOptions {
  readonly stdin?: "pipe" | "ignore";
  readonly stdout?: "pipe" | "ignore" | "inherit";
  readonly stderr?: "pipe" | "ignore" | "inherit";
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Has the kernel kill a spawned program when this process dies without a chance to do so, where util-linux can ask for it. */
const DIE_WITH_PARENT = Bun.which("setpriv") === null ? [] : ["setpriv", "--pdeathsig", "KILL"];

/** The labs of this process that nobody has closed yet. */
const standing = new Set<Lab>();
let hooked = false;
let created = 0;

/** Namespaces, veth pairs and the programs in them. Make one with `Lab.create`; end it with `close` or `using`. */
export class Lab {
  /** The veth pairs; with a middle, `pairs[0]` is `va`-`ma` and `pairs[1]` is `vb`-`mb`. */
  readonly pairs: readonly Pair[];
  /** The end in the first namespace: the peer, by custom. */
  readonly a: End;
  /** The end in the second namespace: where millrace sits, by custom. */
  readonly b: End;
  /** The inner ends of a lab with a middle. */
  readonly middle: { readonly a: End; readonly b: End } | undefined;
  readonly #plan: Plan;
  readonly #programs = new Set<Bun.Subprocess>();
  #open = true;

  private constructor(plan: Plan) {
    this.#plan = plan;
    this.pairs = plan.pairs;
    this.a = plan.a;
    this.b = plan.b;
    this.middle = plan.middle;
  }

  /** Makes a lab and returns when every link is up. Throws, with what the tools said, where that is not possible. */
  static create(options: LabOptions = {}): Lab {
    const reason = Lab.unavailable();
    if (reason !== undefined) throw new Error(`cannot make a lab: ${reason}`);
    const plan = labTopology(options.name ?? freeName(), options);
    const stale = options.name === undefined ? staleNamespaces() : [];
    if (options.name === undefined) startJanitor();
    const lab = new Lab(plan);
    if (options.keep !== true) {
      standing.add(lab);
      hookExit();
    }
    const made = run(["sh", "-ec", labScript(plan, stale)], { check: false, timeoutMs: CREATE_LIMIT_MS });
    if (made.code !== 0) {
      lab.close();
      throw new Error(`cannot make lab "${plan.name}" (code ${made.code}): ${made.stderr.trim()}`);
    }
    return lab;
  }

  /** Why no lab can be made here, or undefined where one can. */
  static unavailable(): string | undefined {
    if (process.getuid?.() !== 0) return "network namespaces need root";
    for (const tool of ["ip", "ethtool", "nsenter", "sh"]) {
      if (Bun.which(tool) === null) return `${tool} is not installed`;
    }
    return undefined;
  }

  /** Removes the lab that was made with this fixed `name`; does nothing where there is none. */
  static remove(name: string): void {
    const found = namespaces().filter((each) => /-[amb]$/.test(each) && each.slice(0, -2) === name);
    if (found.length > 0) run(["sh", "-c", removalScript(found)], { check: false });
  }

  get open(): boolean {
    return this.#open;
  }

  /** The name of a side's namespace, as `ip netns` and `attach(..., { namespace })` take it. */
  namespace(side: Side): string {
    const name = this.#plan.namespaces[side];
    if (name === undefined) throw new RangeError(`lab "${this.#plan.name}" has no side "${side}"`);
    return name;
  }

  /** The words to put in front of a command to run it in a side's namespace. */
  enter(side: Side): string[] {
    return ["nsenter", `--net=${NETNS_FOLDER}/${this.namespace(side)}`];
  }

  /** Runs a program in a side's namespace to its end. Throws if it fails, unless `check` is false. */
  exec(side: Side, command: readonly string[], options: ExecOptions = {}): ExecResult {
    return run([...this.enter(side), ...command], options);
  }

  /** Starts a program in a side's namespace; `close` kills it if it still runs then. Its pid is the program's own. */
  spawn(
    side: Side,
    command: readonly string[],
    options: SpawnOptions = {},
  ): Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe"> {
    const program = Bun.spawn([...DIE_WITH_PARENT, ...this.enter(side), ...command], {
      stdin: options.stdin ?? "ignore",
      stdout: options.stdout ?? "pipe",
      stderr: options.stderr ?? "pipe",
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      onExit: (ended) => void this.#programs.delete(ended),
    });
    this.#programs.add(program);
    // "inherit" and "ignore" make the stream members null; whoever asks for them does not read them.
    return program as Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;
  }

  /** Kills what it spawned and removes the namespaces with all that is in them. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    standing.delete(this);
    for (const program of this.#programs) program.kill("SIGKILL");
    this.#programs.clear();
    const present = Object.values(this.#plan.namespaces).filter((name) =>
      existsSync(`${NETNS_FOLDER}/${name}`),
    );
    if (present.length > 0) run(["sh", "-c", removalScript(present)], { check: false });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Runs a command here, to its end. */
const run = (command: string[], options: ExecOptions): ExecResult => {
  const timeoutMs = options.timeoutMs ?? EXEC_LIMIT_MS;
  const done = Bun.spawnSync(command, {
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

const namespaces = (): string[] => (existsSync(NETNS_FOLDER) ? readdirSync(NETNS_FOLDER) : []);

/** A prefix that nothing in this process uses, also not a Worker with a count of its own. */
const freeName = (): string => {
  for (;;) {
    const name = `mr-${process.pid}-${created++}`;
    if (!existsSync(`${NETNS_FOLDER}/${name}-a`)) return name;
  }
};

/** Namespaces of labs whose process no longer exists. */
const staleNamespaces = (): string[] =>
  namespaces().filter((name) => {
    const pid = /^mr-(\d+)-\d+-[amb]$/.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });

/** Held so that the pipe to the janitor stays open until the very end of this process. */
let janitor: Bun.Subprocess<"pipe", "ignore", "ignore"> | undefined;

/**
 * Starts, once, a shell that removes this process's namespaces when its standard input ends, that is when this process is
 * gone, also by SIGKILL and where no exit event is delivered (test runners). It ignores the signals of a terminal, which go
 * to it as well.
 */
const startJanitor = (): void => {
  if (janitor !== undefined) return;
  const script = [
    "trap '' INT TERM HUP",
    "cat >/dev/null",
    `for n in ${NETNS_FOLDER}/mr-${process.pid}-*; do [ -e "$n" ] && ip netns del "\${n##*/}"; done`,
  ];
  janitor = Bun.spawn(["sh", "-c", script.join("\n")], { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  janitor.unref();
};

const closeAll = (): void => {
  for (const lab of [...standing]) lab.close();
};

/** Installed once: labs do not outlive the process. What this misses the janitor does, and after it the next run. */
const hookExit = (): void => {
  if (hooked) return;
  hooked = true;
  process.on("exit", closeAll);
  for (const [signal, code] of Object.entries(SIGNAL_EXIT_CODE) as [NodeJS.Signals, number][]) {
    process.on(signal, () => {
      // A program with a handler of its own ends in its own way, and the exit hook follows.
      if (process.listenerCount(signal) > 1) return;
      closeAll();
      process.exit(code);
    });
  }
};

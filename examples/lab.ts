/**
 * A laboratory: network namespaces joined by veth pairs, made in some 30 ms and removed without a trace.
 *
 * Everything is done by `ip`, `ethtool` and `nsenter`, nothing by the code under examination. Namespaces are named after
 * the process (`mr-PID-N-a`), so that two runs never meet and what a killed run left behind is recognised and removed by the
 * next. Programs enter through `nsenter --net`, not `ip netns exec`: the latter remounts /sys and hides the bpffs.
 */
import { existsSync, readdirSync } from "node:fs";
import {
  type DeviceState,
  forgetReturn,
  readDevices,
  recordReturn,
  RETURN_FOLDER,
  returnLine,
  withIndices,
} from "./lab-devices.ts";
import { type ExecOptions, type ExecResult, run } from "./lab-exec.ts";
import {
  type Cable,
  type End,
  type LabOptions,
  labTopology,
  type Pair,
  type Plan,
  type Side,
} from "./lab-plan.ts";
import { labScript, removalScript } from "./lab-script.ts";

export type { Cable, End, ExecOptions, ExecResult, LabOptions, Pair, Side };

/** Where iproute2 keeps named namespaces. */
const NETNS_FOLDER = "/run/netns";
/** A process that ends on SIGINT or SIGTERM reports 128 plus the signal's number, as shells do. */
const SIGNAL_EXIT_CODE = { SIGINT: 130, SIGTERM: 143 } as const;
/** Making a lab takes 30 ms; on a machine busy with other tests a hundred times that is still no hang. */
const CREATE_LIMIT_MS = 10_000;
/** A network card takes seconds to agree with its peer on a speed, once for each end, and more on an emulated processor. */
const CREATE_WITH_DEVICES_LIMIT_MS = 60_000;

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

/**
 * Namespaces, veth pairs (or existing devices) and the programs in them. Make one with `Lab.create`; end it with `close` or
 * `using`.
 */
export class Lab {
  #plan: Plan;
  readonly #programs = new Set<Bun.Subprocess>();
  #open = true;

  private constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** The veth pairs or cables; with a middle, `pairs[0]` is `va`-`ma` and `pairs[1]` is `mb`-`vb`, then the second path's. */
  get pairs(): readonly Pair[] {
    return this.#plan.pairs;
  }

  /** The end in the first namespace: the peer, by custom. */
  get a(): End {
    return this.#plan.a;
  }

  /** The end in the second namespace: where millrace sits, by custom. */
  get b(): End {
    return this.#plan.b;
  }

  /** The inner ends of a lab with a middle, of the first path. */
  get middle(): { readonly a: End; readonly b: End } | undefined {
    return this.#plan.middle;
  }

  /** Makes a lab and returns when every link is up. Throws, with what the tools said, where that is not possible. */
  static create(options: LabOptions = {}): Lab {
    const reason = Lab.unavailable();
    if (reason !== undefined) throw new Error(`cannot make a lab: ${reason}`);
    const plan = labTopology(options.name ?? freeName(), options);
    const stale = options.name === undefined ? staleNamespaces() : [];
    if (options.name === undefined) startJanitor();
    if (plan.moved && stale.length > 0) {
      // First of all: what the dead hold may be the very devices that this lab is to be made of.
      run(["sh", "-c", removalScript(stale)], { check: false });
      stale.length = 0;
    }
    const devices: readonly DeviceState[] = plan.moved ? readDevices(plan) : [];
    if (plan.moved) recordReturn(plan, devices);
    const lab = new Lab(plan);
    if (options.keep !== true) {
      standing.add(lab);
      hookExit();
    }
    const timeoutMs = plan.moved ? CREATE_WITH_DEVICES_LIMIT_MS : CREATE_LIMIT_MS;
    const made = run(["sh", "-ec", labScript(plan, stale, devices)], { check: false, timeoutMs });
    if (made.code !== 0) {
      lab.close();
      throw new Error(`cannot make lab "${plan.name}" (code ${made.code}): ${made.stderr.trim()}`);
    }
    // Which indices devices have is known where they are; those of veths are chosen.
    if (plan.moved) lab.#plan = withIndices(plan);
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
    const found = namespaces().filter((each) => /-[amnb]$/.test(each) && each.slice(0, -2) === name);
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

  /** Kills what it spawned, gives devices back as they were, and removes the namespaces with all in them. Idempotent. */
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
    if (this.#plan.moved) forgetReturn(this.#plan.name);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

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
    const pid = /^mr-(\d+)-\d+-[amnb]$/.exec(name)?.[1];
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
    `for n in ${NETNS_FOLDER}/mr-${process.pid}-*; do`,
    '  [ -e "$n" ] || continue',
    `  n="\${n##*/}"; way="${RETURN_FOLDER}/\${n%-?}"`,
    `  ${returnLine('"$way"')}`,
    '  ip netns del "$n"',
    "done",
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

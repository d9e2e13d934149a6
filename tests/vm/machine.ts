/**
 * One guest from power-on to power-off: a kernel, the host's files, a job, its output and exit status.
 *
 * The machine is emulated (TCG), so that it behaves the same everywhere. It sees the host's files read-only; what it writes
 * goes to memory, except in its folder for results. It ends by itself, by its time limit, or with this process.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cableScript, cardArguments, type Wiring, wiringFacts, wiringFor } from "./cables.ts";
import { buildInitramfs } from "./initramfs.ts";
import type { GuestKernel } from "./kernel.ts";
import type { Emulator } from "./qemu.ts";

export interface GuestOptions {
  readonly kernel: GuestKernel;
  readonly emulator: Emulator;
  /** Where the console's log, the job's output and its status go; made where it is missing. */
  readonly folder: string;
  /** Shell text, run by root in the checkout. */
  readonly job: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Its cards and cables, instead of those that the tests run on. */
  readonly wiring?: Wiring;
  /** Milliseconds after which the guest is ended; none for a person's shell. */
  readonly timeLimitMs?: number;
  /** True gives the job this process's terminal. */
  readonly interactive?: boolean;
  /** Called with each line of the job as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface GuestResult {
  /** The job's exit status; undefined where the guest ended before the job did. */
  readonly status: number | undefined;
  /** False where the guest did not come as far as the job: worth another try. */
  readonly booted: boolean;
  /** Why there is no status, with the end of the console. */
  readonly trouble: string | undefined;
  readonly output: string;
  readonly seconds: number;
}

/** A guest boots in 5 s on a quiet machine; old kernels sometimes hang, when the second processor's timer is lost. */
const BOOT_LIMIT_MS = 180_000;
const PROCESSORS = 2;
const MEMORY_MIB = 4096;
/** Lines of the console that explain a guest that did not finish. */
const CONSOLE_TAIL = 40;
const CHECKOUT = dirname(dirname(import.meta.dir));

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const emulatorArguments = (options: GuestOptions, initramfs: string, wiring: Wiring): string[] => {
  const { emulator, kernel, folder, interactive = false } = options;
  const share = (path: string, tag: string, mode: string): string[] => [
    "-virtfs",
    `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap,${mode}`,
  ];
  const monitor = join(folder, "monitor");
  return [
    ...emulator.command,
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", String(PROCESSORS), "-m", String(MEMORY_MIB)],
    ...["-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-kernel", kernel.image, "-initrd", initramfs, "-append", "console=ttyS0 panic=-1 quiet"],
    ...["-serial", `file:${join(folder, "console.log")}`],
    ...share("/", "host", "readonly=on"),
    ...share(folder, "out", "readonly=off"),
    ...["-device", "virtio-serial-pci,max_ports=4", "-device", "virtconsole,chardev=job"],
    ...["-chardev", `stdio,id=job,signal=${interactive ? "off" : "on"}`],
    // The emulator's monitor as a port of the guest, so that a test in it can pull a cable.
    ...["-chardev", `socket,id=monitor,path=${monitor},server=on,wait=off`, "-mon", "chardev=monitor"],
    ...["-chardev", `socket,id=wire,path=${monitor}`, "-device", "virtserialport,chardev=wire,name=monitor"],
    ...["-device", "virtio-rng-pci"],
    ...cardArguments(wiring),
  ];
};

const writeJob = (options: GuestOptions, wiring: Wiring): void => {
  const { folder, job, kernel, interactive = false, environment = {} } = options;
  const facts = {
    ...environment,
    ...wiringFacts(wiring),
    MILLRACE_VM: "1",
    MILLRACE_CHECKOUT: CHECKOUT,
    MILLRACE_MODULES: join(kernel.root, "lib", "modules", kernel.release),
  };
  const lines = Object.entries(facts).map(([key, value]) => `${key}=${quote(value)}\n`);
  writeFileSync(join(folder, "environment"), lines.join(""));
  // A terminal that no person sits at would put a carriage return into every line.
  writeFileSync(join(folder, "job"), interactive ? job : `stty raw -echo\n${job}`);
};

/** Ends with the namespace of the cables, and dies with this process even when it has no chance to say so. */
const inOwnNamespace = (wiring: Wiring, command: readonly string[]): string[] => [
  ...["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-ec"],
  `${cableScript(wiring)}\nexec "$@"`,
  "sh",
  ...command,
];

const readLines = async (
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<string> => {
  const decoder = new TextDecoder();
  let whole = "";
  let rest = "";
  const take = (text: string): void => {
    whole += text;
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  };
  for await (const part of stream) take(decoder.decode(part, { stream: true }));
  if (rest !== "") onLine(rest);
  return whole;
};

const explain = (folder: string, late: number | undefined, stderr: string): string => {
  const log = join(folder, "console.log");
  const tail = existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(-CONSOLE_TAIL).join("\n") : "";
  const why = late ? `the guest was ended by its limit of ${late} ms` : "the guest ended before its job did";
  return `${why}\n${stderr.trim()}\nits console:\n${tail}`;
};

/** Boots a guest, runs the job in it, and returns when the machine is off. */
export const runGuest = async (options: GuestOptions): Promise<GuestResult> => {
  const { folder, timeLimitMs, interactive = false, onLine = () => {} } = options;
  mkdirSync(folder, { recursive: true });
  for (const name of ["started", "status"]) rmSync(join(folder, name), { force: true });
  const wiring = options.wiring ?? wiringFor(options.emulator);
  writeJob(options, wiring);
  const initramfs = buildInitramfs(options.kernel, folder);
  const began = performance.now();
  const machine = Bun.spawn(inOwnNamespace(wiring, emulatorArguments(options, initramfs, wiring)), {
    stdin: interactive ? "inherit" : "ignore",
    stdout: interactive ? "inherit" : "pipe",
    stderr: interactive ? "inherit" : "pipe",
  });
  const started = join(folder, "started");
  let late: number | undefined;
  const endAfter = (limitMs: number, unless: () => boolean) =>
    setTimeout(() => {
      if (unless()) return;
      late = limitMs;
      machine.kill("SIGKILL");
    }, limitMs);
  const limits = [
    endAfter(BOOT_LIMIT_MS, () => existsSync(started)),
    ...(timeLimitMs === undefined ? [] : [endAfter(timeLimitMs, () => false)]),
  ];
  const [output, stderr] = await Promise.all([
    machine.stdout instanceof ReadableStream ? readLines(machine.stdout, onLine) : "",
    machine.stderr instanceof ReadableStream ? new Response(machine.stderr).text() : "",
    machine.exited,
  ]);
  for (const limit of limits) clearTimeout(limit);
  const status = join(folder, "status");
  const done = existsSync(status) ? Number(readFileSync(status, "utf8")) : undefined;
  return {
    status: done,
    booted: existsSync(started),
    trouble: done === undefined ? explain(folder, late, stderr) : undefined,
    output,
    seconds: (performance.now() - began) / 1000,
  };
};

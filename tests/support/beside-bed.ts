/**
 * A host of ours beside the kernel: a lab whose side b is both the kernel's and, for the ports that sockets open, a host's in
 * this process's loop; side a has the peers.
 */
import {
  attach,
  type AttachOptions,
  Host,
  type HostOptions,
  type Interface,
  Loop,
  type XdpDevice,
} from "../../index.ts";
import type { End } from "../../examples/lab.ts";
import { judge, tearDown, type VerdictOptions } from "./bed-verdict.ts";
import { Lab, type LabOptions, type Side } from "./lab.ts";
import { WireCapture } from "./wire-capture.ts";

export interface BesideBedOptions {
  readonly lab?: LabOptions;
  readonly attach?: Omit<AttachOptions, "namespace">;
  readonly host?: Omit<HostOptions, "loop">;
  /** Changes the lab before anything is attached. */
  readonly prepare?: (lab: Lab) => void;
}

/** Above what an answer takes on an emulated processor. */
const ANSWER_S = 5;

/** A running bed. Make one with `BesideBed.start`; `end` it. */
export class BesideBed {
  readonly lab: Lab;
  readonly loop: Loop;
  readonly host: Host;
  /** One for each of the lab's pairs. */
  readonly devices: readonly XdpDevice[];
  readonly interfaces: readonly Interface[];
  readonly errors: unknown[];
  readonly captures: WireCapture[] = [];
  #verdict: VerdictOptions = {};
  #open = true;

  private constructor(lab: Lab, options: BesideBedOptions) {
    this.lab = lab;
    const errors: unknown[] = [];
    this.errors = errors;
    this.loop = new Loop({ onError: (error) => void errors.push(error) });
    this.host = new Host({ loop: this.loop, ...options.host });
    this.devices = (lab.middle === undefined ? lab.pairs.map(({ b }) => b) : [lab.b]).map((end) =>
      attachBeside(lab, end, options.attach),
    );
    this.interfaces = this.devices.map((device) => this.host.beside(device));
    void this.loop.run();
  }

  static start(options: BesideBedOptions = {}): BesideBed {
    const lab = Lab.create(options.lab);
    try {
      options.prepare?.(lab);
      return new BesideBed(lab, options);
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  /** Captures what side b sends on each cable from now on, ours and the kernel's, for the verdict. */
  async capture(options: VerdictOptions = {}): Promise<void> {
    this.#verdict = options;
    for (const { a, b } of this.lab.pairs) {
      const filter = `ether src ${b.mac}`;
      this.captures.push(await WireCapture.start(this.lab, "a", { interface: a.name, filter }));
    }
  }

  get device(): XdpDevice {
    return this.devices[0]!;
  }

  get eth(): Interface {
    return this.interfaces[0]!;
  }

  /** Runs a command in a side; what it printed. Throws where it fails. */
  run(side: Side, words: string | readonly string[]): string {
    return this.lab.exec(side, typeof words === "string" ? words.split(" ") : words).stdout;
  }

  /** Runs Python in a side beside this process's loop; what it printed. Throws where it fails. */
  async python(side: Side, lines: readonly string[]): Promise<string> {
    const source = ["import errno, os, socket, struct, sys, time", ...lines].join("\n");
    const program = this.lab.spawn(side, ["python3", "-c", source]);
    const [stdout, stderr, code] = await Promise.all([
      program.stdout.text(),
      program.stderr.text(),
      program.exited,
    ]);
    if (code !== 0) throw new Error(`python: ${stderr.trim()}`);
    return stdout.trim();
  }

  /**
   * Sends `bytes` bytes from a kernel's socket at side a and returns who answered, and with how many: "ADDRESS PORT BYTES", or
   * the errno's name, or "timeout".
   */
  ask(
    address: string,
    port: number,
    bytes = 8,
    options: { bind?: string; timeoutS?: number } = {},
  ): Promise<string> {
    const { bind, timeoutS = ANSWER_S } = options;
    return this.python("a", [
      `where = socket.getaddrinfo("${address}", ${port}, type=socket.SOCK_DGRAM)[0]`,
      "s = socket.socket(where[0], socket.SOCK_DGRAM)",
      ...(bind === undefined ? [] : [`s.bind(("${bind}", 0))`]),
      `s.settimeout(${timeoutS})`,
      "s.connect(where[4])",
      `data = os.urandom(${bytes})`,
      "s.send(data)",
      "try:",
      "  got, who = s.recvfrom(65536)",
      "  assert got == data, 'other bytes came back'",
      "  print(who[0].split('%')[0], who[1], len(got))",
      "except OSError as e: print('timeout' if e.errno is None else errno.errorcode[e.errno])",
    ]);
  }

  /** The link-local address of an interface of side b. */
  linkLocal(name: string = this.lab.b.name): string {
    const shown = this.run("b", ["ip", "-6", "-br", "address", "show", "dev", name]);
    const found = /fe80:[0-9a-f:]+/.exec(shown)?.[0];
    if (found === undefined) throw new Error(`${name} has no link-local address`);
    return found;
  }

  /** Ends it, and throws where accounts, handlers or tshark say that something was wrong. Returns how many frames that has seen. */
  async end(): Promise<number> {
    if (!this.#open) return 0;
    this.#open = false;
    try {
      return await judge(this, this.#verdict);
    } finally {
      tearDown(this);
    }
  }
}

/** An interface of side b that claims nothing yet. */
export const attachBeside = (lab: Lab, end: End, options: Omit<AttachOptions, "namespace"> = {}): XdpDevice =>
  attach(end.name, { namespace: lab.namespace("b"), claim: [], ...options });

/** Runs `work` on a bed of its own, which is judged at the end. */
export const onBed = async (
  options: BesideBedOptions,
  work: (bed: BesideBed) => Promise<void>,
): Promise<void> => {
  const bed = BesideBed.start(options);
  try {
    await work(bed);
  } catch (error) {
    await bed.end().catch(() => {});
    throw error;
  }
  await bed.end();
};

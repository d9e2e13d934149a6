/**
 * A host of ours on a link that other people's servers and routers serve: side b is ours, and nothing of the kernel's speaks
 * there; a, and the middle where there is one, are the kernel's and its daemons'.
 *
 * `finish` is the verdict over the whole run: no handler threw, every chunk is accounted for, every frame that was sent
 * arrived at the other end of the veth, and tshark finds nothing wrong with any of them.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  attach,
  Host,
  type HostEvent,
  type HostOptions,
  type Interface,
  type JoinOptions,
  Loop,
  type XdpDevice,
} from "../../index.ts";
import { type End, Lab, type LabOptions, type Side, until } from "./lab.ts";
import { ping, type Place } from "./peer-tools.ts";
import { settleAccounts } from "./stream.ts";
import { dissect, tell, WireCapture } from "./wire-capture.ts";

export interface ServedBedOptions {
  readonly lab?: LabOptions;
  /** Shell lines (`sh -e`) for a side, run before anything of ours is there. */
  readonly prepare?: Readonly<Partial<Record<Side, readonly string[]>>>;
  readonly host?: Omit<HostOptions, "loop">;
  /** False where more frames cross than can be looked at one by one: `finish` then checks all but them. Default true. */
  readonly capture?: boolean;
}

/** Above the start of any daemon, and the slowest exchange of any of these protocols, on a busy machine. */
export const PATIENCE_MS = 40_000;

/** A kernel's end that says nothing by itself: no addresses, no IPv6, so that every frame from its Ethernet address is ours. */
const silence = (end: End): string[] => [
  `ip addr flush dev ${end.name}`,
  `[ ! -e /proc/sys/net/ipv6/conf/${end.name} ] || echo 1 > /proc/sys/net/ipv6/conf/${end.name}/disable_ipv6`,
];

/** The beds that stand now. One loop serves them all: two in one process would sleep while the other has work. */
const standing = new Set<ServedBed>();
let loop: Loop | undefined;
/** Settles when the loop has stopped: one that is asked to run before that stops all the same. */
let running: Promise<void> | undefined;

const enterLoop = (bed: ServedBed): Loop => {
  loop ??= new Loop({
    // The other end needs the processor more than we do.
    spinMs: 0,
    onError: (error) => {
      for (const one of standing) one.errors.push(error);
    },
  });
  if (standing.size === 0) running = loop.run();
  standing.add(bed);
  return loop;
};

const leaveLoop = (bed: ServedBed): void => {
  if (standing.delete(bed) && standing.size === 0) loop?.stop();
};

/** A running bed. Make one with `ServedBed.start`, let the host join with `join`, end with `finish` and `close`. */
export class ServedBed {
  readonly lab: Lab;
  readonly loop: Loop;
  readonly device: XdpDevice;
  readonly host: Host;
  /** All that the host told, from the beginning. */
  readonly events: HostEvent[] = [];
  /** What handlers threw. */
  readonly errors: unknown[] = [];
  /** For configurations and what daemons write down; gone with the bed. */
  readonly folder: string;
  #capture: WireCapture | undefined;
  #open = true;

  private constructor(options: ServedBedOptions) {
    this.folder = mkdtempSync(join(tmpdir(), "millrace-served-"));
    this.lab = Lab.create(options.lab);
    try {
      const prepare = { ...options.prepare, b: [...silence(this.lab.b), ...(options.prepare?.b ?? [])] };
      for (const [side, lines] of Object.entries(prepare)) this.sh(side as Side, lines);
      this.loop = enterLoop(this);
      this.device = attach(this.lab.b.name, { namespace: this.lab.namespace("b") });
      this.host = new Host({ loop: this.loop, ...options.host });
      this.host.on((event) => void this.events.push(event));
    } catch (error) {
      leaveLoop(this);
      this.lab.close();
      rmSync(this.folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Makes the lab and the host. Nothing is sent until it joins. */
  static async start(options: ServedBedOptions = {}): Promise<ServedBed> {
    const bed = new ServedBed(options);
    try {
      const { middle } = bed.lab;
      const far = middle === undefined ? bed.lab.a : middle.b;
      if (options.capture === false) return bed;
      bed.#capture = await WireCapture.start(bed.lab, far.side, { interface: far.name });
      return bed;
    } catch (error) {
      await bed.close();
      throw error;
    }
  }

  /** The kernel's side with tools in it. */
  get here(): Place {
    return { lab: this.lab, side: "a" };
  }

  /** Lets the host live on the device. */
  join(options: JoinOptions): Interface {
    return this.host.join(this.device, options);
  }

  /** Runs shell lines in a namespace; they must succeed. */
  sh(side: Side, lines: readonly string[]): string {
    return this.lab.exec(side, ["sh", "-ec", lines.join("\n")]).stdout;
  }

  /** Whether three echo requests of the kernel's are answered. It asks until they are: ping's own patience is two round trips. */
  async answers(address: string, size = 56): Promise<boolean> {
    const { received } = await ping(this.here, address, { size, more: ["-w", String(PATIENCE_MS / 1000)] });
    return received >= 3;
  }

  /** Three echoes of ours to an address, until all are answered. */
  async reach(address: string): Promise<void> {
    const replies = new Set<number>();
    const echo = this.host.ping(address, { onReply: ({ sequence }) => void replies.add(sequence) });
    for (const sequence of [1, 2, 3]) echo.send(sequence, new Uint8Array(56));
    await until(`replies from ${address}`, () => replies.size === 3, PATIENCE_MS);
    echo.close();
  }

  /** What tshark says of the frames of ours in a capture that a display filter takes: a line of fields for each. */
  async fields(file: string, filter: string, fields: readonly string[]): Promise<string[]> {
    const ours = `eth.src == ${this.lab.b.mac} && (${filter})`;
    const words = [
      "tshark",
      "-n",
      "-r",
      file,
      "-Y",
      ours,
      "-T",
      "fields",
      ...fields.flatMap((each) => ["-e", each]),
    ];
    return (await Bun.$`${words}`.quiet().text()).split("\n").filter(Boolean);
  }

  /** Writes a file into the bed's folder and returns its path. */
  file(name: string, content = ""): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** Waits for the first event that `match` takes, also one of the past unless `from` says where to begin. */
  async event<E extends HostEvent>(
    what: string,
    match: (event: HostEvent) => event is E,
    from = 0,
    limitMs = PATIENCE_MS,
  ): Promise<E> {
    return until(what, () => this.events.slice(from).find(match), limitMs);
  }

  /**
   * Ends the host, checks the accounts and the frames, and throws an error that says what is wrong. `except` is for
   * what tshark finds and is no fault of ours. Returns the capture, which goes with the bed.
   */
  async finish(except?: RegExp): Promise<string> {
    this.host.close();
    settleAccounts(this.device);
    if (this.errors.length > 0) throw new Error(`handlers threw: ${this.errors.map(String).join("; ")}`);
    if (this.#capture === undefined) return "";
    const { txPackets } = this.device.statistics();
    const file = await this.#capture.stop();
    const options = { mac: this.lab.b.mac, ...(except === undefined ? {} : { except }) };
    const dissection = await dissect(file, options);
    const wrong = [
      ...(dissection.frames === txPackets
        ? []
        : [`${txPackets} frames were sent, ${dissection.frames} arrived`]),
      tell(dissection),
    ].filter((line) => line !== "");
    if (wrong.length > 0) throw new Error(wrong.join("\n"));
    return file;
  }

  /** Gives everything back. Idempotent. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.host.close();
    leaveLoop(this);
    if (standing.size === 0) await running;
    this.device.close();
    this.#capture?.close();
    this.lab.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Events of one kind, for `ServedBed.event`. */
export const eventOf =
  <K extends HostEvent["kind"]>(
    kind: K,
    test: (event: Extract<HostEvent, { kind: K }>) => boolean = () => true,
  ) =>
  (event: HostEvent): event is Extract<HostEvent, { kind: K }> =>
    event.kind === kind && test(event as Extract<HostEvent, { kind: K }>);

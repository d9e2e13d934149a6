/**
 * A host of ours opposite the kernel: a lab whose side b is a host in this process's loop, with addresses of its own, and
 * whose every emitted frame is captured at the other end.
 *
 * `end` is the verdict: the umem's accounts are even, no handler threw, the frames that were sent are the frames that
 * arrived, and tshark has nothing against any of them.
 */
import {
  attach,
  type AttachOptions,
  Host,
  type HostOptions,
  type Interface,
  type JoinOptions,
  Loop,
  type XdpDevice,
} from "../../index.ts";
import { judge, silencing, tearDown } from "./bed-verdict.ts";
import { Lab, type LabOptions, type Side } from "./lab.ts";
import type { Place } from "./peer-tools.ts";
import { TagRelay } from "./tag-relay.ts";
import { type Finding, WireCapture } from "./wire-capture.ts";

export interface HostBedOptions {
  /** The lab's. `offloads: false` has the kernel complete its checksums; with true they arrive half done. */
  readonly lab?: LabOptions;
  /** What the device is told. */
  readonly attach?: AttachOptions;
  /** What the host is told. */
  readonly host?: Omit<HostOptions, "loop">;
  /** What the interface is told. Default: the lab's addresses of side b, and no detection of duplicates. */
  readonly join?: JoinOptions;
  /** The host lives in this VLAN; a switch between it and the kernel adds and takes the tags. The lab gets a middle. */
  readonly vlan?: number;
  /** Changes the lab before anything is attached. */
  readonly prepare?: (lab: Lab) => void;
  /** UDP ports whose payload means nothing, whatever tshark knows there. */
  readonly dataPorts?: readonly number[];
  /** True for a finding that is not our fault, such as what is wrong with a packet that we quote. */
  readonly forgive?: (finding: Finding) => boolean;
}

/** The protocols of an ICMP error with the packet that it quotes. */
const QUOTES = /^eth:ethertype:(vlan:ethertype:)?ipv?6?:icmp(v6)?:ip/;

/** True for what is wrong with a packet that the frame only quotes: it was the sender's. */
export const isQuoted = ({ info }: Finding): boolean => QUOTES.test(info);

/** The kernel leaves the sums of what it sends half done, and whoever quotes that quotes it as it is. */
const isUnfinished = (finding: Finding): boolean =>
  isQuoted(finding) && finding.message.startsWith("Bad checksum");

/** A running bed. Make one with `HostBed.start`; `end` it. */
export class HostBed {
  readonly lab: Lab;
  readonly loop: Loop;
  readonly device: XdpDevice;
  readonly host: Host;
  readonly eth: Interface;
  readonly #options: HostBedOptions;
  readonly errors: unknown[];
  readonly captures: readonly WireCapture[];
  readonly #relay: TagRelay | undefined;
  /** What came while the device was being attached. */
  readonly #noSocket: number;
  #open = true;

  private constructor(options: HostBedOptions, lab: Lab, capture: WireCapture) {
    const { b } = lab;
    this.#options = options;
    this.lab = lab;
    this.captures = [capture];
    const errors: unknown[] = [];
    this.errors = errors;
    this.loop = new Loop({ onError: (error) => void errors.push(error) });
    this.#relay = options.vlan === undefined ? undefined : new TagRelay(lab, this.loop, options.vlan);
    this.device = attach(b.name, { namespace: lab.namespace("b"), ...options.attach });
    this.#noSocket = this.device.statistics().program.noSocket;
    this.host = new Host({ loop: this.loop, ...options.host });
    const addresses = [`${b.ipv4}/24`, ...(b.ipv6 === "" ? [] : [`${b.ipv6}/64`])];
    this.eth = this.host.join(this.device, {
      ...(options.vlan === undefined ? {} : { vlan: options.vlan }),
      addresses,
      dad: false,
      ...options.join,
    });
    void this.loop.run();
  }

  /** Makes the lab and the host, and returns when both run; every frame of ours is captured. */
  static async start(options: HostBedOptions = {}): Promise<HostBed> {
    const lab = Lab.create({ ...options.lab, ...(options.vlan === undefined ? {} : { middle: true }) });
    let capture: WireCapture | undefined;
    try {
      options.prepare?.(lab);
      lab.exec("b", ["sh", "-c", silencing(lab.b.name)]);
      const { side, name } = capturedAt(lab, options);
      capture = await WireCapture.start(lab, side, {
        interface: name,
        filter: `ether src ${lab.b.mac}`,
      });
      return new HostBed(options, lab, capture);
    } catch (error) {
      capture?.close();
      lab.close();
      throw error;
    }
  }

  get devices(): readonly XdpDevice[] {
    return [this.device];
  }

  /** Where the peers run. */
  get here(): Place {
    return { lab: this.lab, side: "a" };
  }

  /** The host's address of a family. */
  address(family: 4 | 6): string {
    return family === 4 ? this.lab.b.ipv4 : this.lab.b.ipv6;
  }

  /** Counters of what runs on the interface besides packets: ARP, discovery, addresses, neighbours, groups. */
  protocols(): NonNullable<ReturnType<Interface["statistics"]>["protocols"]> {
    return this.eth.statistics().protocols!;
  }

  /** Runs a command at the kernel's side; what it printed. Throws where it fails. */
  kernel(...words: readonly string[]): string {
    return this.lab.exec("a", words).stdout;
  }

  /**
   * Ends it, whatever happened before, and throws where accounts, handlers, counters or tshark say that something was
   * wrong. Returns how many frames of ours were dissected.
   */
  async end(): Promise<number> {
    if (!this.#open) return 0;
    this.#open = false;
    try {
      return await this.#judge();
    } finally {
      this.#relay?.close();
      tearDown(this);
    }
  }

  async #judge(): Promise<number> {
    const frames = await judge(this, {
      mac: this.lab.b.mac,
      dataPorts: this.#options.dataPorts ?? [],
      isForgiven: (finding) => this.#isForgiven(finding),
    });
    const { txPackets, txDropped, program } = this.device.statistics();
    if (program.noSocket > this.#noSocket)
      throw new Error(`${program.noSocket - this.#noSocket} frames found no socket`);
    this.#relay?.check();
    if (txDropped > 0 || frames !== txPackets)
      throw new Error(`${txPackets} frames sent, ${txDropped} dropped, ${frames} arrived`);
    return frames;
  }

  #isForgiven(finding: Finding): boolean {
    const { lab, forgive } = this.#options;
    return (lab?.offloads !== false && isUnfinished(finding)) || forgive?.(finding) === true;
  }
}

/** The other end of the host's cable, or where the switch has taken off the tags. */
const capturedAt = (lab: Lab, { vlan }: HostBedOptions): { readonly side: Side; readonly name: string } =>
  lab.middle === undefined || vlan !== undefined
    ? { side: "a", name: lab.a.name }
    : { side: "m", name: lab.middle.b.name };

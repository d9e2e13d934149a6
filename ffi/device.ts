/**
 * An attached interface: its program, its sockets and its link watcher under one roof, and their end in the right order.
 *
 * Structurally the seam's `Device`. The order of the end matters: map entries first, so that the kernel keeps the
 * traffic from that moment on; then the program; then each socket's rings and descriptor; the memory last.
 */
import { inNamespace } from "./net/namespace.ts";
import type { LinkWatcher } from "./net/link-watcher.ts";
import type { DeviceEvent, SocketReports } from "./report.ts";
import type { SystemError } from "./sys/errno.ts";
import type { Claims } from "./xdp/claim.ts";
import type { SteerProgram, SteerStatistics } from "./xdp/program.ts";
import type { XskSocket } from "./xsk/socket.ts";
import type { SocketStatistics } from "./xsk/statistics.ts";
import type { Umem } from "./xsk/umem.ts";

/** One step of the ladder that was tried and refused, and the kernel's reason. */
export interface Refusal {
  /** "native program", "zero-copy on queue 0", "multi-buffer". */
  readonly tried: string;
  readonly error: SystemError;
}

/** What was negotiated with the kernel, read back from it, not assumed. */
export interface Mode {
  readonly xdp: "native" | "generic";
  readonly bind: "zero-copy" | "copy";
  readonly needWakeup: boolean;
  readonly multiBuffer: boolean;
  /** True where the program sits in libxdp's dispatcher. */
  readonly shared: boolean;
  /**
   * Receive queues of the interface that this device does not serve: claimed frames that arrive there go to the kernel, counted
   * as `program.noSocket`. Besides those that were not asked for, virtio_net opens some for XDP where it has queue pairs to
   * spare (virtnet_xdp_set); `ethtool -L NAME combined MAX` leaves it none.
   */
  readonly unserved: readonly number[];
  /** What was tried before and refused, in order. */
  readonly refused: readonly Refusal[];
}

export interface XdpDeviceStatistics {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txFull: number;
  /** Packets that reached a socket and found no chunk, no ring slot, or a frame too large. */
  readonly rxDropped: number;
  readonly txDropped: number;
  /** What the program decided, for every frame of the interface. */
  readonly program: SteerStatistics;
  /** Each queue's own counters, in the order of `queues`. */
  readonly queues: readonly SocketStatistics[];
}

/** What `attach` has built, to be owned by a device from now on. */
export interface DeviceParts {
  readonly name: string;
  readonly ifindex: number;
  readonly namespace: string | undefined;
  readonly mac: Uint8Array;
  readonly mtu: number;
  /** Packets passed when the watcher was made. */
  readonly up: boolean;
  readonly umem: Umem;
  /** True where the umem was made for this device and ends with it. */
  readonly ownsUmem: boolean;
  readonly program: SteerProgram;
  readonly watcher: LinkWatcher;
  readonly reports: SocketReports;
  readonly queues: readonly XskSocket[];
  readonly mode: Mode;
}

const openDevices = new Set<XdpDevice>();
let exitHooked = false;

/** The process's end is the last chance to leave nothing behind; C's own exit handlers do not run under Bun. */
const closeOnExit = (device: XdpDevice): void => {
  openDevices.add(device);
  if (exitHooked) return;
  exitHooked = true;
  process.on("exit", () => {
    for (const open of openDevices) open.close();
  });
};

/** An interface that AF_XDP sockets serve. Made by `attach`; ends with `close`, `using` or the process. */
export class XdpDevice {
  readonly ifindex: number;
  readonly namespace: string | undefined;
  readonly umem: Umem;
  readonly queues: readonly XskSocket[];
  readonly mode: Mode;
  readonly fds: readonly number[];
  readonly #parts: DeviceParts;
  #name: string;
  #mac: Uint8Array;
  #mtu: number;
  #up: boolean;
  #gone = false;
  #closed = false;
  #lastStatistics: XdpDeviceStatistics | undefined;

  constructor(parts: DeviceParts) {
    this.#parts = parts;
    this.#name = parts.name;
    this.#mac = parts.mac;
    this.#mtu = parts.mtu;
    this.#up = parts.up;
    this.ifindex = parts.ifindex;
    this.namespace = parts.namespace;
    this.umem = parts.umem;
    this.mode = parts.mode;
    this.queues = parts.queues;
    this.fds = [...this.queues.map((queue) => queue.fd), parts.watcher.fd];
    closeOnExit(this);
  }

  /** The interface's name; follows a rename once its event has been taken. */
  get name(): string {
    return this.#name;
  }

  /** Ethernet address, six bytes. */
  get mac(): Uint8Array {
    return this.#mac;
  }

  /** Bytes of payload, as the kernel has it. */
  get mtu(): number {
    return this.#mtu;
  }

  /** False once closed, or once the interface has gone. */
  get open(): boolean {
    return !this.#closed && !this.#gone && !this.#parts.reports.gone;
  }

  /** False while packets don't pass (no carrier, or switched off); follows the events that are taken. */
  get up(): boolean {
    return this.#up;
  }

  get claims(): Claims {
    return this.#parts.program.claims;
  }

  /** Replaces the claims while traffic flows: what both the old and the new list claim is ours throughout. */
  setClaims(claims: Claims): void {
    this.#parts.program.setClaims(claims);
  }

  takeLinkEvent(): DeviceEvent | undefined {
    if (this.#closed || this.#gone) return undefined;
    const own = this.#parts.reports.take();
    if (own?.kind === "gone") this.#gone = true;
    if (own !== undefined) return own;
    const change = this.#parts.watcher.take();
    if (change === undefined) return undefined;
    if (change.kind === "mtu") this.#mtu = change.mtu;
    else if (change.kind === "address") this.#mac = change.mac;
    else if (change.kind === "renamed") this.#name = change.name;
    else if (change.kind === "gone") this.#gone = true;
    else this.#up = change.kind === "up";
    return change;
  }

  /** Counters since the attach. After `close` they are those of the last moment. */
  statistics(): XdpDeviceStatistics {
    if (this.#closed && this.#lastStatistics !== undefined) return this.#lastStatistics;
    const queues = this.queues.map((queue) => queue.statistics());
    const sum = (counter: (one: SocketStatistics) => number): number =>
      queues.reduce((total, one) => total + counter(one), 0);
    return {
      rxPackets: sum((one) => one.rxPackets),
      rxBytes: sum((one) => one.rxBytes),
      txPackets: sum((one) => one.txPackets),
      txBytes: sum((one) => one.txBytes),
      txFull: sum((one) => one.txFull),
      rxDropped: sum((one) => one.rxDropped + one.rxRingFull),
      txDropped: sum((one) => one.txDropped),
      program: this.#parts.program.statistics(),
      queues,
    };
  }

  /** Gives everything back to the kernel. Idempotent; frames and leases of the device end with it. */
  close(): void {
    if (this.#closed) return;
    this.#lastStatistics = this.statistics();
    this.#closed = true;
    openDevices.delete(this);
    const { program, watcher, reports, umem, ownsUmem } = this.#parts;
    using steps = new DisposableStack();
    // A stack runs its last step first, and the rest also where one of them throws.
    steps.defer(() => watcher.close());
    steps.defer(() => reports.close());
    for (const queue of this.queues) steps.defer(() => queue.close());
    // Frees the memory when the last socket leaves; said first, so that none of them waits for its driver.
    if (ownsUmem) steps.defer(() => umem.close());
    // A dispatcher is looked up by the interface's number, which means something in its own namespace only.
    steps.defer(() =>
      this.mode.shared ? inNamespace(reports.namespace, () => program.close()) : program.close(),
    );
    for (const queue of this.queues) steps.defer(() => program.clearSocket(queue.index));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

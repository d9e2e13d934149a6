/**
 * A link made of memory: two devices, each sending what the other receives, with rings that fill up like real ones.
 *
 * Where both ends share a umem a packet changes hands in place, else it is copied into chunks of the receiver's fill
 * ring. A packet moves when its sender flushes; there is no clock, no delay and no loss but the losses of real rings:
 * nothing to receive into, a receive ring that nobody empties, a link that is down, a packet above the MTU.
 */
import type { Device, DeviceStatistics, LinkEvent } from "./device.ts";
import { MemoryQueue, type QueueCounters } from "./memoryqueue.ts";
import { MemoryUmem, type UmemOptions } from "./pool.ts";

export interface LinkOptions extends UmemOptions {
  /** Names of the two ends. Default: "left" and "right". */
  readonly names?: readonly [string, string];
  /** Ethernet addresses, six bytes each. Default: locally administered ones ending in 1 and 2. */
  readonly macs?: readonly [Uint8Array, Uint8Array];
  /** One umem for both ends: packets move in place. Default: one each, made with this object's chunk options. */
  readonly shared?: boolean;
  /** Existing umems, in place of new ones; the same one twice is shared. */
  readonly umems?: readonly [MemoryUmem, MemoryUmem];
  /** Queues of each end, 1 to 64. Packets stay on the queue of the same number. Default: 1. */
  readonly queues?: number;
  /** Entries of a receive ring, a power of two. Default: 1024. */
  readonly rxRing?: number;
  /** Entries of a transmit ring, a power of two. Default: 1024. */
  readonly txRing?: number;
  /** Entries of a fill ring, a power of two. Default: twice the receive ring, but at most half of the umem's share. */
  readonly fillRing?: number;
  /** Largest payload in bytes. Default: 1500. */
  readonly mtu?: number;
}

/** Counters of one end, in packets unless the name says otherwise. */
export interface MemoryStatistics extends DeviceStatistics {
  /** Lost because the fill ring had no chunk for them; in rxDropped too. */
  readonly rxFillEmpty: number;
  /** Lost because the receive ring was full; in rxDropped too. */
  readonly rxRingFull: number;
  /** Refused by `pass`: there is no operating system behind a memory link. */
  readonly passRefused: number;
}

/** Queues of one device at most: more than any test needs, and few enough that a turn over them is short. */
export const MAX_QUEUES = 64;
/** The payload of the smallest link that IPv4 allows (RFC 791) to the largest IP packet. */
export const MIN_MTU = 68;
export const MAX_MTU = 65535;
/** Link events held until they are taken; of a link that flaps faster the oldest are forgotten. */
export const MAX_LINK_EVENTS = 64;

const MAC_BYTES = 6;
const DEFAULT_RING = 1024;
const DEFAULT_MTU = 1500;

/** One end of a link made of memory. */
export class MemoryDevice implements Device {
  readonly umem: MemoryUmem;
  readonly queues: readonly MemoryQueue[];
  readonly fds: readonly number[] = [];
  readonly #counters: QueueCounters;
  readonly #events: LinkEvent[] = [];
  readonly #unregister: readonly (() => void)[];
  #peer: MemoryDevice | undefined;
  #name: string;
  #mac: Uint8Array;
  #mtu: number;
  #up = true;
  #carrier = true;
  #open = true;

  constructor(name: string, mac: Uint8Array, umem: MemoryUmem, options: LinkOptions) {
    const count = options.queues ?? 1;
    if (!(Number.isInteger(count) && count >= 1 && count <= MAX_QUEUES)) {
      throw new RangeError(`queues is a whole number from 1 to ${MAX_QUEUES}, not ${String(count)}`);
    }
    const rxRing = options.rxRing ?? DEFAULT_RING;
    const sizes = {
      rx: rxRing,
      tx: options.txRing ?? DEFAULT_RING,
      fill: options.fillRing ?? Math.min(2 * rxRing, powerBelow(umem.chunkCount / (2 * count))),
    };
    this.umem = umem;
    this.#name = name;
    this.#mac = checkMac(mac);
    this.#mtu = checkMtu(options.mtu ?? DEFAULT_MTU);
    this.#counters = {
      rxPackets: 0,
      rxBytes: 0,
      txPackets: 0,
      txBytes: 0,
      txFull: 0,
      rxDropped: 0,
      txDropped: 0,
      rxFillEmpty: 0,
      rxRingFull: 0,
      passRefused: 0,
    };
    this.queues = Array.from({ length: count }, (_, i) => new MemoryQueue(i, this, this.#counters, sizes));
    this.#unregister = this.queues.map((queue) => umem.register(queue));
  }

  get name(): string {
    return this.#name;
  }

  get mac(): Uint8Array {
    return this.#mac;
  }

  get mtu(): number {
    return this.#mtu;
  }

  get open(): boolean {
    return this.#open;
  }

  /** True while there is a carrier. */
  get up(): boolean {
    return this.#carrier;
  }

  /** True while both ends are up and open: what is sent arrives. */
  get connected(): boolean {
    const peer = this.#peer;
    return peer !== undefined && this.#open && peer.#open && this.#up && peer.#up;
  }

  /** The other end, undefined before the two are joined. */
  get peer(): MemoryDevice | undefined {
    return this.#peer;
  }

  takeLinkEvent(): LinkEvent | undefined {
    return this.#events.shift();
  }

  statistics(): MemoryStatistics {
    return { ...this.#counters };
  }

  /** Takes this end up or down, as `ip link set` does. Either end's going down takes the carrier from both. */
  setUp(up: boolean): void {
    if (!this.#open || this.#up === up) return;
    this.#up = up;
    this.noteCarrier();
    this.#peer?.noteCarrier();
  }

  /** Changes the MTU of this end. */
  setMtu(mtu: number): void {
    if (!this.#open || this.#mtu === checkMtu(mtu)) return;
    this.#mtu = mtu;
    this.#note({ kind: "mtu", mtu });
  }

  setMac(mac: Uint8Array): void {
    if (!this.#open) return;
    this.#mac = checkMac(mac);
    this.#note({ kind: "address", mac: this.#mac });
  }

  rename(name: string): void {
    if (!this.#open || this.#name === name) return;
    this.#name = name;
    this.#note({ kind: "renamed", name });
  }

  /** The end of the link itself, as when a veth pair is deleted: both devices are gone. */
  vanish(reason: string): void {
    const ends = [this, this.#peer].filter((end) => end !== undefined).filter((end) => end.#open);
    for (const end of ends) {
      // Its last event: losing the carrier is no news after that.
      end.#carrier = false;
      end.#note({ kind: "gone", reason });
    }
    for (const end of ends) end.close();
  }

  /** Closes this end; what the other sends is lost from now on. Chunks that are lent or kept stay their holder's. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const queue of this.queues) queue.empty();
    for (const unregister of this.#unregister) unregister();
    this.#peer?.noteCarrier();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Joins two fresh ends and fills their fill rings. For `createLink`. */
  static join(left: MemoryDevice, right: MemoryDevice): void {
    left.#peer = right;
    right.#peer = left;
    for (const device of [left, right]) for (const queue of device.queues) queue.flush();
  }

  /** Tells of a carrier that came or went. For the other end. */
  noteCarrier(): void {
    const carrier = this.connected;
    if (carrier === this.#carrier || !this.#open) return;
    this.#carrier = carrier;
    this.#note({ kind: carrier ? "up" : "down" });
  }

  #note(event: LinkEvent): void {
    if (this.#events.length >= MAX_LINK_EVENTS) this.#events.shift();
    this.#events.push(event);
  }
}

/** Two devices joined by memory, both up. Throws a RangeError for sizes out of range. */
export const createLink = (options: LinkOptions = {}): readonly [MemoryDevice, MemoryDevice] => {
  const [leftName, rightName] = options.names ?? ["left", "right"];
  const [leftMac, rightMac] = options.macs ?? [localMac(1), localMac(2)];
  const leftUmem = options.umems?.[0] ?? new MemoryUmem(options);
  const rightUmem = options.umems?.[1] ?? (options.shared ? leftUmem : new MemoryUmem(options));
  const left = new MemoryDevice(leftName, leftMac, leftUmem, options);
  const right = new MemoryDevice(rightName, rightMac, rightUmem, options);
  MemoryDevice.join(left, right);
  return [left, right];
};

/** The first octet has the bit for "locally administered" (IEEE 802, section 8.2). */
const LOCAL_OCTET = 0x02;

const localMac = (last: number): Uint8Array => Uint8Array.of(LOCAL_OCTET, 0, 0, 0, 0, last);

const checkMac = (mac: Uint8Array): Uint8Array => {
  if (mac instanceof Uint8Array && mac.length === MAC_BYTES) return mac.slice();
  throw new TypeError(`an Ethernet address is a Uint8Array of ${MAC_BYTES} bytes`);
};

const checkMtu = (mtu: number): number => {
  if (Number.isInteger(mtu) && mtu >= MIN_MTU && mtu <= MAX_MTU) return mtu;
  throw new RangeError(`mtu is a whole number from ${MIN_MTU} to ${MAX_MTU}, not ${String(mtu)}`);
};

/** The largest power of two that is not above `value`, 1 at the least. */
const powerBelow = (value: number): number => (value < 2 ? 1 : 2 ** Math.floor(Math.log2(value)));

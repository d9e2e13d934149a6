/**
 * The Ethernet side of an interface: a device, or one VLAN of it, with its header, its limits and its counters.
 */
import type { Device, Queue } from "../device/device.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as ethernet from "../wire/ethernet.ts";
import { MacAddress } from "../wire/mac.ts";
import * as vlan from "../wire/vlan.ts";
import { freshCounters, type IpCounters } from "./counters.ts";
import type { Outlet } from "./environment.ts";

export interface LinkOptions {
  /** Default: the device's name, with ".VLAN" behind it. */
  readonly name?: string;
  /** 802.1Q identifier, 1 to 4094: only frames with this tag belong to the interface. Default: those without a tag. */
  readonly vlan?: number;
  /** Largest IP packet in bytes. Default, and most: the device's. */
  readonly mtu?: number;
}

/** No tag. */
export const UNTAGGED = -1;
const FIRST_VLAN = 1;
const LAST_VLAN = 4094;
/** IPv4 over anything (RFC 791 section 3.1). */
const MIN_MTU = 68;

export class Link implements Outlet {
  readonly device: Device;
  readonly vlan: number;
  /** Bytes in front of the IP header. */
  readonly linkBytes: number;
  readonly counters: IpCounters = freshCounters();
  mac: MacAddress;
  macHigh: number;
  macLow: number;
  mtu = 0;
  /** Frames go through: the device is open and its link up. */
  up: boolean;
  readonly #name: string | undefined;
  readonly #mostMtu: number;

  /** Throws a RangeError for a VLAN or an MTU out of range. */
  constructor(device: Device, options: LinkOptions) {
    const { vlan: tag = UNTAGGED, mtu = Infinity } = options;
    if (tag !== UNTAGGED && !(Number.isInteger(tag) && tag >= FIRST_VLAN && tag <= LAST_VLAN))
      throw new RangeError(`vlan is a whole number from ${FIRST_VLAN} to ${LAST_VLAN}, not ${String(tag)}`);
    if (mtu !== Infinity && !(Number.isInteger(mtu) && mtu >= MIN_MTU))
      throw new RangeError(`mtu is a whole number from ${MIN_MTU}, not ${String(mtu)}`);
    this.device = device;
    this.vlan = tag;
    this.up = device.up ?? true;
    this.linkBytes = ethernet.HEADER_BYTES + (tag === UNTAGGED ? 0 : vlan.TAG_BYTES);
    this.#name = options.name;
    this.#mostMtu = mtu;
    this.mac = MacAddress.fromBytes(device.mac);
    this.macHigh = this.mac.high;
    this.macLow = this.mac.low;
    this.followDevice();
  }

  get name(): string {
    if (this.#name !== undefined) return this.#name;
    return this.vlan === UNTAGGED ? this.device.name : `${this.device.name}.${this.vlan}`;
  }

  /** Takes over the device's address and MTU, which may have changed. */
  followDevice(): void {
    const { device } = this;
    this.mac = MacAddress.fromBytes(device.mac);
    this.macHigh = this.mac.high;
    this.macLow = this.mac.low;
    // More than the chunks of one packet hold is no use for sending, whatever the interface takes.
    const chunks = Math.min(...device.queues.map((queue) => queue.maxChunks));
    const most = chunks * device.umem.roomBytes - this.linkBytes;
    // A whole number to the engine too: one that was compared with infinity is not, and all that is added to it isn't.
    this.mtu = Math.min(device.mtu, this.#mostMtu, most) | 0;
  }

  /** The queue for a flow. All packets of one hash go out of the same, so that they stay in order. */
  queueFor(hash: number): Queue {
    const { queues } = this.device;
    return queues[(hash >>> 0) % queues.length]!;
  }

  /** Writes the whole link header in front of an IP packet. */
  writeHeader(view: DataView, at: number, high: number, low: number, etherType: number): void {
    ethernet.setDestinationWords(view, at, high, low);
    ethernet.setSourceWords(view, at, this.macHigh, this.macLow);
    if (this.vlan === UNTAGGED) ethernet.setType(view, at, etherType);
    else {
      ethernet.setType(view, at, ETHERTYPE.VLAN);
      vlan.setControl(view, at + ethernet.HEADER_BYTES, this.vlan, 0, false);
      vlan.setInnerType(view, at + ethernet.HEADER_BYTES, etherType);
    }
  }

  /** Writes the next hop's address into a header that is complete but for it. */
  setDestination(view: DataView, at: number, high: number, low: number): void {
    ethernet.setDestinationWords(view, at, high, low);
  }

  send(
    destination: MacAddress,
    etherType: number,
    lengthBytes: number,
    write: (view: DataView, at: number) => void,
  ): boolean {
    const { device, linkBytes } = this;
    const queue = this.queueFor(0);
    const { umem } = queue;
    if (!this.up || linkBytes + lengthBytes > umem.roomBytes) {
      this.counters.unsendable += 1;
      return false;
    }
    const chunk = device.open && queue.reserve(1) ? umem.take() : -1;
    if (chunk < 0) {
      this.counters.full += 1;
      return false;
    }
    umem.bytes.fill(0, chunk, chunk + linkBytes + lengthBytes);
    this.writeHeader(umem.view, chunk, destination.high, destination.low, etherType);
    try {
      write(umem.view, chunk + linkBytes);
    } catch (error) {
      umem.release(chunk);
      throw error;
    }
    queue.send(chunk, linkBytes + lengthBytes, false);
    this.counters.sent += 1;
    return true;
  }
}

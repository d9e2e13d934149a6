/**
 * Frames of one device on their way in: which interface they belong to, whether they are for us, and what they carry.
 */
import type { Burst, Device, Queue } from "../device/device.ts";
import type { Frame } from "../device/frame.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as vlan from "../wire/vlan.ts";
import { LoopbackOfGroups } from "./group-loopback.ts";
import type { Input4 } from "./input4.ts";
import type { Input6 } from "./input6.ts";
import type { Interface } from "./interface.ts";
import { UNTAGGED } from "./link.ts";
import type { LookAhead } from "./look-ahead.ts";

/** The bit of the first octet that says "to many" (IEEE 802, section 8.2), in the word of the first four. */
const GROUP_BIT = 0x0100_0000;

/** What frames need of the host. */
export interface FrameHost {
  readonly input4: Input4;
  readonly input6: Input6;
  readonly lookAhead: LookAhead;
  interfaceOf(index: number): Interface | undefined;
  /** Gives a frame to the kernel beside the host. */
  pass(on: Interface, frame: Frame): void;
}

export class Frames {
  readonly device: Device;
  readonly #host: FrameHost;
  #untagged: Interface | undefined;
  readonly #tagged = new Map<number, Interface>();
  /** Frames with a tag, or without one, that no interface of this device has. */
  #unclaimed = 0;

  constructor(device: Device, host: FrameHost) {
    this.device = device;
    this.#host = host;
  }

  /** Frames of no interface. */
  get unclaimed(): number {
    return this.#unclaimed;
  }

  get empty(): boolean {
    return this.#untagged === undefined && this.#tagged.size === 0;
  }

  /** Every interface of the device. */
  *interfaces(): Iterable<Interface> {
    if (this.#untagged !== undefined) yield this.#untagged;
    yield* this.#tagged.values();
  }

  /** Throws a TypeError where the device, or the VLAN of it, has an interface. */
  add(one: Interface): void {
    const tag = one.link.vlan;
    const taken = tag === UNTAGGED ? this.#untagged : this.#tagged.get(tag);
    if (taken !== undefined)
      throw new TypeError(
        `"${taken.name}" has joined this host already; leave it first, or name another VLAN`,
      );
    if (tag === UNTAGGED) this.#untagged = one;
    else this.#tagged.set(tag, one);
  }

  remove(one: Interface): void {
    if (this.#untagged === one) this.#untagged = undefined;
    else if (this.#tagged.get(one.link.vlan) === one) this.#tagged.delete(one.link.vlan);
  }

  /** To be called with each burst of the device's before its frames. */
  readonly preview = (queue: Queue, burst: Burst, count: number): void => {
    const { lookAhead } = this.#host;
    if (lookAhead.pays) lookAhead.over(queue, burst, count);
  };

  /** The handler of the device's frames. */
  readonly receive = (frame: Frame): void => {
    const { view, at, head } = frame;
    if (head < ethernet.HEADER_BYTES) {
      this.#unclaimed += 1;
      return;
    }
    const type = ethernet.type(view, at);
    const on = this.#untagged;
    if (type === ETHERTYPE.VLAN) this.#receiveTagged(frame);
    else if (on === undefined) this.#nobodys(frame);
    else this.#take(on, frame, type);
  };

  #receiveTagged(frame: Frame): void {
    const { view, at, head } = frame;
    const tagAt = at + ethernet.HEADER_BYTES;
    const whole = head >= ethernet.HEADER_BYTES + vlan.TAG_BYTES;
    const tag = whole ? vlan.identifier(view, tagAt) : UNTAGGED;
    // A tag of zero has a priority and belongs to no VLAN (IEEE 802.1Q section 9.6); it is not looked behind.
    const on = this.#tagged.get(tag);
    if (on === undefined) this.#nobodys(frame);
    else this.#take(on, frame, vlan.innerType(view, tagAt));
  }

  /** A frame of no interface: the kernel's, where it has one of the device's. Claims of ports see through tags. */
  #nobodys(frame: Frame): void {
    this.#unclaimed += 1;
    for (const one of this.interfaces()) {
      if (one.life !== "beside") continue;
      this.#host.pass(one, frame);
      return;
    }
  }

  /**
   * A frame of the interface `on`, which carries `type`: most are IPv4 packets to its Ethernet address. It is this small so
   * that it is compiled into its caller.
   */
  #take(on: Interface, frame: Frame, type: number): void {
    const { link } = on;
    const { view, at, length } = frame;
    link.counters.received += 1;
    link.counters.receivedBytes += length;
    const high = ethernet.destinationHigh(view, at);
    if (type !== ETHERTYPE.IPV4 || !on.plain || high !== link.macHigh)
      return this.#takeOther(on, frame, type);
    if (ethernet.destinationLow(view, at) !== link.macLow) return void (link.counters.otherHost += 1);
    this.#host.input4.receive(on, on, frame, at + link.linkBytes, length - link.linkBytes, false);
  }

  /** The same for all others. */
  #takeOther(on: Interface, frame: Frame, type: number): void {
    const { link } = on;
    const { view, at } = frame;
    const high = ethernet.destinationHigh(view, at);
    const toMany = (high & GROUP_BIT) !== 0;
    if (!toMany && (high !== link.macHigh || ethernet.destinationLow(view, at) !== link.macLow)) {
      link.counters.otherHost += 1;
      return;
    }
    const ipAt = at + link.linkBytes;
    const length = frame.length - link.linkBytes;
    if (on.interceptor !== undefined && !toMany && on.interceptor.take(on, frame, ipAt, type)) return;
    if (type === ETHERTYPE.IPV4)
      this.#host.input4.receive(on, this.#meant(on, frame), frame, ipAt, length, toMany);
    else if (type === ETHERTYPE.IPV6)
      this.#host.input6.receive(on, this.#meant(on, frame), frame, ipAt, length, toMany);
    else if (type === ETHERTYPE.ARP && on.protocols !== undefined)
      on.protocols.receiveArp(view, ipAt, frame.head - link.linkBytes, toMany);
    else if (on.life === "beside") this.#host.pass(on, frame);
    else link.counters.unknownType += 1;
  }

  /** The interface that a frame counts for: on loopback the one that a packet to a group was sent on. */
  #meant(on: Interface, frame: Frame): Interface {
    if (!on.isLoopback) return on;
    const index = LoopbackOfGroups.sentOn(frame.view, frame.at);
    return index === 0 ? on : (this.#host.interfaceOf(index) ?? on);
  }
}

/**
 * What the host offers its transports, over the parts that do it.
 */
import type { Random } from "../device/random.ts";
import type { Loop } from "../loop/loop.ts";
import type { Timer } from "../loop/timers.ts";
import type {
  Destination,
  DestinationOptions,
  LinkInterface,
  Network,
  SoftErrorEvent,
  SourceFilter,
} from "../transport/network.ts";
import type { IpAddress } from "../wire/address.ts";
import type { PortClaims } from "./claims.ts";
import type { Output } from "./output.ts";
import type { Routing } from "./routing.ts";
import type { Slots } from "./fragments/slots.ts";
import { Way } from "./way.ts";

/** When it is looked whether there is room again, in ms: a ring empties in a turn, and there is no event for it. */
const DRAIN_MS = 0;

/** Somebody who waits for room on a way; undefined where it is not known which. */
interface Waiting {
  readonly way: Way | undefined;
  readonly fn: () => void;
}

export class HostNetwork implements Network {
  readonly outgoing: Output;
  readonly random: Random;
  readonly #loop: Loop;
  readonly #routing: Routing;
  readonly #claims: PortClaims;
  readonly #slots: Slots;
  readonly #emit: (event: SoftErrorEvent) => void;
  #waiting: Waiting[] = [];
  #drain: Timer | undefined;

  constructor(
    loop: Loop,
    random: Random,
    outgoing: Output,
    routing: Routing,
    claims: PortClaims,
    slots: Slots,
    emit: (event: SoftErrorEvent) => void,
  ) {
    this.#loop = loop;
    this.random = random;
    this.outgoing = outgoing;
    this.#routing = routing;
    this.#claims = claims;
    this.#slots = slots;
    this.#emit = emit;
  }

  get now(): number {
    return this.#loop.now;
  }

  after(ms: number, fn: () => void): Timer {
    return this.#loop.after(ms, fn);
  }

  destination(address: IpAddress, options: DestinationOptions = {}): Destination {
    return new Way(this.#routing, address, options);
  }

  interfaceOf(index: number): LinkInterface | undefined {
    return this.#routing.interfaceOf(index);
  }

  interfaceNamed(name: string): number {
    for (const one of this.#routing.interfaces()) if (one.name === name) return one.index;
    throw new RangeError(`no interface "${name}" has joined this host`);
  }

  isLocal({ w0, w1, w2, w3 }: IpAddress): boolean {
    return this.#routing.isLocal(w0, w1, w2, w3);
  }

  joinGroup(token: object, group: IpAddress, interfaceIndex: number, sources?: SourceFilter): number {
    const on = this.#routing.interfaceForGroup(group, interfaceIndex);
    if (on === undefined)
      throw new RangeError(`no interface to join ${group} on: name one, or give a route to the group`);
    if (!on.groups.join(token, group, sources))
      throw new RangeError(`"${on.name}" has its fill of groups, members or sources for ${group}`);
    return on.index;
  }

  leaveGroup(token: object, group: IpAddress, interfaceIndex: number): void {
    this.#routing.interfaceOf(interfaceIndex)?.groups.leave(token, group);
  }

  takePort(protocol: number, address: IpAddress | undefined, port: number): boolean {
    return this.#claims.take(protocol, address, port);
  }

  givePort(protocol: number, address: IpAddress | undefined, port: number): void {
    this.#claims.give(protocol, address, port);
  }

  drained(fn: () => void): void {
    this.#waiting.push({ way: this.outgoing.fullWay, fn });
    this.#look();
  }

  #look(): void {
    if (this.#drain === undefined) this.#drain = this.#loop.after(DRAIN_MS, () => this.#tellWaiting());
    else if (!this.#drain.active) this.#drain.restart(DRAIN_MS);
  }

  keepSlot(slot: number): void {
    this.#slots.keep(slot);
  }

  freeSlot(slot: number): void {
    this.#slots.free(slot);
  }

  emit(event: SoftErrorEvent): void {
    this.#emit(event);
  }

  /** Nobody is told any more. */
  close(): void {
    this.#drain?.cancel();
    this.#waiting = [];
  }

  #tellWaiting(): void {
    const ready = this.#waiting.filter(({ way }) => way === undefined || hasRoom(way));
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one));
    if (this.#waiting.length > 0) this.#look();
    // Each on its own, so that one that throws keeps no other from hearing of it.
    for (const { fn } of ready) this.#loop.after(0, fn);
  }
}

/** True where a packet can be tried: also where it will be refused for another reason. */
const hasRoom = ({ interface: on, queue }: Way): boolean => {
  if (on === undefined || queue === undefined || !on.link.device.open || !on.link.up) return true;
  return queue.umem.available > 0 && queue.reserve(1);
};

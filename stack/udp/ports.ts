/**
 * Which socket a datagram is for: by local port, then the flow, then the local address, then anybody on that port.
 */
import { AddressTable } from "../wire/address-table.ts";
import type { IpAddress } from "../wire/address.ts";
import { type Flow, FlowTable } from "./flow-table.ts";

/** What a socket tells of where it stands. */
export interface Listener extends Flow {
  /** Undefined: every address of ours. */
  readonly localAddress: IpAddress | undefined;
  /** True where `remotePort` and its words say from whom alone it hears. */
  readonly connected: boolean;
  /** True where it shares its place with others of the same kind; each gets what is sent to a group or to everybody. */
  readonly reuse: boolean;
}

/** Who sent a packet to whom, in words; a `Packet` is one. */
export interface Ends {
  readonly s0: number;
  readonly s1: number;
  readonly s2: number;
  readonly s3: number;
  readonly d0: number;
  readonly d1: number;
  readonly d2: number;
  readonly d3: number;
}

/** Sockets that share one address and port: a group that a whole machine listens to has tens of them, not thousands. */
export const MAX_SHARING = 256;
/** Local addresses of one port that sockets are bound to one by one. */
const MAX_ADDRESSES_OF_PORT = 1 << 16;

const PAGE_BITS = 8;
const PAGE_PORTS = 1 << PAGE_BITS;
const PAGES = 1 << (16 - PAGE_BITS);

const NO_PORT = -1;
const PORT_MASK = 0xffff;

/** Everybody who has one port. */
class Port<L extends Listener> {
  /** Connected sockets of the port, which the table of flows has. */
  flows = 0;
  bound: AddressTable<L[]> | undefined;
  any: L[] = [];
  /** The first of `any`, where there is nobody else to choose from. */
  only: L | undefined;
  /** Those without a remote end. Replaced, never changed in place: a delivery may walk over it while handlers bind and close. */
  listeners: readonly L[] = [];

  /** The socket without a remote end for a packet between these ends. */
  find(ends: Ends): L | undefined {
    const sharing = this.bound?.get(ends.d0, ends.d1, ends.d2, ends.d3);
    return sharing === undefined ? this.any[0] : sharing[0];
  }

  /** To be called when somebody came or went. */
  changed(): void {
    this.only = this.flows === 0 && this.bound === undefined ? this.any[0] : undefined;
  }

  get empty(): boolean {
    return this.listeners.length === 0 && this.flows === 0;
  }
}

const NOBODY: readonly never[] = [];

export class Ports<L extends Listener> {
  /** The connected sockets of all ports. */
  readonly flows: FlowTable<L>;
  readonly #seed: number;
  readonly #pages: ((Port<L> | undefined)[] | undefined)[] = Array.from({ length: PAGES }, () => undefined);
  #size = 0;
  /** The port that was asked for last: most packets of a server go to one. */
  #lastNumber = NO_PORT;
  #last: Port<L> | undefined;

  constructor(seed: number) {
    this.#seed = seed;
    this.flows = new FlowTable<L>(seed);
  }

  /** Sockets in all. */
  get size(): number {
    return this.#size;
  }

  /** The socket for a packet between these ends and ports (`portsOf`). Allocates nothing. */
  find(ends: Ends, ports: number): L | undefined {
    const localPort = ports & PORT_MASK;
    const port = localPort === this.#lastNumber ? this.#last : this.#portOf(localPort);
    return port === undefined ? undefined : (port.only ?? this.#findAmong(port, ends, ports));
  }

  /** Everybody on a port who hears from anybody: those that a packet to a group or to everybody may be for. */
  listeners(localPort: number): readonly L[] {
    return this.#lookUp(localPort)?.listeners ?? NOBODY;
  }

  /** Every socket, in no order that means anything. */
  *all(): Iterable<L> {
    for (const page of this.#pages) for (const port of page ?? []) yield* port?.listeners ?? NOBODY;
    yield* this.flows.values();
  }

  /** False where the place is taken. A connected one's `tag` is that of its flow. */
  add(listener: L, tag = 0): boolean {
    const pageNumber = listener.localPort >> PAGE_BITS;
    const page = (this.#pages[pageNumber] ??= Array.from({ length: PAGE_PORTS }, () => undefined));
    const port = (page[listener.localPort & (PAGE_PORTS - 1)] ??= new Port<L>());
    if (!this.#place(port, listener, tag)) return false;
    if (!listener.connected) port.listeners = [...port.listeners, listener];
    this.#size += 1;
    this.#changed(port);
    return true;
  }

  delete(listener: L): void {
    const port = this.#lookUp(listener.localPort);
    if (port === undefined || !this.#displace(port, listener)) return;
    port.listeners = port.listeners.filter((other) => other !== listener);
    this.#size -= 1;
    this.#changed(port);
    if (!port.empty) return;
    this.#pages[listener.localPort >> PAGE_BITS]![listener.localPort & (PAGE_PORTS - 1)] = undefined;
  }

  /** True where nobody has the port, whatever the address. */
  isFree(localPort: number): boolean {
    return this.#lookUp(localPort)?.empty ?? true;
  }

  #lookUp(localPort: number): Port<L> | undefined {
    return this.#pages[localPort >> PAGE_BITS]?.[localPort & (PAGE_PORTS - 1)];
  }

  #portOf(localPort: number): Port<L> | undefined {
    this.#lastNumber = localPort;
    this.#last = this.#lookUp(localPort);
    return this.#last;
  }

  #changed(port: Port<L>): void {
    port.changed();
    this.#lastNumber = NO_PORT;
  }

  #findAmong(port: Port<L>, ends: Ends, ports: number): L | undefined {
    const flow = port.flows === 0 ? undefined : this.flows.find(ends.s0, ends.s1, ends.s2, ends.s3, ports);
    const own = flow?.localAddress;
    const heard = own === undefined || own.equalsWords(ends.d0, ends.d1, ends.d2, ends.d3);
    return flow !== undefined && heard ? flow : port.find(ends);
  }

  #place(port: Port<L>, listener: L, tag: number): boolean {
    if (listener.connected) {
      if (!this.flows.add(listener, tag)) return false;
      port.flows += 1;
      return true;
    }
    const { localAddress } = listener;
    if (localAddress === undefined) return share(port.any, listener);
    const bound = (port.bound ??= new AddressTable<L[]>(MAX_ADDRESSES_OF_PORT, this.#seed));
    const sharing = bound.get(localAddress.w0, localAddress.w1, localAddress.w2, localAddress.w3);
    return sharing === undefined ? bound.set(localAddress, [listener]) : share(sharing, listener);
  }

  #displace(port: Port<L>, listener: L): boolean {
    if (listener.connected) {
      if (!this.flows.delete(listener)) return false;
      port.flows -= 1;
      return true;
    }
    const { localAddress } = listener;
    if (localAddress === undefined) return remove(port.any, listener);
    const sharing = port.bound?.get(localAddress.w0, localAddress.w1, localAddress.w2, localAddress.w3);
    if (sharing === undefined || !remove(sharing, listener)) return false;
    if (sharing.length === 0) port.bound?.delete(localAddress);
    return true;
  }
}

const share = <L extends Listener>(sharing: L[], listener: L): boolean => {
  if (sharing.length >= MAX_SHARING) return false;
  if (sharing.length > 0 && !(listener.reuse && sharing.every((other) => other.reuse))) return false;
  sharing.push(listener);
  return true;
};

const remove = <L>(list: L[], item: L): boolean => {
  const at = list.indexOf(item);
  if (at < 0) return false;
  list.splice(at, 1);
  return true;
};

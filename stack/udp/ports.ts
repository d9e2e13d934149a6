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
  readonly localPort: number;
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

/** Everybody who has one port. */
class Port<L extends Listener> {
  flows: FlowTable<L> | undefined;
  bound: AddressTable<L[]> | undefined;
  any: L[] = [];
  /** Those without a remote end. Replaced, never changed in place: a delivery may walk over it while handlers bind and close. */
  listeners: readonly L[] = [];

  /** The socket for a packet between these ends. */
  find(ends: Ends, remotePort: number): L | undefined {
    const flow = this.flows?.find(ends.s0, ends.s1, ends.s2, ends.s3, remotePort);
    if (flow !== undefined) {
      const own = flow.localAddress;
      if (own === undefined || own.equalsWords(ends.d0, ends.d1, ends.d2, ends.d3)) return flow;
    }
    const sharing = this.bound?.get(ends.d0, ends.d1, ends.d2, ends.d3);
    return sharing === undefined ? this.any[0] : sharing[0];
  }

  get empty(): boolean {
    return this.listeners.length === 0 && (this.flows?.size ?? 0) === 0;
  }
}

const NOBODY: readonly never[] = [];

export class Ports<L extends Listener> {
  readonly #seed: number;
  readonly #pages: ((Port<L> | undefined)[] | undefined)[] = Array.from({ length: PAGES }, () => undefined);
  #size = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Sockets in all. */
  get size(): number {
    return this.#size;
  }

  /** The socket for a packet between these ends. Allocates nothing. */
  find(ends: Ends, remotePort: number, localPort: number): L | undefined {
    const port = this.#pages[localPort >> PAGE_BITS]?.[localPort & (PAGE_PORTS - 1)];
    if (port === undefined) return undefined;
    if (port.flows === undefined && port.bound === undefined) return port.any[0];
    return port.find(ends, remotePort);
  }

  /** Everybody on a port who hears from anybody: those that a packet to a group or to everybody may be for. */
  listeners(localPort: number): readonly L[] {
    return this.#pages[localPort >> PAGE_BITS]?.[localPort & (PAGE_PORTS - 1)]?.listeners ?? NOBODY;
  }

  /** The connected socket of a port with this remote end. Allocates nothing. */
  flow(localPort: number, s0: number, s1: number, s2: number, s3: number, remotePort: number): L | undefined {
    const port = this.#pages[localPort >> PAGE_BITS]?.[localPort & (PAGE_PORTS - 1)];
    return port?.flows?.find(s0, s1, s2, s3, remotePort);
  }

  /** Every socket, in no order that means anything. */
  *all(): Iterable<L> {
    for (const page of this.#pages) {
      for (const port of page ?? []) {
        if (port === undefined) continue;
        yield* port.listeners;
        yield* port.flows?.values() ?? NOBODY;
      }
    }
  }

  /** False where the place is taken. */
  add(listener: L): boolean {
    const pageNumber = listener.localPort >> PAGE_BITS;
    const page = (this.#pages[pageNumber] ??= Array.from({ length: PAGE_PORTS }, () => undefined));
    const port = (page[listener.localPort & (PAGE_PORTS - 1)] ??= new Port<L>());
    if (!this.#place(port, listener)) return false;
    if (!listener.connected) port.listeners = [...port.listeners, listener];
    this.#size += 1;
    return true;
  }

  delete(listener: L): void {
    const page = this.#pages[listener.localPort >> PAGE_BITS];
    const port = page?.[listener.localPort & (PAGE_PORTS - 1)];
    if (page === undefined || port === undefined || !this.#displace(port, listener)) return;
    port.listeners = port.listeners.filter((other) => other !== listener);
    this.#size -= 1;
    if (port.empty) page[listener.localPort & (PAGE_PORTS - 1)] = undefined;
  }

  /** True where nobody has the port, whatever the address. */
  isFree(localPort: number): boolean {
    return this.#pages[localPort >> PAGE_BITS]?.[localPort & (PAGE_PORTS - 1)] === undefined;
  }

  #place(port: Port<L>, listener: L): boolean {
    if (listener.connected) return (port.flows ??= new FlowTable<L>(this.#seed)).add(listener);
    const { localAddress } = listener;
    if (localAddress === undefined) return share(port.any, listener);
    const bound = (port.bound ??= new AddressTable<L[]>(MAX_ADDRESSES_OF_PORT, this.#seed));
    const sharing = bound.get(localAddress.w0, localAddress.w1, localAddress.w2, localAddress.w3);
    return sharing === undefined ? bound.set(localAddress, [listener]) : share(sharing, listener);
  }

  #displace(port: Port<L>, listener: L): boolean {
    if (listener.connected) return port.flows?.delete(listener) ?? false;
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

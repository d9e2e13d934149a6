/**
 * A neighbour as those who send to it hold it, and what its cache is asked and tells.
 */
import type { Timer } from "../../loop/timers.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";

/** The states of RFC 4861 section 7.3.2; "failed" remembers for a moment that nobody answered. */
export type NeighbourState =
  "incomplete" | "reachable" | "stale" | "delay" | "probe" | "failed" | "permanent";

/**
 * One neighbour. The object stays the same as long as it is in the cache, so senders keep it and read its plain fields;
 * where `live` has become false they look the address up again.
 */
export interface Neighbour<P> {
  readonly address: IpAddress;
  readonly state: NeighbourState;
  /** There is an Ethernet address to send to. False as soon as it leaves the cache. */
  readonly usable: boolean;
  /** It is in the cache. Once false, it stays so. */
  readonly live: boolean;
  readonly mac: MacAddress | undefined;
  /** The words of `mac`, for writing headers; they mean nothing where `usable` is false. */
  readonly macHigh: number;
  readonly macLow: number;
  readonly isRouter: boolean;
  /** When its Ethernet address was recorded, or last found to be good after a doubt; in ms of the loop's clock. */
  readonly updatedMs: number;
  /** Packets that wait for its Ethernet address. */
  readonly parked: readonly P[];
}

/** Why a parked packet is given back. */
export type DiscardReason = "unreachable" | "full" | "closed";

/** What a cache does outside itself. It may be called from within any method of the cache. */
export interface NeighbourIo<P> {
  /** Sends a request for its Ethernet address: to that address where `unicast`, else to all who may know. */
  solicit(neighbour: Neighbour<P>, unicast: boolean): void;
  /** Sends a packet that was parked; `neighbour` is usable now. */
  send(parked: P, neighbour: Neighbour<P>): void;
  /** Takes back a packet that was parked and can't be sent. */
  discard(parked: P, neighbour: Neighbour<P>, reason: DiscardReason): void;
  /** Its state, Ethernet address, `isRouter` or `live` is another. */
  changed(neighbour: Neighbour<P>): void;
}

/** The flags of a neighbour advertisement (RFC 4861 section 4.4). */
export interface AdvertisedFlags {
  readonly solicited: boolean;
  readonly override: boolean;
  readonly router: boolean;
}

/** What senders need of a cache, whether its entries are found out here or mirrored from a kernel. */
export interface Neighbours<P> {
  /** The neighbour with these words, in any state. Allocates nothing. */
  lookup(w0: number, w1: number, w2: number, w3: number): Neighbour<P> | undefined;
  /** The neighbour to send to, asked for where it is new; undefined where it may not be made now. */
  resolve(address: IpAddress): Neighbour<P> | undefined;
  /** To be called with each packet that goes to a usable neighbour. */
  used(neighbour: Neighbour<P>): void;
  /** Keeps `packet` until the Ethernet address is known: it comes out by `send` or `discard` of the io. */
  park(neighbour: Neighbour<P>, packet: P): void;
  /** Gives up the packets that wait for a neighbour, and no more than those; returns how many. */
  abandon(neighbour: Neighbour<P>, reason: DiscardReason): number;
  /** An upper layer has seen that its packets arrive there (RFC 4861 section 7.3.1). */
  confirm(neighbour: Neighbour<P>): void;
  /** What neighbours said meanwhile was not heard: those that count as reachable are asked, once they are used. */
  doubt(): void;
  forget(address: IpAddress): void;
  values(): Iterable<Neighbour<P>>;
  close(): void;
}

/** What ARP and neighbour discovery tell a cache that finds out by itself. */
export interface NeighbourLearner<P> {
  lookup(w0: number, w1: number, w2: number, w3: number): Neighbour<P> | undefined;
  resolve(address: IpAddress): Neighbour<P> | undefined;
  used(neighbour: Neighbour<P>): void;
  solicited(address: IpAddress, mac: MacAddress, isRouter?: boolean): void;
  advertised(address: IpAddress, mac: MacAddress | undefined, flags: AdvertisedFlags): void;
  setRouter(address: IpAddress, isRouter: boolean): void;
}

/** A neighbour as its cache holds it. */
export class NeighbourEntry<P> implements Neighbour<P> {
  readonly address: IpAddress;
  readonly parked: P[] = [];
  state: NeighbourState = "incomplete";
  usable = false;
  live = true;
  mac: MacAddress | undefined = undefined;
  macHigh = 0;
  macLow = 0;
  isRouter = false;
  updatedMs: number;
  /** When a packet last went there or wanted to; never, for one that only spoke to us. */
  usedMs = -Infinity;
  /** When it was last known to be reachable. */
  confirmedMs = -Infinity;
  /** When a kernel was last asked for it, where it is a mirrored one. */
  askedMs = -Infinity;
  /** Requests sent in this state. */
  attempts = 0;
  timer: Timer | undefined = undefined;

  constructor(address: IpAddress, nowMs: number) {
    this.address = address;
    this.updatedMs = nowMs;
  }

  /** True where `mac` is its Ethernet address. */
  has(mac: MacAddress): boolean {
    return this.usable && this.macHigh === mac.high && this.macLow === mac.low;
  }

  record(mac: MacAddress, nowMs: number): void {
    this.mac = mac;
    this.macHigh = mac.high;
    this.macLow = mac.low;
    this.usable = true;
    this.updatedMs = nowMs;
  }

  unrecord(): void {
    this.mac = undefined;
    this.macHigh = 0;
    this.macLow = 0;
    this.usable = false;
  }
}

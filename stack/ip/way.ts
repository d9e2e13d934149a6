/**
 * The way to one destination as its senders hold it: interface, source address, next hop, and what the path carries.
 */
import type { Queue } from "../device/device.ts";
import type { Destination, DestinationOptions, Refused } from "../transport/network.ts";
import type { IpAddress } from "../wire/address.ts";
import type { Interface } from "./interface.ts";
import type { Neighbour, Neighbours } from "./neighbours/neighbour.ts";
import type { HopAddress, Parked, Tally } from "./parked.ts";

/** Somebody on the link to hand a packet to. */
export interface Hop extends HopAddress {
  /** False where it has to be looked up again. */
  readonly live: boolean;
  /** Its Ethernet address is known. */
  readonly usable: boolean;
}

/** For ways that lead over none: to ourselves, to groups. */
export const UNCOUNTED: Tally = { sent: 0 };

/** Finds ways. */
export interface Wayfinder {
  /** Grows whenever a way that was found may be another. */
  readonly generation: number;
  /** Fills in everything about `way`; 0, or why there is none. */
  settle(way: Way): 0 | Refused;
}

export class Way implements Destination {
  readonly address: IpAddress;
  readonly options: DestinationOptions;
  readonly #finder: Wayfinder;
  /** The finder's generation that the rest is of. */
  generation = -1;
  interface: Interface | undefined;
  source: IpAddress | undefined;
  hop: Hop | undefined;
  /** The same as `hop` where that is a neighbour and not a group or everybody, with its cache. */
  neighbour: Neighbour<Parked> | undefined;
  neighbours: Neighbours<Parked> | undefined;
  queue: Queue | undefined;
  tally: Tally = UNCOUNTED;
  mtu = 0;
  ttl = 0;
  trafficClass = 0;
  /** To a group that does not reach beyond this host: members here hear it, the link does not. */
  staysHere = false;
  /** IPv4: packets say "don't fragment", so that routers report what the path carries (RFC 1191). */
  dontFragment = true;
  /** Bytes in front of what follows the IP header. */
  headerBytes = 0;
  /** The same without the link's. */
  ipHeaderBytes = 0;
  /** Sum of both addresses, for checksums. */
  addressSum = 0;

  constructor(finder: Wayfinder, address: IpAddress, options: DestinationOptions) {
    this.#finder = finder;
    this.address = address;
    this.options = options;
  }

  /** True where nothing has to be looked up. */
  get ready(): boolean {
    return this.generation === this.#finder.generation && this.hop!.live;
  }

  prepare(): 0 | Refused {
    return this.ready ? 0 : this.#finder.settle(this);
  }

  confirm(): void {
    const { neighbour, neighbours } = this;
    if (neighbour?.live) neighbours!.confirm(neighbour);
  }
}

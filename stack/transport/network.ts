/**
 * The seam between the IP host and its transports: what IP offers them, and what it asks of them. Types only.
 *
 * IP implements `Network`, `Destination` and `Outgoing`; UDP (and what else stands on IP) implements `Transport`. So
 * transports know nothing of routes and neighbours, and can be tried on a network that is not there.
 */
import type { Random } from "../device/random.ts";
import type { LoopEvent } from "../loop/events.ts";
import type { Timer } from "../loop/timers.ts";
import type { Family, IpAddress } from "../wire/address.ts";
import type { LinkInterface, Packet } from "./packet.ts";

export type { LinkInterface } from "./packet.ts";

/** Why a packet was not sent, as the negative number that stands in for success. */
export const REFUSED = {
  /** The transmit ring or the pool of chunks is full: try again when `drained` was called. */
  full: -1,
  /** No route leads there, or an unreachable one. */
  noRoute: -2,
  /** No address of ours to send from. */
  noSource: -3,
  /** Longer than a datagram can be, or than the path carries where it must not be fragmented. */
  tooLong: -4,
  /** The neighbour does not answer. */
  unreachable: -5,
  /** The interface is down or has gone. */
  down: -6,
} as const;
export type Refused = (typeof REFUSED)[keyof typeof REFUSED];

/** A way out of the host that somebody chose: a path is one. */
export interface Via {
  /** The host's number of the interface. */
  readonly interface: number;
  /** The next hop; undefined where the destination itself is on the link. */
  readonly gateway?: IpAddress | undefined;
}

/**
 * Which of several paths a packet takes (RFC 9622 section 8.1, "multipath policy"): "handover" the best that lives, and the
 * next best when that dies; "spread" one of all that are equally good, by the flow that it belongs to.
 */
export type MultipathPolicy = "handover" | "spread";

/** What is asked of the path to a destination. */
export interface DestinationOptions {
  /**
   * Send from this address rather than from the one that RFC 6724 chooses. While it is not ours, or not known to be ours alone,
   * nothing is sent.
   */
  readonly source?: IpAddress | undefined;
  /** `source` is somebody else's, whose packets are passed on. Default false. */
  readonly foreign?: boolean | undefined;
  /** Send on the interface of this number; needed for link-local and multicast destinations on hosts with several. */
  readonly interface?: number | undefined;
  /** TTL or hop limit. Default: the interface's; 1 for multicast. */
  readonly ttl?: number | undefined;
  /** DSCP and ECN. Default 0. */
  readonly trafficClass?: number | undefined;
  /** What goes to a group comes back to members of our own. Default true. */
  readonly loopback?: boolean | undefined;
  /** "allow" fragments here what the path does not carry, "refuse" does not (RFC 9622 section 8.1.7). Default "allow". */
  readonly fragmentation?: "allow" | "refuse" | undefined;
  /** Default "handover". */
  readonly multipath?: MultipathPolicy | undefined;
  /** What "spread" tells flows to the destination apart by, a 32-bit number; packets of one stay on one path. Default 0. */
  readonly flow?: number | undefined;
  /**
   * Send over exactly this path, whatever routes and monitors say of it: for those who find out whether it lives, and those
   * who send over several.
   */
  readonly via?: Via | undefined;
  /** The interface that a packet came in on which is being answered: the best way back where its paths live, not the only one. */
  readonly cameIn?: number | undefined;
}

/** Where packets to one address go, held by whoever sends there: it looks up anew by itself when routes change. */
export interface Destination {
  readonly address: IpAddress;
  /** Ours, chosen for it; undefined while there is no route or no address. */
  readonly source: IpAddress | undefined;
  /** Largest IP packet in bytes that goes there unfragmented; 0 while there is no route. */
  readonly mtu: number;
  readonly interface: LinkInterface | undefined;
  /** Looks up the way where it changed; 0, or why there is none. */
  prepare(): 0 | Refused;
  /** Tells that packets to it arrive: an answer came (RFC 4861 section 7.3.1). */
  confirm(): void;
}

/**
 * The packet being written. One object: between `begin` and `end` (or `abandon`) nothing else is sent.
 * `view` and `bytes` are the memory that `begin` returned an offset into.
 */
export interface Outgoing {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** True where a packet is being written. */
  readonly busy: boolean;
  /**
   * Opens a packet of `lengthBytes` behind the IP header and returns the offset of its first byte, or why not (negative).
   * The memory holds old bytes: write them all.
   */
  begin(destination: Destination, protocol: number, lengthBytes: number): number;
  /** Partial sum of the pseudo-header of the packet being written. */
  pseudoSum(): number;
  /** Makes it end after `lengthBytes` behind the IP header, fewer than were asked for. */
  shorten(lengthBytes: number): void;
  /**
   * Sends it, or parks it while the neighbour is looked for, `lifetimeMs` at the longest; 0, or why not. `notice` hears what
   * became of it: at once where it did not have to wait.
   */
  end(notice?: Notice, lifetimeMs?: number): 0 | Refused;
  /** Gives it up. */
  abandon(): void;
}

/** Why a packet that waited for its neighbour's address was given up. */
export type DropReason = "unreachable" | "full" | "closed" | "expired";

/** Hears what became of a packet that was accepted (RFC 9622 section 9.2.2: Sent, Expired). */
export interface Notice {
  sent(): void;
  /** Nobody answered, the queue was full, the interface ended, or its lifetime passed. */
  dropped(reason: DropReason): void;
}

/** An ICMP error about a packet of ours, or one of our own making with the same meaning. */
export interface SoftError {
  readonly kind:
    | "port-unreachable"
    | "protocol-unreachable"
    | "host-unreachable"
    | "network-unreachable"
    | "prohibited"
    | "time-exceeded"
    | "too-big"
    | "parameter-problem";
  /** ICMP's numbers; -1 for errors that were found here. */
  readonly type: number;
  readonly code: number;
  /** Who reported it; undefined for ourselves. */
  readonly reporter: IpAddress | undefined;
  /** Bytes that the path carries, for "too-big"; else 0. */
  readonly mtu: number;
  /** The packet that it is about: our address and port, theirs. */
  readonly family: Family;
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

/** Told on the loop for each soft error of a socket. */
export interface SoftErrorEvent extends LoopEvent {
  readonly kind: "soft-error";
  readonly error: SoftError;
}

/** What IP does for the transports above it. */
export interface Network {
  readonly outgoing: Outgoing;
  readonly random: Random;
  /** Time of the turn in ms. */
  readonly now: number;
  after(ms: number, fn: () => void): Timer;
  destination(address: IpAddress, options?: DestinationOptions): Destination;
  interfaceOf(index: number): LinkInterface | undefined;
  /** The interface's number by name, 0 where there is none. */
  interfaceNamed(name: string): number;
  /** True where the address is one of ours, on any interface. */
  isLocal(address: IpAddress): boolean;
  /** Becomes a member of a group on an interface (0: the one that the route to the group names); see RFC 3376 section 2. */
  joinGroup(token: object, group: IpAddress, interfaceIndex: number, sources?: SourceFilter): number;
  leaveGroup(token: object, group: IpAddress, interfaceIndex: number): void;
  /** Takes a port of an address (undefined: all) where that needs more than our own tables; false where it is somebody's. */
  takePort(protocol: number, address: IpAddress | undefined, port: number): boolean;
  givePort(protocol: number, address: IpAddress | undefined, port: number): void;
  /** Calls `fn` once when a device that refused a packet has room again. */
  drained(fn: () => void): void;
  /** Keeps the packet that lies in `slot` until it is freed. */
  keepSlot(slot: number): void;
  freeSlot(slot: number): void;
  emit(event: SoftErrorEvent): void;
}

/** Whose packets to a group are wanted: only those of `sources`, or all but those. */
export interface SourceFilter {
  readonly mode: "include" | "exclude";
  readonly sources: readonly IpAddress[];
}

/** What stands on IP. */
export interface Transport {
  /** IANA's number. */
  readonly protocol: number;
  /** A packet for us. False where nobody wants it: the host then says so to its sender. */
  receive(packet: Packet): boolean;
  /** True where it has so many to look packets up among that reaching for them early pays. */
  readonly reaches?: boolean;
  /** Notes what `receive` will look up first for a packet from this sender whose transport header is at `at`. */
  note?(view: DataView, at: number, s0: number, s1: number, s2: number, s3: number): void;
  /** Reads all that was noted, and nothing more. */
  reach?(): void;
  /** `view` at `at` holds the first `lengthBytes` of a transport header of ours that `error` is about; ports are filled in by it. */
  failed(
    error: Omit<SoftError, "localPort" | "remotePort">,
    view: DataView,
    at: number,
    lengthBytes: number,
  ): void;
  close(): void;
}

/**
 * What the mirror of a kernel's tables tells: addresses, routes and neighbours as differences. Types only.
 *
 * Addresses are 4 or 16 bytes in network order, Ethernet addresses 6. The host's seam declares the same shapes; neither
 * folder imports the other.
 */

/** Where a packet goes next on one way of a route. */
export interface SystemHop {
  /** Undefined where the destination is on the link itself; 16 bytes in an IPv4 route that goes by an IPv6 router (RFC 5549). */
  readonly gateway: Uint8Array | undefined;
  /** ifindex. */
  readonly interface: number;
  /** Share of the traffic beside other hops, 1 to 256. */
  readonly weight: number;
}

/** NUD states of include/uapi/linux/neighbour.h; NOARP is "permanent" too. */
export type SystemNeighbourState =
  "incomplete" | "reachable" | "stale" | "delay" | "probe" | "failed" | "permanent";

export type SystemRouteType =
  "unicast" | "local" | "broadcast" | "multicast" | "blackhole" | "unreachable" | "prohibit";

export interface AddressChange {
  readonly kind: "address";
  readonly present: boolean;
  readonly interface: number;
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** Duplicate address detection has not ended yet, or found one. */
  readonly tentative: boolean;
  readonly deprecated: boolean;
  /** A privacy address (RFC 8981). */
  readonly temporary: boolean;
}

export interface RouteChange {
  readonly kind: "route";
  readonly present: boolean;
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  readonly type: SystemRouteType;
  readonly metric: number;
  /** The address to send from where the route names one. */
  readonly source: Uint8Array | undefined;
  /** Bytes, where the route names one. */
  readonly mtu: number | undefined;
  /** Empty for the types that lead nowhere. */
  readonly hops: readonly SystemHop[];
}

export interface NeighbourChange {
  readonly kind: "neighbour";
  readonly present: boolean;
  readonly interface: number;
  readonly address: Uint8Array;
  readonly mac: Uint8Array | undefined;
  readonly state: SystemNeighbourState;
  readonly router: boolean;
}

/** One difference; `present: false` takes back what was told with the same key (interface and address, or prefix and metric). */
export type SystemChange = AddressChange | RouteChange | NeighbourChange;

/** A port that the kernel gives to nobody else until it is released. */
export interface Reservation {
  readonly port: number;
  /** Idempotent. */
  release(): void;
}

/** An ICMP error that the kernel heard about a UDP datagram from a port that is kept: ICMPv6's where addresses have 16 bytes. */
export interface SystemSoftError {
  readonly type: number;
  readonly code: number;
  /** Bytes that the path carries, where the error is about that; else 0. */
  readonly mtu: number;
  /** Who sent it; undefined where the kernel does not say. */
  readonly reporter: Uint8Array | undefined;
  readonly local: Uint8Array;
  readonly localPort: number;
  readonly remote: Uint8Array;
  readonly remotePort: number;
}

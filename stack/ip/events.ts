/**
 * What a host tells through its loop: changes of links, addresses, routes and neighbours, each with its time.
 */
import type { LinkEvent } from "../device/device.ts";
import type { LoopEvent } from "../loop/events.ts";
import type { SoftErrorEvent } from "../transport/network.ts";
import type { AddressChange, InterfaceAddress } from "./addresses/addresses.ts";
import type { DhcpLease } from "./dhcp/dhcp-lease.ts";
import type { NeighbourState } from "./neighbours/neighbour.ts";
import type { Resolvers } from "./slaac/resolvers.ts";
import type { PathChange } from "./paths/path.ts";
import type { Route } from "./routes/routes.ts";
import type { ServiceMove } from "./service/service-address.ts";
import type { IpAddress } from "../wire/address.ts";
import type { MacAddress } from "../wire/mac.ts";

interface OfInterface extends LoopEvent {
  /** The host's number of the interface, and its name. */
  readonly interface: number;
  readonly name: string;
}

export interface HostLinkEvent extends OfInterface {
  readonly kind: "link";
  readonly change: LinkEvent;
}

export interface HostAddressEvent extends OfInterface {
  readonly kind: "address";
  readonly address: InterfaceAddress;
  readonly change: AddressChange;
}

export interface HostRouteEvent extends LoopEvent {
  readonly kind: "route";
  readonly route: Route;
  readonly change: "added" | "removed" | "expired";
}

export interface HostNeighbourEvent extends OfInterface {
  readonly kind: "neighbour";
  readonly address: IpAddress;
  /** As it was last, where it is known no longer. */
  readonly state: NeighbourState;
  /** False where it is known no longer: it did not answer, made room for another, or its interface left. */
  readonly live: boolean;
  readonly mac: MacAddress | undefined;
}

/** A path came, or lives or dies by now. */
export interface HostPathEvent extends LoopEvent, PathChange {
  readonly kind: "path";
}

/** The way to a destination carries less, or again more. */
export interface HostPathMtuEvent extends LoopEvent {
  readonly kind: "path-mtu";
  readonly destination: IpAddress;
  /** Bytes that the path carries; 0 where nothing is known any more. */
  readonly mtu: number;
}

export interface HostLeaseEvent extends OfInterface {
  readonly kind: "lease";
  /** What DHCP configured; undefined where it was lost. */
  readonly lease: DhcpLease | undefined;
  /** Why it was lost. */
  readonly reason: string;
}

export interface HostResolversEvent extends OfInterface {
  readonly kind: "resolvers";
  readonly resolvers: Resolvers;
}

/** Another interface speaks for a service address on its link than before. */
export interface HostServiceEvent extends OfInterface, ServiceMove {
  readonly kind: "service";
}

export type HostEvent =
  | HostLinkEvent
  | HostAddressEvent
  | HostRouteEvent
  | HostNeighbourEvent
  | HostPathEvent
  | HostPathMtuEvent
  | HostLeaseEvent
  | HostResolversEvent
  | HostServiceEvent
  | SoftErrorEvent;

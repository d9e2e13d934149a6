/**
 * What the host offers to those who configure an interface, whichever way it lives. Types only.
 */
import type { AddressChange, InterfaceAddress } from "./addresses/addresses.ts";
import type { Environment } from "./environment.ts";
import type { Interface } from "./interface.ts";
import type { DhcpLease } from "./dhcp/dhcp-lease.ts";
import type { Neighbour } from "./neighbours/neighbour.ts";
import type { Parked } from "./parked.ts";
import type { Resolvers } from "./slaac/resolvers.ts";
import type { RouteTable } from "./routes/routes.ts";
import type { Network } from "../transport/network.ts";
import type { IpAddress } from "../wire/address.ts";

export interface LifeHost {
  readonly environment: Environment;
  readonly routes: RouteTable;
  readonly network: Network;
  readonly forwarding: boolean;
  /** Whatever was remembered about ways may be wrong. */
  changed(): void;
  /** True where `mac` is that of another interface of this host. */
  isSibling(on: Interface, macHigh: number, macLow: number): boolean;
  addressChanged(on: Interface, entry: InterfaceAddress, change: AddressChange): void;
  neighbourChanged(on: Interface, neighbour: Neighbour<Parked>): void;
  resolversChanged(on: Interface, resolvers: Resolvers): void;
  leaseChanged(on: Interface, lease: DhcpLease | undefined, reason: string): void;
  /** The next hop to a destination now, on this interface. */
  firstHop(on: Interface, destination: IpAddress): IpAddress | undefined;
}

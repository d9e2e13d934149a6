/**
 * What runs on an interface besides packets: resolution, discovery, configuration. Types only.
 */
import type { Packet } from "../transport/packet.ts";
import type { IpAddress } from "../wire/address.ts";
import type { MacAddress } from "../wire/mac.ts";
import type { AddressStatistics } from "./addresses/addresses.ts";
import type { ArpStatistics } from "./neighbours/arp.ts";
import type { DhcpStatistics } from "./dhcp/dhcp-types.ts";
import type { GroupsStatistics } from "./groups/multicast.ts";
import type { NdpStatistics } from "./neighbours/ndp.ts";
import type { NeighbourStatistics } from "./neighbours/neighbour-options.ts";
import type { SlaacStatistics } from "./slaac/slaac.ts";
import type { RedirectNotice } from "./neighbours/ndp.ts";

/** Counters of what configures an interface of the host's own. */
export interface ProtocolStatistics {
  readonly addresses: AddressStatistics;
  readonly neighbours4: NeighbourStatistics;
  readonly neighbours6: NeighbourStatistics;
  readonly arp: ArpStatistics;
  readonly ndp: NdpStatistics;
  readonly groups: GroupsStatistics;
  readonly slaac: SlaacStatistics;
  /** Undefined where no client runs. */
  readonly dhcp: DhcpStatistics | undefined;
}

export interface InterfaceProtocols {
  /** An ARP packet of at most `lengthBytes`, in a frame to one station or to many. */
  receiveArp(view: DataView, at: number, lengthBytes: number, toMany: boolean): void;
  /** An ICMPv6 message that belongs to the link: neighbour discovery, listener discovery. Its checksum is good. */
  receiveIcmp6(packet: Packet, type: number): void;
  /** A UDP datagram for a DHCP client; true where one runs and the datagram is for it. */
  receiveDhcp(packet: Packet): boolean;
  /** Tells the link that an address of ours is here, once. */
  announce(address: IpAddress): void;
  /** Tells one station on the link that an address of ours is here. False where it couldn't be sent. */
  tell(address: IpAddress, asker: IpAddress, mac: MacAddress): boolean;
  /** A router says that another first hop is better; true where that is believed. */
  redirected(notice: RedirectNotice): boolean;
  /** The link came up or went down. */
  linkChanged(up: boolean): void;
  /** The device's Ethernet address is another. */
  macChanged(): void;
  /** Counters of all that runs here. */
  statistics(): ProtocolStatistics;
  close(): void;
}

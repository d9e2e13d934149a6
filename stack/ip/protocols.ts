/**
 * What runs on an interface besides packets: resolution, discovery, configuration. Types only.
 */
import type { Packet } from "../transport/packet.ts";
import type { RedirectNotice } from "./ndp.ts";

export interface InterfaceProtocols {
  /** An ARP packet of at most `lengthBytes`. */
  receiveArp(view: DataView, at: number, lengthBytes: number): void;
  /** An ICMPv6 message that belongs to the link: neighbour discovery, listener discovery. Its checksum is good. */
  receiveIcmp6(packet: Packet, type: number): void;
  /** A UDP datagram for a DHCP client; true where one runs and the datagram is for it. */
  receiveDhcp(packet: Packet): boolean;
  /** A router says that another first hop is better; true where that is believed. */
  redirected(notice: RedirectNotice): boolean;
  /** The link came up or went down. */
  linkChanged(up: boolean): void;
  /** The device's Ethernet address is another. */
  macChanged(): void;
  close(): void;
}

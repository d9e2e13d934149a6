/**
 * Who takes the packets of each protocol, and what happens to those that nobody takes. Types only.
 */
import type { Frame } from "../device/frame.ts";
import type { Packet } from "../transport/packet.ts";
import type { Interface } from "./interface.ts";

/** Takes the packets of one IP protocol; false where they are not wanted. */
export interface ProtocolHandler {
  receive(packet: Packet): boolean;
}

/** What the input asks of the host where a packet is not simply delivered. */
export interface InputPolicy {
  /** By protocol number. */
  readonly handlers: readonly (ProtocolHandler | undefined)[];
  /** A packet for us that nobody takes: its protocol, or its port, is unreachable. */
  refused(packet: Packet, why: "protocol" | "port"): void;
  /** An IPv6 header asks for a parameter problem (RFC 8200 section 4): `code`, about the byte at `problemAt`. */
  problem(packet: Packet, code: number, problemAt: number): void;
  /** A packet in a frame that is for somebody else. */
  elsewhere(packet: Packet): void;
  /** A frame beside the kernel that is no business of the host's. */
  pass(on: Interface, frame: Frame): void;
  /** A packet that no socket waits for, perhaps before there is an address: an answer to the DHCP client. True where that took it. */
  configures(packet: Packet): boolean;
  /**
   * True where the packet is for an address of ours that is not its interface's: what comes over loopback may be, and on a
   * host that forwards all but link-local ones (RFC 1812 section 5.2.3). Others keep to the strong host model (RFC 1122
   * section 3.3.4.2).
   */
  isOurs(packet: Packet): boolean;
  /** True where the packet says that we sent it, or everybody: nobody can say so on a link. */
  isForged(packet: Packet): boolean;
  /** True where the interface or a socket is a member of the packet's group. */
  isMember(packet: Packet): boolean;
}

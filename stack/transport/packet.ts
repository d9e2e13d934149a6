/**
 * An IP packet on its way up, as a transport sees it: where its parts lie, who sent it, and how it came in.
 *
 * One object stands for every packet of a host and is filled anew for each; nothing in it outlives the call that it is
 * handed to. Addresses are words as in wire/address.ts.
 */
import type { Frame } from "../device/frame.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { halves } from "../wire/checksum.ts";
import { type Family, IpAddress, MAPPED } from "../wire/address.ts";

/** Whom a packet was addressed to. */
export const CAST = { unicast: 0, broadcast: 1, multicast: 2 } as const;
export type Cast = (typeof CAST)[keyof typeof CAST];

/** An interface as transports see it. */
export interface LinkInterface {
  /** The host's number for it, 1 or more. */
  readonly index: number;
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** True where the packet's destination is an address of this interface. */
  hasAddress(w0: number, w1: number, w2: number, w3: number): boolean;
  /**
   * The address to answer a packet from: the one that it was sent to, or one of this interface where that was a group or
   * everybody; undefined where there is none.
   */
  answerFrom(packet: Packet): IpAddress | undefined;
  /**
   * Sends the packet's frame back to where it came from, in place: link and IP headers are turned around and the IP
   * header is written anew for `lengthBytes` of transport header and payload. The caller has written those and knows
   * that it is possible: `Packet.plain`, a frame of one chunk with the room, `carries`, `queue.reserve`. A `ttl` of 0 is
   * the host's.
   */
  turnAround(
    packet: Packet,
    source: IpAddress | undefined,
    lengthBytes: number,
    trafficClass: number,
    ttl: number,
  ): void;
  /** True where the way back to the packet's sender lives and carries `lengthBytes` behind the IP header in one piece. */
  carries(packet: Packet, lengthBytes: number): boolean;
}

const EMPTY = new Uint8Array(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer);

export class Packet {
  bytes: Uint8Array = EMPTY;
  view: DataView = EMPTY_VIEW;
  /** The frame that the packet lies in; undefined where it was put together from several, in memory of the host's. */
  frame: Frame | undefined = undefined;
  /** Slot of the host's memory that holds it where there is no frame, else -1. */
  slot = -1;
  /** Where it came in. Assigned before any use. */
  interface!: LinkInterface;
  family: Family = 4;
  protocol = 0;
  /** Offset of the IP header. */
  ipAt = 0;
  /** Offset of the transport header. */
  at = 0;
  /** Bytes from `at` to the packet's end. */
  length = 0;
  cast: Cast = CAST.unicast;
  /** False where headers lie between the IP header and the transport's, or options in it: it can't be turned around in place. */
  plain = true;
  s0 = 0;
  s1 = 0;
  s2 = MAPPED;
  s3 = 0;
  d0 = 0;
  d1 = 0;
  d2 = MAPPED;
  d3 = 0;

  /** TTL or hop limit. */
  get ttl(): number {
    return this.family === 4 ? ipv4.ttl(this.view, this.ipAt) : ipv6.hopLimit(this.view, this.ipAt);
  }

  /** TOS or traffic class: DSCP and ECN. */
  get trafficClass(): number {
    return this.family === 4
      ? ipv4.typeOfService(this.view, this.ipAt)
      : ipv6.trafficClass(this.view, this.ipAt);
  }

  /** The sender. Allocates. */
  get source(): IpAddress {
    return IpAddress.words(this.s0, this.s1, this.s2, this.s3);
  }

  /** Whom it was sent to. Allocates. */
  get destination(): IpAddress {
    return IpAddress.words(this.d0, this.d1, this.d2, this.d3);
  }

  /** Takes over everything from another packet. */
  assign(other: Packet): void {
    Object.assign(this, other);
  }

  /** Partial sum of the pseudo-header (RFC 768, RFC 8200 section 8.1) for `lengthBytes` of the packet's protocol. */
  pseudoSum(lengthBytes: number): number {
    const last = halves(this.s3) + halves(this.d3) + this.protocol + lengthBytes;
    return this.family === 4 ? last : last + this.#sumOfUpperWords();
  }

  #sumOfUpperWords(): number {
    return (
      halves(this.s0) +
      halves(this.s1) +
      halves(this.s2) +
      halves(this.d0) +
      halves(this.d1) +
      halves(this.d2)
    );
  }
}

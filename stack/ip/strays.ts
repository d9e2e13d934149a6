/**
 * UDP datagrams that are astray by all rules of IP and at home by those of one protocol: echoes that a neighbour forwards to
 * itself by way of us, and those of ours that come back (RFC 5881 section 4).
 */
import type { Packet } from "../transport/packet.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";
import { completeChecksum } from "./complete-checksum.ts";
import type { Interface } from "./interface.ts";

/** Who knows the strays of one UDP port. Of the packet, `at`, `length` and `protocol` are filled in. */
export interface StrayKeeper {
  /** One from an address of ours that came in from a link. True: the sockets may have it. */
  returned(packet: Packet): boolean;
  /** One for another station. True: back it goes to where its frame came from. */
  reflected(packet: Packet): boolean;
}

export class Strays {
  readonly #keepers = new Map<number, StrayKeeper>();

  /** Asks `keeper` about datagrams to `port` from now on. Throws a RangeError where somebody is asked already. */
  keep(port: number, keeper: StrayKeeper): void {
    if (this.#keepers.has(port)) throw new RangeError(`UDP port ${port} has a keeper of strays already`);
    this.#keepers.set(port, keeper);
  }

  forget(port: number): void {
    this.#keepers.delete(port);
  }

  /** True where a packet that claims to be ours is one that came back. */
  returns(packet: Packet): boolean {
    return this.#keeperOf(packet)?.returned(packet) === true;
  }

  /** Sends a packet for somebody else back, one hop less far; false where that is not wanted. */
  reflects(packet: Packet): boolean {
    if (this.#keeperOf(packet)?.reflected(packet) !== true || packet.ttl <= 1) return false;
    const { view, ipAt, family } = packet;
    const frame = packet.frame!;
    const { link } = packet.interface as Interface;
    if (!frame.queue.reserve(1)) {
      link.counters.full += 1;
      return true;
    }
    if (family === 4) ipv4.decrementTtl(view, ipAt);
    else ipv6.setHopLimit(view, ipAt, packet.ttl - 1);
    completeChecksum(packet);
    ethernet.swapAddresses(view, frame.at);
    frame.send();
    link.counters.forwarded += 1;
    return true;
  }

  #keeperOf(packet: Packet): StrayKeeper | undefined {
    if (this.#keepers.size === 0 || packet.frame?.chunks !== 1) return undefined;
    const port = readPort(packet);
    return port === undefined ? undefined : this.#keepers.get(port);
  }
}

/** The UDP port that a packet is for, with its parts filled in; undefined where it is none, or not whole. */
const readPort = (packet: Packet): number | undefined => {
  const { view, ipAt, family } = packet;
  if (family === 4) {
    if (ipv4.isFragment(view, ipAt) || ipv4.protocol(view, ipAt) !== PROTOCOL.UDP) return undefined;
    packet.at = ipAt + ipv4.headerBytes(view, ipAt);
    packet.length = ipAt + ipv4.totalLength(view, ipAt) - packet.at;
  } else {
    if (ipv6.nextHeader(view, ipAt) !== PROTOCOL.UDP) return undefined;
    packet.at = ipAt + ipv6.HEADER_BYTES;
    packet.length = ipv6.payloadLength(view, ipAt);
  }
  packet.protocol = PROTOCOL.UDP;
  return udp.check(view, packet.at, packet.length) < 0 ? undefined : udp.destinationPort(view, packet.at);
};

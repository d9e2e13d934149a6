/**
 * Address resolution on one interface (RFC 826, with RFC 1122 section 2.3.2 and RFC 5227): asks, answers, and hears who
 * uses which address.
 *
 * What it learns goes to the neighbour cache, which decides when to ask; what it hears of our own addresses goes to the
 * address book, which decides when to probe and announce.
 */
import { ANY4, type IpAddress } from "../../wire/address.ts";
import * as arp from "../../wire/arp.ts";
import { ETHERTYPE } from "../../wire/ethernet.ts";
import { BROADCAST_MAC, MacAddress } from "../../wire/mac.ts";
import type { AddressBook } from "../addresses/addresses.ts";
import type { Environment, Outlet, TimerSource } from "../environment.ts";
import type { AdvertisedFlags, Neighbour, NeighbourLearner } from "./neighbour.ts";
import { type Rate, TokenBucket } from "../icmp/rate-limit.ts";

/** Answers in one second, and at once: enough for a link that comes up with thousands of hosts, and no load. */
export const REPLY_RATE: Rate = { perSecond: 4096, burst: 1024 };

/** The target's Ethernet address in a request, which nobody looks at. */
const NO_MAC = MacAddress.words(0, 0);

const SOLICITED: AdvertisedFlags = { solicited: true, override: true, router: false };
const UNSOLICITED: AdvertisedFlags = { solicited: false, override: true, router: false };

export interface ArpOptions {
  /** Answers at most. Default: REPLY_RATE. */
  readonly replyRate?: Rate;
}

export interface ArpStatistics {
  readonly received: number;
  /** Not about Ethernet and IPv4, cut off, or from an address that no station can have. */
  readonly malformed: number;
  /** With an operation that is neither request nor reply. */
  readonly unknown: number;
  /** Our own packets that came back, and those of other interfaces of ours on the link. */
  readonly own: number;
  /** From another that uses an address of ours. */
  readonly conflicting: number;
  readonly requestsSent: number;
  readonly repliesSent: number;
  readonly probesSent: number;
  readonly announcementsSent: number;
  /** Announcements to one station. */
  readonly told: number;
  /** Questions that another interface of ours on the link answers. */
  readonly left: number;
  /** Answers that the rate forbade. */
  readonly throttled: number;
  /** Requests that were not sent for want of an address of ours. */
  readonly sourceless: number;
  /** Packets that the interface had no room for. */
  readonly unsent: number;
}

export class Arp<P> {
  readonly #timers: TimerSource;
  readonly #outlet: Outlet;
  readonly #addresses: AddressBook;
  readonly #neighbours: NeighbourLearner<P>;
  readonly #replies: TokenBucket;
  readonly #counts = {
    received: 0,
    malformed: 0,
    unknown: 0,
    own: 0,
    conflicting: 0,
    requestsSent: 0,
    repliesSent: 0,
    probesSent: 0,
    announcementsSent: 0,
    told: 0,
    left: 0,
    throttled: 0,
    sourceless: 0,
    unsent: 0,
  };
  #closed = false;

  constructor(
    environment: Environment,
    outlet: Outlet,
    addresses: AddressBook,
    neighbours: NeighbourLearner<P>,
    options: ArpOptions = {},
  ) {
    this.#timers = environment.timers;
    this.#outlet = outlet;
    this.#addresses = addresses;
    this.#neighbours = neighbours;
    this.#replies = new TokenBucket(options.replyRate ?? REPLY_RATE, environment.timers.now);
  }

  /** Handles what came in a frame of type ARP, to one station or to many: `length` bytes at `at`, padding included. */
  receive(view: DataView, at: number, length: number, toMany = true): void {
    if (this.#closed) return;
    this.#counts.received += 1;
    const packet = arp.parse(view, at, length);
    if (packet === undefined || !this.#isStation(packet)) this.#counts.malformed += 1;
    else if (packet.senderMac.equals(this.#outlet.mac)) this.#counts.own += 1;
    else if (packet.operation === arp.OPERATION.REQUEST) this.#request(packet, toMany);
    else if (packet.operation === arp.OPERATION.REPLY) this.#reply(packet);
    else this.#counts.unknown += 1;
  }

  /** Another interface of ours on the link said something: no news, and no conflict. */
  overhear(): void {
    this.#counts.received += 1;
    this.#counts.own += 1;
  }

  /**
   * Asks for a neighbour's Ethernet address: all, or itself whether it still has it (RFC 1122 section 2.3.2.1). False where
   * it couldn't be sent.
   */
  solicit(neighbour: Pick<Neighbour<P>, "address" | "mac">, unicast: boolean): boolean {
    const source = this.#addresses.sourceFor(neighbour.address);
    if (source === undefined) {
      this.#counts.sourceless += 1;
      return false;
    }
    const destination = unicast ? (neighbour.mac ?? BROADCAST_MAC) : BROADCAST_MAC;
    const sent = this.#ask(destination, source, neighbour.address);
    if (sent) this.#counts.requestsSent += 1;
    return sent;
  }

  /** Asks whether another has the address (RFC 5227 section 2.1.1). False where it couldn't be sent. */
  probe(address: IpAddress): boolean {
    const sent = this.#ask(BROADCAST_MAC, ANY4, address);
    if (sent) this.#counts.probesSent += 1;
    return sent;
  }

  /**
   * Tells all that the address is here; caches that have it at another place update it. A request says so (RFC 5227 section 3
   * gives the reasons), `asReply` an answer to nobody, for those who believe these alone (RFC 5944 section 4.6).
   */
  announce(address: IpAddress, asReply = false): boolean {
    const sent = asReply
      ? this.#send(BROADCAST_MAC, this.#unasked(address))
      : this.#ask(BROADCAST_MAC, address, address);
    if (sent) this.#counts.announcementsSent += 1;
    return sent;
  }

  /** Tells one station that the address is here. */
  tell(address: IpAddress, mac: MacAddress): boolean {
    const sent = this.#ask(mac, address, address);
    if (sent) this.#counts.told += 1;
    return sent;
  }

  statistics(): ArpStatistics {
    return { ...this.#counts };
  }

  /** Sends and learns nothing more. Idempotent. */
  close(): void {
    this.#closed = true;
  }

  #request(packet: arp.ArpRecord, toMany: boolean): void {
    const { senderAddress, senderMac, targetAddress } = packet;
    if (senderAddress.unspecified) this.#addresses.probed(targetAddress, undefined);
    else if (this.#addresses.claimed(senderAddress)) {
      this.#counts.conflicting += 1;
      return;
    }
    const { w0, w1, w2, w3 } = targetAddress;
    const isOurs = this.#addresses.has(w0, w1, w2, w3);
    // RFC 826: whoever is known is updated, and whoever wants to talk to us is made known.
    if (!senderAddress.unspecified && (isOurs || this.#knows(senderAddress)))
      this.#neighbours.solicited(senderAddress, senderMac);
    if (!isOurs) return;
    if (this.#addresses.answers(targetAddress, senderAddress, senderMac, toMany)) this.#answer(packet);
    else this.#counts.left += 1;
  }

  #reply(packet: arp.ArpRecord): void {
    const { senderAddress, senderMac, targetAddress, targetMac } = packet;
    if (senderAddress.unspecified) return void (this.#counts.malformed += 1);
    if (this.#addresses.claimed(senderAddress)) return void (this.#counts.conflicting += 1);
    const { w0, w1, w2, w3 } = targetAddress;
    const isToUs = targetMac.equals(this.#outlet.mac) && this.#addresses.has(w0, w1, w2, w3);
    this.#neighbours.advertised(senderAddress, senderMac, isToUs ? SOLICITED : UNSOLICITED);
  }

  #answer(request: arp.ArpRecord): void {
    if (!this.#replies.take(this.#timers.now)) {
      this.#counts.throttled += 1;
      return;
    }
    const sent = this.#send(request.senderMac, {
      operation: arp.OPERATION.REPLY,
      senderMac: this.#outlet.mac,
      senderAddress: request.targetAddress,
      targetMac: request.senderMac,
      targetAddress: request.senderAddress,
    });
    if (sent) this.#counts.repliesSent += 1;
  }

  /** The same Ethernet address in both places is what an unasked reply is known by. */
  #unasked(address: IpAddress): arp.ArpRecord {
    const { mac } = this.#outlet;
    return {
      operation: arp.OPERATION.REPLY,
      senderMac: mac,
      senderAddress: address,
      targetMac: mac,
      targetAddress: address,
    };
  }

  #ask(destination: MacAddress, source: IpAddress, target: IpAddress): boolean {
    return this.#send(destination, {
      operation: arp.OPERATION.REQUEST,
      senderMac: this.#outlet.mac,
      senderAddress: source,
      targetMac: NO_MAC,
      targetAddress: target,
    });
  }

  #send(destination: MacAddress, packet: arp.ArpRecord): boolean {
    if (this.#closed) return false;
    const sent = this.#outlet.send(
      destination,
      ETHERTYPE.ARP,
      arp.PACKET_BYTES,
      (view, at) => void arp.emit(packet, view, at),
    );
    if (!sent) this.#counts.unsent += 1;
    return sent;
  }

  #knows({ w0, w1, w2, w3 }: IpAddress): boolean {
    return this.#neighbours.lookup(w0, w1, w2, w3) !== undefined;
  }

  /** The sender's addresses are such as one station can have; 0.0.0.0 stands in probes. */
  #isStation({ senderMac, senderAddress }: arp.ArpRecord): boolean {
    if (senderMac.multicast || senderMac.equals(NO_MAC)) return false;
    const { multicast, limitedBroadcast, loopback, w3 } = senderAddress;
    return !(multicast || limitedBroadcast || loopback || this.#addresses.isBroadcast4(w3));
  }
}

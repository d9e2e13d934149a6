/**
 * A DHCP client at work on an interface: its messages in and out, and what a lease makes of addresses and routes.
 */
import type { Packet } from "../transport/packet.ts";
import type { Network } from "../transport/network.ts";
import { MAPPED, type IpAddress } from "../wire/address.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";
import type { AddressBook, AddressChange, InterfaceAddress } from "./addresses/addresses.ts";
import { DhcpClient, type DhcpLease, type DhcpStatistics, type LeaseEnd } from "./dhcp/dhcp-client.ts";
import { type Interface, NO_LIMIT } from "./interface.ts";
import type { LifeHost } from "./life.ts";

/** RFC 2131 section 4.1. */
const CLIENT_PORT = 68;
const SERVER_PORT = 67;
const HOST_BITS = 32;

export class DhcpLife {
  readonly #on: Interface;
  readonly #host: LifeHost;
  readonly #book: AddressBook;
  readonly #metric: number;
  readonly #check: boolean;
  readonly #client: DhcpClient;
  #checking: { readonly address: IpAddress; readonly done: (conflict: boolean) => void } | undefined;
  #started = false;

  /** `check`: find out whether somebody has the address before it is used (RFC 2131 section 4.4.1). */
  constructor(on: Interface, host: LifeHost, metric: number, check: boolean) {
    this.#on = on;
    this.#host = host;
    this.#book = on.addresses;
    this.#metric = metric;
    this.#check = check;
    this.#client = new DhcpClient(host.environment, {
      outlet: on.link,
      check: (address, done) => this.#checkAddress(address, done),
      unicast: (payload, server) => this.#unicast(payload, server),
      configured: (lease, previous) => this.#configured(lease, previous),
      lost: (lease, reason) => this.#lost(lease, reason),
    });
  }

  /** The link is up: asks, or asks whether what it has still holds. */
  start(): void {
    if (this.#started) this.#client.confirm();
    else this.#client.start();
    this.#started = true;
  }

  /** A packet that may be a server's answer, before the interface has an address; true where it is. */
  receive(packet: Packet): boolean {
    const { view, ipAt, frame } = packet;
    if (ipv4.protocol(view, ipAt) !== PROTOCOL.UDP || ipv4.isFragment(view, ipAt) || frame?.chunks !== 1)
      return false;
    const at = ipAt + ipv4.headerBytes(view, ipAt);
    const length = ipv4.totalLength(view, ipAt) - (at - ipAt);
    if (length < udp.HEADER_BYTES || udp.destinationPort(view, at) !== CLIENT_PORT) return false;
    const total = udp.length(view, at);
    packet.at = at;
    packet.protocol = PROTOCOL.UDP;
    const good =
      udp.check(view, at, length) === 0 && udp.verify(view, at, packet.pseudoSum(total), total) >= 0;
    if (good) this.#client.receive(view, at + udp.HEADER_BYTES, total - udp.HEADER_BYTES);
    else this.#on.link.counters.malformed += 1;
    return true;
  }

  /** The owner of addresses tells what became of one. */
  addressChanged({ address }: InterfaceAddress, change: AddressChange): void {
    const checking = this.#checking;
    if (checking !== undefined && checking.address.equals(address)) {
      if (change !== "preferred" && change !== "deprecated" && change !== "duplicated") return;
      this.#checking = undefined;
      // Not from within the book's own call.
      this.#host.environment.timers.after(0, () => checking.done(change === "duplicated"));
    } else if (change === "duplicated" && this.#client.lease?.address.equals(address) === true) {
      this.#host.environment.timers.after(0, () => this.#client.conflict());
    }
  }

  statistics(): DhcpStatistics {
    return this.#client.statistics();
  }

  /** Gives the lease back and ends. */
  close(): void {
    this.#client.release();
    this.#client.close();
  }

  #checkAddress(address: IpAddress, done: (conflict: boolean) => void): void {
    if (!this.#check || this.#book.has(0, 0, MAPPED, address.w3)) return done(false);
    this.#checking = { address, done };
    this.#book.add(address, HOST_BITS, { origin: "dhcp", dad: true, keep: false });
  }

  #unicast(payload: Uint8Array, server: IpAddress): boolean {
    const { network } = this.#host;
    const source = this.#client.lease?.address;
    if (source === undefined) return false;
    const destination = network.destination(server, { source, interface: this.#on.index });
    return sendDatagram(network, destination, payload);
  }

  #configured(lease: DhcpLease, previous: DhcpLease | undefined): void {
    if (previous !== undefined) this.#removeRoutes();
    if (previous !== undefined && !previous.address.equals(lease.address))
      this.#book.remove(previous.address);
    this.#book.add(lease.address, lease.prefixLength, {
      origin: "dhcp",
      validUntilMs: lease.expiresAtMs,
      dad: false,
      keep: false,
    });
    this.#book.announce(lease.address);
    this.#setMtu(lease.mtu ?? NO_LIMIT);
    for (const { prefix, gateway } of lease.routes) {
      this.#host.routes.add({
        prefix,
        ...(gateway === undefined ? {} : { gateway }),
        interface: this.#on.index,
        metric: this.#metric,
        source: lease.address,
        ...(lease.mtu === undefined ? {} : { mtu: lease.mtu }),
        kind: "unicast",
        origin: "dhcp",
      });
    }
    this.#host.leaseChanged(this.#on, lease, previous === undefined ? "new" : "renewed");
  }

  #lost(lease: DhcpLease, reason: LeaseEnd): void {
    this.#removeRoutes();
    this.#book.remove(lease.address);
    this.#setMtu(NO_LIMIT);
    this.#host.leaseChanged(this.#on, undefined, reason);
  }

  #setMtu(bytes: number): void {
    this.#on.leasedMtu = bytes;
    this.#host.changed();
  }

  #removeRoutes(): void {
    this.#host.routes.removeWhere((route) => route.interface === this.#on.index && route.origin === "dhcp");
  }
}

/** A datagram of the client's, from port 68 to port 67. */
const sendDatagram = (
  network: Network,
  destination: ReturnType<Network["destination"]>,
  payload: Uint8Array,
): boolean => {
  const { outgoing } = network;
  const total = udp.HEADER_BYTES + payload.length;
  const at = outgoing.begin(destination, PROTOCOL.UDP, total);
  if (at < 0) return false;
  const { view } = outgoing;
  outgoing.bytes.set(payload, at + udp.HEADER_BYTES);
  udp.writeInFront(view, at, CLIENT_PORT, SERVER_PORT, total, outgoing.pseudoSum());
  return outgoing.end() === 0;
};

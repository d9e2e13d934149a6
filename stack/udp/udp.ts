/**
 * UDP (RFC 768, RFC 8085) over a host: takes packets apart, finds the socket, hands over the datagram.
 */
import type { Network, SoftError, Transport } from "../transport/network.ts";
import { CAST, type Packet } from "../transport/packet.ts";
import type { IpAddress } from "../wire/address.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";
import { Datagram } from "./datagram.ts";
import { type FlowTable, MAX_FLOWS, MAX_TAG, portsOf } from "./flow-table.ts";
import { HandlerNumbers, NO_HANDLER } from "./handler-numbers.ts";
import { type CheckedUdpOptions, checkUdpOptions, type UdpOptions } from "./options.ts";
import { type Ends, Ports } from "./ports.ts";
import { type DatagramHandler, UdpSocket } from "./socket.ts";

/** Counters of a host's UDP, in datagrams. */
export interface UdpStatistics {
  readonly received: number;
  /** Shorter than their header or than the length in it. */
  readonly malformed: number;
  readonly badChecksum: number;
  /** Over IPv6 without a checksum, which RFC 8200 section 8.1 forbids. */
  readonly withoutChecksum: number;
  /** For a port that nobody has. */
  readonly noPort: number;
  /** To a group or to everybody, and nobody wanted them. */
  readonly unwanted: number;
  /** ICMP errors about datagrams of sockets that exist. */
  readonly softErrors: number;
  readonly sockets: number;
}

/** Sockets of one host: each is some 500 bytes, and as many as the table of connected ones has room for. */
export const MAX_SOCKETS = MAX_FLOWS;

/** IANA's range of dynamic ports (RFC 6335 section 6). */
export const FIRST_EPHEMERAL_PORT = 49_152;
export const LAST_EPHEMERAL_PORT = 65_535;
/** The local port in the word of both. */
const PORT_MASK = 0xffff;
const EPHEMERAL_PORTS = LAST_EPHEMERAL_PORT - FIRST_EPHEMERAL_PORT + 1;

/** Datagram objects that take turns: one that outlived its handler is recognised for so many more. */
const DATAGRAM_SET = 8;

export class UdpTransport implements Transport {
  readonly protocol = PROTOCOL.UDP;
  readonly network: Network;
  readonly #ports: Ports<UdpSocket>;
  /** The connected sockets of `#ports`, and the handlers of those that hear from their remote end wherever it comes in. */
  readonly #flows: FlowTable<UdpSocket>;
  readonly #numbers = new HandlerNumbers(MAX_TAG);
  readonly #handlers: readonly (DatagramHandler | undefined)[];
  /** The datagram that was handed out last. */
  #current: Datagram;
  #received = 0;
  #malformed = 0;
  #badChecksum = 0;
  #withoutChecksum = 0;
  #noPort = 0;
  #unwanted = 0;
  #softErrors = 0;

  /** `packet` is the one object that `receive` is called with. */
  constructor(network: Network, packet: Packet) {
    this.network = network;
    this.#ports = new Ports(network.random.next() | 0);
    this.#flows = this.#ports.flows;
    this.#handlers = this.#numbers.handlers;
    this.#current = Datagram.ring(DATAGRAM_SET, packet, this.#flows);
  }

  /** Opens a socket. Throws a RangeError where its place is taken or no port is free. */
  open(given: UdpOptions, handler: DatagramHandler): UdpSocket {
    if (typeof handler !== "function") throw new TypeError("a datagram handler is a function");
    const options = checkUdpOptions(given);
    if (this.#ports.size >= MAX_SOCKETS)
      throw new RangeError(`a host has at most ${MAX_SOCKETS} UDP sockets`);
    if (options.address !== undefined && !options.address.multicast && !this.network.isLocal(options.address))
      throw new RangeError(`${options.address} is no address of this host`);
    return options.port === 0 ? this.#openEphemeral(options, handler) : this.#openAt(options, handler);
  }

  receive(packet: Packet): boolean {
    const { view, at } = packet;
    if (packet.length < udp.HEADER_BYTES) return this.#drop("malformed");
    const ports = udp.portsWord(view, at);
    const total = udp.length(view, at);
    if (total < udp.HEADER_BYTES || total > packet.length) return this.#drop("malformed");
    const verdict = udp.verify(view, at, packet.pseudoSum(total), total);
    if (verdict === udp.BAD.checksum) return this.#drop("badChecksum");
    if (verdict === udp.VERIFIED.absent && packet.family === 6) return this.#drop("withoutChecksum");
    packet.length = total;
    if (packet.cast !== CAST.unicast) return this.#deliverToAll(packet, total);
    const flows = this.#flows;
    if (flows.hears(ports & PORT_MASK)) {
      const slot = flows.locate(packet.s0, packet.s1, packet.s2, packet.s3, ports);
      const handler = slot < 0 ? undefined : this.#handlers[flows.tagAt(slot)];
      if (handler !== undefined) {
        this.#deliverFlow(slot, handler, total - udp.HEADER_BYTES);
        return true;
      }
    }
    const socket = this.#ports.find(packet, ports);
    const taker = socket === undefined || isOn(socket, packet) ? socket : this.#takerOn(packet);
    if (taker === undefined) {
      this.#noPort += 1;
      return false;
    }
    this.#received += 1;
    this.#deliver(taker, total - udp.HEADER_BYTES, false);
    return true;
  }

  get reaches(): boolean {
    return this.#flows.large;
  }

  note(view: DataView, at: number, s0: number, s1: number, s2: number, s3: number): void {
    this.#flows.note(s0, s1, s2, s3, udp.portsWord(view, at));
  }

  reach(): void {
    this.#flows.reach();
  }

  failed(
    error: Omit<SoftError, "localPort" | "remotePort">,
    view: DataView,
    at: number,
    lengthBytes: number,
  ): void {
    if (lengthBytes < udp.CHECKSUM) return;
    const localPort = udp.sourcePort(view, at);
    const remotePort = udp.destinationPort(view, at);
    const { local, remote } = error;
    const socket = this.#ports.find(endsOf(remote, local), portsOf(remotePort, localPort));
    if (socket === undefined) return;
    this.#softErrors += 1;
    socket.softErrors += 1;
    const whole: SoftError = { ...error, localPort, remotePort };
    this.network.emit({ kind: "soft-error", atMs: this.network.now, error: whole });
    // Whoever heard the event may have closed it.
    if (socket.open) socket.onError?.(whole);
  }

  statistics(): UdpStatistics {
    return {
      received: this.#received,
      malformed: this.#malformed,
      badChecksum: this.#badChecksum,
      withoutChecksum: this.#withoutChecksum,
      noPort: this.#noPort,
      unwanted: this.#unwanted,
      softErrors: this.#softErrors,
      sockets: this.#ports.size,
    };
  }

  /** For sockets: takes one out. */
  closed(socket: UdpSocket): void {
    this.#delete(socket);
    this.network.givePort(this.protocol, socket.localAddress, socket.localPort);
  }

  /** For sockets: brings their counts up to date. */
  collect(socket: UdpSocket): void {
    if (socket.connected) this.#flows.collect(socket);
  }

  /** Closes all sockets. */
  close(): void {
    for (const socket of [...this.#ports.all()]) socket.close();
  }

  #deliver(socket: UdpSocket, lengthBytes: number, shared: boolean): void {
    const datagram = this.#nextDatagram();
    datagram.begin(socket, lengthBytes, shared);
    socket.receivedDatagrams += 1;
    socket.receivedBytes += lengthBytes;
    socket.handler(datagram);
    datagram.end();
  }

  /** The same for a connected socket, which is not looked at: of a hundred thousand it would not be in any cache. */
  #deliverFlow(slot: number, handler: DatagramHandler, lengthBytes: number): void {
    const flows = this.#flows;
    const datagram = this.#nextDatagram();
    datagram.beginFlow(flows.numberAt(slot), lengthBytes);
    this.#received += 1;
    flows.count(slot, lengthBytes);
    handler(datagram);
    datagram.end();
  }

  #nextDatagram(): Datagram {
    // One whose handler threw.
    this.#current.end();
    this.#current = this.#current.next;
    return this.#current;
  }

  /** Another socket of the port than the first: one that hears on the packet's interface, if not from everywhere. */
  #takerOn(packet: Packet): UdpSocket | undefined {
    const { d0, d1, d2, d3 } = packet;
    const heard = this.#ports
      .listeners(udp.destinationPort(packet.view, packet.at))
      .filter((one) => isOn(one, packet) && (one.localAddress?.equalsWords(d0, d1, d2, d3) ?? true));
    return heard.find((one) => one.localAddress !== undefined) ?? heard[0];
  }

  /** Everybody on the port who wants it gets it, the last one with the frame for himself. */
  #deliverToAll(packet: Packet, total: number): boolean {
    const { s0, s1, s2, s3 } = packet;
    const ports = udp.portsWord(packet.view, packet.at);
    const lengthBytes = total - udp.HEADER_BYTES;
    let last = this.#flows.find(s0, s1, s2, s3, ports);
    if (last !== undefined && !wants(last, packet)) last = undefined;
    for (const socket of this.#ports.listeners(ports & PORT_MASK)) {
      if (!wants(socket, packet)) continue;
      if (last?.open) this.#deliver(last, lengthBytes, true);
      last = socket;
    }
    if (last === undefined) {
      this.#unwanted += 1;
      return false;
    }
    this.#received += 1;
    if (last.open) this.#deliver(last, lengthBytes, false);
    return true;
  }

  #openAt(options: CheckedUdpOptions, handler: DatagramHandler): UdpSocket {
    const socket = this.#place(options, options.port, handler);
    if (socket !== undefined) return socket;
    const { port, remote } = options;
    const where = options.address ?? "all addresses";
    if (remote !== undefined)
      throw new RangeError(
        `UDP port ${port} of ${where} is taken; to ${remote.address} port ${remote.port} there is one connected socket of a port, ` +
          "whichever its own address: close that, take another port, or use sockets that are not connected",
      );
    throw new RangeError(
      `UDP port ${port} of ${where} is taken; close the socket that has it, or say reuse: true for both`,
    );
  }

  /** Random, then onwards from there (RFC 6056 section 3.3.1). */
  #openEphemeral(options: CheckedUdpOptions, handler: DatagramHandler): UdpSocket {
    const start = this.network.random.next() % EPHEMERAL_PORTS;
    for (let tried = 0; tried < EPHEMERAL_PORTS; tried++) {
      const port = FIRST_EPHEMERAL_PORT + ((start + tried) % EPHEMERAL_PORTS);
      const socket = this.#ports.isFree(port) ? this.#place(options, port, handler) : undefined;
      if (socket !== undefined) return socket;
    }
    throw new RangeError("no UDP port is free");
  }

  /** A socket in its place; undefined where that is taken, here or by somebody beside the host. */
  #place(options: CheckedUdpOptions, port: number, handler: DatagramHandler): UdpSocket | undefined {
    const socket = new UdpSocket(this, options, port, handler);
    const number = isEverywhere(socket) ? this.#numbers.take(handler) : NO_HANDLER;
    if (!this.#ports.add(socket, number)) {
      this.#numbers.give(number);
      return undefined;
    }
    socket.handlerNumber = number;
    if (this.network.takePort(this.protocol, options.address, port)) return socket;
    this.#delete(socket);
    return undefined;
  }

  #delete(socket: UdpSocket): void {
    // Its datagram may yet be replied to, or kept.
    this.#current.settle();
    this.#ports.delete(socket);
    this.#numbers.give(socket.handlerNumber);
    socket.handlerNumber = NO_HANDLER;
  }

  #drop(why: "malformed" | "badChecksum" | "withoutChecksum"): true {
    if (why === "malformed") this.#malformed += 1;
    else if (why === "badChecksum") this.#badChecksum += 1;
    else this.#withoutChecksum += 1;
    return true;
  }
}

/** The ends of a packet that `remote` would have sent to `local`. */
const endsOf = (remote: IpAddress, local: IpAddress): Ends => ({
  s0: remote.w0,
  s1: remote.w1,
  s2: remote.w2,
  s3: remote.w3,
  d0: local.w0,
  d1: local.w1,
  d2: local.w2,
  d3: local.w3,
});

/** True where a connected socket hears from its remote end wherever that reaches us. */
const isEverywhere = (socket: UdpSocket): boolean =>
  socket.connected && socket.interfaceIndex === 0 && socket.family === 0 && socket.localAddress === undefined;

const isOn = (socket: UdpSocket, packet: Packet): boolean =>
  (socket.interfaceIndex === 0 || socket.interfaceIndex === packet.interface.index) &&
  (socket.family === 0 || socket.family === packet.family);

const wants = (socket: UdpSocket, packet: Packet): boolean => {
  if (!isOn(socket, packet)) return false;
  const { localAddress } = socket;
  if (packet.cast === CAST.multicast) {
    if (
      localAddress?.multicast === true &&
      !localAddress.equalsWords(packet.d0, packet.d1, packet.d2, packet.d3)
    )
      return false;
    return socket.wantsGroup(packet);
  }
  // A broadcast reaches sockets of all addresses only, as with the kernel's.
  return localAddress === undefined;
};

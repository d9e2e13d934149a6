/**
 * A UDP socket of a host: what it is bound to, sending, groups, and its counters.
 *
 * Sending writes into a fresh frame and allocates nothing where the way to the other end is held (`to`). What can't be sent
 * is refused with `false` and a counter, never thrown.
 */
import {
  type DestinationOptions,
  type MultipathPolicy,
  type Notice,
  type Network,
  REFUSED,
  type Refused,
  type SoftError,
  type SourceFilter,
  type Via,
} from "../transport/network.ts";
import type { Packet } from "../transport/packet.ts";
import { type Family, IpAddress } from "../wire/address.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";
import type { Datagram } from "./datagram.ts";
import { Memberships } from "./memberships.ts";
import { type CheckedUdpOptions, type EndpointText, readAddress, readEndpoint } from "./options.ts";
import type { Listener } from "./ports.ts";
import { Remote } from "./remote.ts";

/** Called with each datagram. What it returns is ignored. */
export type DatagramHandler = (datagram: Datagram) => void;

/** Fills `lengthBytes` at (view, at); returns how many bytes it wrote where those are fewer. */
export type PayloadWriter = (view: DataView, at: number, lengthBytes: number) => number | void;

/** More about one datagram that is sent (RFC 9622 section 9.1.3). */
export interface SendOptions {
  /** Give it up where the neighbour's address is not known after so many ms. Default: when the search for it ends. */
  readonly lifetimeMs?: number;
  /** Hears whether it was sent or given up; at once where it did not have to wait. */
  readonly notice?: Notice;
}

/** More about the way to somebody than the socket's own options say. */
export interface RemoteOptions {
  /** Over exactly this path, whatever routes and monitors say of it: a `Path` is one. */
  readonly via?: Via;
  /** Default: the socket's. */
  readonly multipath?: MultipathPolicy;
  /** What "spread" tells flows apart by. Default: the socket's, else both ports. */
  readonly flow?: number;
}

/** Counters of a socket, in datagrams unless the name says otherwise. */
export interface UdpSocketStatistics {
  readonly received: number;
  readonly receivedBytes: number;
  readonly sent: number;
  readonly sentBytes: number;
  /** Not sent because the ring or the pool was full. */
  readonly refusedFull: number;
  /** Not sent for another reason: no route, no address of ours, too long, the neighbour silent, the link down. */
  readonly refusedOther: number;
  /** Accepted and then given up: the neighbour did not answer, or the lifetime passed. */
  readonly expired: number;
  readonly softErrors: number;
}

/** Ways that a socket remembers for those who name the other end anew each time; hold a `Remote` to need none. */
export const MAX_REMEMBERED = 1024;

const NOTHING_SAID: SendOptions = {};
const PORT_BITS = 16;

/** What the transport does for its sockets. */
export interface SocketOwner {
  readonly network: Network;
  closed(socket: UdpSocket): void;
  /** Brings the socket's counts of what it received up to date. */
  collect(socket: UdpSocket): void;
}

export class UdpSocket implements Listener {
  readonly handler: DatagramHandler;
  /** Of a connected socket without those that its owner has yet to `collect`. */
  receivedDatagrams = 0;
  receivedBytes = 0;
  /** For its owner: what stands for `handler` in the table of flows. */
  handlerNumber = 0;
  readonly network: Network;
  readonly localPort: number;
  readonly localAddress: IpAddress | undefined;
  /** 4 or 6 where it hears that family alone, else 0. */
  readonly family: Family | 0;
  readonly connected: boolean;
  readonly reuse: boolean;
  readonly r0: number;
  readonly r1: number;
  readonly r2: number;
  readonly r3: number;
  readonly remotePort: number;
  /** The host's number of the interface that it is bound to, 0 for none. */
  readonly interfaceIndex: number;
  readonly onError: ((error: SoftError) => void) | undefined;
  readonly trafficClass: number;
  /** TTL or hop limit of what it sends to one station; 0 where the host's is used. */
  readonly ttl: number;
  /** Where it is connected to. */
  readonly remote: Remote | undefined;
  sentDatagrams = 0;
  sentBytes = 0;
  refusedFull = 0;
  refusedOther = 0;
  expired = 0;
  softErrors = 0;
  readonly #owner: SocketOwner;
  readonly #options: CheckedUdpOptions;
  // Made when they are needed: most of a hundred thousand sockets never do.
  #memberships: Memberships | undefined;
  #remembered: Map<string, Remote> | undefined;
  #parked: Notice | undefined;
  #waitsForRoom = false;
  #open = true;

  /** For the transport: `port` is the one that `options` ask for, or a free one. */
  constructor(owner: SocketOwner, options: CheckedUdpOptions, port: number, handler: DatagramHandler) {
    const { network } = owner;
    this.#owner = owner;
    this.network = network;
    this.#options = options;
    this.handler = handler;
    this.onError = options.onError;
    this.localPort = port;
    this.localAddress = options.address;
    this.family = options.family ?? 0;
    this.reuse = options.reuse;
    this.trafficClass = options.trafficClass;
    this.ttl = options.ttl ?? 0;
    this.interfaceIndex = options.interface === undefined ? 0 : network.interfaceNamed(options.interface);
    const { remote } = options;
    this.connected = remote !== undefined;
    this.r0 = remote?.address.w0 ?? 0;
    this.r1 = remote?.address.w1 ?? 0;
    this.r2 = remote?.address.w2 ?? 0;
    this.r3 = remote?.address.w3 ?? 0;
    this.remotePort = remote?.port ?? 0;
    this.remote =
      remote && this.#way(remote.address, remote.port, { interface: this.#zone(remote.interface) });
  }

  /** The groups that it is a member of. */
  get memberships(): Memberships {
    return (this.#memberships ??= new Memberships(this.network, this));
  }

  /** True where the packet came to a group of its own, from a sender that it wants. For the transport. */
  wantsGroup(packet: Packet): boolean {
    return this.#memberships?.wants(packet) ?? false;
  }

  /** False after `close`. */
  get open(): boolean {
    return this.#open;
  }

  /** Where datagrams go that are sent to `address` and `port`. Hold it: sending to it needs no lookup. */
  to(address: string | IpAddress, port: number, options: RemoteOptions = {}): Remote {
    const end = readEndpoint({ address, port });
    return this.#way(end.address, end.port, { interface: this.#zone(end.interface), ...options });
  }

  /**
   * Sends a datagram to `to`: a copy of `payload`, or `lengthBytes` that `write` fills. False where it was refused, which
   * the counters explain; after "full" `onDrain` is called when there is room. A connected socket's `to` is its `remote`.
   *
   * @throws TypeError or RangeError for what can't be a payload or a length, and where the socket is closed.
   */
  send(to: Remote | EndpointText, payload: Uint8Array, options?: SendOptions): boolean;
  send(to: Remote | EndpointText, lengthBytes: number, write: PayloadWriter, options?: SendOptions): boolean;
  send(
    to: Remote | EndpointText,
    payload: Uint8Array | number,
    third?: PayloadWriter | SendOptions,
    fourth?: SendOptions,
  ): boolean {
    const remote = to instanceof Remote ? to : this.#remember(to);
    if (typeof payload === "number") {
      if (typeof third !== "function") throw new TypeError("send needs a writer for that many bytes");
      if (!(Number.isInteger(payload) && payload >= 0))
        throw new RangeError(`the length of a payload is a whole number from 0, not ${payload}`);
      return this.#transmit(remote, payload, undefined, third, fourth ?? NOTHING_SAID);
    }
    if (!(payload instanceof Uint8Array)) throw new TypeError("a payload is a Uint8Array");
    return this.#transmit(remote, payload.length, payload, undefined, (third as SendOptions) ?? NOTHING_SAID);
  }

  /** Sends each of `payloads` to `to`; returns how many were accepted before one was refused. */
  sendMany(to: Remote | EndpointText, payloads: Iterable<Uint8Array>): number {
    const remote = to instanceof Remote ? to : this.#remember(to);
    let accepted = 0;
    for (const payload of payloads) {
      if (!this.send(remote, payload)) break;
      accepted += 1;
    }
    return accepted;
  }

  /** Answers a packet that came in, from the address that it was sent to. For datagrams. */
  answer(packet: Packet, port: number, payload: Uint8Array): boolean {
    const source = packet.interface.answerFrom(packet);
    const remote = this.#way(packet.source, port, {
      ...(source === undefined ? {} : { source }),
      interface: this.interfaceIndex,
      cameIn: packet.interface.index,
    });
    return this.#transmit(remote, payload.length, payload, undefined, NOTHING_SAID);
  }

  /** Hears what is sent to `group` on an interface, from all senders or those that `sources` lets through. */
  join(group: string | IpAddress, options: { interface?: string; sources?: SourceFilter } = {}): void {
    const { address, interface: zone } = readAddress(group);
    this.#assertOpen();
    this.memberships.join(address, this.#zone(options.interface ?? zone), options.sources);
  }

  leave(group: string | IpAddress, options: { interface?: string } = {}): void {
    const { address, interface: zone } = readAddress(group);
    this.memberships.leave(address, this.#zone(options.interface ?? zone));
  }

  statistics(): UdpSocketStatistics {
    this.#owner.collect(this);
    return {
      received: this.receivedDatagrams,
      receivedBytes: this.receivedBytes,
      sent: this.sentDatagrams,
      sentBytes: this.sentBytes,
      refusedFull: this.refusedFull,
      refusedOther: this.refusedOther,
      expired: this.expired,
      softErrors: this.softErrors,
    };
  }

  /** Gives the port back. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#memberships?.close();
    this.#remembered = undefined;
    this.#owner.closed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #transmit(
    remote: Remote,
    lengthBytes: number,
    payload: Uint8Array | undefined,
    write: PayloadWriter | undefined,
    options: SendOptions,
  ): boolean {
    if (!this.#open) throw new TypeError(`the socket of UDP port ${this.localPort} is closed`);
    const { outgoing } = this.network;
    const at = outgoing.begin(remote.destination, PROTOCOL.UDP, udp.HEADER_BYTES + lengthBytes);
    if (at < 0) return this.#refuse(at as Refused);
    let total = udp.HEADER_BYTES + lengthBytes;
    if (payload !== undefined) outgoing.bytes.set(payload, at + udp.HEADER_BYTES);
    else total = this.#write(write!, at, lengthBytes);
    const { view } = outgoing;
    udp.writeInFront(view, at, this.localPort, remote.port, total, outgoing.pseudoSum());
    const { notice, lifetimeMs } = options;
    const refused = outgoing.end(notice === undefined ? this.#counting() : this.#counted(notice), lifetimeMs);
    if (refused !== 0) return this.#refuse(refused);
    this.sentDatagrams += 1;
    this.sentBytes += total - udp.HEADER_BYTES;
    return true;
  }

  /**
   * A notice that passes everything on, and counts as the socket's own does. What it throws is the loop's to report:
   * others wait behind the one that it is about.
   */
  #counted(notice: Notice): Notice {
    const safely = (tell: () => void): void => {
      try {
        tell();
      } catch (error) {
        this.network.after(0, () => {
          throw error;
        });
      }
    };
    return {
      sent: () => safely(() => notice.sent()),
      dropped: (reason) => {
        this.expired += 1;
        safely(() => notice.dropped(reason));
      },
    };
  }

  /** Has the payload written in place; what a writer throws is thrown on, with the frame back in the pool. */
  #write(write: PayloadWriter, at: number, lengthBytes: number): number {
    const { outgoing } = this.network;
    let written: number | void;
    try {
      written = write(outgoing.view, at + udp.HEADER_BYTES, lengthBytes);
      if (written !== undefined && !(Number.isInteger(written) && written >= 0 && written <= lengthBytes))
        throw new RangeError(`a writer of ${lengthBytes} bytes says that it wrote ${written}`);
    } catch (error) {
      outgoing.abandon();
      throw error;
    }
    const total = udp.HEADER_BYTES + (written ?? lengthBytes);
    outgoing.shorten(total);
    return total;
  }

  #refuse(reason: Refused): false {
    if (reason !== REFUSED.full) {
      this.refusedOther += 1;
      return false;
    }
    this.refusedFull += 1;
    if (!this.#waitsForRoom && this.#options.onDrain !== undefined) {
      this.#waitsForRoom = true;
      this.network.drained(() => {
        this.#waitsForRoom = false;
        if (this.#open) this.#options.onDrain?.();
      });
    }
    return false;
  }

  /** Counts datagrams that were given up while they waited. */
  #counting(): Notice {
    return (this.#parked ??= { sent: () => {}, dropped: () => void (this.expired += 1) });
  }

  #remember(to: EndpointText): Remote {
    const key = `${String(to?.address)}|${to?.port}`;
    const remembered = (this.#remembered ??= new Map());
    let remote = remembered.get(key);
    if (remote !== undefined) return remote;
    const end = readEndpoint(to);
    remote = this.#way(end.address, end.port, { interface: this.#zone(end.interface) });
    // Forgetting all at once is simpler than an order of use, and as bounded: they are looked up again.
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(key, remote);
    return remote;
  }

  #way(address: IpAddress, port: number, more: DestinationOptions): Remote {
    const { ttl, multicastTtl, multicastLoopback, trafficClass, multipath, flow } = this.#options;
    // A socket that hears a group alone sends from an address of the host's.
    const bound = this.localAddress?.multicast === true ? undefined : this.localAddress;
    const destination = this.network.destination(address, {
      source: bound,
      ttl: address.multicast ? multicastTtl : ttl,
      trafficClass,
      loopback: multicastLoopback,
      multipath,
      flow: flow ?? (this.localPort << PORT_BITS) | port,
      ...more,
    });
    return new Remote(destination, port);
  }

  #zone(name: string | undefined): number {
    return name === undefined ? this.interfaceIndex : this.network.interfaceNamed(name);
  }

  #assertOpen(): void {
    if (!this.#open) throw new TypeError(`the socket of UDP port ${this.localPort} is closed`);
  }
}

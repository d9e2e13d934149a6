/**
 * A datagram as a handler sees it: the payload where it lies in the frame, who sent it, and the verbs to answer or keep it.
 *
 * Like frames, datagrams are reused objects that end when the handler returns, or when they are replied to or kept; a use
 * after that throws. `reply` turns the very frame around that the datagram came in: nothing is copied or allocated.
 */
import { END, FrameEndedError } from "../device/frame.ts";
import { CAST, type LinkInterface, type Packet } from "../transport/packet.ts";
import { keepPacket } from "../transport/packet-copy.ts";
import type { Network } from "../transport/network.ts";
import { pseudoOf } from "../wire/checksum.ts";
import type { IpAddress } from "../wire/address.ts";
import * as udp from "../wire/udp.ts";

/** What a datagram needs of the socket that it came to. */
export interface DatagramOwner {
  readonly network: Network;
  readonly localPort: number;
  readonly trafficClass: number;
  /** TTL or hop limit of answers, 0 for the host's. */
  readonly ttl: number;
  sentDatagrams: number;
  sentBytes: number;
  refusedFull: number;
  refusedOther: number;
  /** Sends `payload` to the packet's sender, from the address that it was sent to. */
  answer(packet: Packet, port: number, payload: Uint8Array): boolean;
}

/** Finds connected sockets by the number of their flow. */
export interface FlowOwners {
  flowOf(number: number): DatagramOwner | undefined;
}

const NO_FLOWS: FlowOwners = { flowOf: () => undefined };

export class Datagram {
  /** The packet it came in; for a kept one a copy of its own. */
  protected readonly packet: Packet;
  /** Datagrams that take turns stand in a ring. */
  next: Datagram = this;
  readonly #flows: FlowOwners;
  #socket: DatagramOwner | undefined;
  /** Number of the connected socket that it came to, where that has not been looked at. */
  #flow = 0;
  #at: number = END.unused;
  #length = 0;
  /** True where other sockets get the same datagram after this one: then nobody may turn the frame around. */
  #shared = false;

  constructor(packet: Packet, flows: FlowOwners) {
    this.packet = packet;
    this.#flows = flows;
  }

  /** So many datagrams over one packet that take turns. */
  static ring(count: number, packet: Packet, flows: FlowOwners): Datagram {
    const first = new Datagram(packet, flows);
    for (let i = 1; i < count; i++) {
      const other = new Datagram(packet, flows);
      other.next = first.next;
      first.next = other;
    }
    return first;
  }

  /** The socket that it came to. */
  protected get socket(): DatagramOwner {
    return this.#socket ?? (this.#socket = this.#flows.flowOf(this.#flow)!);
  }

  /** The memory that the payload lies in. Index it with `at`. */
  get view(): DataView {
    return this.packet.view;
  }

  /** The memory that the payload lies in. Index it with `at`. */
  get bytes(): Uint8Array {
    return this.packet.bytes;
  }

  /** Offset of the payload's first byte. */
  get at(): number {
    const at = this.#at;
    if (at < 0) this.#ended("read");
    return at;
  }

  /** Bytes of payload. */
  get length(): number {
    if (this.#at < 0) this.#ended("read");
    return this.#length;
  }

  /** True while it is the caller's. */
  get live(): boolean {
    return this.#at >= 0;
  }

  /** The sender's port. */
  get remotePort(): number {
    return udp.sourcePort(this.packet.view, this.at - udp.HEADER_BYTES);
  }

  /** The port that it was sent to. */
  get localPort(): number {
    return udp.destinationPort(this.packet.view, this.at - udp.HEADER_BYTES);
  }

  /** The sender. Allocates; `remoteWord` does not. */
  get remoteAddress(): IpAddress {
    if (this.#at < 0) this.#ended("read");
    return this.packet.source;
  }

  /** Where it was sent to: an address of ours, a group, or a broadcast address. Allocates. */
  get localAddress(): IpAddress {
    if (this.#at < 0) this.#ended("read");
    return this.packet.destination;
  }

  /** The last word of the sender's address: all of an IPv4 one. For tables and counters that must not allocate. */
  get remoteWord(): number {
    if (this.#at < 0) this.#ended("read");
    return this.packet.s3;
  }

  /** The interface that it came in on. */
  get interface(): LinkInterface {
    if (this.#at < 0) this.#ended("read");
    return this.packet.interface;
  }

  /** TTL or hop limit that it arrived with. */
  get ttl(): number {
    if (this.#at < 0) this.#ended("read");
    return this.packet.ttl;
  }

  /** DSCP and ECN that it arrived with. */
  get trafficClass(): number {
    if (this.#at < 0) this.#ended("read");
    return this.packet.trafficClass;
  }

  /** True where it was sent to one address of ours, false for a group or everybody. */
  get unicast(): boolean {
    if (this.#at < 0) this.#ended("read");
    return this.packet.cast === CAST.unicast;
  }

  /** Most bytes that a reply can have, from `at` on: never less than came, whatever the interface carries by now. */
  get room(): number {
    const at = this.at;
    const { frame, interface: from, ipAt } = this.packet;
    if (frame === undefined || frame.chunks !== 1) return this.#length;
    const { chunkBytes } = frame.queue.umem;
    const inPlace = Math.min(chunkBytes - (at & (chunkBytes - 1)), from.mtu - (at - ipAt));
    return Math.max(inPlace, this.#length);
  }

  /** A copy of the payload. Allocates. */
  copy(): Uint8Array {
    const at = this.at;
    return this.packet.bytes.slice(at, at + this.#length);
  }

  /** The payload as text. Allocates. */
  text(): string {
    return utf8.decode(this.copy());
  }

  /**
   * Sends the payload back to the sender: the first `lengthBytes` from `at`, which the handler may have rewritten, up to
   * `room`. In place where the datagram lies in one chunk and the path back carries it in one packet, else as a copy, and
   * then the datagram stays the caller's. False (counted), and still the caller's, where there is no room in the ring.
   * Throws a RangeError above `room`.
   */
  reply(lengthBytes = this.#length): boolean {
    if (this.#at < 0) this.#ended("reply to");
    // What lies beyond is memory of others.
    const fits = lengthBytes <= this.#length || lengthBytes <= this.room;
    if ((lengthBytes | 0) !== lengthBytes || lengthBytes < 0 || !fits) this.#tooLong(lengthBytes);
    const { packet } = this;
    const { frame } = packet;
    if (
      frame === undefined ||
      this.#shared ||
      !packet.plain ||
      frame.chunks !== 1 ||
      !packet.interface.carries(packet, udp.HEADER_BYTES + lengthBytes)
    ) {
      return this.replyWith(packet.bytes.subarray(this.#at, this.#at + lengthBytes));
    }
    const socket = this.socket;
    if (!frame.queue.reserve(1)) {
      socket.refusedFull += 1;
      return false;
    }
    const source = packet.cast === CAST.unicast ? undefined : packet.interface.answerFrom(packet);
    if (source === undefined && packet.cast !== CAST.unicast) {
      socket.refusedOther += 1;
      return false;
    }
    const total = udp.HEADER_BYTES + lengthBytes;
    this.#turnHeader(total, source);
    packet.interface.turnAround(packet, source, total, socket.trafficClass, socket.ttl);
    socket.sentDatagrams += 1;
    socket.sentBytes += lengthBytes;
    this.#at = END.sent;
    return true;
  }

  /** Sends `payload` to the sender, from the address that it wrote to. The datagram stays the caller's. */
  replyWith(payload: Uint8Array): boolean {
    if (this.#at < 0) this.#ended("reply to");
    return this.socket.answer(this.packet, this.remotePort, payload);
  }

  /**
   * Holds the datagram beyond the handler, without a copy but where other sockets are handed the same one. Release it, or
   * reply to it.
   */
  keep(): KeptDatagram {
    if (this.#at < 0) this.#ended("keep");
    const { packet, socket } = this;
    const kept = new KeptDatagram(keepPacket(packet, this.#shared, socket.network), socket);
    kept.begin(socket, this.#length, false);
    if (!this.#shared) this.#at = END.kept;
    return kept;
  }

  /** Starts a life of this object on what its packet holds now; for the transport. */
  begin(socket: DatagramOwner, lengthBytes: number, shared: boolean): void {
    this.#socket = socket;
    this.#at = this.packet.at + udp.HEADER_BYTES;
    this.#length = lengthBytes;
    this.#shared = shared;
  }

  /** The same for a connected socket, which is not looked at before somebody needs it; for the transport. */
  beginFlow(flow: number, lengthBytes: number): void {
    this.#socket = undefined;
    this.#flow = flow;
    this.#at = this.packet.at + udp.HEADER_BYTES;
    this.#length = lengthBytes;
    this.#shared = false;
  }

  /** Looks at its socket while that can be found; for the transport, before one goes. */
  settle(): void {
    this.#socket ??= this.#flows.flowOf(this.#flow);
  }

  /** Ends it, unless the handler did; for the transport. */
  end(): void {
    if (this.#at >= 0) this.#at = END.returned;
  }

  /** Marks it as given back; for leases. */
  protected finish(): void {
    this.#at = END.dropped;
  }

  /** Ports swapped, length and checksum for the way back. */
  #turnHeader(total: number, source: IpAddress | undefined): void {
    const { packet } = this;
    const { view, at } = packet;
    const pseudo =
      source === undefined
        ? packet.pseudoSum(total)
        : pseudoOf(source, packet.source, packet.protocol, total);
    udp.writeInFront(view, at, this.socket.localPort, udp.sourcePort(view, at), total, pseudo);
  }

  #tooLong(lengthBytes: number): never {
    throw new RangeError(`a reply is 0 to ${this.room} bytes here, not ${lengthBytes}`);
  }

  #ended(use: string): never {
    throw new FrameEndedError(use, this.#at, "datagram");
  }
}

const utf8 = new TextDecoder();

/** A datagram that outlives its handler. Reply to it or release it: until then its chunk is missing from the pool. */
export class KeptDatagram extends Datagram {
  /** True while a handler has it that did not keep it. */
  #lent = false;

  constructor(packet: Packet, socket: DatagramOwner) {
    super(packet, NO_FLOWS);
    this.begin(socket, 0, false);
  }

  /** As a lent one's; where that was not in place, the memory goes back here. */
  override reply(lengthBytes?: number): boolean {
    const sent = super.reply(lengthBytes);
    if (sent && this.live) this.release();
    return sent;
  }

  /** It is kept already; by the handler that it is lent to, if it is. */
  override keep(): KeptDatagram {
    if (!this.live) return super.keep();
    this.#lent = false;
    return this;
  }

  /** Hands it to a handler as datagrams are that come in: unless that keeps it or replies to it, it ends when that returns. */
  lend(handler: (datagram: Datagram) => void): void {
    // Reading `at` says how it ended where it has.
    if (this.at < 0) return;
    this.#lent = true;
    try {
      handler(this);
    } finally {
      if (this.#lent && this.live) this.release();
      this.#lent = false;
    }
  }

  /** Gives the memory back. A second call throws, like any use after the end. */
  release(): void {
    const { packet } = this;
    // Reading `at` says how it ended where it has.
    if (this.at < 0) return;
    this.finish();
    if (packet.frame !== undefined) packet.frame.drop();
    else if (packet.slot >= 0) this.socket.network.freeSlot(packet.slot);
  }

  /** Releases it unless it has ended already, so that `using` is always safe. */
  [Symbol.dispose](): void {
    if (this.live) this.release();
  }
}

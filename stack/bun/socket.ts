/**
 * A UDP socket with the calls, outcomes and errors of Bun's, over one of a host.
 *
 * Every datagram costs a buffer, which is the shape's price: a handler of `host.udp` reads in place and allocates nothing.
 */
import type { Host } from "../ip/host.ts";
import type { Datagram } from "../udp/datagram.ts";
import { type DatagramHandler, type SendOptions, UdpSocket } from "../udp/socket.ts";
import type { UdpOptions } from "../udp/options.ts";
import { IpAddress } from "../wire/address.ts";
import { HEADER_BYTES as IPV4_BYTES } from "../wire/ipv4.ts";
import { HEADER_BYTES as UDP_BYTES } from "../wire/udp.ts";
import { type BinaryType, type Config, readPort, readReload } from "./config.ts";
import { type End, senderText, textOf } from "./ends.ts";
import { argumentError, callError, codeOfRefusal, codeOfSoftError } from "./errors.ts";
import { GroupCalls } from "./groups.ts";
import { bytesOf, dataOf } from "./payload.ts";
import { Teller } from "./teller.ts";
import { type Target, Ways } from "./ways.ts";

/** The lengths in the headers of UDP and IPv4 are of 16 bits. */
const MAX_LENGTH = 0xffff;
const MOST_BYTES = { 4: MAX_LENGTH - IPV4_BYTES - UDP_BYTES, 6: MAX_LENGTH - UDP_BYTES } as const;
const MAX_TTL = 255;
/** Elements of `sendMany` for each datagram of a socket that isn't connected: payload, port, address. */
const PER_DATAGRAM = 3;
const PORT_AT = 1;
const ADDRESS_AT = 2;

/** What `udpSocket` has found out before there is a socket. */
export interface Opening {
  readonly host: Host;
  readonly config: Config;
  /** What it is bound to, and what it sends from where that is every address. */
  readonly own: End;
  readonly source: IpAddress | undefined;
  readonly connect: End | undefined;
  readonly open: (more: UdpOptions, handler: DatagramHandler) => UdpSocket;
  /** Hears that it is held, let go of (but open), or closed. */
  readonly presence: (state: "held" | "loose" | "closed") => void;
}

export class BoundSocket implements Bun.udp.BaseUDPSocket {
  readonly hostname: string;
  readonly port: number;
  readonly address: Bun.SocketAddress;
  readonly remoteAddress: Bun.SocketAddress | undefined;
  readonly #own: End;
  readonly #socket: UdpSocket;
  readonly #ways: Ways;
  readonly #groups: GroupCalls;
  readonly #target: Target | undefined;
  readonly #presence: Opening["presence"];
  readonly #teller: Teller;
  readonly #sendOptions: SendOptions;
  #binaryType: BinaryType;
  #mayBroadcast = false;
  #lastFrom: IpAddress | undefined;
  #lastInterface: object | undefined;
  #lastText = "";

  constructor({ host, config, own, source, connect, open, presence }: Opening) {
    this.#own = own;
    this.#presence = presence;
    this.#teller = new Teller(host.loop, this, config.handlers);
    this.#sendOptions = { notice: this.#teller.notice };
    this.#binaryType = config.binaryType ?? "buffer";
    this.#ways = new Ways(host, own);
    this.#socket = open(
      {
        onError: (error) => this.#teller.error(callError(codeOfSoftError(error), "recv")),
        onDrain: () => this.#teller.drain(),
      },
      (datagram) => this.#receive(datagram),
    );
    this.#groups = new GroupCalls(host, this.#socket, own);
    this.hostname = config.hostname;
    this.port = this.#socket.localPort;
    this.address = socketAddress(source ?? own.address, own, this.port);
    if (connect !== undefined) {
      const { port } = config.connect!;
      this.#target = this.#ways.find(connect, port, source);
      this.remoteAddress = socketAddress(connect.address, own, port);
    }
    presence("held");
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  get closed(): boolean {
    return !this.#socket.open;
  }

  get [Symbol.toStringTag](): string {
    return "UDPSocket";
  }

  /** Keeps the program alive while it is open: so it begins. */
  ref(): void {
    if (this.#socket.open) this.#presence("held");
  }

  /** Lets the program end while it is open. It goes on receiving until then. */
  unref(): void {
    if (this.#socket.open) this.#presence("loose");
  }

  /** Idempotent. */
  close(): void {
    if (!this.#socket.open) return;
    this.#socket.close();
    this.#presence("closed");
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Takes other handlers, each in the place of the one before. */
  reload(given: unknown): void {
    if (given === undefined) throw argumentError("Expected 1 argument");
    const { handlers, binaryType } = readReload(given);
    this.#teller.handlers = { ...this.#teller.handlers, ...handlers };
    this.#binaryType = binaryType ?? this.#binaryType;
  }

  /** False where there is no room now: then `drain` is called when there is. Throws where it can't be sent at all. */
  send(...given: readonly unknown[]): boolean {
    this.#assertOpen();
    const connected = this.#target;
    if (connected !== undefined) {
      if (given.length === 0) throw tooFew(1, 0);
      if (given.length > 1) throw argumentError("Cannot specify destination on connected socket");
      return this.#transmit(connected, bytesOf(given[0], "first argument"));
    }
    const [data, port, address] = given;
    if (given.length !== PER_DATAGRAM) throw tooFew(PER_DATAGRAM, given.length);
    const bytes = bytesOf(data, "first argument");
    return this.#transmit(this.#ways.to(String(address), readPort("port", port, 1)), bytes);
  }

  /** How many were sent before there was no room, or one could not be sent. Throws what `send` throws for the first. */
  sendMany(packets: unknown): number {
    this.#assertOpen();
    if (arguments.length === 0) throw tooFew(1, 0);
    if (!Array.isArray(packets)) throw argumentError("Expected first argument to be a array for 'sendMany'.");
    const given: readonly unknown[] = packets;
    const step = this.#target === undefined ? PER_DATAGRAM : 1;
    if (given.length % step !== 0) throw argumentError("Expected 3 arguments for each packet");
    // All are read before any is sent: a wrong one stops them all.
    const payloads: Uint8Array[] = [];
    const targets: Target[] = [];
    for (let i = 0; i < given.length; i += step) {
      payloads.push(bytesOf(given[i], "payload"));
      targets.push(
        this.#target ?? this.#ways.to(String(given[i + ADDRESS_AT]), readPort("port", given[i + PORT_AT], 1)),
      );
    }
    let sent = 0;
    try {
      while (sent < payloads.length && this.#transmit(targets[sent]!, payloads[sent]!)) sent += 1;
    } catch (error) {
      if (sent === 0) throw error;
    }
    return sent;
  }

  setBroadcast(...given: readonly boolean[]): boolean {
    const [enabled] = this.#take(given, 1);
    this.#mayBroadcast = Boolean(enabled);
    return enabled!;
  }

  setTTL(...given: readonly number[]): number {
    return (this.#ways.ttl = this.#readTtl(given));
  }

  setMulticastTTL(...given: readonly number[]): number {
    return (this.#ways.multicastTtl = this.#readTtl(given));
  }

  setMulticastLoopback(...given: readonly boolean[]): boolean {
    const [enabled] = this.#take(given, 1);
    this.#ways.multicastLoopback = Boolean(enabled);
    return enabled!;
  }

  setMulticastInterface(...given: readonly string[]): boolean {
    const [text] = this.#take(given, 1);
    const exit = this.#groups.exitFor(String(text));
    if (exit !== undefined) this.#ways.exit = exit;
    return exit !== undefined;
  }

  addMembership(...given: readonly string[]): boolean {
    const [group, on] = this.#take(given, 1);
    this.#groups.add(String(group), optionalText(on));
    return true;
  }

  dropMembership(...given: readonly string[]): boolean {
    const [group, on] = this.#take(given, 1);
    this.#groups.drop(String(group), optionalText(on));
    return true;
  }

  addSourceSpecificMembership(...given: readonly string[]): boolean {
    const [source, group, on] = this.#take(given, 2);
    this.#groups.addSource(String(source), String(group), optionalText(on));
    return true;
  }

  dropSourceSpecificMembership(...given: readonly string[]): boolean {
    const [source, group, on] = this.#take(given, 2);
    this.#groups.dropSource(String(source), String(group), optionalText(on));
    return true;
  }

  #transmit(target: Target, bytes: Uint8Array): boolean {
    if (target.everybody && !this.#mayBroadcast) throw callError("EACCES", "send");
    if (bytes.length > MOST_BYTES[target.address.family]) throw callError("EMSGSIZE", "send");
    const socket = this.#socket;
    const { refusedFull } = socket;
    if (socket.send(target, bytes, this.#sendOptions)) return true;
    if (socket.refusedFull !== refusedFull) return false;
    throw callError(codeOfRefusal(target.destination.prepare()), "send");
  }

  #receive(datagram: Datagram): void {
    if (this.#teller.handlers.data === undefined) return;
    const from = datagram.remoteAddress;
    if (this.#lastFrom?.equals(from) !== true || this.#lastInterface !== datagram.interface) {
      this.#lastFrom = from;
      this.#lastInterface = datagram.interface;
      this.#lastText = senderText(from, this.#own.family, datagram.interface);
    }
    const payload = dataOf(datagram, this.#binaryType);
    const flags = { truncated: false, ipv6: this.#own.family === 6 };
    this.#teller.data(payload, datagram.remotePort, this.#lastText, flags);
  }

  #readTtl(given: readonly number[]): number {
    const [value] = this.#take(given, 1);
    const ttl = Math.trunc(Number(value));
    if (!(ttl >= 1 && ttl <= MAX_TTL)) throw callError("EINVAL", "setsockopt");
    return ttl;
  }

  /** The arguments of a call that sets an option, at least so many. */
  #take<T>(given: readonly T[], least: number): readonly T[] {
    if (given.length < least) throw tooFew(least, given.length);
    if (!this.#socket.open) throw callError("EBADF", "setsockopt");
    return given;
  }

  #assertOpen(): void {
    if (!this.#socket.open) throw new Error("Socket is closed");
  }
}

const tooFew = (expected: number, got: number): TypeError =>
  argumentError(`Expected ${expected} argument${expected === 1 ? "" : "s"}, got ${got}`);

const optionalText = (value: unknown): string | undefined => (value == null ? undefined : String(value));

const socketAddress = (address: IpAddress, { family }: End, port: number): Bun.SocketAddress => ({
  address: textOf(address, family),
  family: family === 4 ? "IPv4" : "IPv6",
  port,
});

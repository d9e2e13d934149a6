/**
 * Bidirectional Forwarding Detection over one hop (RFC 5880, RFC 5881) for a host: its sessions, the two ports that they share,
 * and whose each packet is.
 */
import type { Host } from "../ip/host.ts";
import type { StrayKeeper } from "../ip/strays.ts";
import type { Packet } from "../transport/packet.ts";
import type { Network } from "../transport/network.ts";
import type { Datagram } from "../udp/datagram.ts";
import type { UdpSocket } from "../udp/socket.ts";
import type { IpAddress } from "../wire/address.ts";
import * as bfd from "../wire/bfd.ts";
import * as udp from "../wire/udp.ts";
import * as echoPacket from "./echo-packet.ts";
import { type BfdSessionOptions, type CheckedBfdOptions, checkBfdOptions } from "./options.ts";
import { ONE_HOP } from "./sender.ts";
import { BfdSession, type SessionOwner } from "./session.ts";

/** Sessions of one host: at 10 ms each sends and hears 230 packets a second, and more than this is a router's business. */
export const MAX_SESSIONS = 1024;

/** Counters of a host's BFD, in packets. */
export interface BfdStatistics {
  /** Control packets for a session, whatever it thought of them. */
  readonly received: number;
  /** Control packets that came over a router, or from somebody who says so (RFC 5881 section 5). */
  readonly notOneHop: number;
  /** Control packets with something wrong (RFC 5880 section 6.8.6, up to the multipoint bit). */
  readonly malformed: number;
  /** Control packets that no session is for. */
  readonly noSession: number;
  /** Control packets of a session that came in on another interface than its own: they say nothing about its path. */
  readonly otherInterface: number;
  /** Echoes of ours that nobody waits for, and forged ones. */
  readonly strayEchoes: number;
  /** Echoes of peers that were sent back. */
  readonly reflected: number;
  readonly sessions: number;
}

export class Bfd {
  readonly #host: Host;
  readonly #network: Network;
  readonly #sessions = new Map<number, BfdSession>();
  /** The same by interface and peer. */
  readonly #byEnds = new Map<string, BfdSession>();
  #control: UdpSocket | undefined;
  #echo: UdpSocket | undefined;
  #received = 0;
  #notOneHop = 0;
  #malformed = 0;
  #noSession = 0;
  #otherInterface = 0;
  #strayEchoes = 0;
  #reflected = 0;
  readonly #owner: SessionOwner;

  constructor(host: Host) {
    this.#host = host;
    this.#network = host.network;
    this.#owner = {
      network: host.network,
      openPort: (options) => this.#openPort(options),
      enter: (session) => this.#enter(session),
      left: (session) => this.#left(session),
    };
  }

  /**
   * Begins a session with a neighbour, which lasts until it is closed. Throws a TypeError or RangeError that names what is wrong,
   * also where there is one already, or ports 3784 and 3785 are somebody's.
   */
  session(options: BfdSessionOptions): BfdSession {
    return new BfdSession(this.#owner, checkBfdOptions(options), this.#freeDiscriminator());
  }

  /** The sessions that are not closed. */
  get sessions(): readonly BfdSession[] {
    return [...this.#sessions.values()].filter((one) => one.open);
  }

  statistics(): BfdStatistics {
    return {
      received: this.#received,
      notOneHop: this.#notOneHop,
      malformed: this.#malformed,
      noSession: this.#noSession,
      otherInterface: this.#otherInterface,
      strayEchoes: this.#strayEchoes,
      reflected: this.#reflected,
      sessions: this.sessions.length,
    };
  }

  /** Ends all sessions, each with a last word to its peer, and gives the ports back. To be called before the host's. Idempotent. */
  close(): void {
    for (const session of [...this.#sessions.values()]) {
      session.close();
      session.end();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #freeDiscriminator(): number {
    for (;;) {
      const drawn = this.#network.random.next() >>> 0;
      if (drawn !== 0 && !this.#sessions.has(drawn)) return drawn;
    }
  }

  #openPort({ local, interface: name, trafficClass }: CheckedBfdOptions): UdpSocket {
    const address = local === undefined ? {} : { address: local };
    // It is there to have the port: who answers packets answers them to 3784.
    return this.#host.udp({ port: 0, interface: name, trafficClass, ttl: ONE_HOP, ...address }, () => {});
  }

  #enter(session: BfdSession): void {
    const key = keyOf(session.interface, session.peer);
    const there = this.#byEnds.get(key);
    if (there?.open)
      throw new RangeError(`there is a BFD session with ${session.peer} on "${session.options.interface}"`);
    // One that is leaving makes room for who comes.
    there?.end();
    if (this.#sessions.size >= MAX_SESSIONS)
      throw new RangeError(`a host has at most ${MAX_SESSIONS} BFD sessions`);
    try {
      this.#openPorts(session.options);
    } catch (error) {
      this.#closePorts();
      throw error;
    }
    this.#sessions.set(session.discriminator, session);
    this.#byEnds.set(key, session);
  }

  #left(session: BfdSession): void {
    this.#sessions.delete(session.discriminator);
    const key = keyOf(session.interface, session.peer);
    if (this.#byEnds.get(key) === session) this.#byEnds.delete(key);
    this.#closePorts();
  }

  /** Once nobody needs them. */
  #closePorts(): void {
    if (this.#sessions.size > 0) return;
    this.#control?.close();
    this.#control = undefined;
    if (this.#echo === undefined) return;
    this.#echo.close();
    this.#echo = undefined;
    this.#host.strays.forget(bfd.ECHO_PORT);
  }

  #openPorts({ echoUs, reflectEchoUs }: CheckedBfdOptions): void {
    this.#control ??= this.#host.udp({ port: bfd.CONTROL_PORT, ttl: ONE_HOP }, this.#receiveControl);
    if (this.#echo !== undefined || (echoUs === 0 && reflectEchoUs === 0)) return;
    // What is sent back has come one hop, as if it had been forwarded.
    this.#echo = this.#host.udp({ port: bfd.ECHO_PORT, ttl: ONE_HOP - 1 }, this.#receiveEcho);
    this.#host.strays.keep(bfd.ECHO_PORT, this.#strays);
  }

  readonly #receiveControl = (datagram: Datagram): void => {
    const { view, at, length } = datagram;
    if (datagram.ttl !== ONE_HOP || !datagram.unicast) {
      this.#notOneHop += 1;
      return;
    }
    if (bfd.check(view, at, length) < 0) {
      this.#malformed += 1;
      return;
    }
    const discriminator = bfd.yourDiscriminator(view, at);
    const { index } = datagram.interface;
    const session =
      discriminator === 0
        ? this.#byEnds.get(keyOf(index, datagram.remoteAddress))
        : this.#sessions.get(discriminator);
    if (session === undefined) this.#noSession += 1;
    else if (session.interface !== index) this.#otherInterface += 1;
    else {
      this.#received += 1;
      session.receive(view, datagram.bytes, at);
    }
  };

  readonly #receiveEcho = (datagram: Datagram): void => {
    const { view, at, length } = datagram;
    if (!echoPacket.isOurs(view, at, length)) return this.#answerEcho(datagram);
    const session = this.#sessions.get(echoPacket.discriminator(view, at));
    const waited =
      session?.interface === datagram.interface.index &&
      session.echoReturned(echoPacket.nonce(view, at), echoPacket.sequence(view, at));
    if (!waited) this.#strayEchoes += 1;
  };

  /** Some peers send their echoes to our address, and to be answered rather than forwarded. */
  #answerEcho(datagram: Datagram): void {
    const session = this.#byEnds.get(keyOf(datagram.interface.index, datagram.remoteAddress));
    // One that was answered already has come more than one hop, and would come for ever.
    if (datagram.ttl === ONE_HOP && session !== undefined && isReflecting(session)) {
      this.#reflected += 1;
      datagram.reply();
    } else this.#strayEchoes += 1;
  }

  readonly #strays: StrayKeeper = {
    returned: ({ interface: { index }, view, at }) => {
      const payloadAt = at + udp.HEADER_BYTES;
      if (!echoPacket.isOurs(view, payloadAt, udp.length(view, at) - udp.HEADER_BYTES)) return false;
      const session = this.#sessions.get(echoPacket.discriminator(view, payloadAt));
      return session?.interface === index && session.waitsForEchoes;
    },
    reflected: (packet: Packet) => {
      const session = this.#byEnds.get(keyOf(packet.interface.index, packet.destination));
      if (session === undefined || !isReflecting(session) || packet.ttl !== ONE_HOP) return false;
      this.#reflected += 1;
      return true;
    },
  };
}

/** True where it has told its peer that echoes come back, and the peer is there. */
const isReflecting = (session: BfdSession): boolean =>
  session.options.reflectEchoUs > 0 && session.state === "up";

const keyOf = (index: number, peer: IpAddress): string => `${index} ${peer}`;

/**
 * ICMP over IPv4 (RFC 792, RFC 1122 section 3.2.2): answers echoes, reports what went wrong, and hears such reports.
 */
import type { SystemSoftError } from "../../device/routesource.ts";
import type { SoftError } from "../../transport/network.ts";
import { CAST, type Packet } from "../../transport/packet.ts";
import { IpAddress } from "../../wire/address.ts";
import * as icmp from "../../wire/icmpv4.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import { freshIcmpCounters, type IcmpHost, type IcmpStatistics, mayAnswer, relay, wayBack } from "./icmp.ts";
import type { Interface } from "../interface.ts";

const CLASS_SHIFT = 28;
const CLASS_D = 0xe;
const OCTET_SHIFT = 24;
/** Precedence "internetwork control" (RFC 1812 section 4.3.2.5), on errors. */
const CONTROL_CLASS = 0xc0;

export class Icmp4 {
  readonly #host: IcmpHost;
  readonly #counters = freshIcmpCounters();

  constructor(host: IcmpHost) {
    this.#host = host;
  }

  receive(packet: Packet): boolean {
    const { view, at, length } = packet;
    this.#counters.received += 1;
    if (icmp.check(view, at, length) < 0) {
      this.#counters.malformed += 1;
      return true;
    }
    const type = icmp.type(view, at);
    if ((packet.interface as Interface).life === "beside" && !this.#isAboutEcho(packet, type)) return false;
    if (type === icmp.TYPE.ECHO_REQUEST) this.#answer(packet);
    else if (type === icmp.TYPE.ECHO_REPLY) {
      this.#counters.echoReplies += 1;
      this.#host.echoes.replied(packet, icmp.identifier(view, at), icmp.sequence(view, at));
    } else if (type === icmp.TYPE.REDIRECT) this.#redirected(packet);
    else if (icmp.isError(type) && type !== icmp.TYPE.SOURCE_QUENCH) this.#heard(packet, type);
    return true;
  }

  /**
   * Tells the sender of `packet` what became of it, within the limits. `restValue` is the type's own field; `from` the
   * address of ours to send from, the one that the packet was sent to unless given.
   */
  report(packet: Packet, type: number, code: number, restValue = 0, from?: IpAddress): void {
    const { view, ipAt } = packet;
    if (!mayReport(packet)) {
      this.#counters.errorsForbidden += 1;
      return;
    }
    const { network, limit } = this.#host;
    if (!limit.allow(packet.s0, packet.s1, packet.s2, packet.s3, network.now)) {
      this.#counters.errorsLimited += 1;
      return;
    }
    const on = packet.interface as Interface;
    const whole = packet.at + packet.length - ipAt;
    // What lies in the first chunk is more than any quotation takes.
    const here = packet.frame === undefined ? whole : packet.frame.head - (ipAt - packet.frame.at);
    const quote = icmp.quotable(Math.min(whole, here));
    const source = from ?? on.answerFrom(packet);
    // A router whose link lost its addresses has none to speak from; the packet's destination is somebody else's.
    if (source !== undefined && !network.isLocal(source)) return void (this.#counters.errorsForbidden += 1);
    const destination = network.destination(packet.source, { source, trafficClass: CONTROL_CLASS });
    const { outgoing } = network;
    const out = outgoing.begin(destination, PROTOCOL.ICMP, icmp.QUOTE + quote);
    if (out < 0) return;
    icmp.writeError(outgoing.view, out, type, code, restValue, view, ipAt, quote);
    if (outgoing.end() === 0) this.#counters.errorsSent += 1;
  }

  /** An error that the kernel beside us heard, about a datagram from a port of ours. */
  relayed(heard: SystemSoftError): void {
    if (relay(this.#host, heard, kindOf(heard.type, heard.code))) this.#counters.errorsReceived += 1;
  }

  statistics(): IcmpStatistics {
    return { ...this.#counters };
  }

  /** Beside the kernel what is not about an echo of ours is the kernel's; of errors about our ports it tells us. */
  #isAboutEcho({ view, at, length }: Packet, type: number): boolean {
    const { echoes } = this.#host;
    if (type === icmp.TYPE.ECHO_REPLY) return echoes.has(icmp.identifier(view, at));
    if (!icmp.isError(type)) return false;
    const quoteAt = at + icmp.QUOTE;
    const quoted = icmp.quoteLength(view, at, length);
    if (quoted < ipv4.HEADER_BYTES || ipv4.protocol(view, quoteAt) !== PROTOCOL.ICMP) return false;
    const headerBytes = ipv4.headerBytes(view, quoteAt);
    return headerBytes + icmp.ECHO_DATA <= quoted && echoes.has(icmp.identifier(view, quoteAt + headerBytes));
  }

  /** An echo request: the frame itself goes back where that is possible. */
  #answer(packet: Packet): void {
    // Everybody at once would answer a broadcast (RFC 1122 section 3.2.2.6 lets us be silent).
    if (packet.cast !== CAST.unicast || !mayAnswer(this.#host, packet)) return;
    this.#counters.echoRequests += 1;
    const { view, at, frame, length } = packet;
    const on = packet.interface as Interface;
    // Who asks may be finding out whether this very path lives: it is answered though ours is thought dead.
    if (frame === undefined || !packet.plain || !on.fits(packet, length)) {
      if (!this.#answerWithCopy(packet)) this.#counters.echoRefused += 1;
      return;
    }
    if (!frame.queue.reserve(1)) {
      this.#counters.echoRefused += 1;
      return;
    }
    icmp.setType(view, at, icmp.TYPE.ECHO_REPLY);
    icmp.setChecksum(view, at, length);
    on.turnAround(packet, undefined, length, packet.trafficClass, 0);
  }

  #answerWithCopy(packet: Packet): boolean {
    const { network } = this.#host;
    const { outgoing } = network;
    const destination = wayBack(network, packet, packet.trafficClass);
    const out = outgoing.begin(destination, PROTOCOL.ICMP, packet.length);
    if (out < 0) return false;
    outgoing.bytes.set(packet.bytes.subarray(packet.at, packet.at + packet.length), out);
    icmp.setType(outgoing.view, out, icmp.TYPE.ECHO_REPLY);
    icmp.setChecksum(outgoing.view, out, packet.length);
    return outgoing.end() === 0;
  }

  /** A router knows a better way for a packet of ours: whatever its code, to this one destination (RFC 1122 3.2.2.2). */
  #redirected({ view, at, length, cast, source, interface: on }: Packet): void {
    const quoteAt = at + icmp.QUOTE;
    if (icmp.quoteLength(view, at, length) < ipv4.HEADER_BYTES) {
      this.#counters.malformed += 1;
      return;
    }
    if (cast !== CAST.unicast || !this.#host.network.isLocal(ipv4.source(view, quoteAt))) return;
    const destination = ipv4.destination(view, quoteAt);
    (on as Interface).protocols?.redirected({ from: source, destination, target: icmp.gateway(view, at) });
  }

  /** An error of somebody's about a packet of ours, which it quotes. */
  #heard(packet: Packet, type: number): void {
    const { view, at, length } = packet;
    const quoteAt = at + icmp.QUOTE;
    const quoted = icmp.quoteLength(view, at, length);
    const headerBytes = quoted < ipv4.HEADER_BYTES ? 0 : ipv4.headerBytes(view, quoteAt);
    if (headerBytes < ipv4.HEADER_BYTES || headerBytes > quoted) {
      this.#counters.malformed += 1;
      return;
    }
    const local = ipv4.source(view, quoteAt);
    if (!this.#host.network.isLocal(local)) return;
    this.#counters.errorsReceived += 1;
    const remote = ipv4.destination(view, quoteAt);
    const code = icmp.code(view, at);
    const kind = kindOf(type, code);
    let mtu = 0;
    if (kind === "too-big") {
      mtu = icmp.mtu(view, at);
      this.#host.pathMtu.lower(remote, mtu, ipv4.totalLength(view, quoteAt));
      mtu = this.#host.pathMtu.of(remote.w0, remote.w1, remote.w2, remote.w3);
    }
    // A later fragment has no ports to tell its socket by.
    if (ipv4.fragmentOffset(view, quoteAt) !== 0) return;
    const error = { kind, type, code, reporter: packet.source, mtu, family: 4 as const, local, remote };
    const protocol = ipv4.protocol(view, quoteAt);
    if (protocol === PROTOCOL.ICMP) {
      this.#host.echoes.failed(error, view, quoteAt + headerBytes, quoted - headerBytes);
    } else {
      this.#host.transportOf(protocol)?.failed(error, view, quoteAt + headerBytes, quoted - headerBytes);
    }
  }
}

/** False about errors, later fragments, groups, everybody, and senders that are not one station (RFC 1122 section 3.2.2). */
const mayReport = (packet: Packet): boolean => {
  const { view, ipAt, s3 } = packet;
  if (packet.cast !== CAST.unicast || s3 === 0 || s3 >>> CLASS_SHIFT >= CLASS_D) return false;
  if (packet.interface.mtu === 0 || s3 >>> OCTET_SHIFT === 0) return false;
  if (ipv4.fragmentOffset(view, ipAt) !== 0) return false;
  if ((packet.interface as Interface).addresses.isBroadcast4(s3)) return false;
  const headerBytes = ipv4.headerBytes(view, ipAt);
  if (ipv4.protocol(view, ipAt) !== PROTOCOL.ICMP) return true;
  const typeAt = ipAt + headerBytes;
  return typeAt < packet.at + packet.length && !icmp.isError(view.getUint8(typeAt));
};

const { TYPE, UNREACHABLE } = icmp;

const kindOf = (type: number, code: number): SoftError["kind"] => {
  if (type === TYPE.TIME_EXCEEDED) return "time-exceeded";
  if (type === TYPE.PARAMETER_PROBLEM) return "parameter-problem";
  if (type !== TYPE.DESTINATION_UNREACHABLE) return "host-unreachable";
  if (code === UNREACHABLE.PORT) return "port-unreachable";
  if (code === UNREACHABLE.PROTOCOL) return "protocol-unreachable";
  if (code === UNREACHABLE.FRAGMENTATION_NEEDED) return "too-big";
  if (code === UNREACHABLE.NETWORK || code === UNREACHABLE.NETWORK_UNKNOWN) return "network-unreachable";
  return PROHIBITED.includes(code) ? "prohibited" : "host-unreachable";
};

const PROHIBITED: readonly number[] = [
  UNREACHABLE.NETWORK_PROHIBITED,
  UNREACHABLE.HOST_PROHIBITED,
  UNREACHABLE.PROHIBITED,
];

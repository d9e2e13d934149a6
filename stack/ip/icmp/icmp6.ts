/**
 * ICMPv6 (RFC 4443): answers echoes, reports what went wrong, hears such reports, and hands on what belongs to the link.
 */
import type { SystemSoftError } from "../../device/routesource.ts";
import type { SoftError } from "../../transport/network.ts";
import { CAST, type Packet } from "../../transport/packet.ts";
import type { IpAddress } from "../../wire/address.ts";
import { pseudoOf } from "../../wire/checksum.ts";
import * as icmp from "../../wire/icmpv6.ts";
import * as extensions from "../../wire/ipv6-extensions.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import { freshIcmpCounters, type IcmpHost, type IcmpStatistics, mayAnswer, relay, wayBack } from "./icmp.ts";
import type { Interface } from "../interface.ts";

const GROUP_OCTET = 0xff;
const OCTET_SHIFT = 24;
/** fe80::/10 in the first word. */
const LINK_LOCAL = 0xfe80 >>> 6;
const LINK_LOCAL_SHIFT = 22;

const { TYPE, UNREACHABLE } = icmp;

export class Icmp6 {
  readonly #host: IcmpHost;
  readonly #counters = freshIcmpCounters();
  readonly #walk = new extensions.Walk();

  constructor(host: IcmpHost) {
    this.#host = host;
  }

  receive(packet: Packet): boolean {
    const { view, at, length } = packet;
    this.#counters.received += 1;
    if (icmp.check(view, at, length, packet.pseudoSum(length)) < 0) {
      this.#counters.malformed += 1;
      return true;
    }
    const type = icmp.type(view, at);
    if ((packet.interface as Interface).life === "beside" && !this.#isAboutEcho(packet, type)) return false;
    if (type === TYPE.ECHO_REQUEST) this.#answer(packet);
    else if (type === TYPE.ECHO_REPLY) {
      this.#counters.echoReplies += 1;
      this.#host.echoes.replied(packet, icmp.identifier(view, at), icmp.sequence(view, at));
    } else if (icmp.isError(type)) this.#heard(packet, type);
    else (packet.interface as Interface).protocols?.receiveIcmp6(packet, type);
    return true;
  }

  /** As that of IPv4; `restValue` is the MTU or the pointer. */
  report(packet: Packet, type: number, code: number, restValue = 0, from?: IpAddress): void {
    if (!this.#mayReport(packet, type, code)) {
      this.#counters.errorsForbidden += 1;
      return;
    }
    const { network, limit } = this.#host;
    if (!limit.allow(packet.s0, packet.s1, packet.s2, packet.s3, network.now)) {
      this.#counters.errorsLimited += 1;
      return;
    }
    const { view, ipAt, frame } = packet;
    const on = packet.interface as Interface;
    const whole = ipv6.totalLength(view, ipAt);
    const here = frame === undefined ? whole : frame.head - (ipAt - frame.at);
    const quote = icmp.quotable(Math.min(whole, here));
    const source = from ?? on.answerFrom(packet);
    // A router whose link lost its addresses has none to speak from; the packet's destination is somebody else's.
    if (source !== undefined && !network.isLocal(source)) return void (this.#counters.errorsForbidden += 1);
    const destination = network.destination(packet.source, {
      source,
      // Only a link-local address needs its link to be said.
      interface: packet.s0 >>> LINK_LOCAL_SHIFT === LINK_LOCAL && !on.isLoopback ? on.index : 0,
    });
    const { outgoing } = network;
    const out = outgoing.begin(destination, PROTOCOL.ICMPV6, icmp.QUOTE + quote);
    if (out < 0) return;
    const pseudo = outgoing.pseudoSum();
    icmp.writeError(outgoing.view, out, type, code, restValue, view, ipAt, quote, pseudo);
    if (outgoing.end() === 0) this.#counters.errorsSent += 1;
  }

  /** An error that the kernel beside us heard, about a datagram from a port of ours. */
  relayed(heard: SystemSoftError): void {
    if (relay(this.#host, heard, kindOf(heard.type, heard.code))) this.#counters.errorsReceived += 1;
  }

  statistics(): IcmpStatistics {
    return { ...this.#counters };
  }

  /** As with IPv4. Neighbour discovery too is the kernel's. */
  #isAboutEcho({ view, at, length }: Packet, type: number): boolean {
    const { echoes } = this.#host;
    if (type === TYPE.ECHO_REPLY) return echoes.has(icmp.identifier(view, at));
    if (!icmp.isError(type)) return false;
    const quoteAt = at + icmp.QUOTE;
    const needed = ipv6.HEADER_BYTES + icmp.ECHO_DATA;
    if (icmp.quoteLength(view, at, length) < needed) return false;
    if (ipv6.nextHeader(view, quoteAt) !== PROTOCOL.ICMPV6) return false;
    return echoes.has(icmp.identifier(view, quoteAt + ipv6.HEADER_BYTES));
  }

  #answer(packet: Packet): void {
    if (!mayAnswer(this.#host, packet)) return;
    this.#counters.echoRequests += 1;
    const { view, at, frame, length } = packet;
    const on = packet.interface as Interface;
    // Who asks may be finding out whether this very path lives: it is answered though ours is thought dead.
    if (frame === undefined || !packet.plain || !on.fits(packet, length)) {
      if (!this.#answerWithCopy(packet)) this.#counters.echoRefused += 1;
      return;
    }
    const source = packet.cast === CAST.unicast ? undefined : on.answerFrom(packet);
    const nobody = packet.cast !== CAST.unicast && source === undefined;
    if (nobody || !frame.queue.reserve(1)) {
      this.#counters.echoRefused += 1;
      return;
    }
    const pseudo =
      source === undefined
        ? packet.pseudoSum(length)
        : pseudoOf(source, packet.source, PROTOCOL.ICMPV6, length);
    icmp.setType(view, at, TYPE.ECHO_REPLY);
    icmp.setChecksum(view, at, length, pseudo);
    on.turnAround(packet, source, length, packet.trafficClass, 0);
  }

  #answerWithCopy(packet: Packet): boolean {
    const { network } = this.#host;
    const { outgoing } = network;
    const destination = wayBack(network, packet, packet.trafficClass);
    const out = outgoing.begin(destination, PROTOCOL.ICMPV6, packet.length);
    if (out < 0) return false;
    outgoing.bytes.set(packet.bytes.subarray(packet.at, packet.at + packet.length), out);
    icmp.setType(outgoing.view, out, TYPE.ECHO_REPLY);
    icmp.setChecksum(outgoing.view, out, packet.length, outgoing.pseudoSum());
    return outgoing.end() === 0;
  }

  /** An error of somebody's about a packet of ours, which it quotes. */
  #heard(packet: Packet, type: number): void {
    const { view, at, length } = packet;
    const quoteAt = at + icmp.QUOTE;
    const quoted = icmp.quoteLength(view, at, length);
    const local = ipv6.source(view, quoteAt);
    if (!this.#host.network.isLocal(local)) return;
    this.#counters.errorsReceived += 1;
    const remote = ipv6.destination(view, quoteAt);
    const code = icmp.code(view, at);
    const kind = kindOf(type, code);
    let mtu = 0;
    if (kind === "too-big") {
      mtu = icmp.mtu(view, at);
      this.#host.pathMtu.lower(remote, mtu, ipv6.totalLength(view, quoteAt));
      mtu = this.#host.pathMtu.of(remote.w0, remote.w1, remote.w2, remote.w3);
    }
    const error = { kind, type, code, reporter: packet.source, mtu, family: 6 as const, local, remote };
    const found = this.#walk;
    const inner = quoted - ipv6.HEADER_BYTES;
    const upperAt = quoteAt + ipv6.HEADER_BYTES;
    if (extensions.walk(view, upperAt, inner, ipv6.nextHeader(view, quoteAt), found) < 0) return;
    this.#tell(error, view, found);
  }

  /** Whom it concerns: the protocol behind the headers, or behind the first fragment's. */
  #tell(
    error: Omit<SoftError, "localPort" | "remotePort">,
    view: DataView,
    { protocol, at, length }: extensions.Walk,
  ): void {
    let upper = protocol;
    let upperAt = at;
    let left = length;
    if (protocol === PROTOCOL.FRAGMENT) {
      if (left < extensions.FRAGMENT_BYTES || extensions.fragmentOffset(view, at) !== 0) return;
      upper = view.getUint8(at + extensions.NEXT_HEADER);
      upperAt += extensions.FRAGMENT_BYTES;
      left -= extensions.FRAGMENT_BYTES;
    }
    if (upper === PROTOCOL.ICMPV6) this.#host.echoes.failed(error, view, upperAt, left);
    else this.#host.transportOf(upper)?.failed(error, view, upperAt, left);
  }

  /** False about errors, and, but for two kinds, about what came to a group (RFC 4443 section 2.4 e). */
  #mayReport(packet: Packet, type: number, code: number): boolean {
    const { view, ipAt, s0, s1, s2, s3 } = packet;
    if ((s0 | s1 | s2 | s3) === 0 || s0 >>> OCTET_SHIFT === GROUP_OCTET) return false;
    const toGroupToo =
      type === TYPE.PACKET_TOO_BIG || (type === TYPE.PARAMETER_PROBLEM && code === icmp.PROBLEM.OPTION);
    if (packet.cast !== CAST.unicast && !toGroupToo) return false;
    const found = this.#walk;
    const payload = Math.min(
      ipv6.payloadLength(view, ipAt),
      (packet.frame?.head ?? Infinity) - (ipAt - (packet.frame?.at ?? ipAt)) - ipv6.HEADER_BYTES,
    );
    extensions.walk(view, ipAt + ipv6.HEADER_BYTES, payload, ipv6.nextHeader(view, ipAt), found);
    if (found.protocol === PROTOCOL.FRAGMENT && found.length >= extensions.FRAGMENT_BYTES)
      return extensions.fragmentOffset(view, found.at) === 0;
    if (found.protocol !== PROTOCOL.ICMPV6) return true;
    return found.length > 0 && !icmp.isError(view.getUint8(found.at)) && !isRedirect(view, found.at);
  }
}

/** Redirects are no errors by their type, but may not be answered with one (RFC 4443 section 2.4 e.2). */
const isRedirect = (view: DataView, at: number): boolean => view.getUint8(at) === TYPE.REDIRECT;

const kindOf = (type: number, code: number): SoftError["kind"] => {
  if (type === TYPE.TIME_EXCEEDED) return "time-exceeded";
  if (type === TYPE.PACKET_TOO_BIG) return "too-big";
  if (type === TYPE.PARAMETER_PROBLEM)
    return code === icmp.PROBLEM.NEXT_HEADER ? "protocol-unreachable" : "parameter-problem";
  if (type !== TYPE.DESTINATION_UNREACHABLE) return "host-unreachable";
  if (code === UNREACHABLE.PORT) return "port-unreachable";
  if (code === UNREACHABLE.NO_ROUTE) return "network-unreachable";
  if (code === UNREACHABLE.ADDRESS || code === UNREACHABLE.BEYOND_SCOPE) return "host-unreachable";
  return "prohibited";
};

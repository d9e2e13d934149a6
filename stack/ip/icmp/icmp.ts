/**
 * What ICMP of both families shares: what it needs of the host, and its counters.
 */
import type { SystemSoftError } from "../../device/routesource.ts";
import { type Destination, type Network, type SoftError, type Transport } from "../../transport/network.ts";
import type { Packet } from "../../transport/packet.ts";
import { IpAddress } from "../../wire/address.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import * as udp from "../../wire/udp.ts";
import type { Echoes } from "./echoes.ts";
import type { Interface } from "../interface.ts";
import type { PathMtus } from "../routes/path-mtu.ts";
import type { RateLimiter } from "./rate-limit.ts";

/** What ICMP needs of the host, for both families. */
export interface IcmpHost {
  readonly network: Network;
  readonly pathMtu: PathMtus;
  readonly echoes: Echoes;
  /** What holds errors down. */
  readonly limit: RateLimiter;
  /** Whether echo requests are answered, or who decides it for each. */
  readonly answersEchoes: boolean | ((request: Packet) => boolean);
  /** The transport of a protocol, to hear of errors about its packets. */
  transportOf(protocol: number): Transport | undefined;
}

/** True where an echo request is to be answered. */
export const mayAnswer = ({ answersEchoes }: IcmpHost, request: Packet): boolean =>
  typeof answersEchoes === "boolean" ? answersEchoes : answersEchoes(request);

/** Counters of ICMP of one family, in messages. */
export interface IcmpStatistics {
  readonly received: number;
  readonly malformed: number;
  readonly echoRequests: number;
  readonly echoReplies: number;
  /** Answers to echo requests that could not be sent. */
  readonly echoRefused: number;
  /** Errors of others about packets of ours. */
  readonly errorsReceived: number;
  /** Errors that we sent. */
  readonly errorsSent: number;
  /** Errors that the rate limits held back. */
  readonly errorsLimited: number;
  /** Errors that may not be sent: about errors, fragments, groups, everybody (RFC 1122 section 3.2.2). */
  readonly errorsForbidden: number;
}

/** Where the header is written that an error of the kernel's hearing is about. */
const HEADER = new DataView(new ArrayBuffer(udp.HEADER_BYTES));

/** Tells of an error that the kernel beside us heard, about a datagram from a port of ours. False where it is not about ours. */
export const relay = (host: IcmpHost, heard: SystemSoftError, kind: SoftError["kind"]): boolean => {
  const local = IpAddress.fromBytes(heard.local);
  const remote = IpAddress.fromBytes(heard.remote);
  if (!host.network.isLocal(local)) return false;
  const { type, code } = heard;
  let mtu = 0;
  if (kind === "too-big") {
    host.pathMtu.lower(remote, heard.mtu);
    mtu = host.pathMtu.of(remote.w0, remote.w1, remote.w2, remote.w3);
  }
  const reporter = heard.reporter && IpAddress.fromBytes(heard.reporter);
  udp.setSourcePort(HEADER, 0, heard.localPort);
  udp.setDestinationPort(HEADER, 0, heard.remotePort);
  udp.setLength(HEADER, 0, udp.HEADER_BYTES);
  const error = { kind, type, code, reporter, mtu, family: local.family, local, remote };
  host.transportOf(PROTOCOL.UDP)?.failed(error, HEADER, 0, udp.HEADER_BYTES);
  return true;
};

/** The way back to a packet's sender: over the interface that it came in on where that can be, else over any. */
export const wayBack = (network: Network, packet: Packet, trafficClass: number): Destination => {
  const on = packet.interface as Interface;
  return network.destination(packet.source, { ...on.wayBack(packet), trafficClass });
};

export const freshIcmpCounters = (): { -readonly [K in keyof IcmpStatistics]: number } => ({
  received: 0,
  malformed: 0,
  echoRequests: 0,
  echoReplies: 0,
  echoRefused: 0,
  errorsReceived: 0,
  errorsSent: 0,
  errorsLimited: 0,
  errorsForbidden: 0,
});

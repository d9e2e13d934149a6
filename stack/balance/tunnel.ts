/**
 * The outer header of a tunnelled packet: IPv4 or IPv6 in IPv4 (RFC 2003, RFC 4213), IPv4 or IPv6 in IPv6 (RFC 2473).
 */
import type { Family, IpAddress } from "../wire/address.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";

/** A tunnel is one hop to what is in it, and as many as any other way to what is outside (RFC 2003 section 3.1). */
const OUTER_TTL = 64;
/** The identification of a packet that is never cut says nothing (RFC 6864 section 4.1). */
const NO_IDENTIFICATION = 0;

/** Bytes of the outer header towards an address of this family. */
export const outerBytes = (family: Family): number => (family === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);

/**
 * Writes the outer header at `at`, in front of a packet of `family` and `innerBytes` bytes that lies behind it.
 *
 * DSCP and ECN are the inner packet's (RFC 2983 section 3.1, RFC 6040 section 4.1). It is never to be cut on the way: where it is
 * too long, we hear of it. `flow` is any number that the packets of one flow have in common; in IPv6 it becomes the flow label,
 * so that routers can spread flows without looking inside (RFC 6438).
 */
export const writeOuter = (
  view: DataView,
  at: number,
  family: Family,
  innerBytes: number,
  trafficClass: number,
  source: IpAddress,
  destination: IpAddress,
  flow: number,
): void => {
  const protocol = family === 4 ? PROTOCOL.IPV4 : PROTOCOL.IPV6;
  if (destination.family === 4) {
    const total = ipv4.HEADER_BYTES + innerBytes;
    const { DONT_FRAGMENT } = ipv4;
    const [from, to] = [source.w3, destination.w3];
    ipv4.writeHeader(
      view,
      at,
      trafficClass,
      total,
      NO_IDENTIFICATION,
      DONT_FRAGMENT,
      OUTER_TTL,
      protocol,
      from,
      to,
    );
    return;
  }
  ipv6.writeHeader(view, at, trafficClass, flow, innerBytes, protocol, OUTER_TTL);
  ipv6.setSource(view, at, source);
  ipv6.setDestination(view, at, destination);
};

/**
 * The numbers of the IP protocols that the host knows (IANA, "Assigned Internet Protocol Numbers").
 */

/** Values of the protocol field of IPv4 and of the next header field of IPv6. */
export const PROTOCOL = {
  /** Hop-by-hop options of IPv6 (RFC 8200). */
  HOP_BY_HOP: 0,
  ICMP: 1,
  IGMP: 2,
  /** IPv4 in IP. */
  IPV4: 4,
  TCP: 6,
  UDP: 17,
  /** IPv6 in IP. */
  IPV6: 41,
  ROUTING: 43,
  FRAGMENT: 44,
  GRE: 47,
  ESP: 50,
  AH: 51,
  ICMPV6: 58,
  /** No next header (RFC 8200 section 4.7). */
  NONE: 59,
  DESTINATION_OPTIONS: 60,
  SCTP: 132,
  MOBILITY: 135,
  UDP_LITE: 136,
  HIP: 139,
  SHIM6: 140,
} as const;

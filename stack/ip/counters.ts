/**
 * What happened to the packets of a host: every packet that comes in or is made ends in exactly one of these outcomes.
 */

/** In packets. Those of an interface and of the host as a whole have the same names. */
export interface IpStatistics {
  readonly received: number;
  readonly receivedBytes: number;
  /** Handed to a transport or a protocol of the host's own. */
  readonly delivered: number;
  /** Accepted for sending, by the host's own making. Fragments count each. */
  readonly sent: number;
  /** Frames for the Ethernet address of somebody else. */
  readonly otherHost: number;
  /** Frames of a type, or with a tag, that nobody here reads. */
  readonly unknownType: number;
  /** Headers that contradict themselves or the frame, bad header checksums. */
  readonly malformed: number;
  /** From or to addresses that may not be there (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5). */
  readonly martian: number;
  /** To an address that is not ours, while nothing is forwarded. */
  readonly notOurs: number;
  /** To a group that nobody here is a member of. */
  readonly noMember: number;
  /** Of a protocol that nobody here speaks. */
  readonly unknownProtocol: number;
  /** Parts of packets that were put together, or wait to be. */
  readonly fragments: number;
  readonly forwarded: number;
  /** Not forwarded: no route, the TTL over, too large for the next link, or the link full. */
  readonly forwardRefused: number;
  /** Given to the kernel beside the host. */
  readonly passed: number;
  /** Should have been given to the kernel, which did not take them. */
  readonly passRefused: number;
  /** Not sent: the ring or the pool was full. */
  readonly full: number;
  /** Not sent: no route, no source address, too long, or the link down. */
  readonly unsendable: number;
  /** Given up while they waited for a neighbour. */
  readonly unresolved: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Counters as they are written. */
export type IpCounters = Mutable<IpStatistics>;

export const freshCounters = (): IpCounters => ({
  received: 0,
  receivedBytes: 0,
  delivered: 0,
  sent: 0,
  otherHost: 0,
  unknownType: 0,
  malformed: 0,
  martian: 0,
  notOurs: 0,
  noMember: 0,
  unknownProtocol: 0,
  fragments: 0,
  forwarded: 0,
  forwardRefused: 0,
  passed: 0,
  passRefused: 0,
  full: 0,
  unsendable: 0,
  unresolved: 0,
});

/** The sum of several sets of counters. */
export const sumCounters = (all: Iterable<IpStatistics>): IpStatistics => {
  const total = freshCounters();
  const keys = Object.keys(total) as (keyof IpStatistics)[];
  for (const one of all) for (const key of keys) total[key] += one[key];
  return total;
};

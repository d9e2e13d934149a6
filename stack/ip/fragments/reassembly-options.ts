/**
 * What a `Reassembler` can be told, what it tells, and what it counts.
 */

/** Datagrams and gathered packets at once. Linux keeps 4 MB of fragments for each family too (ipfrag_high_thresh). */
export const REASSEMBLY_SLOTS = 64;
/** The most slots that an option may ask for. */
export const MAX_REASSEMBLY_SLOTS = 4096;
/**
 * Room for headers in front of a payload: 60 bytes for IPv4; for IPv6 the header, a fragment header and 464 bytes of
 * extension headers before it, which is more than a host has to take (RFC 8504 section 5.3).
 */
export const HEADER_ROOM_BYTES = 512;
/** The largest payload that fragments can speak of: 65,535 bytes, in whole units. */
export const MAX_PAYLOAD_BYTES = 65_536;
/** Bytes of a slot that takes whatever IP can carry. */
export const REASSEMBLY_SLOT_BYTES = HEADER_ROOM_BYTES + MAX_PAYLOAD_BYTES;
/** Every host must take what 576 (RFC 791 section 3.1) and 1500 bytes (RFC 8200 section 5) are once they are whole. */
export const MIN_REASSEMBLY_SLOT_BYTES = HEADER_ROOM_BYTES + 1504;
/** How long an IPv4 datagram is waited for: as Linux does (ipfrag_time). RFC 1122's 60 seconds fill slots for nothing. */
export const REASSEMBLY_TIMEOUT4_MS = 30_000;
/** RFC 8200 section 4.5. */
export const REASSEMBLY_TIMEOUT6_MS = 60_000;
/** Slots that one source address may fill: an eighth of them, so that one attacker does not take all. */
export const SLOTS_PER_SOURCE = 8;

export interface ReassemblyOptions {
  /** Slots; `REASSEMBLY_SLOTS`. */
  readonly slots?: number;
  /** Bytes of a slot, rounded up to 64; `REASSEMBLY_SLOT_BYTES`. What does not fit is dropped and counted. */
  readonly slotBytes?: number;
  /** In ms; `REASSEMBLY_TIMEOUT4_MS`. */
  readonly timeout4Ms?: number;
  /** In ms; `REASSEMBLY_TIMEOUT6_MS`. */
  readonly timeout6Ms?: number;
  /** `SLOTS_PER_SOURCE`. */
  readonly perSource?: number;
}

/** Why an IPv6 fragment is to be answered with a parameter problem. */
export const PROBLEM = {
  /**
   * Code 0, at the payload length of a fragment that is not the last and no multiple of eight, or at the offset of one
   * that would make too long a packet (RFC 8200 section 4.5).
   */
  erroneousHeader: 0,
  /** Code 3, at the packet's begin: the first fragment does not hold all headers (RFC 7112 section 5). */
  incompleteChain: 3,
} as const;

export interface ReassemblyIo {
  /**
   * Time is up, and the first fragment had come: its header and payload, as they came, are `length` bytes at `at`, until
   * this returns. Time exceeded, code 1, is due (RFC 792, RFC 4443 section 3.3).
   */
  expired(view: DataView, at: number, length: number, zone: number): void;
  /** The IPv6 fragment at `ipAt` was dropped; a parameter problem of this code is due, `pointer` bytes into the packet. */
  problem?(view: DataView, ipAt: number, length: number, code: number, pointer: number, zone: number): void;
}

/**
 * Counters since the start. Each fragment is in exactly one of `accepted` to `noRoom`. Each datagram `started` is in one of
 * `completed` to `sourceEvicted`, or still among `pending`.
 */
export interface ReassemblyStatistics {
  /** Fragments handed in. */
  readonly fragments: number;
  readonly accepted: number;
  /** Atomic fragments (RFC 6946): whole packets, handed out at once. */
  readonly atomic: number;
  /** The very same bytes again. */
  readonly duplicates: number;
  /** They overlapped others or had other bytes; their datagram was abandoned. */
  readonly overlapping: number;
  /** They contradicted others about where the datagram ends; it was abandoned. */
  readonly conflicting: number;
  /** They belong to a datagram that was abandoned. */
  readonly late: number;
  /** Headers that don't fit the packet. */
  readonly malformed: number;
  readonly empty: number;
  /** Not the last, and no multiple of eight bytes. */
  readonly misaligned: number;
  /** Their datagram would be more than a packet may be. */
  readonly tooLong: number;
  /** More than a slot takes. */
  readonly tooLarge: number;
  /** First fragments without all headers (RFC 7112). */
  readonly incompleteChain: number;
  /** No slot was free, and none could be made so. */
  readonly noRoom: number;

  readonly started: number;
  readonly completed: number;
  readonly abandoned: number;
  readonly timedOut: number;
  /** Made room for a younger one. */
  readonly evicted: number;
  /** Made room for a younger one of the same source. */
  readonly sourceEvicted: number;
  /** All there, but congestion marks contradict each other or the whole is too long. */
  readonly unsound: number;
  readonly pending: number;

  /** Packets of several chunks copied together. */
  readonly gathered: number;
  /** Packets of several chunks that found no room. */
  readonly gatherFailed: number;
  readonly slots: number;
  readonly freeSlots: number;
  /** Slots that hold a packet which someone has to free. */
  readonly handedOut: number;
  /** Slots of abandoned datagrams, which wait for their time to be over. */
  readonly abandonedSlots: number;
}

/** All counters of events at 0; whoever counts owns the copy. */
export const newCounts = () => ({
  fragments: 0,
  accepted: 0,
  atomic: 0,
  duplicates: 0,
  overlapping: 0,
  conflicting: 0,
  late: 0,
  malformed: 0,
  empty: 0,
  misaligned: 0,
  tooLong: 0,
  tooLarge: 0,
  incompleteChain: 0,
  noRoom: 0,
  started: 0,
  completed: 0,
  abandoned: 0,
  timedOut: 0,
  evicted: 0,
  sourceEvicted: 0,
  unsound: 0,
  gathered: 0,
  gatherFailed: 0,
});

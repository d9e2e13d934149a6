/**
 * The header in front of a datagram that is sent over several paths: which stream it is of, and which datagram of it, so that
 * copies are recognised. 16 bytes in network order; the payload follows.
 *
 *     magic (16) | version (8) | reserved (8) | stream (64) | sequence (32)
 *
 * A stream is one sender's datagrams to one receiver, under a random number that the sender draws when it starts: one that
 * starts again is another stream, so what it sends is never mistaken for a copy.
 */
import { MAX_UINT32, readBytes, requireInteger, writeBytes } from "../wire/fields.ts";

export const MAGIC = 0;
export const VERSION = MAGIC + 2;
/** Sent as 0, and not looked at. */
export const RESERVED = VERSION + 1;
export const STREAM_HIGH = RESERVED + 1;
export const STREAM_LOW = STREAM_HIGH + 4;
export const SEQUENCE = STREAM_LOW + 4;
export const HEADER_BYTES = SEQUENCE + 4;

/** "MR". */
export const MAGIC_VALUE = 0x4d52;
export const VERSION_VALUE = 1;

const RESERVED_BITS = 8;
const VERSION_BITS = 8;
/** Magic and version, the upper three bytes of the first word. */
const KIND = (MAGIC_VALUE << VERSION_BITS) | VERSION_VALUE;
const FIRST_WORD = KIND << RESERVED_BITS;

/** What `check` finds wrong. */
export const BAD = {
  /** Fewer bytes than a header. */
  short: -1,
  /** Another magic number or version: not sent by one of ours. */
  kind: -2,
} as const;

/** 0 where `length` bytes from `at` begin with a header, else one of `BAD`. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  return view.getInt32(at + MAGIC) >>> RESERVED_BITS === KIND ? 0 : BAD.kind;
};

/** The upper half of the stream's number. Int32. */
export const streamHigh = (view: DataView, at: number): number => view.getInt32(at + STREAM_HIGH);
/** The lower half of the stream's number. Int32. */
export const streamLow = (view: DataView, at: number): number => view.getInt32(at + STREAM_LOW);
/** The datagram's number in its stream, which wraps around. Int32. */
export const sequence = (view: DataView, at: number): number => view.getInt32(at + SEQUENCE);

/** Writes all of the header. */
export const writeHeader = (
  view: DataView,
  at: number,
  streamHigh: number,
  streamLow: number,
  sequence: number,
): void => {
  view.setInt32(at + MAGIC, FIRST_WORD);
  view.setInt32(at + STREAM_HIGH, streamHigh);
  view.setInt32(at + STREAM_LOW, streamLow);
  view.setInt32(at + SEQUENCE, sequence);
};

/** A numbered datagram. The three numbers are 0 to 2^32 - 1. */
export interface CopyRecord {
  readonly streamHigh: number;
  readonly streamLow: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

export const lengthOf = (record: CopyRecord): number => HEADER_BYTES + record.payload.length;

/** The record, its payload copied; undefined where `check` finds something wrong. */
export const parse = (view: DataView, at: number, length: number): CopyRecord | undefined => {
  if (check(view, at, length) < 0) return undefined;
  return {
    streamHigh: streamHigh(view, at) >>> 0,
    streamLow: streamLow(view, at) >>> 0,
    sequence: sequence(view, at) >>> 0,
    payload: readBytes(view, at + HEADER_BYTES, length - HEADER_BYTES),
  };
};

/**
 * Writes header and payload and gives their length.
 *
 * @throws RangeError where a number has more than 32 bits.
 */
export const emit = (record: CopyRecord, view: DataView, at: number): number => {
  requireInteger("streamHigh", record.streamHigh, MAX_UINT32);
  requireInteger("streamLow", record.streamLow, MAX_UINT32);
  requireInteger("sequence", record.sequence, MAX_UINT32);
  writeHeader(view, at, record.streamHigh | 0, record.streamLow | 0, record.sequence | 0);
  writeBytes(view, at + HEADER_BYTES, record.payload);
  return lengthOf(record);
};

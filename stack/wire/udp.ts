/**
 * UDP datagrams (RFC 768): ports, length, and a checksum that may be absent over IPv4 or half done by a virtual device.
 */
import { finish, fold, halves, isPartial, sum } from "./checksum.ts";
import { MAX_UINT16, readBytes, requireInteger, writeBytes } from "./fields.ts";

export const SOURCE_PORT = 0;
export const DESTINATION_PORT = SOURCE_PORT + 2;
export const LENGTH = DESTINATION_PORT + 2;
export const CHECKSUM = LENGTH + 2;
export const HEADER_BYTES = CHECKSUM + 2;

/** What is sent in place of 0, which would say that there is no checksum (RFC 768). */
const ZERO_SENT_AS = 0xffff;
const WHOLE_SUM = 0xffff;
const HALF_BITS = 16;

/** What `check` and `verify` find wrong. */
export const BAD = {
  /** Fewer bytes than a header. */
  short: -1,
  /** The length field is smaller than the header, or larger than what is there. */
  length: -2,
  /** The checksum does not fit the bytes. */
  checksum: -3,
} as const;

/** What `verify` finds in a datagram that is not wrong. */
export const VERIFIED = {
  /** The checksum is there and right. */
  whole: 0,
  /** There is none: fine over IPv4, forbidden over IPv6 (RFC 8200 section 8.1). */
  absent: 1,
  /** It holds the pseudo-header's sum alone; see `isPartial`. */
  partial: 2,
} as const;

/** 0 where `length` bytes from `at` hold a datagram, else one of `BAD`. Does not look at the checksum. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  const claimed = view.getUint16(at + LENGTH);
  return claimed < HEADER_BYTES || claimed > length ? BAD.length : 0;
};

export const sourcePort = (view: DataView, at: number): number => view.getUint16(at + SOURCE_PORT);
export const destinationPort = (view: DataView, at: number): number => view.getUint16(at + DESTINATION_PORT);
/** Bytes of header and payload. */
export const length = (view: DataView, at: number): number => view.getUint16(at + LENGTH);
export const checksum = (view: DataView, at: number): number => view.getUint16(at + CHECKSUM);

/** Both ports: the source in the upper half. Int32. */
export const portsWord = (view: DataView, at: number): number => view.getInt32(at + SOURCE_PORT);
/** Length, in the upper half, and checksum. Int32. */
export const lengthWord = (view: DataView, at: number): number => view.getInt32(at + LENGTH);

export const setSourcePort = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + SOURCE_PORT, value);
export const setDestinationPort = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + DESTINATION_PORT, value);
export const setLength = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + LENGTH, value);
export const setChecksum = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + CHECKSUM, value);

/** One of `VERIFIED`, or `BAD.checksum`. `length` is the datagram's, and part of the pseudo-header's sum too. */
export const verify = (view: DataView, at: number, pseudoSum: number, length: number): number => {
  const rest = lengthWord(view, at);
  const field = rest & MAX_UINT16;
  if (field === 0) return VERIFIED.absent;
  const header = halves(portsWord(view, at)) + halves(rest);
  const whole = sum(view, at + HEADER_BYTES, length - HEADER_BYTES, pseudoSum + header);
  if (fold(whole) === WHOLE_SUM) return VERIFIED.whole;
  return isPartial(field, pseudoSum) ? VERIFIED.partial : BAD.checksum;
};

/** Computes the checksum of the datagram of `length` bytes and writes it; what the field held before does not matter. */
export const writeChecksum = (view: DataView, at: number, pseudoSum: number, length: number): void => {
  view.setUint16(at + CHECKSUM, 0);
  const whole = finish(sum(view, at, length, pseudoSum));
  view.setUint16(at + CHECKSUM, whole === 0 ? ZERO_SENT_AS : whole);
};

/**
 * Writes the four fields in front of the payload that lies there already, the checksum over it too.
 *
 * In whole words, and without reading what was just written: a load that spans several fresh stores waits for them.
 */
export const writeInFront = (
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
  pseudoSum: number,
): void => {
  const header = sourcePort + destinationPort + length;
  const whole = finish(sum(view, at + HEADER_BYTES, length - HEADER_BYTES, pseudoSum + header));
  view.setInt32(at + SOURCE_PORT, (sourcePort << HALF_BITS) | destinationPort);
  view.setInt32(at + LENGTH, (length << HALF_BITS) | (whole === 0 ? ZERO_SENT_AS : whole));
};

/** Writes the four fields. */
export const writeHeader = (
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
  checksum: number,
): void => {
  view.setUint16(at + SOURCE_PORT, sourcePort);
  view.setUint16(at + DESTINATION_PORT, destinationPort);
  view.setUint16(at + LENGTH, length);
  view.setUint16(at + CHECKSUM, checksum);
};

/** Turns the datagram around. The checksum stays right: the sum does not know the order of its parts. */
export const swapPorts = (view: DataView, at: number): void => {
  const source = sourcePort(view, at);
  setSourcePort(view, at, destinationPort(view, at));
  setDestinationPort(view, at, source);
};

/** A datagram. */
export interface UdpRecord {
  /** 0 to 65535; 0 is a sender that wants no answer. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** At most 65527 bytes. */
  readonly payload: Uint8Array;
}

export const lengthOf = (record: UdpRecord): number => HEADER_BYTES + record.payload.length;

/** The datagram, its payload copied; bytes behind its length are not its own. Does not look at the checksum. */
export const parse = (view: DataView, at: number, length: number): UdpRecord | undefined => {
  if (check(view, at, length) < 0) return undefined;
  const payload = readBytes(view, at + HEADER_BYTES, view.getUint16(at + LENGTH) - HEADER_BYTES);
  return { sourcePort: sourcePort(view, at), destinationPort: destinationPort(view, at), payload };
};

/**
 * Writes the datagram and gives its length. With the pseudo-header's sum it gets a checksum, without it has none.
 *
 * @throws RangeError where a port is not 16 bits or the payload is too long.
 */
export const emit = (record: UdpRecord, view: DataView, at: number, pseudoSum?: number): number => {
  const length = lengthOf(record);
  requireInteger("sourcePort", record.sourcePort, MAX_UINT16);
  requireInteger("destinationPort", record.destinationPort, MAX_UINT16);
  requireInteger("payload.length", record.payload.length, MAX_UINT16 - HEADER_BYTES);
  writeHeader(view, at, record.sourcePort, record.destinationPort, length, 0);
  writeBytes(view, at + HEADER_BYTES, record.payload);
  if (pseudoSum !== undefined) writeChecksum(view, at, pseudoSum, length);
  return length;
};

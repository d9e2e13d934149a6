/**
 * The ICMPv4 message (RFC 792) in place: its types and codes, accessors, the check before them, the writer of errors.
 */
import { IpAddress } from "./address.ts";
import { checksum as computeChecksum } from "./checksum.ts";
import { MAX_UINT8 } from "./fields.ts";

export const TYPE_AT = 0;
export const CODE_AT = TYPE_AT + 1;
export const CHECKSUM = CODE_AT + 1;
/** Four bytes whose meaning is the type's. */
export const REST = CHECKSUM + 2;
export const HEADER_BYTES = REST + 4;

/** Echo and timestamp. */
export const IDENTIFIER = REST;
export const SEQUENCE = IDENTIFIER + 2;
export const ECHO_DATA = SEQUENCE + 2;
/** Timestamp request and reply: three times in ms since midnight UT. */
export const ORIGINATE = HEADER_BYTES;
export const RECEIVE = ORIGINATE + 4;
export const TRANSMIT = RECEIVE + 4;
export const TIMESTAMP_BYTES = TRANSMIT + 4;
/** Parameter problem: which byte of the quoted packet. */
export const POINTER = REST;
/** Errors with extensions: length of the quotation in words (RFC 4884 section 4). */
export const QUOTE_WORDS = REST + 1;
/** Fragmentation needed: MTU of the next hop (RFC 1191 section 4). */
export const MTU = REST + 2;
/** Redirect: the better gateway. */
export const GATEWAY = REST;
/** Errors: the packet that caused them, from its IP header on. */
export const QUOTE = HEADER_BYTES;

/** Message types (RFC 792; router discovery RFC 1256; source quench, deprecated by RFC 6633, is still seen). */
export const TYPE = {
  ECHO_REPLY: 0,
  DESTINATION_UNREACHABLE: 3,
  SOURCE_QUENCH: 4,
  REDIRECT: 5,
  ECHO_REQUEST: 8,
  ROUTER_ADVERTISEMENT: 9,
  ROUTER_SOLICITATION: 10,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
  TIMESTAMP_REQUEST: 13,
  TIMESTAMP_REPLY: 14,
} as const;

/** Codes of destination unreachable (RFC 792; 6-12 RFC 1122 section 3.2.2.1; 13-15 RFC 1812 section 5.2.7.1). */
export const UNREACHABLE = {
  NETWORK: 0,
  HOST: 1,
  PROTOCOL: 2,
  PORT: 3,
  FRAGMENTATION_NEEDED: 4,
  SOURCE_ROUTE_FAILED: 5,
  NETWORK_UNKNOWN: 6,
  HOST_UNKNOWN: 7,
  HOST_ISOLATED: 8,
  NETWORK_PROHIBITED: 9,
  HOST_PROHIBITED: 10,
  NETWORK_SERVICE: 11,
  HOST_SERVICE: 12,
  PROHIBITED: 13,
  PRECEDENCE_VIOLATION: 14,
  PRECEDENCE_CUTOFF: 15,
} as const;

/** Codes of redirect (RFC 792). */
export const REDIRECT = { NETWORK: 0, HOST: 1, SERVICE_NETWORK: 2, SERVICE_HOST: 3 } as const;
/** Codes of time exceeded (RFC 792). */
export const EXCEEDED = { TRANSIT: 0, REASSEMBLY: 1 } as const;
/** Codes of parameter problem (RFC 792, RFC 1108, RFC 1122 section 3.2.2.5). */
export const PROBLEM = { POINTER: 0, OPTION_MISSING: 1, LENGTH: 2 } as const;

/** An error quotes as much as keeps its whole IP packet within this many bytes (RFC 1812 section 4.3.2.3). */
export const MAX_ERROR_PACKET_BYTES = 576;
/** The smallest quotation: an IPv4 header; RFC 792 asks for 8 bytes more, but some of the quoted packets are shorter. */
export const MIN_QUOTE_BYTES = 20;
/** A quotation before extensions has at least this many bytes (RFC 4884 section 4.1). */
export const MIN_EXTENDED_QUOTE_BYTES = 128;
/** Quotation lengths before extensions count words of this many bytes. */
export const QUOTE_UNIT_BYTES = 4;

/** What `check` finds wrong. */
export const BAD = {
  /** Fewer bytes than a header. */
  short: -1,
  checksum: -2,
  /** An error without a whole IPv4 header of the packet that caused it. */
  quote: -3,
} as const;

/**
 * True for errors, which never answer one another (RFC 1122 section 3.2.2). A redirect is one: it quotes a packet too.
 */
export const isError = (type: number): boolean =>
  type === TYPE.DESTINATION_UNREACHABLE ||
  type === TYPE.TIME_EXCEEDED ||
  type === TYPE.PARAMETER_PROBLEM ||
  type === TYPE.REDIRECT ||
  type === TYPE.SOURCE_QUENCH;

/** True for the errors that may carry extensions after the quotation (RFC 4884 section 4). */
export const isExtensible = (type: number): boolean =>
  type === TYPE.DESTINATION_UNREACHABLE || type === TYPE.TIME_EXCEEDED || type === TYPE.PARAMETER_PROBLEM;

/** Judges the message of `length` bytes at `at`, checksum included: 0, or one of `BAD`. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  if (computeChecksum(view, at, length) !== 0) return BAD.checksum;
  return isError(type(view, at)) && length < QUOTE + MIN_QUOTE_BYTES ? BAD.quote : 0;
};

export const type = (view: DataView, at: number): number => view.getUint8(at + TYPE_AT);
export const code = (view: DataView, at: number): number => view.getUint8(at + CODE_AT);
export const checksum = (view: DataView, at: number): number => view.getUint16(at + CHECKSUM);
/** The four bytes whose meaning is the type's, as int32. */
export const rest = (view: DataView, at: number): number => view.getInt32(at + REST);
export const identifier = (view: DataView, at: number): number => view.getUint16(at + IDENTIFIER);
export const sequence = (view: DataView, at: number): number => view.getUint16(at + SEQUENCE);
/** Parameter problem: offset in the quoted packet. */
export const pointer = (view: DataView, at: number): number => view.getUint8(at + POINTER);
/** Fragmentation needed: MTU of the next hop; 0 from routers before RFC 1191. */
export const mtu = (view: DataView, at: number): number => view.getUint16(at + MTU);
/** Redirect: the better gateway as int32. */
export const gatewayWord = (view: DataView, at: number): number => view.getInt32(at + GATEWAY);
/** The same as an address. */
export const gateway = (view: DataView, at: number): IpAddress => IpAddress.read4(view, at + GATEWAY);

/**
 * Bytes of an error's quotation, which begins at `QUOTE`, in a message of `length` bytes: all the rest, or what stands
 * before extensions. A length field that cannot be one is the garbage of a sender that knows no extensions.
 */
export const quoteLength = (view: DataView, at: number, length: number): number => {
  const all = length - QUOTE;
  if (!isExtensible(type(view, at))) return all;
  const said = view.getUint8(at + QUOTE_WORDS) * QUOTE_UNIT_BYTES;
  return said >= MIN_EXTENDED_QUOTE_BYTES && said < all ? said : all;
};

export const setType = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + TYPE_AT, value);
export const setCode = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + CODE_AT, value);
export const setRest = (view: DataView, at: number, value: number): void => view.setInt32(at + REST, value);
export const setIdentifier = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + IDENTIFIER, value);
export const setSequence = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + SEQUENCE, value);

/** Computes the checksum of the message of `length` bytes and writes it. */
export const setChecksum = (view: DataView, at: number, length: number): void => {
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + CHECKSUM, computeChecksum(view, at, length));
};

/** The `rest` of "fragmentation needed": the MTU of the next hop. */
export const restOfMtu = (value: number): number => value;
const POINTER_SHIFT = 24;
/** The `rest` of a parameter problem. */
export const restOfPointer = (value: number): number => (value & MAX_UINT8) << POINTER_SHIFT;

/** How many of the `packetLength` bytes of a packet fit an error's quotation, under an IPv4 header without options. */
export const quotable = (packetLength: number): number =>
  Math.min(packetLength, MAX_ERROR_PACKET_BYTES - MIN_QUOTE_BYTES - QUOTE);

/**
 * Writes an error at `at`: `restValue` (int32) in the four bytes of the type's own, then `quoteBytes` bytes of the
 * packet at (`packet`, `packetAt`), checksum included. Gives the message's bytes. The two may overlap.
 */
export const writeError = (
  view: DataView,
  at: number,
  typeValue: number,
  codeValue: number,
  restValue: number,
  packet: DataView,
  packetAt: number,
  quoteBytes: number,
): number => {
  new Uint8Array(view.buffer, view.byteOffset + at + QUOTE, quoteBytes).set(
    new Uint8Array(packet.buffer, packet.byteOffset + packetAt, quoteBytes),
  );
  setType(view, at, typeValue);
  setCode(view, at, codeValue);
  setRest(view, at, restValue);
  const length = QUOTE + quoteBytes;
  setChecksum(view, at, length);
  return length;
};

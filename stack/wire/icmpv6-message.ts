/**
 * The ICMPv6 message (RFC 4443) in place: its types and codes, accessors, the check before them, the writer of errors.
 */
import { finish, fold, sum } from "./checksum.ts";
import { HEADER_BYTES as IPV6_HEADER_BYTES, MINIMUM_MTU } from "./ipv6.ts";

export const TYPE_AT = 0;
export const CODE_AT = TYPE_AT + 1;
export const CHECKSUM = CODE_AT + 1;
/** Four bytes whose meaning is the type's. */
export const REST = CHECKSUM + 2;
export const HEADER_BYTES = REST + 4;

/** Echo. */
export const IDENTIFIER = REST;
export const SEQUENCE = IDENTIFIER + 2;
export const ECHO_DATA = SEQUENCE + 2;
/** Errors with extensions: length of the quotation in units of 8 bytes (RFC 4884 section 4). */
export const QUOTE_UNITS = REST;
/** Packet too big: MTU of the next hop. */
export const MTU = REST;
/** Parameter problem: which byte of the quoted packet. */
export const POINTER = REST;
/** Errors: the packet that caused them, from its IPv6 header on. */
export const QUOTE = HEADER_BYTES;

/** Message types (RFC 4443; multicast listeners RFC 2710 and RFC 3810; neighbour discovery RFC 4861). */
export const TYPE = {
  DESTINATION_UNREACHABLE: 1,
  PACKET_TOO_BIG: 2,
  TIME_EXCEEDED: 3,
  PARAMETER_PROBLEM: 4,
  ECHO_REQUEST: 128,
  ECHO_REPLY: 129,
  LISTENER_QUERY: 130,
  LISTENER_REPORT: 131,
  LISTENER_DONE: 132,
  ROUTER_SOLICITATION: 133,
  ROUTER_ADVERTISEMENT: 134,
  NEIGHBOUR_SOLICITATION: 135,
  NEIGHBOUR_ADVERTISEMENT: 136,
  REDIRECT: 137,
  LISTENER_REPORT_2: 143,
} as const;

/** Codes of destination unreachable (RFC 4443 section 3.1; 7 RFC 6550; 8 RFC 8883). */
export const UNREACHABLE = {
  NO_ROUTE: 0,
  PROHIBITED: 1,
  BEYOND_SCOPE: 2,
  ADDRESS: 3,
  PORT: 4,
  SOURCE_POLICY: 5,
  REJECT_ROUTE: 6,
  SOURCE_ROUTING_HEADER: 7,
  HEADERS_TOO_LONG: 8,
} as const;
/** Codes of time exceeded (RFC 4443 section 3.3). */
export const EXCEEDED = { TRANSIT: 0, REASSEMBLY: 1 } as const;
/** Codes of parameter problem (RFC 4443 section 3.4; 3 RFC 7112; 4 RFC 8754; 5-10 RFC 8883). */
export const PROBLEM = {
  HEADER_FIELD: 0,
  NEXT_HEADER: 1,
  OPTION: 2,
  INCOMPLETE_CHAIN: 3,
  SEGMENT_ROUTING: 4,
  NEXT_HEADER_ON_THE_WAY: 5,
  EXTENSION_TOO_BIG: 6,
  CHAIN_TOO_LONG: 7,
  TOO_MANY_EXTENSIONS: 8,
  TOO_MANY_OPTIONS: 9,
  OPTION_TOO_BIG: 10,
} as const;

/** Types below this are errors (RFC 4443 section 2.1). */
const FIRST_INFORMATIONAL_TYPE = 128;
/** The smallest quotation: an IPv6 header. */
export const MIN_QUOTE_BYTES = IPV6_HEADER_BYTES;
/** A whole error packet is at most this long (RFC 4443 section 2.4 c). */
export const MAX_ERROR_PACKET_BYTES = MINIMUM_MTU;
/** A quotation before extensions has at least this many bytes (RFC 4884 section 4.1). */
export const MIN_EXTENDED_QUOTE_BYTES = 128;
/** Quotation lengths before extensions count units of this many bytes. */
export const QUOTE_UNIT_BYTES = 8;

const ALL_ONES = 0xffff;

/** What `check` finds wrong. */
export const BAD = {
  /** Fewer bytes than a header. */
  short: -1,
  checksum: -2,
  /** An error without a whole IPv6 header of the packet that caused it. */
  quote: -3,
} as const;

/** True for errors, which never answer one another (RFC 4443 section 2.4 e). */
export const isError = (typeValue: number): boolean => typeValue < FIRST_INFORMATIONAL_TYPE;

/** True for the errors that may carry extensions after the quotation (RFC 4884 section 4). */
export const isExtensible = (typeValue: number): boolean =>
  typeValue === TYPE.DESTINATION_UNREACHABLE || typeValue === TYPE.TIME_EXCEEDED;

/**
 * Judges the message of `length` bytes at `at`, checksum included: 0, or one of `BAD`. `pseudo` is the partial sum of
 * the pseudo-header for `length` (`pseudo6` or `pseudoOf` of checksum.ts, next header 58).
 */
export const check = (view: DataView, at: number, length: number, pseudo: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  if (fold(sum(view, at, length, pseudo)) !== ALL_ONES) return BAD.checksum;
  return isError(type(view, at)) && length < QUOTE + MIN_QUOTE_BYTES ? BAD.quote : 0;
};

export const type = (view: DataView, at: number): number => view.getUint8(at + TYPE_AT);
export const code = (view: DataView, at: number): number => view.getUint8(at + CODE_AT);
export const checksum = (view: DataView, at: number): number => view.getUint16(at + CHECKSUM);
/** The four bytes whose meaning is the type's, as int32. */
export const rest = (view: DataView, at: number): number => view.getInt32(at + REST);
export const identifier = (view: DataView, at: number): number => view.getUint16(at + IDENTIFIER);
export const sequence = (view: DataView, at: number): number => view.getUint16(at + SEQUENCE);
/** Packet too big: MTU of the next hop, any 32-bit number. */
export const mtu = (view: DataView, at: number): number => view.getUint32(at + MTU);
/** Parameter problem: offset in the quoted packet. */
export const pointer = (view: DataView, at: number): number => view.getUint32(at + POINTER);

/**
 * Bytes of an error's quotation, which begins at `QUOTE`, in a message of `length` bytes: all the rest, or what stands
 * before extensions. A length field that cannot be one is the garbage of a sender that knows no extensions.
 */
export const quoteLength = (view: DataView, at: number, length: number): number => {
  const all = length - QUOTE;
  if (!isExtensible(type(view, at))) return all;
  const said = view.getUint8(at + QUOTE_UNITS) * QUOTE_UNIT_BYTES;
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

/** Computes the checksum of the message of `length` bytes over `pseudo`, as in `check`, and writes it. */
export const setChecksum = (view: DataView, at: number, length: number, pseudo: number): void => {
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + CHECKSUM, finish(sum(view, at, length, pseudo)));
};

/** How many of the `packetLength` bytes of a packet fit an error's quotation, under an IPv6 header alone. */
export const quotable = (packetLength: number): number =>
  Math.min(packetLength, MAX_ERROR_PACKET_BYTES - IPV6_HEADER_BYTES - QUOTE);

/**
 * Writes an error at `at`: `restValue` (int32: MTU or pointer, else 0) in the four bytes of the type's own, then
 * `quoteBytes` bytes of the packet at (`packet`, `packetAt`), checksum over `pseudo` included, which is for a length of
 * `QUOTE + quoteBytes`. Gives the message's bytes. The two may overlap.
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
  pseudo: number,
): number => {
  new Uint8Array(view.buffer, view.byteOffset + at + QUOTE, quoteBytes).set(
    new Uint8Array(packet.buffer, packet.byteOffset + packetAt, quoteBytes),
  );
  setType(view, at, typeValue);
  setCode(view, at, codeValue);
  setRest(view, at, restValue);
  const length = QUOTE + quoteBytes;
  setChecksum(view, at, length, pseudo);
  return length;
};

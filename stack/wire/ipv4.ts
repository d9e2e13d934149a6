/**
 * IPv4 headers (RFC 791): judged once, then read and written in place, or as records with their options.
 */
import { IpAddress } from "./address.ts";
import { finish, fold, halves, sum, update16 } from "./checksum.ts";
import { MAX_UINT16, MAX_UINT8, requireInteger } from "./fields.ts";
import {
  checkOptionRecords,
  emitOptions,
  type Ipv4Option,
  optionsLength,
  parseOptions,
} from "./ipv4-options.ts";

export * from "./ipv4-options.ts";

export const VERSION_LENGTH = 0;
export const TYPE_OF_SERVICE = VERSION_LENGTH + 1;
export const TOTAL_LENGTH = TYPE_OF_SERVICE + 1;
export const IDENTIFICATION = TOTAL_LENGTH + 2;
export const FLAGS_OFFSET = IDENTIFICATION + 2;
export const TTL = FLAGS_OFFSET + 2;
export const PROTOCOL = TTL + 1;
export const CHECKSUM = PROTOCOL + 1;
export const SOURCE = CHECKSUM + 2;
export const DESTINATION = SOURCE + 4;
/** A header without options. */
export const HEADER_BYTES = DESTINATION + 4;
/** What the total length field can say. */
export const MAX_PACKET_BYTES = MAX_UINT16;
/** Where options begin. */
export const OPTIONS = HEADER_BYTES;

const VERSION = 4;
const VERSION_SHIFT = 4;
const WORDS_MASK = 0xf;
/** The length field counts words of four bytes. */
const WORD_SHIFT = 2;
const LEAST_WORDS = HEADER_BYTES >> WORD_SHIFT;
/** Version 4 and five words. */
const FIRST_BYTE = (VERSION << VERSION_SHIFT) | LEAST_WORDS;
const BYTE_BITS = 8;
const HALF_BITS = 16;
const DSCP_SHIFT = 2;
const ECN_MASK = 3;
/** "Don't fragment" and "more fragments" above an offset in units of eight bytes. */
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;
const OFFSET_SHIFT = 3;
const WHOLE_SUM = 0xffff;

const MAX_DSCP = 63;
const MAX_OFFSET = OFFSET_MASK << OFFSET_SHIFT;
const OFFSET_REST = (1 << OFFSET_SHIFT) - 1;

/** What `check` finds wrong. */
export const BAD = {
  /** Fewer bytes than a header. */
  short: -1,
  version: -2,
  /** The header length is less than five words, or more than what is there. */
  header: -3,
  /** The total length is less than the header, or more than what is there. */
  total: -4,
  /** The header's checksum does not fit. */
  checksum: -5,
} as const;

/** 0 where `length` bytes from `at` begin with a whole packet and a right header, else one of `BAD`. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  const first = view.getUint8(at + VERSION_LENGTH);
  if (first >> VERSION_SHIFT !== VERSION) return BAD.version;
  const header = (first & WORDS_MASK) << WORD_SHIFT;
  if (header < HEADER_BYTES || header > length) return BAD.header;
  const total = view.getUint16(at + TOTAL_LENGTH);
  if (total < header || total > length) return BAD.total;
  return fold(sum(view, at, header)) === WHOLE_SUM ? 0 : BAD.checksum;
};

export const version = (view: DataView, at: number): number =>
  view.getUint8(at + VERSION_LENGTH) >> VERSION_SHIFT;
/** Bytes of header and options, 20 to 60 after `check`. */
export const headerBytes = (view: DataView, at: number): number =>
  (view.getUint8(at + VERSION_LENGTH) & WORDS_MASK) << WORD_SHIFT;
/** RFC 2474. */
export const dscp = (view: DataView, at: number): number => view.getUint8(at + TYPE_OF_SERVICE) >> DSCP_SHIFT;
/** RFC 3168. */
export const ecn = (view: DataView, at: number): number => view.getUint8(at + TYPE_OF_SERVICE) & ECN_MASK;
/** Both of them, as one byte. */
export const typeOfService = (view: DataView, at: number): number => view.getUint8(at + TYPE_OF_SERVICE);
/** Bytes of header and payload. */
export const totalLength = (view: DataView, at: number): number => view.getUint16(at + TOTAL_LENGTH);
export const identification = (view: DataView, at: number): number => view.getUint16(at + IDENTIFICATION);
export const dontFragment = (view: DataView, at: number): boolean =>
  (view.getUint16(at + FLAGS_OFFSET) & DONT_FRAGMENT) !== 0;
export const moreFragments = (view: DataView, at: number): boolean =>
  (view.getUint16(at + FLAGS_OFFSET) & MORE_FRAGMENTS) !== 0;
/** Bytes of the payload that come before this fragment's. */
export const fragmentOffset = (view: DataView, at: number): number =>
  (view.getUint16(at + FLAGS_OFFSET) & OFFSET_MASK) << OFFSET_SHIFT;
/** True for a part of a packet. */
export const isFragment = (view: DataView, at: number): boolean =>
  (view.getUint16(at + FLAGS_OFFSET) & (MORE_FRAGMENTS | OFFSET_MASK)) !== 0;
export const ttl = (view: DataView, at: number): number => view.getUint8(at + TTL);
export const protocol = (view: DataView, at: number): number => view.getUint8(at + PROTOCOL);
export const checksum = (view: DataView, at: number): number => view.getUint16(at + CHECKSUM);
/** Int32. */
export const sourceWord = (view: DataView, at: number): number => view.getInt32(at + SOURCE);
/** Int32. */
export const destinationWord = (view: DataView, at: number): number => view.getInt32(at + DESTINATION);
export const source = (view: DataView, at: number): IpAddress => IpAddress.read4(view, at + SOURCE);
export const destination = (view: DataView, at: number): IpAddress => IpAddress.read4(view, at + DESTINATION);

/** Sets the version too. */
export const setHeaderBytes = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + VERSION_LENGTH, (VERSION << VERSION_SHIFT) | (value >> WORD_SHIFT));
export const setTypeOfService = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + TYPE_OF_SERVICE, value);
export const setDscp = (view: DataView, at: number, value: number): void =>
  setTypeOfService(view, at, (value << DSCP_SHIFT) | ecn(view, at));
export const setEcn = (view: DataView, at: number, value: number): void =>
  setTypeOfService(view, at, (typeOfService(view, at) & ~ECN_MASK) | value);
export const setTotalLength = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + TOTAL_LENGTH, value);
export const setIdentification = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + IDENTIFICATION, value);
/** `flags` is `DONT_FRAGMENT`, `MORE_FRAGMENTS`, both or 0; `offset` is in bytes, a multiple of eight. */
export const setFragment = (view: DataView, at: number, flags: number, offset: number): void =>
  view.setUint16(at + FLAGS_OFFSET, flags | (offset >> OFFSET_SHIFT));
export const setTtl = (view: DataView, at: number, value: number): void => view.setUint8(at + TTL, value);
export const setProtocol = (view: DataView, at: number, value: number): void =>
  view.setUint8(at + PROTOCOL, value);
export const setSourceWord = (view: DataView, at: number, value: number): void =>
  view.setInt32(at + SOURCE, value);
export const setDestinationWord = (view: DataView, at: number, value: number): void =>
  view.setInt32(at + DESTINATION, value);

/** Computes the header's checksum and writes it. */
export const setChecksum = (view: DataView, at: number): void => {
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + CHECKSUM, finish(sum(view, at, headerBytes(view, at))));
};

/**
 * Writes a header without options, its checksum too. `flags` as in `setFragment`; addresses are int32 words.
 *
 * In whole words, and without reading what was just written: a load that spans several fresh stores waits for them.
 */
export const writeHeader = (
  view: DataView,
  at: number,
  typeOfService: number,
  totalLength: number,
  identification: number,
  flags: number,
  ttl: number,
  protocol: number,
  sourceWord: number,
  destinationWord: number,
): void => {
  const service = (FIRST_BYTE << BYTE_BITS) | (typeOfService & MAX_UINT8);
  const hops = ((ttl & MAX_UINT8) << BYTE_BITS) | (protocol & MAX_UINT8);
  const length = totalLength & MAX_UINT16;
  const id = identification & MAX_UINT16;
  const checksum = finish(
    service + length + id + flags + hops + halves(sourceWord) + halves(destinationWord),
  );
  view.setInt32(at + VERSION_LENGTH, (service << HALF_BITS) | length);
  view.setInt32(at + IDENTIFICATION, (id << HALF_BITS) | flags);
  view.setInt32(at + TTL, (hops << HALF_BITS) | checksum);
  view.setInt32(at + SOURCE, sourceWord);
  view.setInt32(at + DESTINATION, destinationWord);
};

/** Turns the packet around. The checksum stays right: the sum does not know the order of its parts. */
export const swapAddresses = (view: DataView, at: number): void => {
  const source = sourceWord(view, at);
  setSourceWord(view, at, destinationWord(view, at));
  setDestinationWord(view, at, source);
};

/** One hop less, and the checksum follows (RFC 1624). The caller has seen that the TTL is not 0. */
export const decrementTtl = (view: DataView, at: number): void => {
  const before = view.getUint16(at + TTL);
  view.setUint8(at + TTL, ttl(view, at) - 1);
  view.setUint16(at + CHECKSUM, update16(checksum(view, at), before, view.getUint16(at + TTL)));
};

/** A header, and how much follows it. */
export interface Ipv4Record {
  /** 0 to 63. */
  readonly dscp: number;
  /** 0 to 3. */
  readonly ecn: number;
  /** 0 to 65535. */
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly options: readonly Ipv4Option[];
  /** Bytes behind the header. */
  readonly payloadLength: number;
}

/** Bytes of the header with its options. */
export const lengthOf = (record: Ipv4Record): number => HEADER_BYTES + optionsLength(record.options);

/** The header of a packet that `check` finds good and whose options are well formed. */
export const parse = (view: DataView, at: number, length: number): Ipv4Record | undefined => {
  if (check(view, at, length) < 0) return undefined;
  const header = headerBytes(view, at);
  const options = parseOptions(view, at + OPTIONS, at + header);
  if (options === undefined) return undefined;
  return {
    dscp: dscp(view, at),
    ecn: ecn(view, at),
    identification: identification(view, at),
    dontFragment: dontFragment(view, at),
    moreFragments: moreFragments(view, at),
    fragmentOffset: fragmentOffset(view, at),
    ttl: ttl(view, at),
    protocol: protocol(view, at),
    source: source(view, at),
    destination: destination(view, at),
    options,
    payloadLength: totalLength(view, at) - header,
  };
};

const needRecord = (record: Ipv4Record): void => {
  requireInteger("dscp", record.dscp, MAX_DSCP);
  requireInteger("ecn", record.ecn, ECN_MASK);
  requireInteger("identification", record.identification, MAX_UINT16);
  requireInteger("fragmentOffset", record.fragmentOffset, MAX_OFFSET);
  if ((record.fragmentOffset & OFFSET_REST) !== 0)
    throw new RangeError(`fragmentOffset is a multiple of 8, not ${record.fragmentOffset}`);
  requireInteger("ttl", record.ttl, MAX_UINT8);
  requireInteger("protocol", record.protocol, MAX_UINT8);
  if (record.source.family !== 4 || record.destination.family !== 4)
    throw new RangeError("source and destination are IPv4 addresses");
  checkOptionRecords(record.options);
  requireInteger("payloadLength", record.payloadLength, MAX_UINT16 - lengthOf(record));
};

/**
 * Writes the header with its checksum and gives its length; the payload is the caller's.
 *
 * @throws RangeError where the record holds what no header can.
 */
export const emit = (record: Ipv4Record, view: DataView, at: number): number => {
  needRecord(record);
  const header = lengthOf(record);
  const flags = (record.dontFragment ? DONT_FRAGMENT : 0) | (record.moreFragments ? MORE_FRAGMENTS : 0);
  setHeaderBytes(view, at, header);
  setTypeOfService(view, at, (record.dscp << DSCP_SHIFT) | record.ecn);
  setTotalLength(view, at, header + record.payloadLength);
  setIdentification(view, at, record.identification);
  setFragment(view, at, flags, record.fragmentOffset);
  setTtl(view, at, record.ttl);
  setProtocol(view, at, record.protocol);
  setSourceWord(view, at, record.source.w3);
  setDestinationWord(view, at, record.destination.w3);
  emitOptions(record.options, view, at + OPTIONS);
  setChecksum(view, at);
  return header;
};

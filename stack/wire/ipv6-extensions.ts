/**
 * IPv6 extension headers (RFC 8200 section 4): the walk and what is read in place (ipv6-walk.ts), and their records.
 */
import {
  MAX_UINT16,
  MAX_UINT32,
  MAX_UINT8,
  need,
  readBytes,
  requireInteger,
  writeBytes,
  writeZeros,
} from "./fields.ts";
import * as chain from "./ipv6-walk.ts";
import { PROTOCOL } from "./protocol.ts";

export * from "./ipv6-walk.ts";

const { NEXT_HEADER, UNITS, UNIT_BYTES, OPTIONS, OPTION_DATA, OPTION } = chain;

export interface Option {
  /** Not padding, which `emit` adds. */
  readonly type: number;
  /** 255 bytes at most. */
  readonly data: Uint8Array;
}

interface Extension {
  readonly nextHeader: number;
}

export interface OptionsHeader extends Extension {
  readonly kind: "hop-by-hop" | "destination-options";
  readonly options: readonly Option[];
}

export interface RoutingHeader extends Extension {
  readonly kind: "routing";
  readonly routingType: number;
  readonly segmentsLeft: number;
  /** Four bytes, or multiples of eight more. */
  readonly data: Uint8Array;
}

export interface FragmentHeader extends Extension {
  readonly kind: "fragment";
  /** Bytes, a multiple of 8. */
  readonly offset: number;
  readonly more: boolean;
  /** 32 bits, unsigned. */
  readonly identification: number;
}

export interface AuthenticationHeader extends Extension {
  readonly kind: "authentication";
  readonly spi: number;
  readonly sequence: number;
  /** Four bytes, or multiples of eight more, since the header is a multiple of eight (RFC 4302 section 2.2). */
  readonly icv: Uint8Array;
}

export type ExtensionRecord = OptionsHeader | RoutingHeader | FragmentHeader | AuthenticationHeader;

/** The next header value that names the header of this record. */
export const protocolOf = (record: ExtensionRecord): number => PROTOCOL_OF[record.kind];

const PROTOCOL_OF = {
  "hop-by-hop": PROTOCOL.HOP_BY_HOP,
  "destination-options": PROTOCOL.DESTINATION_OPTIONS,
  routing: PROTOCOL.ROUTING,
  fragment: PROTOCOL.FRAGMENT,
  authentication: PROTOCOL.AH,
} as const;

const MAX_HEADER_BYTES = (MAX_UINT8 + 1) * UNIT_BYTES;
const MAX_OFFSET = MAX_UINT16 - (MAX_UINT16 % UNIT_BYTES);

const roundUp = (bytes: number): number => Math.ceil(bytes / UNIT_BYTES) * UNIT_BYTES;

const optionsEnd = (options: readonly Option[]): number =>
  options.reduce((bytes, { data }) => bytes + OPTION_DATA + data.length, OPTIONS);

/** Bytes that `emit` writes. */
export const lengthOf = (record: ExtensionRecord): number => {
  switch (record.kind) {
    case "routing":
      return chain.ROUTING_DATA + record.data.length;
    case "fragment":
      return chain.FRAGMENT_BYTES;
    case "authentication":
      return chain.ICV + record.icv.length;
    default:
      return roundUp(optionsEnd(record.options));
  }
};

/** The header of kind `protocol` at `at`; undefined where it is none that `walk` knows, or malformed. */
export const parse = (
  view: DataView,
  at: number,
  length: number,
  protocol: number,
): ExtensionRecord | undefined => {
  if (!chain.isExtension(protocol)) return undefined;
  const bytes = chain.headerBytes(view, at, length, protocol);
  if (bytes < 0) return undefined;
  const nextHeader = view.getUint8(at + NEXT_HEADER);
  if (protocol === PROTOCOL.FRAGMENT)
    return {
      kind: "fragment",
      nextHeader,
      offset: chain.fragmentOffset(view, at),
      more: chain.moreFragments(view, at),
      identification: view.getUint32(at + chain.IDENTIFICATION),
    };
  if (protocol === PROTOCOL.AH) return parseAuthentication(view, at, bytes);
  if (protocol === PROTOCOL.ROUTING)
    return {
      kind: "routing",
      nextHeader,
      routingType: view.getUint8(at + chain.ROUTING_TYPE),
      segmentsLeft: view.getUint8(at + chain.SEGMENTS_LEFT),
      data: readBytes(view, at + chain.ROUTING_DATA, bytes - chain.ROUTING_DATA),
    };
  const options = parseOptions(view, at + OPTIONS, at + bytes);
  const kind = protocol === PROTOCOL.HOP_BY_HOP ? "hop-by-hop" : "destination-options";
  return options === undefined ? undefined : { kind, nextHeader, options };
};

const parseAuthentication = (view: DataView, at: number, bytes: number): AuthenticationHeader | undefined =>
  bytes % UNIT_BYTES !== 0
    ? undefined
    : {
        kind: "authentication",
        nextHeader: view.getUint8(at + NEXT_HEADER),
        spi: view.getUint32(at + chain.SPI),
        sequence: view.getUint32(at + chain.AH_SEQUENCE),
        icv: readBytes(view, at + chain.ICV, bytes - chain.ICV),
      };

/** The options from `at` to `end` without padding; undefined where one goes beyond. */
const parseOptions = (view: DataView, at: number, end: number): Option[] | undefined => {
  const options: Option[] = [];
  while (at < end) {
    const bytes = chain.optionBytes(view, at, end);
    if (bytes < 0) return undefined;
    const type = view.getUint8(at + chain.OPTION_TYPE);
    if (type !== OPTION.PAD1 && type !== OPTION.PADN)
      options.push({ type, data: readBytes(view, at + OPTION_DATA, bytes - OPTION_DATA) });
    at += bytes;
  }
  return options;
};

/** Writes the header at `at`, padded where it holds options; gives its bytes. RangeError where it is out of range. */
export const emit = (record: ExtensionRecord, view: DataView, at: number): number => {
  requireInteger("nextHeader", record.nextHeader, MAX_UINT8);
  switch (record.kind) {
    case "fragment":
      return emitFragment(record, view, at);
    case "authentication":
      return emitAuthentication(record, view, at);
    case "routing":
      return emitRouting(record, view, at);
    default:
      return emitOptions(record, view, at);
  }
};

const emitFragment = (record: FragmentHeader, view: DataView, at: number): number => {
  requireInteger("offset", record.offset, MAX_OFFSET);
  need(record.offset % UNIT_BYTES === 0, "offset", `be a multiple of ${UNIT_BYTES}`);
  requireInteger("identification", record.identification, MAX_UINT32);
  chain.writeFragment(view, at, record.nextHeader, record.offset, record.more, record.identification);
  return chain.FRAGMENT_BYTES;
};

const emitAuthentication = (record: AuthenticationHeader, view: DataView, at: number): number => {
  const bytes = chain.ICV + record.icv.length;
  const words = bytes / chain.AH_WORD_BYTES - chain.AH_UNCOUNTED_WORDS;
  need(bytes % UNIT_BYTES === 0, "icv", "fill the header to a multiple of 8 bytes");
  requireInteger("words of icv", words, MAX_UINT8);
  requireInteger("spi", record.spi, MAX_UINT32);
  requireInteger("sequence", record.sequence, MAX_UINT32);
  view.setUint8(at + NEXT_HEADER, record.nextHeader);
  view.setUint8(at + chain.AH_WORDS, words);
  view.setUint16(at + chain.AH_RESERVED, 0);
  view.setUint32(at + chain.SPI, record.spi);
  view.setUint32(at + chain.AH_SEQUENCE, record.sequence);
  writeBytes(view, at + chain.ICV, record.icv);
  return bytes;
};

const emitRouting = (record: RoutingHeader, view: DataView, at: number): number => {
  const bytes = lengthOf(record);
  need(bytes % UNIT_BYTES === 0, "data", "fill the header to a multiple of 8 bytes");
  requireInteger("bytes of routing header", bytes, MAX_HEADER_BYTES);
  requireInteger("routingType", record.routingType, MAX_UINT8);
  requireInteger("segmentsLeft", record.segmentsLeft, MAX_UINT8);
  view.setUint8(at + NEXT_HEADER, record.nextHeader);
  view.setUint8(at + UNITS, bytes / UNIT_BYTES - 1);
  view.setUint8(at + chain.ROUTING_TYPE, record.routingType);
  view.setUint8(at + chain.SEGMENTS_LEFT, record.segmentsLeft);
  writeBytes(view, at + chain.ROUTING_DATA, record.data);
  return bytes;
};

const emitOptions = (record: OptionsHeader, view: DataView, at: number): number => {
  const bytes = lengthOf(record);
  requireInteger("bytes of options header", bytes, MAX_HEADER_BYTES);
  view.setUint8(at + NEXT_HEADER, record.nextHeader);
  view.setUint8(at + UNITS, bytes / UNIT_BYTES - 1);
  let optionAt = at + OPTIONS;
  for (const { type, data } of record.options) {
    requireInteger("option type", type, MAX_UINT8, OPTION.PADN + 1);
    requireInteger("bytes of option", data.length, MAX_UINT8);
    view.setUint8(optionAt + chain.OPTION_TYPE, type);
    view.setUint8(optionAt + chain.OPTION_LENGTH, data.length);
    optionAt += OPTION_DATA + writeBytes(view, optionAt + OPTION_DATA, data);
  }
  writePadding(view, optionAt, at + bytes - optionAt);
  return bytes;
};

/** Fills `bytes` bytes, 7 at most, with Pad1 or PadN. */
const writePadding = (view: DataView, at: number, bytes: number): void => {
  writeZeros(view, at, bytes);
  // One zero is a Pad1.
  if (bytes < OPTION_DATA) return;
  view.setUint8(at + chain.OPTION_TYPE, OPTION.PADN);
  view.setUint8(at + chain.OPTION_LENGTH, bytes - OPTION_DATA);
};

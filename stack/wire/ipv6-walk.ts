/**
 * IPv6 extension headers in place (RFC 8200 section 4): the walk from the IPv6 header to the upper protocol, options and
 * what an unknown one asks for, and the accessors of the fragment header.
 */
import { HEADER_BYTES as IPV6_HEADER_BYTES, NEXT_HEADER as IPV6_NEXT_HEADER } from "./ipv6.ts";
import { PROTOCOL } from "./protocol.ts";

/** Every extension header but authentication and fragment says its length in units of 8 bytes, the first not counted. */
export const NEXT_HEADER = 0;
export const UNITS = NEXT_HEADER + 1;
export const UNIT_BYTES = 8;
/** Options headers: the first option. */
export const OPTIONS = UNITS + 1;
/** Options: the data's length is behind the type, except in Pad1, which is a type alone. */
export const OPTION_TYPE = 0;
export const OPTION_LENGTH = OPTION_TYPE + 1;
export const OPTION_DATA = OPTION_LENGTH + 1;
/** Routing header. */
export const ROUTING_TYPE = UNITS + 1;
export const SEGMENTS_LEFT = ROUTING_TYPE + 1;
export const ROUTING_DATA = SEGMENTS_LEFT + 1;
/** Fragment header: 13 bits of offset in units of 8 bytes, two reserved, more. */
export const FRAGMENT_RESERVED = NEXT_HEADER + 1;
export const FRAGMENT_OFFSET = FRAGMENT_RESERVED + 1;
export const IDENTIFICATION = FRAGMENT_OFFSET + 2;
export const FRAGMENT_BYTES = IDENTIFICATION + 4;
/** Authentication header (RFC 4302), whose length counts words, the first two not counted. */
export const AH_WORDS = NEXT_HEADER + 1;
export const AH_RESERVED = AH_WORDS + 1;
export const SPI = AH_RESERVED + 2;
export const AH_SEQUENCE = SPI + 4;
export const ICV = AH_SEQUENCE + 4;
export const AH_WORD_BYTES = 4;
export const AH_UNCOUNTED_WORDS = 2;

const OFFSET_MASK = 0xfff8;
const MORE = 1;

/** Option types: padding (RFC 8200 section 4.2), router alert (RFC 2711), jumbo payload (RFC 2675). */
export const OPTION = { PAD1: 0, PADN: 1, ROUTER_ALERT: 5, JUMBO: 0xc2 } as const;

/** What to do about an option of unknown type: its two highest bits (RFC 8200 section 4.2). */
export const ACTION = {
  SKIP: 0,
  DISCARD: 1,
  /** Discard, and a parameter problem to the source. */
  REPORT: 2,
  /** The same unless the destination is multicast. */
  REPORT_UNICAST: 3,
} as const;
const ACTION_SHIFT = 6;

/** Extension headers of one packet; RFC 8200 section 4.1 knows six places, and RFC 8504 5.3 allows a limit. */
export const MAX_HEADERS = 8;
/** Options of one header, padding included (RFC 8504 section 5.3 proposes 8 without padding). */
export const MAX_OPTIONS = 32;

/** What `walk` finds wrong. */
export const BAD = {
  /** A header goes beyond the bytes there are. */
  short: -1,
  /** More than `MAX_HEADERS` headers or `MAX_OPTIONS` options. */
  limit: -2,
  /** Hop-by-hop options anywhere but first: a parameter problem, unrecognised next header, at `problemAt`. */
  order: -3,
  /** An option beyond its header. */
  malformed: -4,
  /** An unknown option that does not want to be skipped: see `action` and `problemAt`. */
  option: -5,
  /** A routing header of unknown type with segments left: a parameter problem at `problemAt` (section 4.4). */
  routing: -6,
} as const;

/** What a walk found. Offsets are into the view; -1 where there is none. Meant to be reused. */
export class Walk {
  /** The header where the walk ended: an upper protocol, or what `walk` does not go beyond. */
  protocol: number = PROTOCOL.NONE;
  /** Where it begins. */
  at = 0;
  /** Bytes from there to the end. */
  length = 0;
  /** Where the next header field is that named it, for a parameter problem. */
  namedAt = 0;
  /** The last fragment header: that of a fragment, or of an atomic one, which is whole (RFC 6946). */
  fragmentAt = -1;
  /** The router alert option, which MLD carries (RFC 2711). */
  routerAlertAt = -1;
  /** The offending byte where the walk ended in `BAD`. */
  problemAt = -1;
  /** One of `ACTION` where it ended in `BAD.option`. */
  action: number = ACTION.SKIP;
}

/** True for the headers that `walk` goes through. */
export const isExtension = (nextHeader: number): boolean =>
  nextHeader === PROTOCOL.HOP_BY_HOP ||
  nextHeader === PROTOCOL.ROUTING ||
  nextHeader === PROTOCOL.FRAGMENT ||
  nextHeader === PROTOCOL.AH ||
  nextHeader === PROTOCOL.DESTINATION_OPTIONS;

/**
 * Walks the extension headers of the packet whose payload has `length` bytes at `at`, right behind its IPv6 header, and
 * begins with `nextHeader`. Gives 0 with the upper protocol in `found`, or one of `BAD`.
 *
 * It ends before a fragment (`found.protocol` is `PROTOCOL.FRAGMENT`), since what follows is no header until the packet
 * is reassembled, but passes an atomic one. Authentication is passed and not verified.
 */
export const walk = (view: DataView, at: number, length: number, nextHeader: number, found: Walk): number => {
  const start = at;
  const end = at + length;
  let namedAt = at - IPV6_HEADER_BYTES + IPV6_NEXT_HEADER;
  let result = 0;
  found.fragmentAt = -1;
  found.routerAlertAt = -1;
  found.problemAt = -1;
  found.action = ACTION.SKIP;
  for (let headers = 0; isExtension(nextHeader); headers++) {
    const bytes = headerBytes(view, at, end - at, nextHeader);
    if (bytes < 0) result = bytes;
    else if (headers === MAX_HEADERS) result = BAD.limit;
    else if (nextHeader === PROTOCOL.HOP_BY_HOP && at !== start) result = BAD.order;
    else result = judge(view, at, bytes, nextHeader, found);
    if (result < 0 || (nextHeader === PROTOCOL.FRAGMENT && isFragment(view, at))) break;
    nextHeader = view.getUint8(at + NEXT_HEADER);
    namedAt = at + NEXT_HEADER;
    at += bytes;
  }
  if (result === BAD.short || result === BAD.limit) found.problemAt = at;
  else if (result === BAD.order) found.problemAt = namedAt;
  found.protocol = nextHeader;
  found.at = at;
  found.length = end - at;
  found.namedAt = namedAt;
  return result;
};

/** Bytes of the extension header at `at`, or `BAD.short`. */
export const headerBytes = (view: DataView, at: number, length: number, kind: number): number => {
  if (length < UNIT_BYTES) return BAD.short;
  let bytes = FRAGMENT_BYTES;
  if (kind === PROTOCOL.AH) bytes = (view.getUint8(at + AH_WORDS) + AH_UNCOUNTED_WORDS) * AH_WORD_BYTES;
  else if (kind !== PROTOCOL.FRAGMENT) bytes = (view.getUint8(at + UNITS) + 1) * UNIT_BYTES;
  return bytes > length || (kind === PROTOCOL.AH && bytes < ICV) ? BAD.short : bytes;
};

/** Looks into one header of `bytes` bytes: 0, or one of `BAD`. */
const judge = (view: DataView, at: number, bytes: number, kind: number, found: Walk): number => {
  if (kind === PROTOCOL.HOP_BY_HOP || kind === PROTOCOL.DESTINATION_OPTIONS)
    return judgeOptions(view, at + OPTIONS, at + bytes, kind, found);
  if (kind === PROTOCOL.FRAGMENT) found.fragmentAt = at;
  else if (kind === PROTOCOL.ROUTING && view.getUint8(at + SEGMENTS_LEFT) !== 0) {
    // No routing type is known: type 0 must not be (RFC 5095), the others are for routers that were told of them.
    found.problemAt = at + ROUTING_TYPE;
    return BAD.routing;
  }
  return 0;
};

const judgeOptions = (view: DataView, at: number, end: number, kind: number, found: Walk): number => {
  for (let count = 0; at < end; count++) {
    const type = view.getUint8(at + OPTION_TYPE);
    const bytes = optionBytes(view, at, end);
    found.problemAt = at;
    if (bytes < 0) return BAD.malformed;
    if (count === MAX_OPTIONS) return BAD.limit;
    if (type === OPTION.ROUTER_ALERT && kind === PROTOCOL.HOP_BY_HOP) found.routerAlertAt = at;
    else if (type !== OPTION.PAD1 && type !== OPTION.PADN && actionOf(type) !== ACTION.SKIP) {
      found.action = actionOf(type);
      return BAD.option;
    }
    at += bytes;
  }
  found.problemAt = -1;
  return 0;
};

/** Bytes of the option at `at`, or `BAD.short` where it goes beyond `end`. */
export const optionBytes = (view: DataView, at: number, end: number): number => {
  if (at >= end) return BAD.short;
  if (view.getUint8(at + OPTION_TYPE) === OPTION.PAD1) return 1;
  if (at + OPTION_DATA > end) return BAD.short;
  const bytes = OPTION_DATA + view.getUint8(at + OPTION_LENGTH);
  return at + bytes > end ? BAD.short : bytes;
};

/** What an option of this type wants where it is unknown: one of `ACTION`. */
export const actionOf = (optionType: number): number => optionType >>> ACTION_SHIFT;

/** Where in the original payload the fragment's bytes belong. */
export const fragmentOffset = (view: DataView, at: number): number =>
  view.getUint16(at + FRAGMENT_OFFSET) & OFFSET_MASK;
export const moreFragments = (view: DataView, at: number): boolean =>
  (view.getUint16(at + FRAGMENT_OFFSET) & MORE) !== 0;
/** As int32. */
export const identification = (view: DataView, at: number): number => view.getInt32(at + IDENTIFICATION);
/** False for an atomic fragment, which is a whole packet (RFC 6946). */
export const isFragment = (view: DataView, at: number): boolean =>
  (view.getUint16(at + FRAGMENT_OFFSET) & (OFFSET_MASK | MORE)) !== 0;

/** Writes a fragment header whole: `offset` in bytes, a multiple of 8; `id` is any int32. */
export const writeFragment = (
  view: DataView,
  at: number,
  nextHeader: number,
  offset: number,
  more: boolean,
  id: number,
): void => {
  view.setUint8(at + NEXT_HEADER, nextHeader);
  view.setUint8(at + FRAGMENT_RESERVED, 0);
  view.setUint16(at + FRAGMENT_OFFSET, (offset & OFFSET_MASK) | (more ? MORE : 0));
  view.setInt32(at + IDENTIFICATION, id);
};

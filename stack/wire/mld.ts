/**
 * Multicast Listener Discovery, the membership of IPv6 groups: versions 1 (RFC 2710) and 2 (RFC 3810), as messages of
 * ICMPv6, in place and as records. Checksum and its check are icmpv6.ts's.
 */
import { IPV6_BYTES, IpAddress } from "./address.ts";
import { pseudoOf } from "./checksum.ts";
import { MAX_UINT16, need, requireInteger } from "./fields.ts";
import * as codes from "./group-codes.ts";
import * as records from "./group-records.ts";
import { CODE_AT, REST, setChecksum, TYPE, type as typeAt, TYPE_AT } from "./icmpv6-message.ts";
import { PROTOCOL } from "./protocol.ts";

export { type GroupRecord, RECORD } from "./group-records.ts";

export const MAX_RESPONSE = REST;
export const RESERVED = MAX_RESPONSE + 2;
export const GROUP = RESERVED + 2;
/** Everything but a query or report of version 2. */
export const HEADER_BYTES = GROUP + IPV6_BYTES;
/** Query of version 2. */
export const DETAILS = HEADER_BYTES;
export const SOURCE_COUNT = DETAILS + codes.SOURCE_COUNT;
export const SOURCES = DETAILS + codes.DETAILS_BYTES;
/** Report of version 2. */
export const REPORT_RESERVED = REST;
export const RECORD_COUNT = REPORT_RESERVED + 2;
export const RECORDS = RECORD_COUNT + 2;

const FAMILY = 6;

/** What `check` finds wrong. */
export const BAD = {
  short: -1,
  /** A query of 25 to 27 bytes, which no version has (RFC 3810 section 8.1), or sources or records beyond the end. */
  length: -2,
  /** A message of another kind. */
  type: -3,
} as const;

/** True for the types of ICMPv6 that are listeners' and queriers'. */
export const isType = (type: number): boolean =>
  type === TYPE.LISTENER_QUERY ||
  type === TYPE.LISTENER_REPORT ||
  type === TYPE.LISTENER_DONE ||
  type === TYPE.LISTENER_REPORT_2;

/** Judges the message of `length` bytes at `at`, whose checksum icmpv6.ts judges: 0, or one of `BAD`. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < RECORDS) return BAD.short;
  const type = typeAt(view, at);
  if (!isType(type)) return BAD.type;
  if (type === TYPE.LISTENER_REPORT_2)
    return records.fits(view, at + RECORDS, at + length, recordCount(view, at), FAMILY) ? 0 : BAD.length;
  if (length < HEADER_BYTES) return BAD.short;
  if (type !== TYPE.LISTENER_QUERY || length === HEADER_BYTES) return 0;
  return length < SOURCES || SOURCES + sourceCount(view, at) * IPV6_BYTES > length ? BAD.length : 0;
};

/** Word `index` (0-3) of the group as int32. */
export const groupWord = (view: DataView, at: number, index: number): number =>
  view.getInt32(at + GROUP + (index << 2));
/** The version of a query: by its length (RFC 3810 section 8.1). */
export const queryVersion = (length: number): 1 | 2 => (length >= SOURCES ? 2 : 1);
/** Sources of a query of version 2. */
export const sourceCount = (view: DataView, at: number): number => view.getUint16(at + SOURCE_COUNT);
/** Group records of a report of version 2. */
export const recordCount = (view: DataView, at: number): number => view.getUint16(at + RECORD_COUNT);

export interface Query extends codes.QueryDetails {
  readonly kind: "query";
  /** Of version 1 the details are `NO_DETAILS` and there are no sources. */
  readonly version: 1 | 2;
  /** :: in a general query. */
  readonly group: IpAddress;
  /** ms that a code exists for; in version 1 any up to 65535. */
  readonly maxResponseMs: number;
  readonly sources: readonly IpAddress[];
}

/** A report of version 1, or its end. */
export interface Report {
  readonly kind: "report" | "done";
  readonly group: IpAddress;
}

/** A report of version 2. */
export interface SourceReport {
  readonly kind: "source-report";
  readonly records: readonly records.GroupRecord[];
}

export type MldRecord = Query | Report | SourceReport;

const TYPE_OF = {
  query: TYPE.LISTENER_QUERY,
  report: TYPE.LISTENER_REPORT,
  done: TYPE.LISTENER_DONE,
  "source-report": TYPE.LISTENER_REPORT_2,
} as const;

/** Bytes that `emit` writes. */
export const lengthOf = (record: MldRecord): number => {
  if (record.kind === "source-report") return RECORDS + records.recordsLength(record.records, FAMILY);
  if (record.kind === "query" && record.version === 2) return SOURCES + record.sources.length * IPV6_BYTES;
  return HEADER_BYTES;
};

/** The message of `length` bytes at `at`; undefined where `check` finds fault, or an address is IPv4-mapped. */
export const parse = (view: DataView, at: number, length: number): MldRecord | undefined => {
  if (check(view, at, length) < 0) return undefined;
  const type = typeAt(view, at);
  if (type === TYPE.LISTENER_REPORT_2) {
    const found = records.parseRecords(view, at + RECORDS, recordCount(view, at), FAMILY);
    const good = found.every(({ group, sources }) => records.areFamily([group, ...sources], FAMILY));
    return good ? { kind: "source-report", records: found } : undefined;
  }
  const group = IpAddress.read6(view, at + GROUP);
  if (group.family !== FAMILY) return undefined;
  if (type === TYPE.LISTENER_QUERY) return parseQuery(view, at, length, group);
  return { kind: type === TYPE.LISTENER_DONE ? "done" : "report", group };
};

const parseQuery = (view: DataView, at: number, length: number, group: IpAddress): Query | undefined => {
  const version = queryVersion(length);
  const latest = version === 2;
  const code = view.getUint16(at + MAX_RESPONSE);
  const sources = latest ? records.readAddresses(view, at + SOURCES, sourceCount(view, at), FAMILY) : [];
  if (!records.areFamily(sources, FAMILY)) return undefined;
  return {
    kind: "query",
    version,
    group,
    maxResponseMs: latest ? codes.decodeHalf(code) : code,
    ...(latest ? codes.readDetails(view, at + DETAILS) : codes.NO_DETAILS),
    sources,
  };
};

/**
 * Writes the message and its checksum, which is over the addresses too, at `at`; gives its bytes. RangeError where the
 * record is out of range.
 */
export const emit = (
  record: MldRecord,
  view: DataView,
  at: number,
  source: IpAddress,
  destination: IpAddress,
): number => {
  const length = lengthOf(record);
  view.setUint8(at + TYPE_AT, TYPE_OF[record.kind]);
  view.setUint8(at + CODE_AT, 0);
  view.setUint32(at + REST, 0);
  if (record.kind === "source-report") {
    view.setUint16(at + RECORD_COUNT, record.records.length);
    records.emitRecords(record.records, view, at + RECORDS, FAMILY);
  } else {
    records.writeAddress("group", record.group, view, at + GROUP, FAMILY);
    if (record.kind === "query") emitQuery(record, view, at);
  }
  setChecksum(view, at, length, pseudoOf(source, destination, PROTOCOL.ICMPV6, length));
  return length;
};

const emitQuery = (query: Query, view: DataView, at: number): void => {
  const { version, maxResponseMs, sources } = query;
  if (version === 1) {
    requireInteger("maxResponseMs", maxResponseMs, MAX_UINT16);
    codes.refuseDetails(query, sources.length);
    view.setUint16(at + MAX_RESPONSE, maxResponseMs);
    return;
  }
  const code = codes.encodeHalf(maxResponseMs);
  need(codes.decodeHalf(code) === maxResponseMs, "maxResponseMs", "have a code (RFC 3810 section 5.1.3)");
  view.setUint16(at + MAX_RESPONSE, code);
  codes.writeDetails(query, sources.length, view, at + DETAILS);
  records.writeAddresses(sources, view, at + SOURCES, FAMILY);
};

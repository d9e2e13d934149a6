/**
 * IGMP, the membership of IPv4 groups: versions 1 (RFC 1112), 2 (RFC 2236) and 3 (RFC 3376), in place and as records.
 */
import { IPV4_BYTES, IpAddress } from "./address.ts";
import { checksum as computeChecksum } from "./checksum.ts";
import { MAX_UINT8, need, requireInteger } from "./fields.ts";
import * as codes from "./group-codes.ts";
import * as records from "./group-records.ts";

export { type GroupRecord, RECORD } from "./group-records.ts";

export const TYPE_AT = 0;
export const MAX_RESPONSE = TYPE_AT + 1;
export const CHECKSUM = MAX_RESPONSE + 1;
export const GROUP = CHECKSUM + 2;
/** Everything but a query or report of version 3. */
export const HEADER_BYTES = GROUP + IPV4_BYTES;
/** Query of version 3. */
export const DETAILS = HEADER_BYTES;
export const SOURCE_COUNT = DETAILS + codes.SOURCE_COUNT;
export const SOURCES = DETAILS + codes.DETAILS_BYTES;
/** Report of version 3. */
export const REPORT_RESERVED = CHECKSUM + 2;
export const RECORD_COUNT = REPORT_RESERVED + 2;
export const RECORDS = RECORD_COUNT + 2;

/** A maximum response time counts tenths of a second. */
const TENTH_MS = 100;
const FAMILY = 4;

export const TYPE = { QUERY: 0x11, REPORT_1: 0x12, REPORT_2: 0x16, LEAVE: 0x17, REPORT_3: 0x22 } as const;

/** A query of version 1 says no time: 10 s (RFC 2236 section 4). */
export const VERSION_1_RESPONSE_MS = 10_000;

/** What `check` finds wrong. */
export const BAD = {
  short: -1,
  checksum: -2,
  /** A query of 9 to 11 bytes, which no version has (RFC 3376 section 7.1), or sources or records beyond the end. */
  length: -3,
} as const;

/** Judges the message of `length` bytes at `at`, checksum included: 0, or one of `BAD`. Unknown types are good. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  if (computeChecksum(view, at, length) !== 0) return BAD.checksum;
  return checkShape(view, at, length);
};

const checkShape = (view: DataView, at: number, length: number): number => {
  const kind = type(view, at);
  if (kind === TYPE.QUERY && length > HEADER_BYTES)
    return length < SOURCES || SOURCES + sourceCount(view, at) * IPV4_BYTES > length ? BAD.length : 0;
  if (kind !== TYPE.REPORT_3) return 0;
  return records.fits(view, at + RECORDS, at + length, recordCount(view, at), FAMILY) ? 0 : BAD.length;
};

export const type = (view: DataView, at: number): number => view.getUint8(at + TYPE_AT);
export const checksum = (view: DataView, at: number): number => view.getUint16(at + CHECKSUM);
/** The group as int32; 0 in a general query. */
export const groupWord = (view: DataView, at: number): number => view.getInt32(at + GROUP);
/** The version of a query: by its length and response time (RFC 3376 section 7.1). */
export const queryVersion = (view: DataView, at: number, length: number): 1 | 2 | 3 => {
  if (length >= SOURCES) return 3;
  return view.getUint8(at + MAX_RESPONSE) === 0 ? 1 : 2;
};
/** Sources of a query of version 3. */
export const sourceCount = (view: DataView, at: number): number => view.getUint16(at + SOURCE_COUNT);
/** Group records of a report of version 3. */
export const recordCount = (view: DataView, at: number): number => view.getUint16(at + RECORD_COUNT);

/** Computes the checksum of the message of `length` bytes and writes it. */
export const setChecksum = (view: DataView, at: number, length: number): void => {
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + CHECKSUM, computeChecksum(view, at, length));
};

export interface Query extends codes.QueryDetails {
  readonly kind: "query";
  /** Below 3 the details are `NO_DETAILS` and there are no sources. */
  readonly version: 1 | 2 | 3;
  /** 0.0.0.0 in a general query. */
  readonly group: IpAddress;
  /** Tenths of a second that a code exists for; in version 1 `VERSION_1_RESPONSE_MS`. */
  readonly maxResponseMs: number;
  readonly sources: readonly IpAddress[];
}

/** A report of version 1 or 2. */
export interface Report {
  readonly kind: "report";
  readonly version: 1 | 2;
  readonly group: IpAddress;
}

export interface Leave {
  readonly kind: "leave";
  readonly group: IpAddress;
}

/** A report of version 3. */
export interface SourceReport {
  readonly kind: "source-report";
  readonly records: readonly records.GroupRecord[];
}

export type IgmpRecord = Query | Report | Leave | SourceReport;

/** Bytes that `emit` writes. */
export const lengthOf = (record: IgmpRecord): number => {
  if (record.kind === "source-report") return RECORDS + records.recordsLength(record.records, FAMILY);
  if (record.kind === "query" && record.version === 3) return SOURCES + record.sources.length * IPV4_BYTES;
  return HEADER_BYTES;
};

/** The message of `length` bytes at `at`, whose checksum only `check` judges; undefined where malformed or unknown. */
export const parse = (view: DataView, at: number, length: number): IgmpRecord | undefined => {
  if (length < HEADER_BYTES || checkShape(view, at, length) < 0) return undefined;
  const kind = type(view, at);
  if (kind === TYPE.QUERY) return parseQuery(view, at, length);
  if (kind === TYPE.REPORT_3) {
    const found = records.parseRecords(view, at + RECORDS, recordCount(view, at), FAMILY);
    return { kind: "source-report", records: found };
  }
  const group = IpAddress.read4(view, at + GROUP);
  if (kind === TYPE.REPORT_1) return { kind: "report", version: 1, group };
  if (kind === TYPE.REPORT_2) return { kind: "report", version: 2, group };
  return kind === TYPE.LEAVE ? { kind: "leave", group } : undefined;
};

const parseQuery = (view: DataView, at: number, length: number): Query => {
  const version = queryVersion(view, at, length);
  const latest = version === 3;
  const code = view.getUint8(at + MAX_RESPONSE);
  const tenths = latest ? codes.decodeByte(code) : code;
  return {
    kind: "query",
    version,
    group: IpAddress.read4(view, at + GROUP),
    maxResponseMs: version === 1 ? VERSION_1_RESPONSE_MS : tenths * TENTH_MS,
    ...(latest ? codes.readDetails(view, at + DETAILS) : codes.NO_DETAILS),
    sources: latest ? records.readAddresses(view, at + SOURCES, sourceCount(view, at), FAMILY) : [],
  };
};

/** Writes the message and its checksum at `at`; gives its bytes. RangeError where the record is out of range. */
export const emit = (record: IgmpRecord, view: DataView, at: number): number => {
  const length = lengthOf(record);
  view.setUint8(at + TYPE_AT, typeOf(record));
  view.setUint8(at + MAX_RESPONSE, 0);
  if (record.kind === "source-report") {
    view.setUint16(at + REPORT_RESERVED, 0);
    view.setUint16(at + RECORD_COUNT, record.records.length);
    records.emitRecords(record.records, view, at + RECORDS, FAMILY);
  } else {
    records.writeAddress("group", record.group, view, at + GROUP, FAMILY);
    if (record.kind === "query") emitQuery(record, view, at);
  }
  setChecksum(view, at, length);
  return length;
};

const typeOf = (record: IgmpRecord): number => {
  if (record.kind === "query") return TYPE.QUERY;
  if (record.kind === "leave") return TYPE.LEAVE;
  if (record.kind === "source-report") return TYPE.REPORT_3;
  return record.version === 1 ? TYPE.REPORT_1 : TYPE.REPORT_2;
};

const emitQuery = (query: Query, view: DataView, at: number): void => {
  view.setUint8(at + MAX_RESPONSE, responseCode(query));
  if (query.version !== 3) {
    codes.refuseDetails(query, query.sources.length);
    return;
  }
  codes.writeDetails(query, query.sources.length, view, at + DETAILS);
  records.writeAddresses(query.sources, view, at + SOURCES, FAMILY);
};

const responseCode = ({ version, maxResponseMs }: Query): number => {
  const tenths = maxResponseMs / TENTH_MS;
  if (version === 1) {
    need(maxResponseMs === VERSION_1_RESPONSE_MS, "maxResponseMs", `be ${VERSION_1_RESPONSE_MS}`);
    return 0;
  }
  if (version === 2) {
    requireInteger("tenths of maxResponseMs", tenths, MAX_UINT8, 1);
    return tenths;
  }
  const code = codes.encodeByte(tenths);
  need(codes.decodeByte(code) === tenths, "maxResponseMs", "have a code (RFC 3376 section 4.1.1)");
  return code;
};

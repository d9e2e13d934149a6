/**
 * Group records as reports of IGMPv3 and MLDv2 carry them (RFC 3376 section 4.2, RFC 3810 section 5.2), which differ in
 * the length of addresses alone.
 */
import { type Family, IPV4_BYTES, IPV6_BYTES, IpAddress } from "./address.ts";
import { MAX_UINT16, MAX_UINT8, need, readBytes, requireInteger, writeBytes } from "./fields.ts";

/** Types of group records (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12). */
export const RECORD = {
  MODE_IS_INCLUDE: 1,
  MODE_IS_EXCLUDE: 2,
  CHANGE_TO_INCLUDE: 3,
  CHANGE_TO_EXCLUDE: 4,
  ALLOW_NEW_SOURCES: 5,
  BLOCK_OLD_SOURCES: 6,
} as const;

/** Offsets within a record. */
export const RECORD_TYPE = 0;
export const AUXILIARY_WORDS = RECORD_TYPE + 1;
export const RECORD_SOURCE_COUNT = AUXILIARY_WORDS + 1;
export const RECORD_GROUP = RECORD_SOURCE_COUNT + 2;

const WORD = 4;

export interface GroupRecord {
  /** One of `RECORD`, or a type of later days, which is to be ignored (RFC 3376 section 4.2.12). */
  readonly type: number;
  readonly group: IpAddress;
  readonly sources: readonly IpAddress[];
  /** Whole words; none are defined. */
  readonly auxiliary: Uint8Array;
}

export const addressBytes = (family: Family): number => (family === 4 ? IPV4_BYTES : IPV6_BYTES);

/** Where in a record its sources begin. */
export const recordSources = (family: Family): number => RECORD_GROUP + addressBytes(family);

/** Bytes of the record at `at`, whose head is there. */
export const recordBytes = (view: DataView, at: number, family: Family): number =>
  recordSources(family) +
  view.getUint16(at + RECORD_SOURCE_COUNT) * addressBytes(family) +
  view.getUint8(at + AUXILIARY_WORDS) * WORD;

/** True where all of `count` records from `at` on end before `end`. */
export const fits = (view: DataView, at: number, end: number, count: number, family: Family): boolean => {
  for (; count > 0; count--) {
    if (at + recordSources(family) > end) return false;
    at += recordBytes(view, at, family);
    if (at > end) return false;
  }
  return true;
};

/** Bytes of one record. */
export const recordLength = ({ sources, auxiliary }: GroupRecord, family: Family): number =>
  recordSources(family) + sources.length * addressBytes(family) + auxiliary.length;

/** Bytes of all records. */
export const recordsLength = (records: readonly GroupRecord[], family: Family): number =>
  records.reduce((bytes, record) => bytes + recordLength(record, family), 0);

/** `count` records that `fits` found whole. */
export const parseRecords = (view: DataView, at: number, count: number, family: Family): GroupRecord[] =>
  Array.from({ length: count }, () => {
    const start = at;
    const sources = view.getUint16(start + RECORD_SOURCE_COUNT);
    const sourcesAt = start + recordSources(family);
    const auxiliaryAt = sourcesAt + sources * addressBytes(family);
    at += recordBytes(view, start, family);
    return {
      type: view.getUint8(start + RECORD_TYPE),
      group: readAddress(view, start + RECORD_GROUP, family),
      sources: readAddresses(view, sourcesAt, sources, family),
      auxiliary: readBytes(view, auxiliaryAt, at - auxiliaryAt),
    };
  });

/** Writes the records at `at`. RangeError where one is out of range. */
export const emitRecords = (
  records: readonly GroupRecord[],
  view: DataView,
  at: number,
  family: Family,
): void => {
  requireInteger("records.length", records.length, MAX_UINT16);
  for (const record of records) {
    const { type, group, sources, auxiliary } = record;
    requireInteger("record type", type, MAX_UINT8);
    requireInteger("sources.length", sources.length, MAX_UINT16);
    requireInteger("words of auxiliary", auxiliary.length / WORD, MAX_UINT8);
    view.setUint8(at + RECORD_TYPE, type);
    view.setUint8(at + AUXILIARY_WORDS, auxiliary.length / WORD);
    view.setUint16(at + RECORD_SOURCE_COUNT, sources.length);
    writeAddress("group", group, view, at + RECORD_GROUP, family);
    writeAddresses(sources, view, at + recordSources(family), family);
    at += recordLength(record, family);
    writeBytes(view, at - auxiliary.length, auxiliary);
  }
};

export const readAddress = (view: DataView, at: number, family: Family): IpAddress =>
  family === 4 ? IpAddress.read4(view, at) : IpAddress.read6(view, at);

export const readAddresses = (view: DataView, at: number, count: number, family: Family): IpAddress[] =>
  Array.from({ length: count }, (_, i) => readAddress(view, at + i * addressBytes(family), family));

/** RangeError where the address is of the other family. */
export const writeAddress = (
  name: string,
  address: IpAddress,
  view: DataView,
  at: number,
  family: Family,
): void => {
  need(address.family === family, name, `be an IPv${family} address`);
  address.write(view, at);
};

export const writeAddresses = (
  sources: readonly IpAddress[],
  view: DataView,
  at: number,
  family: Family,
): void =>
  sources.forEach((source, i) => writeAddress("source", source, view, at + i * addressBytes(family), family));

/** True where none of the addresses of the records is IPv4-mapped, which never is on the wire. */
export const areFamily = (addresses: readonly IpAddress[], family: Family): boolean =>
  addresses.every((address) => address.family === family);

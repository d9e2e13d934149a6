/**
 * The data of records: from the words of a zone file to bytes, and where names stand in the bytes (RFC 1035 section 3.3, RFC 3597).
 */
import { IpAddress } from "millrace/wire";
import { MAX_LABEL_BYTES, MAX_NAME_BYTES } from "./message.ts";
import { octets, parseName, ZoneError } from "./names.ts";
import type { Word } from "./zone-lexer.ts";

/** The data of one record. */
export interface Rdata {
  readonly bytes: Uint8Array;
  /** Offsets of names that may be compressed: those of types as old as compression itself (RFC 3597 section 4). */
  readonly compressible: readonly number[];
  /** Offset of the name that the record leads to (of NS, CNAME, MX, SRV), else -1. */
  readonly targetAt: number;
}

type Field =
  | "name"
  | "u8"
  | "u16"
  | "u32"
  | "ttl"
  | "ipv4"
  | "ipv6"
  | "text"
  /** One or more of them, to the end. */
  | "texts"
  /** A text without its length, to the end (RFC 8659 section 4.1). */
  | "octets"
  /** Hexadecimal, to the end. */
  | "hex";

interface Type {
  readonly code: number;
  readonly fields: readonly Field[];
  readonly compress?: true;
  readonly leads?: true;
}

const TYPES: Readonly<Record<string, Type>> = {
  A: { code: 1, fields: ["ipv4"] },
  NS: { code: 2, fields: ["name"], compress: true, leads: true },
  CNAME: { code: 5, fields: ["name"], compress: true, leads: true },
  SOA: { code: 6, fields: ["name", "name", "u32", "ttl", "ttl", "ttl", "ttl"], compress: true },
  PTR: { code: 12, fields: ["name"], compress: true },
  HINFO: { code: 13, fields: ["text", "text"] },
  MX: { code: 15, fields: ["u16", "name"], compress: true, leads: true },
  TXT: { code: 16, fields: ["texts"] },
  AAAA: { code: 28, fields: ["ipv6"] },
  SRV: { code: 33, fields: ["u16", "u16", "u16", "name"], leads: true },
  NAPTR: { code: 35, fields: ["u16", "u16", "text", "text", "text", "name"] },
  DNAME: { code: 39, fields: ["name"] },
  DS: { code: 43, fields: ["u16", "u8", "u8", "hex"] },
  SSHFP: { code: 44, fields: ["u8", "u8", "hex"] },
  TLSA: { code: 52, fields: ["u8", "u8", "u8", "hex"] },
  CAA: { code: 257, fields: ["u8", "text", "octets"] },
};
const BY_CODE = new Map(Object.values(TYPES).map((type) => [type.code, type]));

const MAX_RDATA_BYTES = 0xffff;
const MAX_TEXT_BYTES = 255;
const MAX_TYPE = 0xffff;
/** RFC 2181 section 8. */
export const MAX_TTL = 2 ** 31 - 1;
const IPV4_BYTES = 4;
const IPV6_BYTES = 16;
const OCTET_MASK = 0xff;
const BITS = { u8: 8, u16: 16, u32: 32, ttl: 32 } as const;
const BITS_PER_BYTE = 8;
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** A type's number by its name, or by TYPEnnn (RFC 3597 section 5); undefined for what is neither. */
export const typeCode = (text: string): number | undefined => {
  const known = TYPES[text.toUpperCase()]?.code;
  if (known !== undefined) return known;
  const number = /^TYPE(\d{1,5})$/i.exec(text)?.[1];
  return number === undefined || Number(number) > MAX_TYPE ? undefined : Number(number);
};

/** Seconds, or "1h30m" as many files have it; undefined for anything else. */
export const parseTtl = (text: string): number | undefined => {
  if (/^\d+$/.test(text)) return Number(text) <= MAX_TTL ? Number(text) : undefined;
  if (!/^(?:\d+[smhdw])+$/i.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+)([a-z])/gi)];
  const seconds = parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNIT_SECONDS[unit!.toLowerCase()]!, 0);
  return seconds <= MAX_TTL ? seconds : undefined;
};

/** The data of a record of `type` from its words. Throws a ZoneError that says which word makes no sense. */
export const parseRdata = (type: number, words: readonly Word[], origin: Uint8Array | undefined): Rdata => {
  const [first, ...rest] = words;
  if (first?.text === "\\#" && !first.quoted) return generic(type, rest);
  const known = BY_CODE.get(type);
  if (known === undefined) throw new ZoneError(`data of type ${type} is written as \\# LENGTH HEX`);
  const left = [...words];
  const bytes = known.fields.flatMap((field) => encode(field, left, origin));
  if (left.length > 0) throw new ZoneError(`${JSON.stringify(left[0]!.text)} is one word too many`);
  return withNames(type, bytes);
};

/** RFC 3597 section 5: any type by its length and bytes. */
const generic = (type: number, words: readonly Word[]): Rdata => {
  const [length, ...hex] = words;
  const bytes = hexBytes(hex.map(({ text }) => text).join(""));
  if (!/^\d+$/.test(length?.text ?? "") || Number(length?.text) !== bytes.length)
    throw new ZoneError(`\\# ${length?.text ?? ""} is followed by ${bytes.length} bytes`);
  return withNames(type, bytes);
};

/** Takes the words of one field and returns its bytes. */
const encode = (field: Field, left: Word[], origin: Uint8Array | undefined): readonly number[] => {
  if (field === "hex")
    return hexBytes(
      left
        .splice(0)
        .map(({ text }) => text)
        .join(""),
    );
  const word = left.shift();
  if (word === undefined) throw new ZoneError("there are words missing at the end");
  const { text } = word;
  switch (field) {
    case "name":
      return [...parseName(text, origin)];
    case "ipv4":
    case "ipv6":
      return addressBytes(field, text);
    case "text":
      return textBytes(text);
    case "texts":
      return [word, ...left.splice(0)].flatMap((each) => textBytes(each.text));
    case "octets":
      return octets(text).map(({ code }) => code);
    default:
      return numberBytes(field, text);
  }
};

const numberBytes = (field: "u8" | "u16" | "u32" | "ttl", text: string): number[] => {
  const bits = BITS[field];
  const value = field === "ttl" ? (parseTtl(text) ?? NaN) : /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value < 2 ** bits)) throw new ZoneError(`${JSON.stringify(text)} is no number below 2^${bits}`);
  return Array.from(
    { length: bits / BITS_PER_BYTE },
    (_, i) => (value >>> (bits - BITS_PER_BYTE * (i + 1))) & OCTET_MASK,
  );
};

const addressBytes = (field: "ipv4" | "ipv6", text: string): number[] => {
  const bytes = IpAddress.tryParse(text)?.toBytes() ?? new Uint8Array(0);
  // ::ffff:192.0.2.1 is an IPv4 address to a host, and sixteen bytes in a zone.
  if (field === "ipv6" && bytes.length === IPV4_BYTES && text.includes(":"))
    return [...MAPPED_PREFIX, ...bytes];
  if (bytes.length !== (field === "ipv4" ? IPV4_BYTES : IPV6_BYTES))
    throw new ZoneError(`${JSON.stringify(text)} is no ${field === "ipv4" ? "IPv4" : "IPv6"} address`);
  return [...bytes];
};

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, OCTET_MASK, OCTET_MASK];

const textBytes = (text: string): number[] => {
  const bytes = octets(text).map(({ code }) => code);
  if (bytes.length > MAX_TEXT_BYTES) throw new ZoneError(`a text is longer than ${MAX_TEXT_BYTES} bytes`);
  return [bytes.length, ...bytes];
};

const hexBytes = (hex: string): number[] => {
  if (!/^(?:[0-9a-f]{2})*$/i.test(hex)) throw new ZoneError(`${JSON.stringify(hex)} is not hexadecimal`);
  return [...Buffer.from(hex, "hex")];
};

/** Finds the names in the bytes, and on the way out whether the bytes are what the type says. */
const withNames = (type: number, list: readonly number[]): Rdata => {
  const bytes = Uint8Array.from(list);
  if (bytes.length > MAX_RDATA_BYTES) throw new ZoneError(`data is longer than ${MAX_RDATA_BYTES} bytes`);
  const known = BY_CODE.get(type);
  if (known === undefined) return { bytes, compressible: [], targetAt: -1 };
  const names: number[] = [];
  let at = 0;
  for (const field of known.fields) {
    if (field === "name") names.push(at);
    at = endOf(field, bytes, at);
  }
  if (at !== bytes.length) throw new ZoneError(`data of type ${type} has ${bytes.length} bytes, not ${at}`);
  return {
    bytes,
    compressible: known.compress === true ? names : [],
    targetAt: known.leads === true ? names[0]! : -1,
  };
};

/** Where the field that begins at `at` ends; beyond the bytes where it is cut off. */
const endOf = (field: Field, bytes: Uint8Array, at: number): number => {
  switch (field) {
    case "name":
      return endOfName(bytes, at);
    case "ipv4":
      return at + IPV4_BYTES;
    case "ipv6":
      return at + IPV6_BYTES;
    case "text":
      return at + 1 + (bytes[at] ?? 0);
    case "texts": {
      let end = at + 1 + (bytes[at] ?? 0);
      while (end < bytes.length) end += 1 + bytes[end]!;
      return end;
    }
    case "octets":
    case "hex":
      return bytes.length;
    default:
      return at + BITS[field] / BITS_PER_BYTE;
  }
};

const endOfName = (bytes: Uint8Array, start: number): number => {
  let at = start;
  while ((bytes[at] ?? 0) !== 0 && bytes[at]! <= MAX_LABEL_BYTES) at += 1 + bytes[at]!;
  if (bytes[at] !== 0 || at + 1 - start > MAX_NAME_BYTES) throw new ZoneError("a name in the data is none");
  return at + 1;
};

/** The name at `at` in the data. */
export const nameIn = ({ bytes }: Rdata, at: number): Uint8Array => bytes.subarray(at, endOfName(bytes, at));

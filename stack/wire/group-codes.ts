/**
 * What queries of IGMPv3 and MLDv2 share: flags, and times as small floating point codes (RFC 3376 sections 4.1.1 and
 * 4.1.7, RFC 3810 sections 5.1.3 and 5.1.9).
 */
import { MAX_UINT16, need, requireInteger } from "./fields.ts";

/** The byte of the S flag and the querier's robustness variable. */
const SUPPRESS = 0x08;
const ROBUSTNESS_MASK = 0x07;

interface CodeShape {
  /** Codes below this are the number itself. */
  readonly linear: number;
  readonly mantissaBits: number;
}

/** 1, three bits of exponent, four of mantissa. */
const BYTE_CODE: CodeShape = { linear: 0x80, mantissaBits: 4 };
/** 1, three bits of exponent, twelve of mantissa. */
const HALF_CODE: CodeShape = { linear: 0x8000, mantissaBits: 12 };
/** The exponent counts from 3. */
const EXPONENT_BIAS = 3;
const MAX_EXPONENT = 7;

const decode = (code: number, { linear, mantissaBits }: CodeShape): number => {
  if (code < linear) return code;
  const leading = 1 << mantissaBits;
  const exponent = (code >>> mantissaBits) & MAX_EXPONENT;
  return ((code & (leading - 1)) | leading) << (exponent + EXPONENT_BIAS);
};

/** The code of the largest number that has one and is not above `value`. */
const encode = (value: number, { linear, mantissaBits }: CodeShape): number => {
  if (value < linear) return Math.max(0, Math.floor(value));
  const leading = 1 << mantissaBits;
  for (let exponent = 0; exponent <= MAX_EXPONENT; exponent++) {
    const mantissa = Math.floor(value / 2 ** (exponent + EXPONENT_BIAS));
    if (mantissa < 2 * leading) return linear | (exponent << mantissaBits) | (mantissa - leading);
  }
  return 2 * linear - 1;
};

/** The number that a byte stands for: tenths of a second in IGMPv3's Max Resp Code, seconds in QQIC. */
export const decodeByte = (code: number): number => decode(code, BYTE_CODE);
export const encodeByte = (value: number): number => encode(value, BYTE_CODE);
/** The number that 16 bits stand for: ms in MLDv2's Maximum Response Code. */
export const decodeHalf = (code: number): number => decode(code, HALF_CODE);
export const encodeHalf = (value: number): number => encode(value, HALF_CODE);

/** What a query of the latest version says beyond older ones. */
export interface QueryDetails {
  /** Routers are not to update their timers. */
  readonly suppress: boolean;
  /** The querier's robustness, 0-7; 0 where it is above 7. */
  readonly robustness: number;
  /** The querier's interval, a number that a code exists for. */
  readonly intervalSeconds: number;
}

/** What queries of older versions say. */
export const NO_DETAILS: QueryDetails = { suppress: false, robustness: 0, intervalSeconds: 0 };

/** Offsets in the four bytes of a query behind its group. */
export const FLAGS = 0;
export const INTERVAL = FLAGS + 1;
export const SOURCE_COUNT = INTERVAL + 1;
export const DETAILS_BYTES = SOURCE_COUNT + 2;

/** Reads them at `at`. */
export const readDetails = (view: DataView, at: number): QueryDetails => {
  const flags = view.getUint8(at + FLAGS);
  return {
    suppress: (flags & SUPPRESS) !== 0,
    robustness: flags & ROBUSTNESS_MASK,
    intervalSeconds: decodeByte(view.getUint8(at + INTERVAL)),
  };
};

/** Writes them at `at`. RangeError where they are out of range. */
export const writeDetails = (details: QueryDetails, sources: number, view: DataView, at: number): void => {
  const interval = encodeByte(details.intervalSeconds);
  need(decodeByte(interval) === details.intervalSeconds, "intervalSeconds", "have a code (RFC 3376 4.1.7)");
  requireInteger("robustness", details.robustness, ROBUSTNESS_MASK);
  requireInteger("sources.length", sources, MAX_UINT16);
  view.setUint8(at + FLAGS, (details.suppress ? SUPPRESS : 0) | details.robustness);
  view.setUint8(at + INTERVAL, interval);
  view.setUint16(at + SOURCE_COUNT, sources);
};

/** RangeError where a query of an older version has what only the latest can say. */
export const refuseDetails = (details: QueryDetails, sources: number): void => {
  requireInteger("robustness of an older version", details.robustness, 0);
  requireInteger("intervalSeconds of an older version", details.intervalSeconds, 0);
  requireInteger("sources of an older version", sources, 0);
  need(!details.suppress, "suppress of an older version", "be false");
};

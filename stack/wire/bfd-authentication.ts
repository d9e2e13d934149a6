/**
 * The authentication section of a BFD control packet (RFC 5880 sections 4.2 to 4.4). Format alone: nothing is proven here.
 */
import { MAX_UINT32, MAX_UINT8, need, readBytes, requireInteger, writeBytes } from "./fields.ts";

export const TYPE = 0;
export const LENGTH = TYPE + 1;
export const KEY_ID = LENGTH + 1;
/** Of a simple password. */
export const PASSWORD = KEY_ID + 1;
/** Of all others. */
export const RESERVED = KEY_ID + 1;
export const SEQUENCE = RESERVED + 1;
export const DIGEST = SEQUENCE + 4;

/** Type and length: what a section has at least. */
export const MIN_BYTES = KEY_ID;
/** RFC 5880 section 4.2. */
export const MAX_PASSWORD_BYTES = 16;

/** Kinds of authentication (RFC 5880 section 4.1). */
export const AUTHENTICATION = {
  SIMPLE_PASSWORD: 1,
  KEYED_MD5: 2,
  METICULOUS_KEYED_MD5: 3,
  KEYED_SHA1: 4,
  METICULOUS_KEYED_SHA1: 5,
} as const;
type Kind = (typeof AUTHENTICATION)[keyof typeof AUTHENTICATION];
type DigestKind = Exclude<Kind, typeof AUTHENTICATION.SIMPLE_PASSWORD>;

const MD5_BYTES = 16;
const SHA1_BYTES = 20;

/** Bytes of key and digest of a kind; 0 for a password, which has any number, and for kinds that do not exist. */
export const digestBytes = (kind: number): number => {
  if (kind === AUTHENTICATION.KEYED_MD5 || kind === AUTHENTICATION.METICULOUS_KEYED_MD5) return MD5_BYTES;
  const sha1 = kind === AUTHENTICATION.KEYED_SHA1 || kind === AUTHENTICATION.METICULOUS_KEYED_SHA1;
  return sha1 ? SHA1_BYTES : 0;
};

export interface PasswordAuthentication {
  readonly kind: typeof AUTHENTICATION.SIMPLE_PASSWORD;
  /** 0 to 255. */
  readonly keyId: number;
  /** 1 to 16 bytes. */
  readonly password: Uint8Array;
}

export interface DigestAuthentication {
  readonly kind: DigestKind;
  /** 0 to 255. */
  readonly keyId: number;
  /** 32 bits, unsigned. */
  readonly sequence: number;
  /** 16 bytes of MD5, 20 of SHA1. */
  readonly digest: Uint8Array;
}

export type BfdAuthentication = PasswordAuthentication | DigestAuthentication;

export const type = (view: DataView, at: number): number => view.getUint8(at + TYPE);
export const keyId = (view: DataView, at: number): number => view.getUint8(at + KEY_ID);
export const sequence = (view: DataView, at: number): number => view.getUint32(at + SEQUENCE);

/** True where the section at `at` is of a known kind, has that kind's length, and fills `room` bytes. */
export const isWhole = (view: DataView, at: number, room: number): boolean => {
  if (room < MIN_BYTES) return false;
  const length = view.getUint8(at + LENGTH);
  if (length !== room) return false;
  const kind = type(view, at);
  if (kind === AUTHENTICATION.SIMPLE_PASSWORD)
    return length > PASSWORD && length <= PASSWORD + MAX_PASSWORD_BYTES;
  const digest = digestBytes(kind);
  return digest > 0 && length === DIGEST + digest;
};

/** Bytes that `emitSection` writes. */
export const sectionBytes = (section: BfdAuthentication): number =>
  section.kind === AUTHENTICATION.SIMPLE_PASSWORD
    ? PASSWORD + section.password.length
    : DIGEST + digestBytes(section.kind);

/** The section at `at`, which `isWhole`. */
export const parseSection = (view: DataView, at: number): BfdAuthentication => {
  const length = view.getUint8(at + LENGTH);
  const kind = type(view, at) as Kind;
  if (kind === AUTHENTICATION.SIMPLE_PASSWORD)
    return { kind, keyId: keyId(view, at), password: readBytes(view, at + PASSWORD, length - PASSWORD) };
  const digest = readBytes(view, at + DIGEST, length - DIGEST);
  return { kind, keyId: keyId(view, at), sequence: sequence(view, at), digest };
};

/** Writes the section at `at`. RangeError where it is out of range. */
export const emitSection = (section: BfdAuthentication, view: DataView, at: number): void => {
  requireInteger("keyId", section.keyId, MAX_UINT8);
  view.setUint8(at + TYPE, section.kind);
  view.setUint8(at + LENGTH, sectionBytes(section));
  view.setUint8(at + KEY_ID, section.keyId);
  if (section.kind === AUTHENTICATION.SIMPLE_PASSWORD) {
    requireInteger("password.length", section.password.length, MAX_PASSWORD_BYTES, 1);
    writeBytes(view, at + PASSWORD, section.password);
    return;
  }
  const expected = digestBytes(section.kind);
  need(expected > 0, "kind", "be one of AUTHENTICATION");
  need(section.digest.length === expected, "digest", `have ${expected} bytes`);
  requireInteger("sequence", section.sequence, MAX_UINT32);
  view.setUint8(at + RESERVED, 0);
  view.setUint32(at + SEQUENCE, section.sequence);
  writeBytes(view, at + DIGEST, section.digest);
};

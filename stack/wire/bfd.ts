/**
 * Control packets of Bidirectional Forwarding Detection (RFC 5880 section 4), in place and as records.
 */
import * as authentication from "./bfd-authentication.ts";
import type { BfdAuthentication } from "./bfd-authentication.ts";
import { MAX_UINT32, MAX_UINT8, need, requireInteger } from "./fields.ts";

export { AUTHENTICATION, type BfdAuthentication } from "./bfd-authentication.ts";

export const VERSION_DIAGNOSTIC = 0;
export const STATE_FLAGS = VERSION_DIAGNOSTIC + 1;
export const DETECT_MULTIPLIER = STATE_FLAGS + 1;
export const LENGTH = DETECT_MULTIPLIER + 1;
export const MY_DISCRIMINATOR = LENGTH + 1;
export const YOUR_DISCRIMINATOR = MY_DISCRIMINATOR + 4;
export const DESIRED_MIN_TX = YOUR_DISCRIMINATOR + 4;
export const REQUIRED_MIN_RX = DESIRED_MIN_TX + 4;
export const REQUIRED_MIN_ECHO_RX = REQUIRED_MIN_RX + 4;
/** A packet without authentication. */
export const HEADER_BYTES = REQUIRED_MIN_ECHO_RX + 4;
/** Where it has one, the authentication section. */
export const AUTHENTICATION_SECTION = HEADER_BYTES;

export const VERSION = 1;
const VERSION_SHIFT = 5;
const DIAGNOSTIC_MASK = 0x1f;
const STATE_SHIFT = 6;
const MAX_STATE = 3;

/** UDP ports of one hop (RFC 5881 section 4). */
export const CONTROL_PORT = 3784;
export const ECHO_PORT = 3785;

/** The state of a session (RFC 5880 section 4.1). */
export const STATE = { ADMIN_DOWN: 0, DOWN: 1, INIT: 2, UP: 3 } as const;
export type State = (typeof STATE)[keyof typeof STATE];

/** Why the state changed last (RFC 5880 section 4.1). */
export const DIAGNOSTIC = {
  NONE: 0,
  DETECTION_TIME_EXPIRED: 1,
  ECHO_FAILED: 2,
  NEIGHBOUR_SIGNALLED_DOWN: 3,
  FORWARDING_PLANE_RESET: 4,
  PATH_DOWN: 5,
  CONCATENATED_PATH_DOWN: 6,
  ADMINISTRATIVELY_DOWN: 7,
  REVERSE_CONCATENATED_PATH_DOWN: 8,
} as const;

export const FLAG = {
  /** Answer at once. */
  POLL: 0x20,
  /** This is the answer. */
  FINAL: 0x10,
  /** The sender does not share its fate with its control plane. */
  INDEPENDENT: 0x08,
  AUTHENTICATED: 0x04,
  /** Send nothing unless polled. */
  DEMAND: 0x02,
  /** For later extensions; nobody sets it. */
  MULTIPOINT: 0x01,
} as const;

/** What `check` finds wrong, in the order of RFC 5880 section 6.8.6. */
export const BAD = {
  /** Fewer bytes than the mandatory section. */
  short: -1,
  version: -2,
  /** The length field is too small for what it must hold, or more than is there. */
  length: -3,
  /** A multiplier of 0. */
  multiplier: -4,
  multipoint: -5,
  /** The sender's discriminator is 0. */
  discriminator: -6,
  /** The receiver's discriminator is 0 in a state that comes after hearing it. */
  stranger: -7,
  /** The authentication section is longer than what is left for it, or no kind of that length exists. */
  authentication: -8,
} as const;

/** Judges the packet of `length` bytes at `at`: 0, or one of `BAD`. Does not authenticate. */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < HEADER_BYTES) return BAD.short;
  if (view.getUint8(at + VERSION_DIAGNOSTIC) >>> VERSION_SHIFT !== VERSION) return BAD.version;
  const claimed = lengthField(view, at);
  const authenticated = isAuthenticated(view, at);
  const least = authenticated ? HEADER_BYTES + authentication.MIN_BYTES : HEADER_BYTES;
  if (claimed < least || claimed > length) return BAD.length;
  if (detectMultiplier(view, at) === 0) return BAD.multiplier;
  if ((flags(view, at) & FLAG.MULTIPOINT) !== 0) return BAD.multipoint;
  if (view.getInt32(at + MY_DISCRIMINATOR) === 0) return BAD.discriminator;
  if (view.getInt32(at + YOUR_DISCRIMINATOR) === 0 && state(view, at) > STATE.DOWN) return BAD.stranger;
  if (!authenticated) return 0;
  const section = at + AUTHENTICATION_SECTION;
  return authentication.isWhole(view, section, claimed - HEADER_BYTES) ? 0 : BAD.authentication;
};

/** All but the state: bits of `FLAG`. */
export const flags = (view: DataView, at: number): number =>
  view.getUint8(at + STATE_FLAGS) & ((1 << STATE_SHIFT) - 1);
/** One of `STATE`. */
export const state = (view: DataView, at: number): State =>
  (view.getUint8(at + STATE_FLAGS) >>> STATE_SHIFT) as State;
/** One of `DIAGNOSTIC`, or a number of 5 bits that has no meaning yet. */
export const diagnostic = (view: DataView, at: number): number =>
  view.getUint8(at + VERSION_DIAGNOSTIC) & DIAGNOSTIC_MASK;
export const isPoll = (view: DataView, at: number): boolean => (flags(view, at) & FLAG.POLL) !== 0;
export const isFinal = (view: DataView, at: number): boolean => (flags(view, at) & FLAG.FINAL) !== 0;
export const isDemand = (view: DataView, at: number): boolean => (flags(view, at) & FLAG.DEMAND) !== 0;
export const isAuthenticated = (view: DataView, at: number): boolean =>
  (flags(view, at) & FLAG.AUTHENTICATED) !== 0;
export const detectMultiplier = (view: DataView, at: number): number => view.getUint8(at + DETECT_MULTIPLIER);
/** Bytes of the packet, the authentication section included. */
export const lengthField = (view: DataView, at: number): number => view.getUint8(at + LENGTH);
export const myDiscriminator = (view: DataView, at: number): number => view.getUint32(at + MY_DISCRIMINATOR);
export const yourDiscriminator = (view: DataView, at: number): number =>
  view.getUint32(at + YOUR_DISCRIMINATOR);
export const desiredMinTxUs = (view: DataView, at: number): number => view.getUint32(at + DESIRED_MIN_TX);
export const requiredMinRxUs = (view: DataView, at: number): number => view.getUint32(at + REQUIRED_MIN_RX);
export const requiredMinEchoRxUs = (view: DataView, at: number): number =>
  view.getUint32(at + REQUIRED_MIN_ECHO_RX);

/** A control packet. Intervals are in microseconds, all numbers unsigned. */
export interface BfdRecord {
  /** 0 to 31; see `DIAGNOSTIC`. */
  readonly diagnostic: number;
  readonly state: State;
  /** A packet does not poll and answer at once (RFC 5880 section 6.5); what is read may say that it does. */
  readonly poll: boolean;
  readonly final: boolean;
  readonly independent: boolean;
  readonly demand: boolean;
  /** 1 to 255. */
  readonly detectMultiplier: number;
  /** 1 to 2^32 - 1. */
  readonly myDiscriminator: number;
  /** 0 where the sender has not heard it yet, or not for long. */
  readonly yourDiscriminator: number;
  /** The sender does not want to send oftener. */
  readonly desiredMinTxUs: number;
  /** The sender does not take packets oftener; 0: none at all but answers. */
  readonly requiredMinRxUs: number;
  /** The sender does not send echo packets back oftener; 0: none at all. */
  readonly requiredMinEchoRxUs: number;
  readonly authentication: BfdAuthentication | undefined;
}

/** Bytes that `emit` writes. */
export const lengthOf = (record: BfdRecord): number =>
  HEADER_BYTES +
  (record.authentication === undefined ? 0 : authentication.sectionBytes(record.authentication));

/** The packet of `length` bytes at `at`; undefined where `check` finds fault. Bytes behind its length are not its own. */
export const parse = (view: DataView, at: number, length: number): BfdRecord | undefined => {
  if (check(view, at, length) < 0) return undefined;
  return {
    diagnostic: diagnostic(view, at),
    state: state(view, at),
    poll: isPoll(view, at),
    final: isFinal(view, at),
    independent: (flags(view, at) & FLAG.INDEPENDENT) !== 0,
    demand: isDemand(view, at),
    detectMultiplier: detectMultiplier(view, at),
    myDiscriminator: myDiscriminator(view, at),
    yourDiscriminator: yourDiscriminator(view, at),
    desiredMinTxUs: desiredMinTxUs(view, at),
    requiredMinRxUs: requiredMinRxUs(view, at),
    requiredMinEchoRxUs: requiredMinEchoRxUs(view, at),
    authentication: isAuthenticated(view, at)
      ? authentication.parseSection(view, at + AUTHENTICATION_SECTION)
      : undefined,
  };
};

/** Writes the packet at `at`; gives its bytes. RangeError where the record is out of range. */
export const emit = (record: BfdRecord, view: DataView, at: number): number => {
  requireInteger("diagnostic", record.diagnostic, DIAGNOSTIC_MASK);
  requireInteger("state", record.state, MAX_STATE);
  requireInteger("detectMultiplier", record.detectMultiplier, MAX_UINT8, 1);
  requireInteger("myDiscriminator", record.myDiscriminator, MAX_UINT32, 1);
  requireInteger("yourDiscriminator", record.yourDiscriminator, MAX_UINT32);
  requireInteger("desiredMinTxUs", record.desiredMinTxUs, MAX_UINT32);
  requireInteger("requiredMinRxUs", record.requiredMinRxUs, MAX_UINT32);
  requireInteger("requiredMinEchoRxUs", record.requiredMinEchoRxUs, MAX_UINT32);
  const known = record.yourDiscriminator !== 0 || record.state <= STATE.DOWN;
  need(known, "yourDiscriminator", "be known in this state");
  const length = lengthOf(record);
  view.setUint8(at + VERSION_DIAGNOSTIC, (VERSION << VERSION_SHIFT) | record.diagnostic);
  view.setUint8(at + STATE_FLAGS, (record.state << STATE_SHIFT) | flagsOf(record));
  view.setUint8(at + DETECT_MULTIPLIER, record.detectMultiplier);
  view.setUint8(at + LENGTH, length);
  view.setUint32(at + MY_DISCRIMINATOR, record.myDiscriminator);
  view.setUint32(at + YOUR_DISCRIMINATOR, record.yourDiscriminator);
  view.setUint32(at + DESIRED_MIN_TX, record.desiredMinTxUs);
  view.setUint32(at + REQUIRED_MIN_RX, record.requiredMinRxUs);
  view.setUint32(at + REQUIRED_MIN_ECHO_RX, record.requiredMinEchoRxUs);
  if (record.authentication !== undefined)
    authentication.emitSection(record.authentication, view, at + AUTHENTICATION_SECTION);
  return length;
};

const flagsOf = (record: BfdRecord): number =>
  (record.poll ? FLAG.POLL : 0) |
  (record.final ? FLAG.FINAL : 0) |
  (record.independent ? FLAG.INDEPENDENT : 0) |
  (record.authentication === undefined ? 0 : FLAG.AUTHENTICATED) |
  (record.demand ? FLAG.DEMAND : 0);

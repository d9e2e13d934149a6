/**
 * What a BFD session can be told, with the checks that come before anything is opened.
 */
import { readAddress } from "../udp/options.ts";
import type { IpAddress } from "../wire/address.ts";
import { AUTHENTICATION, digestBytes, MAX_PASSWORD_BYTES } from "../wire/bfd-authentication.ts";
import type { BfdChange } from "./change.ts";

/**
 * How packets prove whose they are (RFC 5880 section 6.7): both ends say the same. A session has one key for its life: to change
 * it, close the session and open another, at one end and then at the other, which no path dies of.
 */
export interface BfdKey {
  /** "meticulous" counts every packet, so that none can be played again. */
  readonly kind: keyof typeof KINDS;
  /** 0 to 255. Default 1. */
  readonly keyId?: number;
  /** 1 to 16 bytes for a password and MD5, to 20 for SHA1; a text is UTF-8. */
  readonly key: string | Uint8Array;
}

export interface BfdSessionOptions {
  /** The system at the other end of the link. */
  readonly peer: string | IpAddress;
  /** The interface of this host that it is on, by name. */
  readonly interface: string;
  /** Our address. Default: the one that packets to the peer get by themselves. */
  readonly local?: string | IpAddress;
  /** Control packets are sent this often while the session is up, in ms. Default 100. */
  readonly intervalMs?: number;
  /** Control packets are taken this often. Default: `intervalMs`. */
  readonly minReceiveMs?: number;
  /** Packets missing in a row that end the session, at the other end. Default 3. */
  readonly multiplier?: number;
  /** Send echoes this often where the peer sends them back; control packets then come once a second. Default: none. */
  readonly echoMs?: number;
  /** Send the peer's echoes back, this often. Default: never. */
  readonly reflectEchoMs?: number;
  /** Say nothing before the peer does (RFC 5880 section 6.1). Default false. */
  readonly passive?: boolean;
  /**
   * Count the path as dead until both ends have heard each other, as strict mode does in routing protocols (RFC 9355). An operator
   * at the other end says nothing of the path here either, but only while his word is heard, and for the seconds in which the
   * session comes up after it. Default false: a session that was never up says nothing, for the peer may know no BFD.
   */
  readonly strict?: boolean;
  /** DSCP and ECN of what is sent. Default 0xc0, network control (RFC 2474 section 4.2.2.2). */
  readonly trafficClass?: number;
  /** Default: none. */
  readonly authentication?: BfdKey;
  /** Hears of every change of the session's state. What it throws, the loop reports. */
  readonly onChange?: (change: BfdChange) => void;
}

/** What can be changed while a session runs. */
export type BfdTimes = Pick<BfdSessionOptions, "intervalMs" | "minReceiveMs" | "multiplier">;

/** Times with nothing left open, in microseconds. */
export interface CheckedTimes {
  readonly txUs: number;
  readonly rxUs: number;
  readonly multiplier: number;
}

export interface CheckedKey {
  /** One of `AUTHENTICATION`. */
  readonly kind: (typeof AUTHENTICATION)[keyof typeof AUTHENTICATION];
  readonly keyId: number;
  /** As long as the kind's digest, with zeros behind; a password as it is. */
  readonly key: Uint8Array;
}

/** Options with nothing left open. */
export interface CheckedBfdOptions {
  readonly peer: IpAddress;
  readonly interface: string;
  readonly local: IpAddress | undefined;
  readonly times: CheckedTimes;
  /** 0: none. */
  readonly echoUs: number;
  /** 0: they are not. */
  readonly reflectEchoUs: number;
  readonly passive: boolean;
  readonly strict: boolean;
  readonly trafficClass: number;
  readonly authentication: CheckedKey | undefined;
  readonly onChange: ((change: BfdChange) => void) | undefined;
}

const KINDS = {
  password: AUTHENTICATION.SIMPLE_PASSWORD,
  md5: AUTHENTICATION.KEYED_MD5,
  "meticulous-md5": AUTHENTICATION.METICULOUS_KEYED_MD5,
  sha1: AUTHENTICATION.KEYED_SHA1,
  "meticulous-sha1": AUTHENTICATION.METICULOUS_KEYED_SHA1,
} as const;

/** Between 10 and 50 ms is what a path wants; a session that nobody thought about can do with less. */
const DEFAULT_INTERVAL_MS = 100;
const DEFAULT_MULTIPLIER = 3;
const DEFAULT_TRAFFIC_CLASS = 0xc0;
/** A turn of the loop under load takes about as long. */
export const MIN_INTERVAL_MS = 1;
/** A minute without a sign of life is long; the wire would carry 71 of them. */
export const MAX_INTERVAL_MS = 60_000;
const MAX_MULTIPLIER = 255;
const MAX_OCTET = 255;
const US_PER_MS = 1000;

const KEYS: ReadonlySet<string> = new Set<keyof BfdSessionOptions>([
  "peer",
  "interface",
  "local",
  "intervalMs",
  "minReceiveMs",
  "multiplier",
  "echoMs",
  "reflectEchoMs",
  "passive",
  "strict",
  "trafficClass",
  "authentication",
  "onChange",
]);
const TIME_KEYS: ReadonlySet<string> = new Set<keyof BfdTimes>(["intervalMs", "minReceiveMs", "multiplier"]);

const microseconds = (name: string, value: unknown): number => {
  if (typeof value === "number" && value >= MIN_INTERVAL_MS && value <= MAX_INTERVAL_MS)
    return Math.round(value * US_PER_MS);
  throw new RangeError(`${name} is ${MIN_INTERVAL_MS} to ${MAX_INTERVAL_MS} ms, not ${String(value)}`);
};

const whole = (name: string, value: unknown, least: number, most: number): number => {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${String(value)}`);
};

const checkKeys = (given: unknown, known: ReadonlySet<string>): void => {
  if (typeof given !== "object" || given === null) throw new TypeError("a BFD session takes options");
  const unknown = Object.keys(given).find((key) => !known.has(key));
  if (unknown !== undefined)
    throw new TypeError(`a BFD session has no option "${unknown}"; it has ${[...known].join(", ")}`);
};

/** The times with what is left open taken from `before`. Throws a TypeError or RangeError that names the wrong one. */
export const checkTimes = (given: BfdTimes, before?: CheckedTimes): CheckedTimes => {
  if (before !== undefined) checkKeys(given, TIME_KEYS);
  const { intervalMs, minReceiveMs, multiplier } = given;
  const txUs =
    intervalMs === undefined
      ? (before?.txUs ?? DEFAULT_INTERVAL_MS * US_PER_MS)
      : microseconds("intervalMs", intervalMs);
  // Who names one interval means both directions.
  const rxBefore = intervalMs === undefined ? (before?.rxUs ?? txUs) : txUs;
  return {
    txUs,
    rxUs: minReceiveMs === undefined ? rxBefore : microseconds("minReceiveMs", minReceiveMs),
    multiplier: whole(
      "multiplier",
      multiplier ?? before?.multiplier ?? DEFAULT_MULTIPLIER,
      1,
      MAX_MULTIPLIER,
    ),
  };
};

const checkKey = (given: BfdKey): CheckedKey => {
  const kind = KINDS[given.kind];
  if (kind === undefined)
    throw new TypeError(
      `authentication is one of ${Object.keys(KINDS).join(", ")}, not ${String(given.kind)}`,
    );
  const bytes = typeof given.key === "string" ? new TextEncoder().encode(given.key) : given.key;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("the key is a text or a Uint8Array");
  const most = digestBytes(kind) || MAX_PASSWORD_BYTES;
  if (bytes.length < 1 || bytes.length > most)
    throw new RangeError(`a key of ${given.kind} has 1 to ${most} bytes, not ${bytes.length}`);
  const key = new Uint8Array(digestBytes(kind) || bytes.length);
  key.set(bytes);
  return { kind, keyId: whole("keyId", given.keyId ?? 1, 0, MAX_OCTET), key };
};

/** The options with defaults, checked. Throws a TypeError or RangeError that names the wrong one. */
export const checkBfdOptions = (given: BfdSessionOptions): CheckedBfdOptions => {
  checkKeys(given, KEYS);
  const peer = readAddress(given.peer).address;
  const local = given.local === undefined ? undefined : readAddress(given.local).address;
  if (peer.multicast || peer.unspecified || peer.loopback)
    throw new RangeError(`peer is an address of one system on the link, not ${peer}`);
  if (local !== undefined && local.family !== peer.family)
    throw new RangeError(`local ${local} and peer ${peer} are of two families`);
  if (typeof given.interface !== "string") throw new TypeError("interface is a name");
  if (given.onChange !== undefined && typeof given.onChange !== "function")
    throw new TypeError("onChange is a function");
  for (const name of ["passive", "strict"] as const)
    if (given[name] !== undefined && typeof given[name] !== "boolean")
      throw new TypeError(`${name} is true or false`);
  return {
    peer,
    interface: given.interface,
    local,
    times: checkTimes(given),
    echoUs: given.echoMs === undefined ? 0 : microseconds("echoMs", given.echoMs),
    reflectEchoUs: given.reflectEchoMs === undefined ? 0 : microseconds("reflectEchoMs", given.reflectEchoMs),
    passive: given.passive ?? false,
    strict: given.strict ?? false,
    trafficClass: whole("trafficClass", given.trafficClass ?? DEFAULT_TRAFFIC_CLASS, 0, MAX_OCTET),
    authentication: given.authentication === undefined ? undefined : checkKey(given.authentication),
    onChange: given.onChange,
  };
};

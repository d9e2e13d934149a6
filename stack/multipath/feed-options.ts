/**
 * What a feed arbiter can be told, with the checks that come before anything is made.
 */
import type { Timer } from "../loop/timers.ts";
import type { SourceFilter } from "../transport/network.ts";
import type { Datagram } from "../udp/datagram.ts";
import { powerOfTwo } from "./redundant-options.ts";

/** Time and timers, as a loop has them. */
export interface FeedClock {
  /** Of the turn, in ms. */
  readonly now: number;
  after(ms: number, fn: () => void): Timer;
}

/** Reads a whole number from the `length` bytes of payload at (view, at); NaN where there is none. */
export type FeedField = (view: DataView, at: number, length: number) => number;

/**
 * Called with each datagram of the feed once, in order. `sequence` is its first number; the first `skip` of its numbers were
 * handed on before or given up (always 0 where datagrams of both sides are cut alike). The datagram ends when this returns:
 * `keep()` holds it longer.
 */
export type FeedHandler = (datagram: Datagram, sequence: number, skip: number) => void;

/** 32 bits: RFC 3550's are 16, exchanges' are 32 or 64. */
export const DEFAULT_MODULUS = 2 ** 32;
/** The most that numbers of JavaScript count to. A feed of 64-bit numbers takes centuries to come there. */
export const MAX_MODULUS = Number.MAX_SAFE_INTEGER + 1;
const MIN_MODULUS = 256;
/** How long a gap is waited for unless told: above the difference of two paths across a city, below what a reader notices. */
export const DEFAULT_WAIT_MS = 10;
export const MAX_WAIT_MS = 3_600_000;
/** Numbers ahead of a gap, and behind the last one, that are told apart. */
export const DEFAULT_WINDOW = 4096;
const MIN_WINDOW = 16;
/** 2^20 numbers are some 60 MB. */
export const MAX_WINDOW = 2 ** 20;
/** Datagrams that wait for others: a sixteenth of a usual umem, so that a gap starves no device. */
export const DEFAULT_HOLD = 256;
/** A window has room for four times itself in the numbers, so that ahead, behind and neither are told apart. */
const WINDOWS_IN_MODULUS = 4;

/** Where one side of a feed is heard. */
export interface FeedGroup {
  /** An address, IPv4 or IPv6. */
  readonly group: string;
  readonly port: number;
  /** By name. */
  readonly interface: string;
  /** Default: the group and the interface. */
  readonly name?: string;
  /** Whose datagrams are wanted. Default: everybody's. */
  readonly sources?: SourceFilter;
}

export interface FeedOptions {
  /** The number of a datagram: of the first of its messages, where it has several. */
  readonly sequence: FeedField;
  /** How many numbers a datagram stands for: its messages. 0 is a heartbeat, whose number is the next to come. Default: 1. */
  readonly count?: FeedField;
  /** What changes when the publisher begins anew with its numbers. Default: the feed has no sessions. */
  readonly session?: FeedField;
  /** The first number of a session. Default: whatever comes first. */
  readonly first?: number;
  /** Numbers wrap around at this: 2^16, 2^32 (the default), or 2^53 for those that never do. */
  readonly modulus?: number;
  /** How long a gap is waited for, from the first later datagram on, in ms. Default 10. */
  readonly waitMs?: number;
  /** Numbers ahead that are held, and behind that are recognised: a power of two. Default 4096. */
  readonly window?: number;
  /** Datagrams that wait for earlier ones at most; one more, and the gap is given up. Default 256. */
  readonly hold?: number;
  /** Hears of `count` numbers from `first` on that were given up. */
  readonly onLost?: (first: number, count: number) => void;
  /** Hears when the numbers begin anew. */
  readonly onReset?: () => void;
  /** Hears of each second copy: how much earlier, in ms, the first had come, and over which side. */
  readonly onLead?: (leadMs: number, side: number) => void;
}

/** The options with nothing left open. */
export type CheckedFeedOptions = FeedOptions &
  Required<Pick<FeedOptions, "modulus" | "waitMs" | "window" | "hold">>;

const KEYS: ReadonlySet<string> = new Set<keyof FeedOptions>([
  "sequence",
  "count",
  "session",
  "first",
  "modulus",
  "waitMs",
  "window",
  "hold",
  "onLost",
  "onReset",
  "onLead",
]);
const FUNCTIONS = ["sequence", "count", "session", "onLost", "onReset", "onLead"] as const;

const inRange = (name: string, value: unknown, least: number, most: number, wholly: boolean): number => {
  const good = typeof value === "number" && value >= least && value <= most;
  if (good && (!wholly || Number.isInteger(value))) return value;
  throw new RangeError(
    `${name} is ${wholly ? "a whole number" : ""} from ${least} to ${most}, not ${String(value)}`,
  );
};

/** The options with defaults, checked. Throws a TypeError or RangeError that names the wrong one. */
export const checkFeedOptions = (options: FeedOptions): CheckedFeedOptions => {
  if (typeof options !== "object" || options === null)
    throw new TypeError("a feed takes an object of options");
  const unknown = Object.keys(options).find((key) => !KEYS.has(key));
  if (unknown !== undefined)
    throw new TypeError(`a feed has no option "${unknown}"; it has ${[...KEYS].join(", ")}`);
  for (const name of FUNCTIONS) {
    const fn = options[name];
    if (typeof fn !== "function" && (name === "sequence" || fn !== undefined))
      throw new TypeError(`${name} is a function`);
  }
  const modulus = inRange("modulus", options.modulus ?? DEFAULT_MODULUS, MIN_MODULUS, MAX_MODULUS, true);
  const most = Math.min(MAX_WINDOW, modulus / WINDOWS_IN_MODULUS);
  const window = powerOfTwo("window", options.window ?? Math.min(DEFAULT_WINDOW, most), MIN_WINDOW, most);
  if (options.first !== undefined) inRange("first", options.first, 0, modulus - 1, true);
  return {
    ...options,
    modulus,
    window,
    waitMs: inRange("waitMs", options.waitMs ?? DEFAULT_WAIT_MS, 0, MAX_WAIT_MS, false),
    hold: inRange("hold", options.hold ?? Math.min(DEFAULT_HOLD, window), 1, window, true),
  };
};

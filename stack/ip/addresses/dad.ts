/**
 * Is an address used by another already: RFC 4862 section 5.4 with the nonce of RFC 7527 for IPv6, RFC 5227 for IPv4.
 *
 * Both are one course: wait a random moment, send probes some time apart, wait, and the address is ours unless somebody
 * was heard with it. The machines send nothing themselves; what was heard is told to them.
 */
import { RANDOM_RANGE, type Random } from "../../device/random.ts";
import type { Timer } from "../../loop/timers.ts";
import type { Environment, TimerSource } from "../environment.ts";

/** The course of a detection; all times in ms. */
export interface DetectionTimes {
  /** The first probe goes out after a random time up to this. */
  readonly delayMs: number;
  readonly probes: number;
  /** The time between probes is random from `minGapMs` to `maxGapMs`. */
  readonly minGapMs: number;
  readonly maxGapMs: number;
  /** After the last probe the address is ours when this has passed. */
  readonly waitMs: number;
}

/** PROBE_WAIT, PROBE_NUM, PROBE_MIN, PROBE_MAX and ANNOUNCE_WAIT of RFC 5227 section 1.1. */
export const DETECTION_TIMES4: DetectionTimes = {
  delayMs: 1000,
  probes: 3,
  minGapMs: 1000,
  maxGapMs: 2000,
  waitMs: 2000,
};

/**
 * MAX_RTR_SOLICITATION_DELAY (RFC 4861 section 10, by RFC 4862 section 5.4.2), DupAddrDetectTransmits and RetransTimer
 * (RFC 4862 section 5.1).
 */
export const DETECTION_TIMES6: DetectionTimes = {
  delayMs: 1000,
  probes: 1,
  minGapMs: 1000,
  maxGapMs: 1000,
  waitMs: 1000,
};

/** ANNOUNCE_NUM and ANNOUNCE_INTERVAL of RFC 5227 section 1.1. */
export const ANNOUNCE_COUNT4 = 2;
export const ANNOUNCE_INTERVAL4_MS = 2000;
/** MAX_NEIGHBOR_ADVERTISEMENT and RetransTimer of RFC 4861 sections 10 and 7.2.6. */
export const ANNOUNCE_COUNT6 = 3;
export const ANNOUNCE_INTERVAL6_MS = 1000;

/** DEFEND_INTERVAL of RFC 5227 section 1.1. */
export const DEFEND_INTERVAL_MS = 10_000;
/** MAX_CONFLICTS and RATE_LIMIT_INTERVAL of RFC 5227 section 1.1. */
export const MAX_CONFLICTS = 10;
export const RATE_LIMIT_INTERVAL_MS = 60_000;

/** Bytes of a nonce: the least that its option may have (RFC 3971 section 5.3.2). */
export const NONCE_BYTES = 6;

/** Probes that RFC 7527 section 4.1 adds where ours came back: MAX_MULTICAST_SOLICIT of RFC 4861 section 10. */
export const LOOPED_PROBES = 3;
/** Nonces remembered: those of a round and of the one before, for a network that is slow to throw them back. */
const MAX_NONCES = 2 * LOOPED_PROBES;

export interface DetectionIo {
  /** Sends one probe; false where it couldn't be sent, which proves nothing. */
  probe(nonce: Uint8Array): boolean;
  /** Ended, and closed. */
  done(unique: boolean): void;
}

/** The detection for one address. */
export class Detection {
  readonly #timers: TimerSource;
  readonly #random: Random;
  readonly #times: DetectionTimes;
  readonly #io: DetectionIo;
  /** Those of the last probes; each has its own (RFC 7527 section 4.1). */
  readonly #nonces: Uint8Array[] = [];
  readonly #timer: Timer;
  #left: number;
  /** A probe of this round came back. */
  #looped = false;

  /** Begins, at the earliest `holdMs` from now. */
  constructor(environment: Environment, times: DetectionTimes, io: DetectionIo, holdMs = 0) {
    this.#timers = environment.timers;
    this.#random = environment.random;
    this.#times = times;
    this.#io = io;
    this.#left = times.probes;
    this.#timer = this.#timers.after(holdMs + this.#between(0, times.delayMs), () => this.#due());
  }

  /**
   * Another probes for the same address, or so it seems: with a nonce of ours it is a probe that the network threw back
   * (RFC 7527 section 4.2). Then the address is not ours before a round of probes has passed without that. False where it
   * was our own.
   */
  probed(nonce: Uint8Array | undefined): boolean {
    if (nonce !== undefined && this.#nonces.some((own) => sameBytes(nonce, own))) {
      this.#looped = true;
      return false;
    }
    this.claimed();
    return true;
  }

  /** Another has the address. */
  claimed(): void {
    if (!this.#timer.active) return;
    this.close();
    this.#io.done(false);
  }

  /** Ends without a result. Idempotent. */
  close(): void {
    this.#timer.cancel();
  }

  #due(): void {
    if (this.#left === 0 && this.#looped) {
      this.#left = LOOPED_PROBES;
      this.#looped = false;
    }
    if (this.#left === 0) {
      this.close();
      return this.#io.done(true);
    }
    const { minGapMs, maxGapMs, waitMs } = this.#times;
    // Set first: what the probe sets off may end the detection.
    this.#timer.restart(this.#left > 1 ? this.#between(minGapMs, maxGapMs) : waitMs);
    this.#left -= 1;
    const nonce = drawNonce(this.#random);
    this.#nonces.push(nonce);
    if (this.#nonces.length > MAX_NONCES) this.#nonces.shift();
    if (!this.#io.probe(nonce)) this.#left += 1;
  }

  #between(fromMs: number, toMs: number): number {
    return fromMs + (this.#random.next() / RANDOM_RANGE) * (toMs - fromMs);
  }
}

/** Tells the link some times that an address is here. */
export class Announcer {
  readonly #timer: Timer;
  readonly #send: () => void;
  #left: number;

  /** The first time at once. */
  constructor(timers: TimerSource, count: number, intervalMs: number, send: () => void) {
    this.#send = send;
    this.#left = count;
    this.#timer = timers.every(intervalMs, () => this.#due());
    this.#due();
  }

  /** Idempotent. */
  close(): void {
    this.#timer.cancel();
  }

  #due(): void {
    this.#left -= 1;
    if (this.#left <= 0) this.close();
    this.#send();
  }
}

/** What to do when another uses an IPv4 address of ours. */
export type Answer = "announce" | "silent" | "yield";

/** Ongoing conflict detection of one address (RFC 5227 section 2.4). */
export class Defence {
  readonly #keep: boolean;
  #lastMs = -Infinity;

  /** `keep`: it is never given up, case (c), as that of a server; else case (b). */
  constructor(keep: boolean) {
    this.#keep = keep;
  }

  /**
   * One announcement where this is the first conflict for a while. On the next within DEFEND_INTERVAL the address is
   * given up, or kept in silence, so that two that both defend don't flood the link.
   */
  conflict(nowMs: number): Answer {
    const recent = nowMs - this.#lastMs < DEFEND_INTERVAL_MS;
    if (!recent) this.#lastMs = nowMs;
    if (!recent) return "announce";
    return this.#keep ? "silent" : "yield";
  }
}

const drawNonce = (random: Random): Uint8Array => {
  const nonce = new Uint8Array(new ArrayBuffer(NONCE_BYTES));
  for (let i = 0; i < NONCE_BYTES; i++) nonce[i] = random.next();
  return nonce;
};

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

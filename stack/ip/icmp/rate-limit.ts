/**
 * Limits on what the host says unasked (RFC 4443 section 2.4 f, RFC 1812 section 4.3.2.8): token buckets, one for all and
 * one for each peer.
 *
 * Time is an argument, so that a bucket costs no timer: it is filled up by the time that passed when it is asked.
 */
import { below, type Random } from "../../device/random.ts";
import { hashAddress } from "../../wire/address.ts";

/** How often something may happen. */
export interface Rate {
  /** Tokens that come back in a second. */
  readonly perSecond: number;
  /** Tokens that a full bucket holds: what may happen at once after a pause. */
  readonly burst: number;
}

/** For one peer: the example that RFC 4443 section 2.4 f gives for a small or middle-sized device. */
export const PEER_RATE: Rate = { perSecond: 10, burst: 10 };
/**
 * For all peers together. Linux began with the same numbers (icmp_msgs_per_sec, icmp_msgs_burst in ip-sysctl): enough
 * for every honest use, and 1000 errors of 576 bytes are less than 5 Mbit/s.
 */
export const GLOBAL_RATE: Rate = { perSecond: 1000, burst: 50 };
/** Peers remembered: more of them at once are a flood from forged addresses, which the common bucket holds down. */
export const RATE_PEERS = 1024;
/** The most peers that an option may ask for: 2^20 of them are 32 MB. */
export const MAX_RATE_PEERS = 1 << 20;

const MS_PER_SECOND = 1000;

/** What the buckets of all peers together may be: one of these outcomes is counted for each question. */
export interface RateLimitStatistics {
  readonly allowed: number;
  /** Refused because this peer had its share. */
  readonly peerRefused: number;
  /** Refused because all peers together had theirs. */
  readonly globalRefused: number;
  /** Peers that were forgotten, with tokens still owed, to make room for another. */
  readonly evicted: number;
}

/** One bucket, full in the beginning. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** @throws RangeError where the rate is not positive or the burst is less than 1. */
  constructor(rate: Rate, nowMs = 0) {
    requireRate(rate);
    this.#perMs = rate.perSecond / MS_PER_SECOND;
    this.#burst = rate.burst;
    this.#tokens = rate.burst;
    this.#atMs = nowMs;
  }

  /** True where a token is left. A clock that went back costs nothing and gives nothing. */
  ready(nowMs: number): boolean {
    if (nowMs > this.#atMs)
      this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    return this.#tokens >= 1;
  }

  /** Takes `cost` tokens; the bucket may owe a part of them. False, with nothing taken, where not one is left. */
  take(nowMs: number, cost = 1): boolean {
    if (!this.ready(nowMs)) return false;
    this.#tokens -= cost;
    return true;
  }
}

const requireRate = (rate: Rate): void => {
  if (!(rate.perSecond > 0 && rate.perSecond < Infinity))
    throw new RangeError(`perSecond must be a positive number, not ${rate.perSecond}`);
  if (!(rate.burst >= 1 && rate.burst < Infinity))
    throw new RangeError(`burst must be at least 1, not ${rate.burst}`);
};

export interface RateLimitOptions {
  /** For each peer; `PEER_RATE`. */
  readonly peer?: Rate;
  /** For all of them together; `GLOBAL_RATE`. */
  readonly global?: Rate;
  /** Peers remembered, rounded up to a power of two; `RATE_PEERS`. */
  readonly peers?: number;
}

/** Places where the bucket of one peer may lie, next to each other, so that a collision seldom forgets anyone. */
const WAYS = 4;
/** Words of a peer's address in the column of keys. */
const KEY_WORDS = 4;
const K0 = 0;
const K1 = K0 + 1;
const K2 = K1 + 1;
const K3 = K2 + 1;

/** What the common bucket pays for one answer, in tokens: 0 to 2, which is 1 in the middle. */
const GLOBAL_COSTS = 3;

/**
 * A common bucket and a bounded table of one bucket for each peer. Allocates nothing after its construction.
 *
 * The table is a cache of fixed size: a peer whose bucket has filled up again is as good as forgotten, and where a place
 * is needed the bucket goes that was asked longest ago. Forged addresses may push honest peers out that way, which then
 * have a full bucket again; what they get together stays under the common limit.
 */
export class RateLimiter {
  readonly #random: Random;
  readonly #global: TokenBucket;
  readonly #perMs: number;
  readonly #burst: number;
  readonly #seed: number;
  readonly #setMask: number;
  readonly #keys: Int32Array;
  readonly #tokens: Float64Array;
  /** When a bucket was asked last; -Infinity where it is nobody's. */
  readonly #atMs: Float64Array;
  #allowed = 0;
  #peerRefused = 0;
  #globalRefused = 0;
  #evicted = 0;

  /**
   * `random` seeds the table's hash against floods of colliding addresses, and blurs what the common bucket costs.
   *
   * @throws RangeError that names the option which is out of range.
   */
  constructor(random: Random, options: RateLimitOptions = {}) {
    const { peer = PEER_RATE, global = GLOBAL_RATE, peers = RATE_PEERS } = options;
    requireRate(peer);
    if (!Number.isInteger(peers) || peers < 1 || peers > MAX_RATE_PEERS)
      throw new RangeError(`peers must be an integer from 1 to ${MAX_RATE_PEERS}, not ${peers}`);
    let places = WAYS;
    while (places < peers) places *= 2;
    this.#random = random;
    this.#global = new TokenBucket(global);
    this.#perMs = peer.perSecond / MS_PER_SECOND;
    this.#burst = peer.burst;
    this.#seed = random.next() | 0;
    this.#setMask = places / WAYS - 1;
    this.#keys = new Int32Array(new ArrayBuffer(places * KEY_WORDS * Int32Array.BYTES_PER_ELEMENT));
    this.#tokens = new Float64Array(new ArrayBuffer(places * Float64Array.BYTES_PER_ELEMENT));
    this.#atMs = new Float64Array(new ArrayBuffer(places * Float64Array.BYTES_PER_ELEMENT)).fill(-Infinity);
  }

  /**
   * True, counted, where something may be said to this peer now. The peer's own bucket is asked first, so that one
   * that is held down takes nothing from the others.
   */
  allow(w0: number, w1: number, w2: number, w3: number, nowMs: number): boolean {
    const place = this.#place(w0, w1, w2, w3, nowMs);
    if (this.#tokens[place]! < 1) {
      this.#peerRefused += 1;
      return false;
    }
    // A stranger who counts our answers to his own probes could tell by an exact common limit how many answers others
    // got, and so which ports are open to them (CVE-2020-25705); with a price that varies he can't.
    if (!this.#global.take(nowMs, below(this.#random, GLOBAL_COSTS))) {
      this.#globalRefused += 1;
      return false;
    }
    this.#tokens[place]! -= 1;
    this.#allowed += 1;
    return true;
  }

  statistics(): RateLimitStatistics {
    return {
      allowed: this.#allowed,
      peerRefused: this.#peerRefused,
      globalRefused: this.#globalRefused,
      evicted: this.#evicted,
    };
  }

  /** Where this peer's bucket is, filled up to `nowMs`. */
  #place(w0: number, w1: number, w2: number, w3: number, nowMs: number): number {
    const first = (hashAddress(w0, w1, w2, w3, this.#seed) & this.#setMask) * WAYS;
    let oldest = first;
    for (let place = first; place < first + WAYS; place++) {
      if (this.#atMs[place]! !== -Infinity && this.#holds(place, w0, w1, w2, w3)) {
        const passed = nowMs - this.#atMs[place]!;
        if (passed > 0) this.#tokens[place] = this.#filled(place, passed);
        this.#atMs[place] = nowMs;
        return place;
      }
      if (this.#atMs[place]! < this.#atMs[oldest]!) oldest = place;
    }
    if (this.#filled(oldest, nowMs - this.#atMs[oldest]!) < this.#burst) this.#evicted += 1;
    this.#settle(oldest, w0, w1, w2, w3, nowMs);
    return oldest;
  }

  /** Tokens of a bucket after `passedMs` more. */
  #filled(place: number, passedMs: number): number {
    return Math.min(this.#burst, this.#tokens[place]! + passedMs * this.#perMs);
  }

  #holds(place: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const key = place * KEY_WORDS;
    const keys = this.#keys;
    return keys[key + K3] === w3 && keys[key + K2] === w2 && keys[key + K1] === w1 && keys[key + K0] === w0;
  }

  #settle(place: number, w0: number, w1: number, w2: number, w3: number, nowMs: number): void {
    const key = place * KEY_WORDS;
    this.#keys[key + K0] = w0;
    this.#keys[key + K1] = w1;
    this.#keys[key + K2] = w2;
    this.#keys[key + K3] = w3;
    this.#tokens[place] = this.#burst;
    this.#atMs[place] = nowMs;
  }
}

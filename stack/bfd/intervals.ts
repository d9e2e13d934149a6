/**
 * The intervals of a BFD session (RFC 5880 sections 6.5, 6.8.2 to 6.8.4): what is wanted, what the packets say, and what holds
 * until the peer has heard of it.
 */
import type { CheckedTimes } from "./options.ts";

/** A session that is not up asks for no more than this, so that one that nobody answers costs nothing (section 6.8.3). */
export const SLOW_US = 1_000_000;
/** What a peer that said nothing is taken to accept (section 6.8.1). */
const UNHEARD_MIN_RX_US = 1;
const US_PER_MS = 1000;

/**
 * "asking": packets carry the Poll bit until a Final comes. "settling": it came, and what is on its way still may carry an
 * old one; the next question waits (section 6.8.3, the last paragraph).
 */
export type Poll = "idle" | "asking" | "settling";

export class Intervals {
  /** Of what the peer said last. */
  remoteMinRxUs = UNHEARD_MIN_RX_US;
  remoteMinTxUs = 0;
  remoteMultiplier = 0;
  /** What packets say. */
  saidTxUs: number;
  saidRxUs: number;
  #wanted: CheckedTimes;
  #echo = false;
  /** What holds: not yet slower than the peer knows, not yet expecting more than the peer sends. */
  #txUs: number;
  #rxUs: number;
  #poll: Poll = "idle";
  #finalMs = 0;

  constructor(wanted: CheckedTimes) {
    this.#wanted = wanted;
    this.saidTxUs = Math.max(wanted.txUs, SLOW_US);
    this.saidRxUs = wanted.rxUs;
    this.#txUs = this.saidTxUs;
    this.#rxUs = this.saidRxUs;
  }

  get poll(): Poll {
    return this.#poll;
  }

  get wanted(): CheckedTimes {
    return this.#wanted;
  }

  /** Ms between packets of ours, before jitter (section 6.8.2); Infinity where the peer wants none (section 6.8.7). */
  get transmitMs(): number {
    if (this.remoteMinRxUs === 0) return Infinity;
    return Math.max(this.#txUs, this.remoteMinRxUs) / US_PER_MS;
  }

  /** The detection time in ms (section 6.8.4); 0 before the peer was heard. */
  get detectMs(): number {
    return (this.remoteMultiplier * Math.max(this.#rxUs, this.remoteMinTxUs)) / US_PER_MS;
  }

  /** Wants other times. Takes effect by `settle`. */
  want(times: CheckedTimes): void {
    this.#wanted = times;
  }

  /**
   * To be called when the state changed, the wishes, or whether echoes detect failures: then control packets need to come but
   * seldom (section 6.8.3).
   */
  settle(up: boolean, echo = this.#echo): void {
    this.#echo = echo;
    const { txUs, rxUs } = this.#wanted;
    const goalTx = up ? txUs : Math.max(txUs, SLOW_US);
    const goalRx = up && echo ? Math.max(rxUs, SLOW_US) : rxUs;
    if (!up) {
      // What holds changes at once, and every packet says so: section 6.8.3 asks for a poll here too, which could add nothing, for
      // nothing waits for its answer.
      this.#poll = "idle";
      this.#say(goalTx, goalRx);
      this.#hold();
      return;
    }
    if (this.#poll !== "idle" || (goalTx === this.saidTxUs && goalRx === this.saidRxUs)) return;
    this.#say(goalTx, goalRx);
    this.#txUs = Math.min(this.#txUs, goalTx);
    this.#rxUs = Math.max(this.#rxUs, goalRx);
    this.#poll = "asking";
  }

  /** A packet came, and answered a poll where `final`. */
  heard(final: boolean, nowMs: number): void {
    if (final && this.#poll === "asking") {
      this.#hold();
      this.#poll = "settling";
      this.#finalMs = nowMs;
    } else if (this.#poll === "settling" && (!final || nowMs - this.#finalMs > this.detectMs)) {
      this.#poll = "idle";
      this.settle(true);
    }
  }

  /** What the peer said is forgotten (section 6.8.1). */
  forget(): void {
    this.remoteMinRxUs = UNHEARD_MIN_RX_US;
    this.remoteMinTxUs = 0;
    this.remoteMultiplier = 0;
  }

  #say(txUs: number, rxUs: number): void {
    this.saidTxUs = txUs;
    this.saidRxUs = rxUs;
  }

  #hold(): void {
    this.#txUs = this.saidTxUs;
    this.#rxUs = this.saidRxUs;
  }
}

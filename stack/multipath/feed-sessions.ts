/**
 * The sessions of a feed: each time its publisher begins anew with its numbers, it says so by another session.
 *
 * The sides come to the new session one after the other. One that still brings an old session is late, however late it is; one
 * that came to the new session and then brings an old one says that the publisher went back.
 */
import { QUIET_MS } from "./feed-rows.ts";
import { MAX_SIDES } from "./feed-sides.ts";

/** What a datagram's session is to the feed. */
export const SESSION = {
  /** That of the datagrams before. */
  same: 0,
  /** The first of all. */
  first: 1,
  /** Another: the numbers begin anew. */
  next: 2,
  /** One that has ended: a slower side still brings it. */
  straggler: 3,
  /** Not a number. */
  none: 4,
} as const;
export type SessionVerdict = (typeof SESSION)[keyof typeof SESSION];

/** Sessions that are remembered after their end: a side may be so many behind. */
const PAST_SESSIONS = 8;

export class FeedSessions {
  readonly #waitMs: number;
  readonly #quietMs: number;
  #current = Number.NaN;
  /** When the current one began, and was last heard. */
  #beganMs = 0;
  #heardMs = 0;
  /** Those before it, in a ring. */
  readonly #past = new Float64Array(PAST_SESSIONS).fill(Number.NaN);
  #oldest = 0;
  /** What each side brought last. */
  readonly #ofSide = new Float64Array(MAX_SIDES).fill(Number.NaN);

  /** Datagrams of one side overtake each other by less than `waitMs`. */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
    this.#quietMs = Math.max(QUIET_MS, waitMs);
  }

  judge(session: number, side: number, nowMs: number): SessionVerdict {
    const current = this.#current;
    if (session === current) {
      this.#ofSide[side] = session;
      this.#heardMs = nowMs;
      return SESSION.same;
    }
    if (Number.isNaN(session)) return SESSION.none;
    if (this.#isPast(session) && !this.#wentBack(side, nowMs)) return SESSION.straggler;
    this.#past[this.#oldest] = current;
    this.#oldest = (this.#oldest + 1) % PAST_SESSIONS;
    this.#current = session;
    this.#beganMs = nowMs;
    this.#heardMs = nowMs;
    this.#ofSide[side] = session;
    return Number.isNaN(current) ? SESSION.first : SESSION.next;
  }

  #isPast(session: number): boolean {
    for (let i = 0; i < PAST_SESSIONS; i++) if (this.#past[i] === session) return true;
    return false;
  }

  /** An old session is the publisher's again where the side had left it, or where nobody brings the current one any more. */
  #wentBack(side: number, nowMs: number): boolean {
    if (this.#ofSide[side] === this.#current) return nowMs - this.#beganMs >= this.#waitMs;
    return nowMs - this.#heardMs >= this.#quietMs;
  }
}

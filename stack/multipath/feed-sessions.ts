/**
 * The sessions of a feed: each time its publisher begins anew with its numbers, it says so by another session.
 */

/** What a datagram's session is to the feed. */
export const SESSION = {
  /** That of the datagrams before. */
  same: 0,
  /** The first of all. */
  first: 1,
  /** Another: the numbers begin anew. */
  next: 2,
  /** The one that has just ended: the slower side still brings it. */
  straggler: 3,
  /** Not a number. */
  none: 4,
} as const;
export type SessionVerdict = (typeof SESSION)[keyof typeof SESSION];

export class FeedSessions {
  readonly #waitMs: number;
  #current = Number.NaN;
  #last = Number.NaN;
  #lastUntilMs = 0;

  /** For `waitMs` after a change the old session's datagrams are late; after that it is the publisher that went back to it. */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  judge(session: number, nowMs: number): SessionVerdict {
    if (session === this.#current) return SESSION.same;
    if (Number.isNaN(session)) return SESSION.none;
    if (session === this.#last && nowMs < this.#lastUntilMs) return SESSION.straggler;
    const first = Number.isNaN(this.#current);
    this.#last = this.#current;
    this.#lastUntilMs = nowMs + this.#waitMs;
    this.#current = session;
    return first ? SESSION.first : SESSION.next;
  }
}

/**
 * The row of numbers that each side of a feed is in, by which datagrams that are out of all order are told apart: those of a side
 * that is far behind, and those of a publisher that went on without us or began anew.
 *
 * A publisher that begins anew breaks the row of the side that says so. One datagram out of its row may be damaged; when
 * the next one goes on from there, that is no accident (RFC 3550 appendix A.1 has such a rule, but allows no loss between the two). A side that merely goes on with its own row has nothing new to say:
 * the feed is elsewhere because another side brought it there.
 */
import { distanceOf, numberAfter } from "./feed-numbers.ts";
import { MAX_SIDES } from "./feed-sides.ts";

/** What a datagram out of all order is. */
export const ORDER = {
  /** Out of its side's row too: dropped, and remembered. */
  stray: 0,
  /** It goes on from a stray right before it: the feed goes there. */
  follows: 1,
  /** Of its side's row, which is not the feed's. */
  elsewhere: 2,
} as const;
export type Order = (typeof ORDER)[keyof typeof ORDER];

/**
 * When nobody has brought anything of the feed's row for so long, it goes on with whoever still brings something: three of the
 * heartbeats that exchanges send once a second.
 */
export const QUIET_MS = 3000;

export class FeedRows {
  readonly #modulus: number;
  readonly #window: number;
  readonly #quietMs: number;
  /** What follows the last datagram of a side's row; NaN before the first. */
  readonly #next = new Float64Array(MAX_SIDES).fill(Number.NaN);
  /** What would follow a side's stray; NaN where its last datagram was none. */
  readonly #strayNext = new Float64Array(MAX_SIDES).fill(Number.NaN);
  /** When somebody brought something of the feed's row. */
  #heardMs = -Infinity;

  /** `window` numbers to both sides of the last one are of a row; a gap of `waitMs` is no silence. */
  constructor(modulus: number, window: number, waitMs: number) {
    this.#modulus = modulus;
    this.#window = window;
    this.#quietMs = Math.max(QUIET_MS, waitMs);
  }

  /** A side brought a datagram of the feed's row. */
  heard(side: number, sequence: number, count: number, nowMs: number): void {
    this.#next[side] = numberAfter(sequence, count, this.#modulus);
    this.#strayNext[side] = Number.NaN;
    this.#heardMs = nowMs;
  }

  /** A side brought one that is too far from the feed's next number for the window. */
  judge(side: number, sequence: number, count: number, nowMs: number): Order {
    const modulus = this.#modulus;
    const after = numberAfter(sequence, count, modulus);
    const next = this.#next[side]!;
    const strayNext = this.#strayNext[side]!;
    const isQuiet = nowMs - this.#heardMs >= this.#quietMs;
    const goesOn = Math.abs(distanceOf(next, sequence, modulus)) < this.#window;
    // A side that joins is taken to be in its row while the others are in the feed's.
    if (goesOn || (Number.isNaN(next) && !isQuiet)) {
      this.#next[side] = after;
      this.#strayNext[side] = Number.NaN;
      return goesOn && isQuiet ? ORDER.follows : ORDER.elsewhere;
    }
    this.#strayNext[side] = after;
    const ahead = distanceOf(strayNext, sequence, modulus);
    if (!(ahead >= 0 && ahead < this.#window)) return ORDER.stray;
    this.#next[side] = after;
    return ORDER.follows;
  }

  /** Forgets all rows: the numbers begin anew on all sides. */
  forget(): void {
    this.#next.fill(Number.NaN);
    this.#strayNext.fill(Number.NaN);
    this.#heardMs = -Infinity;
  }
}

/**
 * Who brings each number of a feed first, and what becomes of those who bring it again.
 */
import type { FeedSide } from "./feed-sides.ts";
import type { FeedWindow } from "./feed-window.ts";

export class FeedRaces {
  readonly #sides: readonly FeedSide[];
  readonly #window: FeedWindow;
  readonly #onLead: ((leadMs: number, side: number) => void) | undefined;
  readonly #report: (error: unknown) => void;

  /** `report` gets what `onLead` throws. */
  constructor(
    sides: readonly FeedSide[],
    window: FeedWindow,
    onLead: ((leadMs: number, side: number) => void) | undefined,
    report: (error: unknown) => void,
  ) {
    this.#sides = sides;
    this.#window = window;
    this.#onLead = onLead;
    this.#report = report;
  }

  /** The first copy of the number at a distance has come; `filled` where later ones had come already. */
  won(number: number, distance: number, filled: boolean, nowMs: number): void {
    const side = this.#sides[number]!;
    side.first += 1;
    if (filled) side.filled += 1;
    this.#window.win(distance, number, nowMs);
  }

  /** A number that is behind, or that waits, has come again. */
  again(number: number, distance: number, nowMs: number): void {
    const side = this.#sides[number]!;
    const window = this.#window;
    const winner = window.winner(distance);
    if (winner < 0) {
      side.tooLate += 1;
      return;
    }
    if (!window.bring(distance, number)) {
      side.repeated += 1;
      return;
    }
    side.second += 1;
    const leadMs = nowMs - window.wonMs(distance);
    this.#sides[winner]!.led(leadMs);
    if (this.#onLead === undefined) return;
    try {
      this.#onLead(leadMs, winner);
    } catch (error) {
      this.#report(error);
    }
  }
}

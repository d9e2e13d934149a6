/**
 * What a BFD session means for the path that it watches (RFC 5882): "up" while both ends hear each other, "down" when they
 * stopped, and "unknown" while an operator at either end holds the session down, which says nothing of the path (sections 3.2
 * and 4.2). Before they ever heard each other it is "unknown" too (section 4.1), or "down" where the session is strict.
 *
 * Section 3.2 would have clients that know of no other sign of life take an operator's hand for a failure. A path has its carrier
 * and may have further monitors, and who restarts a daemon means no harm to the traffic: so it is not taken for one here.
 */
import type { Verdict } from "../ip/paths/monitor.ts";
import { STATE } from "../wire/bfd.ts";
import { SLOW_US } from "./intervals.ts";
import type { Machine } from "./machine.ts";

const US_PER_MS = 1000;
/** Three packets bring a session up, at the slow beat where nobody answers at once; a fourth may have been lost. */
const RETURN_MS = (4 * SLOW_US) / US_PER_MS;

export class Judgement {
  verdict: Verdict = "unknown";
  readonly #strict: boolean;
  /** When the session was last seen in an operator's hand, in ms. */
  #heldMs = -Infinity;

  constructor(strict: boolean) {
    this.#strict = strict;
  }

  /** Nothing is known, or nothing any more. */
  begin(): void {
    this.verdict = this.#strict ? "down" : "unknown";
    this.#heldMs = -Infinity;
  }

  /**
   * Judges anew; true where the verdict is another. What is known may change without the session's state: whose hand one that is
   * down is in, and for how long nobody's.
   */
  review(machine: Machine, nowMs: number): boolean {
    const before = this.verdict;
    this.verdict = this.#judge(machine, nowMs);
    return this.verdict !== before;
  }

  #judge({ state, remoteState, remoteDiscriminator }: Machine, nowMs: number): Verdict {
    if (state === STATE.UP) return "up";
    if (state === STATE.ADMIN_DOWN || remoteState === STATE.ADMIN_DOWN) {
      this.#heldMs = nowMs;
      return "unknown";
    }
    if (this.verdict !== "unknown") return "down";
    if (!this.#strict) return "unknown";
    // Let go of a moment ago by an operator, and the peer is there: it is coming up, which is no failure of the path either.
    return remoteDiscriminator !== 0 && nowMs - this.#heldMs <= RETURN_MS ? "unknown" : "down";
  }
}

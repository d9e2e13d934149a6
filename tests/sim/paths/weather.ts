/** What is wrong with a network of a world of paths at the moment, and since when nothing is. */
import type { Watch } from "./plan.ts";

/** What may be wrong. */
export interface Trouble {
  /** Nothing gets through from the near end, or from the far one. */
  cutNear: boolean;
  cutFar: boolean;
  /** An end has no carrier. */
  down: boolean;
  /** An end has left. */
  left: boolean;
  /** A route over it is withdrawn. */
  withdrawn: boolean;
  /** Part of the packets is lost. */
  loss: number;
}

/**
 * A network that is well carries traffic so soon, on trial or not: who judges it wants three answers, BFD says one word a second
 * while a session is down (RFC 5880 section 6.8.3), and a router asks for its neighbours once a second (RFC 4861 section 10).
 */
const RESUME_MS: Readonly<Record<Watch, number>> = { bfd: 4500, neighbour: 1200, health: 3000 };
/** What is wrong with a network is known by then: three times the interval of a monitor and its jitter, over the slowest. */
export const DETECT_MS = 700;
const ENDINGS = ["cutNear", "cutFar", "down", "left", "withdrawn"] as const;

export class Weather {
  readonly now: Trouble = {
    cutNear: false,
    cutFar: false,
    down: false,
    left: false,
    withdrawn: false,
    loss: 0,
  };
  /** How long it takes from the moment at which all is well until it carries traffic again. */
  readonly resumeMs: number;
  /** Since when all is well; Infinity where it is not. */
  goodSinceMs = 0;
  /** When something got worse last, or ceased to be neither good nor bad. */
  worseMs = -Infinity;
  readonly #watch: Watch;
  /** Its ends have heard of each other since they joined. */
  #known = false;

  constructor(watch: Watch) {
    this.#watch = watch;
    this.resumeMs = RESUME_MS[watch];
  }

  get good(): boolean {
    const { now } = this;
    return now.loss === 0 && !ENDINGS.some((name) => now[name]);
  }

  /** True where nobody can be expected to know how it is: packets are lost, or who judges has never heard the other end. */
  isUnclear(nowMs: number): boolean {
    return this.now.loss > 0 || !this.#isKnown(nowMs);
  }

  set(change: Partial<Trouble>, nowMs: number): void {
    this.#known = this.#isKnown(nowMs);
    const before = { ...this.now };
    Object.assign(this.now, change);
    const { now } = this;
    if (now.loss !== before.loss || ENDINGS.some((name) => now[name] && !before[name])) this.worseMs = nowMs;
    if (now.left) this.#known = false;
    if (!this.good) this.goodSinceMs = Infinity;
    else if (this.goodSinceMs === Infinity) this.goodSinceMs = nowMs;
  }

  /** A BFD session that never was up says nothing, and a path that nothing speaks against is used (RFC 5882 section 3.3). */
  #isKnown(nowMs: number): boolean {
    return this.#watch !== "bfd" || this.#known || nowMs - this.goodSinceMs >= this.resumeMs;
  }
}

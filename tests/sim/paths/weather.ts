/** What is wrong with a network, an interface or a host of a world of paths at the moment, and since when nothing is. */
import type { Watch } from "./plan.ts";

/**
 * What is well carries traffic so soon, on trial or not: who judges it wants three answers, BFD says one word a second while a
 * session is down (RFC 5880 section 6.8.3), and a router asks for its neighbours once a second (RFC 4861 section 10).
 */
export const RESUME_MS: Readonly<Record<Watch, number>> = { bfd: 4500, neighbour: 1200, health: 3000 };
/** What is wrong is known by then: three times the interval of a monitor and its jitter, over the slowest. */
export const DETECT_MS = 700;
/** Three times the slow interval of BFD. */
const SLOW_BFD_MS = 3000;

export interface Climate<Trouble extends string> {
  /** Everything that may be wrong. */
  readonly troubles: readonly Trouble[];
  /** Those of it that end all traffic, in one direction at least. */
  readonly fatal: readonly Trouble[];
  /** Who judges; undefined where nobody does. */
  readonly watch: Watch | undefined;
  /** How long it takes from the moment at which all is well until it carries traffic again. */
  readonly resumeMs: number;
}

export class Weather<Trouble extends string> {
  /** Part of the packets that is lost, 0 to 1. */
  loss = 0;
  /** Since when all is well; Infinity where it is not. */
  goodSinceMs = 0;
  /** Since when it is dead, of whatever; Infinity where it is not. */
  deadSinceMs = Infinity;
  /** Since when nothing fatal is there, or was before what is fatal now. */
  #aliveSinceMs = 0;
  /** When something got worse last, or ceased to be neither good nor bad. */
  worseMs = -Infinity;
  readonly #climate: Climate<Trouble>;
  readonly #now = new Set<Trouble>();
  /** Who judges has heard the other end since it is here. */
  #known = false;

  constructor(climate: Climate<Trouble>) {
    this.#climate = climate;
  }

  get resumeMs(): number {
    return this.#climate.resumeMs;
  }

  has(trouble: Trouble): boolean {
    return this.#now.has(trouble);
  }

  /** True where nobody can be expected to know how it is: packets are lost, or who judges has never heard the other end. */
  isUnclear(nowMs: number): boolean {
    return this.loss > 0 || !this.#isKnown(nowMs);
  }

  /** True where it has been dead for so long that everybody who judges it knows. */
  isKnownDead(nowMs: number, detectMs: number): boolean {
    const { watch, resumeMs } = this.#climate;
    // A session that has just come up still counts in seconds, until both ends have agreed on less (RFC 5880 section 6.8.3).
    const isFresh = watch === "bfd" && this.deadSinceMs - this.#aliveSinceMs < resumeMs;
    return this.deadSinceMs < nowMs - detectMs - (isFresh ? SLOW_BFD_MS : 0) && !this.isUnclear(nowMs);
  }

  /** True where it has been well for so long that it carries traffic. */
  carries(nowMs: number): boolean {
    return this.goodSinceMs <= nowMs - this.resumeMs;
  }

  /** Troubles begin and end, and packets are lost. */
  set(change: Partial<Record<Trouble, boolean>>, nowMs: number, loss = this.loss): void {
    this.#known = this.#isKnown(nowMs);
    let isWorse = loss !== this.loss;
    this.loss = loss;
    for (const trouble of this.#climate.troubles) {
      const isThere = change[trouble] ?? this.has(trouble);
      if (isThere && !this.has(trouble)) isWorse = true;
      if (isThere) this.#now.add(trouble);
      else this.#now.delete(trouble);
    }
    if (isWorse) this.worseMs = nowMs;
    // One that comes anew is as unknown to its judges as on the first day.
    if (this.#now.has("left" as Trouble)) this.#known = false;
    const isDead = this.#climate.fatal.some((trouble) => this.has(trouble));
    if (!isDead && this.deadSinceMs < Infinity) this.#aliveSinceMs = nowMs;
    this.deadSinceMs = isDead ? Math.min(this.deadSinceMs, nowMs) : Infinity;
    const isGood = this.#now.size === 0 && loss === 0;
    this.goodSinceMs = isGood ? Math.min(this.goodSinceMs, nowMs) : Infinity;
  }

  /** All is well. */
  clear(nowMs: number): void {
    const none: Partial<Record<Trouble, boolean>> = {};
    for (const trouble of this.#climate.troubles) none[trouble] = false;
    this.set(none, nowMs, 0);
  }

  /** A BFD session that never was up says nothing, and a path that nothing speaks against is used (RFC 5882 section 3.3). */
  #isKnown(nowMs: number): boolean {
    return this.#climate.watch !== "bfd" || this.#known || this.carries(nowMs);
  }
}

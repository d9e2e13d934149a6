/**
 * The course of a host's paths as the host tells it: what follows on what, how long a trial is, and that a path which went down
 * too often is left out of use for as long as it should be, and no longer.
 */
import type { HostEvent } from "../../../stack/ip/events.ts";
import { DAMPING } from "../../../stack/ip/paths/damping.ts";
import type { Path, PathChange, PathReason, PathState } from "../../../stack/ip/paths/path.ts";

export interface CoursePlan {
  readonly verifyMs: number;
  readonly damping: boolean;
}

/** What may follow on a state. A path on trial is never new: whoever is new and not down is used. */
const NEXT: Readonly<Record<PathState, readonly PathState[]>> = {
  up: ["down", "verifying"],
  verifying: ["up", "damped", "down"],
  damped: ["up", "verifying", "down"],
  down: ["verifying", "damped", "up"],
};
/** A path goes down for these without a fault of its own. */
const BLAMELESS: ReadonlySet<PathReason> = new Set(["administrative", "gone"]);
/** A silence that ended a path: three intervals of 100 ms from the last answer, which may be one of the quick first ones. */
const SILENCE_MS = [290, 410] as const;
/** Who has not heard since the path began its trial may ask all, which is once a second (RFC 1122 section 2.3.2.1). */
const TRIAL_SILENCE_MS = [290, 1100] as const;
/** Sums of fractions of a millisecond, and a turn. */
const EXACT_MS = 0.5;

/** What flapping should have cost a path (RFC 2439 section 4.4); `value` as of `atMs`. */
class Fine {
  #value = 0;
  #atMs = 0;
  #freeAtMs = -Infinity;

  freeAtMs(): number {
    return this.#freeAtMs;
  }

  add(nowMs: number): void {
    const { penalty, maximum, suppress, reuse, halfLifeMs } = DAMPING;
    const isHeld = this.#freeAtMs > nowMs;
    this.#value = Math.min(this.#at(nowMs) + penalty, maximum);
    this.#atMs = nowMs;
    if (isHeld || this.#value > suppress)
      this.#freeAtMs = nowMs + halfLifeMs * Math.log2(this.#value / reuse);
  }

  /** A host may forget what is as low as this of a path that left (RFC 2439 section 4.4.5). */
  forgetLow(nowMs: number): void {
    if (this.#at(nowMs) < DAMPING.reuse / 2) this.#value = 0;
  }

  #at(nowMs: number): number {
    return this.#value * 2 ** ((this.#atMs - nowMs) / DAMPING.halfLifeMs);
  }
}

/** What is remembered of one path. */
interface Known {
  state: PathState;
  sinceMs: number;
}

export class Course {
  readonly #plan: CoursePlan;
  readonly #complain: (text: string) => void;
  readonly #known = new Map<number, Known>();
  /** What a path owes at least, where the host forgets what it may, and at most. */
  readonly #least = new Map<string, Fine>();
  readonly #most = new Map<string, Fine>();

  constructor(plan: CoursePlan, complain: (text: string) => void) {
    this.#plan = plan;
    this.#complain = complain;
  }

  /** Hears of everything that the host tells; what is not of a path goes by. */
  hear(event: HostEvent): void {
    if (event.kind !== "path") return;
    const wrong = this.#judge(event, event.atMs);
    if (wrong !== undefined)
      this.#complain(`${event.path} is told to be ${event.state} (${event.reason}): ${wrong}`);
    this.#note(event, event.atMs);
  }

  /** When a path that is well may be in use again, whatever it did, at the latest. */
  freeAtMs(path: Path): number {
    return this.#plan.damping ? (this.#most.get(path.toString())?.freeAtMs() ?? -Infinity) : -Infinity;
  }

  #judge({ path, state, previous, reason, silentMs }: PathChange, nowMs: number): string | undefined {
    const known = this.#known.get(path.id);
    if (path.state !== state || path.reason !== reason) return `the path itself is ${path.state}`;
    if (path.changedMs !== nowMs) return `since ${path.changedMs} ms`;
    if (known?.state !== previous) return `it was ${known?.state}, and not ${previous}`;
    if (previous !== undefined && !NEXT[previous].includes(state)) return `after ${previous}`;
    if (state === "down" && (reason === "neighbour" || reason === "health"))
      return silenceOf(silentMs, previous === "up" ? SILENCE_MS : TRIAL_SILENCE_MS);
    if (state === "damped") return this.#judgeDamped(path, nowMs);
    return state === "up" && known !== undefined ? this.#judgeUp(path, known, nowMs) : undefined;
  }

  #judgeUp(path: Path, { state, sinceMs }: Known, nowMs: number): string | undefined {
    const judge = path.monitors.find(({ verdict }) => verdict !== "up");
    if (judge !== undefined) return `its monitor says ${judge.verdict}`;
    const { verifyMs, damping } = this.#plan;
    if (state === "down" && verifyMs > 0) return "without a trial";
    if (state === "verifying" && nowMs - sinceMs < verifyMs - EXACT_MS)
      return `after a trial of ${nowMs - sinceMs} ms`;
    const freeAtMs = this.#least.get(path.toString())?.freeAtMs() ?? -Infinity;
    return damping && freeAtMs > nowMs + EXACT_MS ? `it flaps, until ${freeAtMs} ms` : undefined;
  }

  #judgeDamped(path: Path, nowMs: number): string | undefined {
    if (!this.#plan.damping) return "nobody counts";
    return this.freeAtMs(path) < nowMs - EXACT_MS ? "it did not go down so often" : undefined;
  }

  #note({ path, state, previous, reason }: PathChange, nowMs: number): void {
    this.#known.set(path.id, { state, sinceMs: nowMs });
    const key = path.toString();
    if (previous === undefined) this.#least.get(key)?.forgetLow(nowMs);
    if (state !== "down" || previous === undefined || BLAMELESS.has(reason)) return;
    for (const fines of [this.#least, this.#most]) {
      const fine = fines.get(key) ?? new Fine();
      fines.set(key, fine);
      fine.add(nowMs);
    }
  }
}

const silenceOf = (silentMs: number, [least, most]: readonly [number, number]): string | undefined =>
  silentMs >= least && silentMs <= most ? undefined : `after a silence of ${silentMs} ms`;

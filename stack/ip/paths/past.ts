/**
 * What flapping has cost paths that are not there now: a route that comes and goes brings a new path each time, which must
 * not begin with a clean slate.
 */
import { type DampingSettings, Penalty } from "./damping.ts";

/** Paths remembered: as many as there can be, and the oldest are forgotten first. */
export const MAX_PAST = 4096;

export class PastPenalties {
  readonly #settings: DampingSettings | undefined;
  readonly #past = new Map<string, Penalty>();

  /** Without settings nobody counts. */
  constructor(settings: DampingSettings | undefined) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#past.size;
  }

  /** The penalty of a path that comes: the one that it left with, or a fresh one. */
  take(key: string): Penalty | undefined {
    if (this.#settings === undefined) return undefined;
    const known = this.#past.get(key);
    this.#past.delete(key);
    return known ?? new Penalty(this.#settings);
  }

  /** A path went. */
  keep(key: string, penalty: Penalty | undefined, nowMs: number): void {
    if (penalty === undefined || penalty.spent(nowMs)) return;
    this.#past.set(key, penalty);
    for (const [old, other] of this.#past) {
      // In the order in which they went: behind the first that still counts, most do.
      if (this.#past.size <= MAX_PAST && !other.spent(nowMs)) return;
      this.#past.delete(old);
    }
  }
}

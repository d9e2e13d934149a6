/**
 * How the paths that copies come over compare: who was first how often, and how much later the others were.
 */
import type { LinkInterface } from "../transport/network.ts";

/** Interfaces that are told apart; what comes in on others is counted together. Far more than anybody sends copies over. */
export const MAX_SCORED = 64;

/** What one interface brought. */
export interface PathScore {
  readonly interface: string;
  /** Datagrams whose first copy came in here. */
  readonly first: number;
  /** Further copies that came in here, and were dropped. */
  readonly duplicates: number;
  /** How much later than the first copy these were, in ms: resolved as finely as the loop turns. 0 before the first. */
  readonly meanLateMs: number;
  readonly maxLateMs: number;
}

const OTHERS = "others";

export class PathScores {
  readonly #names: string[] = [];
  readonly #indices = new Int32Array(MAX_SCORED);
  readonly #first = new Float64Array(MAX_SCORED);
  readonly #duplicates = new Float64Array(MAX_SCORED);
  readonly #lateMs = new Float64Array(MAX_SCORED);
  readonly #maxLateMs = new Float64Array(MAX_SCORED);

  /** The number that stands for an interface, from 1. */
  numberOf(one: LinkInterface): number {
    const known = this.#names.length;
    const { index } = one;
    for (let i = 0; i < known; i++) if (this.#indices[i] === index) return i + 1;
    if (known === MAX_SCORED) return MAX_SCORED;
    this.#indices[known] = index;
    // The last place is for all that come after it.
    this.#names.push(known === MAX_SCORED - 1 ? OTHERS : one.name);
    return known + 1;
  }

  /** The name behind a number. */
  nameOf(number: number): string {
    return this.#names[number - 1]!;
  }

  /** A first copy. */
  first(number: number): void {
    this.#first[number - 1]! += 1;
  }

  /** A further copy, `lateMs` after the first. */
  duplicate(number: number, lateMs: number): void {
    const i = number - 1;
    this.#duplicates[i]! += 1;
    this.#lateMs[i]! += lateMs;
    if (lateMs > this.#maxLateMs[i]!) this.#maxLateMs[i] = lateMs;
  }

  values(): PathScore[] {
    return this.#names.map((name, i) => ({
      interface: name,
      first: this.#first[i]!,
      duplicates: this.#duplicates[i]!,
      meanLateMs: this.#lateMs[i]! / Math.max(1, this.#duplicates[i]!),
      maxLateMs: this.#maxLateMs[i]!,
    }));
  }
}

/**
 * The sides of a feed and how they compare: what each brought, who was first, and by how much.
 */

/** Sides that one feed can have: a bit of a byte each. */
export const MAX_SIDES = 8;

/** Counters of one side, in datagrams. */
export interface FeedSideStatistics {
  readonly name: string;
  /** All that came, copies and heartbeats too. */
  readonly received: number;
  /** Brought before the other sides did. */
  readonly first: number;
  /** Of these, those that closed a gap: a later number had come already. */
  readonly filled: number;
  /** Brought after another side had. */
  readonly second: number;
  /** How much earlier it was with what another side brought too, in ms: as finely as the loop turns. 0 before the first. */
  readonly meanLeadMs: number;
  readonly maxLeadMs: number;
  /** Brought by this side twice. */
  readonly repeated: number;
  /** Came when the number had been given up, or was from before the beginning. */
  readonly tooLate: number;
  /** Farther from the next number than the window, as what it brought before: it is far behind, or has not begun anew yet. */
  readonly elsewhere: number;
  /** Without a number, a count or a session that make sense. */
  readonly malformed: number;
}

export class FeedSide {
  readonly name: string;
  received = 0;
  first = 0;
  filled = 0;
  second = 0;
  repeated = 0;
  tooLate = 0;
  elsewhere = 0;
  malformed = 0;
  /** Races that it won against a side that came later. */
  #leads = 0;
  #leadMs = 0;
  #maxLeadMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** It had brought, `leadMs` earlier, what another side brings now. */
  led(leadMs: number): void {
    this.#leads += 1;
    this.#leadMs += leadMs;
    if (leadMs > this.#maxLeadMs) this.#maxLeadMs = leadMs;
  }

  statistics(): FeedSideStatistics {
    const { name, received, first, filled, second, repeated, tooLate, elsewhere, malformed } = this;
    return {
      name,
      received,
      first,
      filled,
      second,
      meanLeadMs: this.#leadMs / Math.max(1, this.#leads),
      maxLeadMs: this.#maxLeadMs,
      repeated,
      tooLate,
      elsewhere,
      malformed,
    };
  }
}

/** The sides of one feed, by number. */
export class FeedSides {
  readonly list: FeedSide[] = [];

  /** The number of a new one. Throws a RangeError where there are `MAX_SIDES`. */
  add(name: string): number {
    if (this.list.length >= MAX_SIDES) throw new RangeError(`a feed has at most ${MAX_SIDES} sides`);
    return this.list.push(new FeedSide(name)) - 1;
  }

  /** Throws a RangeError where there is none of that number. */
  of(number: number): FeedSide {
    const side = this.list[number];
    if (side !== undefined) return side;
    throw new RangeError(`this feed has ${this.list.length} sides, none is ${number}`);
  }

  statistics(): FeedSideStatistics[] {
    return this.list.map((side) => side.statistics());
  }
}

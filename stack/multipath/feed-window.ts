/**
 * The numbers of a feed around the next one: what waits ahead of it, and who brought which behind it.
 *
 * A ring of typed arrays with a place for each number. Places that wait, with an early datagram or with a mark that there are
 * numbers before it, are also in a list in the order in which they came: the first of it says how long the gap has been known.
 */
import type { KeptDatagram } from "../udp/datagram.ts";

const NONE = -1;

export class FeedWindow {
  /** Places that wait. */
  waiting = 0;
  /** Those with a datagram. */
  held = 0;
  readonly #size: number;
  readonly #mask: number;
  /** The place of the next number. */
  #head = 0;
  readonly #kept: (KeptDatagram | undefined)[];
  readonly #waits: Uint8Array;
  readonly #count: Int32Array;
  readonly #sinceMs: Float64Array;
  readonly #later: Int32Array;
  readonly #earlier: Int32Array;
  #first = NONE;
  #last = NONE;
  /** Who brought a number first, when, and who else did, as bits. */
  readonly #winner: Int8Array;
  readonly #wonMs: Float64Array;
  readonly #brought: Uint8Array;

  /** Distances from the next number are -`size` to `size` - 1; `size` is a power of two. */
  constructor(size: number) {
    const places = 2 * size;
    this.#size = size;
    this.#mask = places - 1;
    this.#kept = Array.from({ length: places }, () => undefined);
    this.#waits = new Uint8Array(places);
    this.#count = new Int32Array(places);
    this.#sinceMs = new Float64Array(places);
    this.#later = new Int32Array(places);
    this.#earlier = new Int32Array(places);
    this.#winner = new Int8Array(places).fill(NONE);
    this.#wonMs = new Float64Array(places);
    this.#brought = new Uint8Array(places);
  }

  /** Since when the gap in front is known to be one, in ms; Infinity where nothing waits. */
  get sinceMs(): number {
    return this.#first === NONE ? Infinity : this.#sinceMs[this.#first]!;
  }

  /** The side that brought the number at a distance first; -1 where none did. */
  winner(distance: number): number {
    return this.#winner[this.#place(distance)]!;
  }

  /** When it did. */
  wonMs(distance: number): number {
    return this.#wonMs[this.#place(distance)]!;
  }

  /** Writes down that a side brought the number at a distance first. */
  win(distance: number, side: number, nowMs: number): void {
    const place = this.#place(distance);
    this.#winner[place] = side;
    this.#wonMs[place] = nowMs;
    this.#brought[place] = 1 << side;
  }

  /** Writes down that a side brought it too; false where it had before. */
  bring(distance: number, side: number): boolean {
    const place = this.#place(distance);
    const bits = this.#brought[place]!;
    this.#brought[place] = bits | (1 << side);
    return (bits & (1 << side)) === 0;
  }

  waits(distance: number): boolean {
    return this.#waits[this.#place(distance)] !== 0;
  }

  /** Numbers that the datagram at a distance stands for. */
  count(distance: number): number {
    return this.#count[this.#place(distance)]!;
  }

  /** Lets a place wait: with a datagram of `count` numbers, or as a mark. One that waits already does so since then. */
  hold(distance: number, kept: KeptDatagram | undefined, count: number, nowMs: number): void {
    const place = this.#place(distance);
    this.#kept[place] = kept;
    this.#count[place] = count;
    if (kept !== undefined) this.held += 1;
    if (this.#waits[place] !== 0) return;
    this.#waits[place] = 1;
    this.#sinceMs[place] = nowMs;
    this.#earlier[place] = this.#last;
    this.#later[place] = NONE;
    if (this.#last === NONE) this.#first = place;
    else this.#later[this.#last] = place;
    this.#last = place;
    this.waiting += 1;
  }

  /** Puts a datagram of more numbers in the place of one that waits, which it gives back. */
  exchange(distance: number, kept: KeptDatagram, count: number): KeptDatagram {
    const place = this.#place(distance);
    const before = this.#kept[place]!;
    this.#kept[place] = kept;
    this.#count[place] = count;
    return before;
  }

  /** Ends the waiting of the next number: its datagram, or undefined for a mark. */
  take(): KeptDatagram | undefined {
    const place = this.#head;
    const kept = this.#kept[place];
    const earlier = this.#earlier[place]!;
    const later = this.#later[place]!;
    if (earlier === NONE) this.#first = later;
    else this.#later[earlier] = later;
    if (later === NONE) this.#last = earlier;
    else this.#earlier[later] = earlier;
    this.#waits[place] = 0;
    this.#kept[place] = undefined;
    this.waiting -= 1;
    if (kept !== undefined) this.held -= 1;
    return kept;
  }

  /** How far the nearest place that waits is; there must be one. */
  nearest(): number {
    let distance = 0;
    while (!this.waits(distance)) distance += 1;
    return distance;
  }

  /** Goes on to the number after the next, which does not wait. */
  step(): void {
    this.#head = (this.#head + 1) & this.#mask;
    // The oldest number leaves; its place is now the farthest one ahead.
    this.#winner[this.#place(this.#size - 1)] = NONE;
  }

  /** Forgets who brought what. Nothing may wait. */
  forget(): void {
    this.#winner.fill(NONE);
  }

  #place(distance: number): number {
    return (this.#head + distance) & this.#mask;
  }
}

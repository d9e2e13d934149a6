/**
 * Which numbers of many streams have come, over which path first, and when: a window of the latest numbers for each stream.
 *
 * As with the anti-replay windows of IPsec (RFC 4303 section 3.4.3) in the ring form of RFC 6479, with a byte for each number
 * in place of a bit: it says who brought it. Everything lies in typed arrays that are made once.
 */
import { ARRIVAL, type Arrival, type FirstCopy } from "./arrival.ts";

/** Nobody has brought it. */
const UNSEEN = 0;
/** Nobody has brought it, and it is from before the first one that came: nobody misses it. */
const BEFORE_START = 0xff;

/** Numbers of paths are 1 to this, so that a byte has room for what stands beside them. */
export const MAX_PATH_NUMBER = BEFORE_START - 1;

export class SequenceWindows implements FirstCopy {
  firstPath = UNSEEN;
  firstMs = 0;
  /** Numbers that were jumped over because a newer one came. */
  skipped = 0;
  /** Those of them that came after all. */
  filled = 0;
  readonly #size: number;
  readonly #mask: number;
  readonly #highest: Int32Array;
  readonly #path: Uint8Array;
  readonly #atMs: Float64Array;

  /** `streams` windows of `size` numbers, a power of two. */
  constructor(streams: number, size: number) {
    this.#size = size;
    this.#mask = size - 1;
    this.#highest = new Int32Array(streams);
    this.#path = new Uint8Array(streams * size);
    this.#atMs = new Float64Array(streams * size);
  }

  /** Starts the window of a stream whose first datagram to arrive is `sequence`. */
  begin(stream: number, sequence: number): void {
    const base = stream * this.#size;
    this.#highest[stream] = sequence - 1;
    this.#path.fill(BEFORE_START, base, base + this.#size);
  }

  /** Takes in a number (int32, wrapping) that came over path `path`; what it is. `firstPath` and `firstMs` are then of its first copy. */
  judge(stream: number, sequence: number, path: number, nowMs: number): Arrival {
    const ahead = (sequence - this.#highest[stream]!) | 0;
    const base = stream * this.#size;
    const at = base + (sequence & this.#mask);
    let arrival: Arrival = ARRIVAL.newest;
    if (ahead > 0) {
      this.#advance(stream, sequence, ahead);
    } else {
      if (ahead <= -this.#size) return ARRIVAL.stale;
      const seen = this.#path[at]!;
      if (seen !== UNSEEN && seen !== BEFORE_START) {
        this.firstPath = seen;
        this.firstMs = this.#atMs[at]!;
        return ARRIVAL.duplicate;
      }
      if (seen === UNSEEN) this.filled += 1;
      arrival = ARRIVAL.overtaken;
    }
    this.#path[at] = path;
    this.#atMs[at] = nowMs;
    return arrival;
  }

  /** Forgets the numbers that the window leaves, whose places those up to `sequence` get. */
  #advance(stream: number, sequence: number, ahead: number): void {
    this.#highest[stream] = sequence;
    this.skipped += ahead - 1;
    const base = stream * this.#size;
    if (ahead >= this.#size) {
      this.#path.fill(UNSEEN, base, base + this.#size);
      return;
    }
    for (let back = 1; back < ahead; back++) this.#path[base + ((sequence - back) & this.#mask)] = UNSEEN;
  }
}

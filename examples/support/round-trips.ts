/**
 * What a series of pings came to: sent, received, lost, and round trips in the figures that ping prints.
 */

/** Sequence numbers have 16 bits. */
const SEQUENCES = 1 << 16;
const WHOLE_PERCENT = 100;

export interface RoundTripFigures {
  readonly sent: number;
  readonly received: number;
  /** Further answers to what had been answered. */
  readonly duplicates: number;
  /** ICMP errors, and requests that found no way out. */
  readonly errors: number;
  readonly lossPercent: number;
  /** Undefined before the first answer. `mdev` is the population standard deviation, as in iputils. */
  readonly minMs: number | undefined;
  readonly avgMs: number | undefined;
  readonly maxMs: number | undefined;
  readonly mdevMs: number | undefined;
}

export class RoundTrips {
  /** When each sequence number was last sent; NaN once it is answered. */
  readonly #sentMs = new Float64Array(SEQUENCES).fill(Number.NaN);
  #sent = 0;
  #received = 0;
  #duplicates = 0;
  #errors = 0;
  #failed = 0;
  #minMs = Infinity;
  #maxMs = -Infinity;
  #sumMs = 0;
  #sumSquares = 0;

  get sent(): number {
    return this.#sent;
  }

  get received(): number {
    return this.#received;
  }

  /** True where every request has an answer or an error. */
  get settled(): boolean {
    return this.#received + this.#failed >= this.#sent;
  }

  /** Takes the next sequence number. */
  next(nowMs: number): number {
    const sequence = this.#sent % SEQUENCES;
    this.#sentMs[sequence] = nowMs;
    this.#sent += 1;
    return sequence;
  }

  /** An answer; its round trip in ms, or undefined for one too many. */
  answered(sequence: number, nowMs: number): number | undefined {
    const ms = nowMs - this.#sentMs[sequence]!;
    if (Number.isNaN(ms)) {
      this.#duplicates += 1;
      return undefined;
    }
    this.#sentMs[sequence] = Number.NaN;
    this.#received += 1;
    this.#minMs = Math.min(this.#minMs, ms);
    this.#maxMs = Math.max(this.#maxMs, ms);
    this.#sumMs += ms;
    this.#sumSquares += ms * ms;
    return ms;
  }

  /** An error; what it is about is not waited for any longer. */
  failed(sequence: number): void {
    this.#errors += 1;
    if (Number.isNaN(this.#sentMs[sequence]!)) return;
    this.#sentMs[sequence] = Number.NaN;
    this.#failed += 1;
  }

  figures(): RoundTripFigures {
    const { sent, received } = this;
    const any = received > 0;
    const avgMs = this.#sumMs / received;
    const variance = Math.max(0, this.#sumSquares / received - avgMs * avgMs);
    return {
      sent,
      received,
      duplicates: this.#duplicates,
      errors: this.#errors,
      lossPercent: sent === 0 ? 0 : Math.round(((sent - received) * WHOLE_PERCENT) / sent),
      minMs: any ? this.#minMs : undefined,
      avgMs: any ? avgMs : undefined,
      maxMs: any ? this.#maxMs : undefined,
      mdevMs: any ? Math.sqrt(variance) : undefined,
    };
  }
}

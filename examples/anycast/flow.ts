/** One flow of a client: what it has sent, and what is known of each datagram by the answers so far. */
import type { Move } from "./protocol.ts";

/** Answers that are this much behind are forgotten; half a minute at a hundred a second. */
const REMEMBERED = 4096;
const NONE = -1;

export class Flow {
  readonly number: number;
  sent = 0;
  answered = 0;
  lost = 0;
  late = 0;
  duplicates = 0;
  /** Who answered last; 0 before the first answer. */
  server = 0;
  #latest = NONE;
  #lastMs = 0;
  readonly #seen = new Uint8Array(REMEMBERED);

  constructor(number: number) {
    this.number = number;
  }

  /** Takes an answer; the move that it shows, if it comes from another host than the last. */
  take(sequence: number, from: number, nowMs: number): Move | undefined {
    if (sequence >= this.sent || sequence <= this.#latest - REMEMBERED) return undefined;
    if (sequence <= this.#latest) {
      this.#takeOld(sequence);
      return undefined;
    }
    for (let passed = this.#latest + 1; passed < sequence; passed++) this.#seen[passed % REMEMBERED] = 0;
    this.lost += sequence - this.#latest - 1;
    this.#seen[sequence % REMEMBERED] = 1;
    this.#latest = sequence;
    this.answered += 1;
    const gapMs = nowMs - this.#lastMs;
    const before = this.server;
    this.#lastMs = nowMs;
    this.server = from;
    return before === 0 || before === from ? undefined : { flow: this.number, from: before, to: from, gapMs };
  }

  #takeOld(sequence: number): void {
    const at = sequence % REMEMBERED;
    if (this.#seen[at] !== 0) {
      this.duplicates += 1;
      return;
    }
    this.#seen[at] = 1;
    this.answered += 1;
    this.late += 1;
    this.lost -= 1;
  }
}

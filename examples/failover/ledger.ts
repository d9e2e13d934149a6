/**
 * What became of each question: answered, and how soon; lost; answered twice; overtaken by a later one of its flow; and how
 * long each flow was without an answer.
 */

/** Questions that are remembered: a minute of a thousand a second, and six seconds of ten thousand. A power of two. */
const REMEMBERED = 1 << 16;
/** A question is lost where it has no answer after so many ms. */
const PATIENCE_MS = 500;
/** Upper ends of the bars of a histogram of gaps, in ms; what is longer comes last. */
export const GAP_BOUNDS_MS = [2, 3, 5, 10, 20, 30, 40, 50, 75, 100, 200, 500, 1000, 5000, Infinity] as const;
const LOST = -1;
const HUNDREDTHS = 100;

const hundredths = (ms: number): number => Math.round(ms * HUNDREDTHS) / HUNDREDTHS;

/** What became of the questions of a window, one after the other. */
export interface Trace {
  /** When each was asked, in ms since the window began. */
  readonly askedMs: readonly number[];
  /** Ms to its answer, or -1. */
  readonly delaysMs: readonly number[];
  /** The number of the other end's interface that heard it; 0 where there is no answer, or it does not say. */
  readonly heardOn: readonly number[];
}

export interface FlowFigures {
  readonly sent: number;
  readonly answered: number;
  /** Flows that had an answer to a question of this window. */
  readonly flows: number;
  /** Without an answer though there was time for one; those that still have time are in none of the counts but `sent`. */
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** The longest that a flow was without an answer, in ms, one that has not ended included. */
  readonly gapMs: number;
  /** How many gaps between two answers of a flow were no longer than each bound, and longer than the one before. */
  readonly gaps: readonly number[];
  /** Answers by the interface that the other end heard the question on; 0 for those who don't say. */
  readonly heardOn: Readonly<Record<number, number>>;
}

export class Ledger {
  readonly #asked = new Float64Array(REMEMBERED);
  readonly #delays = new Float32Array(REMEMBERED);
  readonly #flows = new Uint32Array(REMEMBERED);
  readonly #answers = new Uint8Array(REMEMBERED);
  readonly #heard = new Uint32Array(REMEMBERED);
  readonly #lastMs: Float64Array;
  readonly #newest: Float64Array;
  #next = 0;
  #beganMs = 0;
  /** The first question of this window. */
  #first = 0;
  #answered = 0;
  #forgotten = 0;
  #duplicated = 0;
  #reordered = 0;
  #gapMs = 0;
  #gaps: number[] = [];
  #heardOn: Record<number, number> = {};

  constructor(flows: number, nowMs: number) {
    this.#lastMs = new Float64Array(flows);
    this.#newest = new Float64Array(flows).fill(-1);
    this.begin(nowMs);
  }

  /** Begins a window: all counts are those of questions from here on, and no gap is older. */
  begin(nowMs: number): void {
    this.#beganMs = nowMs;
    this.#first = this.#next;
    this.#answered = 0;
    this.#forgotten = 0;
    this.#duplicated = 0;
    this.#reordered = 0;
    this.#gapMs = 0;
    this.#gaps = GAP_BOUNDS_MS.map(() => 0);
    this.#heardOn = {};
    this.#lastMs.fill(nowMs);
  }

  /** The number of a flow's next question. */
  ask(flow: number, nowMs: number): number {
    const number = this.#next++;
    const slot = number % REMEMBERED;
    if (number - this.#first >= REMEMBERED && this.#answers[slot] === 0) this.#forgotten += 1;
    this.#asked[slot] = nowMs;
    this.#delays[slot] = LOST;
    this.#flows[slot] = flow;
    this.#answers[slot] = 0;
    this.#heard[slot] = 0;
    return number;
  }

  /** An answer came. What nobody asked, or asked too long ago, is left out. */
  answer(number: number, flow: number, heardOn: number, nowMs: number): void {
    const slot = number % REMEMBERED;
    if (number >= this.#next || this.#next - number > REMEMBERED || this.#flows[slot] !== flow) return;
    if (this.#answers[slot]! > 0) {
      this.#duplicated += 1;
      return;
    }
    this.#answers[slot] = 1;
    this.#delays[slot] = nowMs - this.#asked[slot]!;
    this.#heard[slot] = heardOn;
    if (number < this.#newest[flow]!) this.#reordered += 1;
    else this.#newest[flow] = number;
    this.#gap(nowMs - this.#lastMs[flow]!);
    this.#lastMs[flow] = nowMs;
    if (number < this.#first) return;
    this.#answered += 1;
    this.#heardOn[heardOn] = (this.#heardOn[heardOn] ?? 0) + 1;
  }

  figures(nowMs: number): FlowFigures {
    let lost = this.#forgotten;
    for (let number = this.#oldest(); number < this.#next; number++) {
      const slot = number % REMEMBERED;
      if (this.#answers[slot] === 0 && nowMs - this.#asked[slot]! > PATIENCE_MS) lost += 1;
    }
    const open = this.#lastMs.reduce((most, lastMs) => Math.max(most, nowMs - lastMs), 0);
    return {
      sent: this.#next - this.#first,
      answered: this.#answered,
      flows: this.#newest.reduce((flows, newest) => flows + (newest >= this.#first ? 1 : 0), 0),
      lost,
      duplicated: this.#duplicated,
      reordered: this.#reordered,
      gapMs: Math.max(this.#gapMs, open),
      gaps: this.#gaps,
      heardOn: this.#heardOn,
    };
  }

  /**
   * Each question of the window that is remembered, in order, as far as all is known of them: up to the first one that has no
   * answer and still has time.
   */
  trace(nowMs: number): Trace {
    const askedMs: number[] = [];
    const delaysMs: number[] = [];
    const heardOn: number[] = [];
    for (let number = this.#oldest(); number < this.#next; number++) {
      const slot = number % REMEMBERED;
      const asked = this.#asked[slot]!;
      const delay = this.#delays[slot]!;
      if (delay === LOST && nowMs - asked <= PATIENCE_MS) break;
      askedMs.push(hundredths(asked - this.#beganMs));
      delaysMs.push(delay === LOST ? LOST : hundredths(delay));
      heardOn.push(this.#heard[slot]!);
    }
    return { askedMs, delaysMs, heardOn };
  }

  /** When the window began, in ms of the clock that all others are given by. */
  get beganMs(): number {
    return this.#beganMs;
  }

  #oldest(): number {
    return Math.max(this.#first, this.#next - REMEMBERED);
  }

  #gap(ms: number): void {
    this.#gapMs = Math.max(this.#gapMs, ms);
    const bar = GAP_BOUNDS_MS.findIndex((bound) => ms <= bound);
    this.#gaps[bar]! += 1;
  }
}

/**
 * The pulse of whoever lies at the other end: regular questions, and what their answers and their absence say.
 *
 * Death is a time without an answer, as in BFD (RFC 5880 section 6.8.4), and not a question without one: an answer that takes
 * longer than the interval is an answer. A process that slept through its own questions counts none as unanswered.
 */
import { RANDOM_RANGE } from "../../device/random.ts";
import type { Timer } from "../../loop/timers.ts";
import type { Environment } from "../environment.ts";
import type { Verdict } from "./path.ts";
import type { PulseSettings } from "./pulse-options.ts";

export type { PulseOptions } from "./pulse-options.ts";

/**
 * Share of the interval between two questions: as BFD's between packets with a multiplier of one (RFC 5880 section 6.8.7),
 * so that the last of `count` questions has a tenth of all the time left for its answer.
 */
const SHORTEST = 0.75;
const LONGEST = 0.9;
/** Questions whose time is remembered: an answer to an older one is none, it was under way for too long to say anything. */
const REMEMBERED = 64;
/** Numbers of questions come round again, as those of echoes do, which have 16 bits. */
const NUMBERS = 0xffff;

export interface PulseIo {
  /** Puts the question of this number (16 bits), whose answer comes later. False where it couldn't leave. */
  ask(question: number): boolean;
  /** The verdict is another; `silentMs` passed since the last answer. */
  changed(verdict: Verdict, silentMs: number): void;
}

export interface PulseStatistics {
  readonly asked: number;
  /** Answers, also several to one question. */
  readonly answered: number;
  /** Answers to questions of long ago. */
  readonly late: number;
  /** Questions that could not leave: no address of ours to ask from, no room, or the link down. */
  readonly unasked: number;
  /** How often the verdict became "down". */
  readonly downs: number;
}

export class Pulse {
  readonly #environment: Environment;
  readonly #settings: PulseSettings;
  readonly #io: PulseIo;
  readonly #question: Timer;
  readonly #deadline: Timer;
  readonly #askedMs = new Float64Array(REMEMBERED);
  readonly #counts = { asked: 0, answered: 0, late: 0, unasked: 0, downs: 0 };
  #verdict: Verdict = "unknown";
  #rttMs: number | undefined;
  /** The number of the next question. */
  #next = 0;
  /** Questions since the last answer. */
  #silent = 0;
  /** Questions in a row that were answered, while the verdict is "down", and whether the last one was. */
  #inRow = 0;
  #isAnswered = false;
  /** When the last answer came; before the first, when the first question left. */
  #lastMs = 0;
  #closed = false;

  /** Begins at once: the first question is put in the loop's next turn. */
  constructor(environment: Environment, settings: PulseSettings, io: PulseIo) {
    this.#environment = environment;
    this.#settings = settings;
    this.#io = io;
    const { timers } = environment;
    this.#question = timers.after(0, () => this.#ask());
    this.#deadline = timers.after(0, () => this.#judge());
    this.#deadline.cancel();
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  /** The last round trip that was measured, in ms. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  statistics(): PulseStatistics {
    return { ...this.#counts };
  }

  /** An answer came, to the question of this number where it says to which. */
  heard(question?: number): void {
    if (this.#closed) return;
    const { now } = this.#environment.timers;
    if (question !== undefined && this.#ageOf(question) >= REMEMBERED) {
      this.#counts.late += 1;
      return;
    }
    this.#counts.answered += 1;
    this.#measure(question, now);
    this.#silent = 0;
    this.#lastMs = now;
    if (!this.#isAnswered) this.#inRow += 1;
    this.#isAnswered = true;
    this.#deadline.restart(this.#settings.intervalMs * this.#settings.count);
    if (this.#verdict === "unknown") this.#change("up", 0);
    else if (this.#verdict === "down") this.#recover();
  }

  /** Asks and says nothing more. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#question.cancel();
    this.#deadline.cancel();
  }

  #ask(): void {
    if (!this.#isAnswered) this.#inRow = 0;
    this.#isAnswered = false;
    const { now } = this.#environment.timers;
    const number = this.#next;
    this.#next = (number + 1) & NUMBERS;
    this.#askedMs[number % REMEMBERED] = now;
    this.#question.restart(this.#pause());
    if (this.#io.ask(number)) this.#asked(now);
    else {
      this.#counts.unasked += 1;
      // Nobody is silent to whom nobody spoke yet: an address of ours may still be on trial.
      if (this.#verdict !== "unknown") this.#silent += 1;
    }
  }

  #asked(now: number): void {
    this.#counts.asked += 1;
    this.#silent += 1;
    if (this.#verdict !== "unknown" || this.#silent > 1) return;
    this.#lastMs = now;
    this.#deadline.restart(this.#settings.intervalMs * this.#settings.count);
  }

  /** No answer for so long: the other end is dead, unless we were. */
  #judge(): void {
    if (this.#verdict === "down") return;
    const { intervalMs, count } = this.#settings;
    const missing = count - this.#silent;
    if (missing > 0) {
      this.#deadline.restart(intervalMs * missing);
      return;
    }
    this.#counts.downs += 1;
    this.#inRow = 0;
    this.#change("down", this.#environment.timers.now - this.#lastMs);
  }

  #recover(): void {
    // The first sign of life: from here on it is asked as the living are.
    if (this.#inRow === 1) this.#question.restart(this.#pause());
    if (this.#inRow >= this.#settings.count) this.#change("up", 0);
  }

  #change(verdict: Verdict, silentMs: number): void {
    this.#verdict = verdict;
    this.#io.changed(verdict, silentMs);
  }

  /**
   * An answer that does not say which question it is to is taken for one to the last, and not measured where another question
   * before that is open (Karn's rule): a trip that takes longer than from one question to the next then looks shorter.
   */
  #measure(question: number | undefined, now: number): void {
    if (question === undefined && this.#silent !== 1) return;
    const which = question ?? (this.#next - 1) & NUMBERS;
    this.#rttMs = now - this.#askedMs[which % REMEMBERED]!;
  }

  /** How many questions came after this one. */
  #ageOf(question: number): number {
    return (this.#next - 1 - question) & NUMBERS;
  }

  /** Time to the next question in ms. */
  #pause(): number {
    const { intervalMs, retryMs } = this.#settings;
    const isDead = this.#verdict === "down" && this.#inRow === 0;
    const share = SHORTEST + (LONGEST - SHORTEST) * (this.#environment.random.next() / RANDOM_RANGE);
    return (isDead ? retryMs : intervalMs) * share;
  }
}

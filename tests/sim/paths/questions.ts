/** Every question that was asked: no one heard or answered it twice, and it was answered if it had to be. */

/** By then an answer is there, over the slowest network and back. */
export const ANSWER_MS = 200;

export interface QuestionsIo {
  /** Whether a question that was sent then had to be answered; asked a little later. */
  isRequired(sentMs: number): boolean;
  complain(text: string): void;
}

export class Questions {
  /** Those that had to be answered, and all. */
  required = 0;
  asked = 0;
  readonly #io: QuestionsIo;
  /** When those were asked that are not judged yet, in their order. */
  readonly #open = new Map<number, number>();
  readonly #heard = new Set<number>();
  readonly #answered = new Set<number>();

  constructor(io: QuestionsIo) {
    this.#io = io;
  }

  /** The number for a new question. */
  get next(): number {
    return this.asked;
  }

  ask(sentMs: number): void {
    this.#open.set(this.asked, sentMs);
    this.asked += 1;
  }

  /** A question came to the one who answers. */
  hear(number: number): void {
    this.#once(this.#heard, number, "heard");
  }

  /** An answer came, in time or not: a question may have waited for a neighbour. */
  take(number: number): void {
    this.#once(this.#answered, number, "answered");
  }

  /** Judges those whose time has come. */
  judge(nowMs: number): void {
    for (const [number, sentMs] of this.#open) {
      if (sentMs + ANSWER_MS > nowMs) return;
      this.#open.delete(number);
      if (!this.#io.isRequired(sentMs)) continue;
      this.required += 1;
      if (!this.#answered.has(number))
        this.#io.complain(`question ${number} of ${sentMs.toFixed(3)} ms had no answer, and a way was well`);
    }
  }

  #once(all: Set<number>, number: number, done: string): void {
    if (number >= this.asked) this.#io.complain(`question ${number} was ${done} though nobody asked it`);
    else if (all.has(number)) this.#io.complain(`question ${number} was ${done} twice`);
    all.add(number);
  }
}

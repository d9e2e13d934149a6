/** Every question that was asked: it left once, no one heard or answered it twice, and it was answered if it had to be. */

/** By then an answer is there, over the slowest network and back. */
export const ANSWER_MS = 200;

export interface QuestionsIo {
  /** Whether a question that was sent then, by whom, had to be answered; asked a little later. */
  isRequired(sentMs: number, by: string): boolean;
  complain(text: string): void;
}

/** A question that is not judged yet. */
interface Open {
  readonly number: number;
  readonly by: string;
}

/** What became of the questions of one who asks, in datagrams. */
interface Account {
  accepted: number;
  left: number;
}

export class Questions {
  /** Those that had to be answered, and all. */
  required = 0;
  asked = 0;
  readonly #io: QuestionsIo;
  /** When each was asked, by its number. */
  readonly #askedMs: number[] = [];
  readonly #askedBy: string[] = [];
  /** Those that are not judged yet, in their order, from the first of them on. */
  #open: Open[] = [];
  readonly #heard = new Set<number>();
  readonly #answered = new Set<number>();
  /** By who spoke: the numbers of questions and answers that left. */
  readonly #left = new Map<string, Set<number>>();
  readonly #accounts = new Map<string, Account>();

  constructor(io: QuestionsIo) {
    this.#io = io;
  }

  /** The number for a new question. */
  get next(): number {
    return this.asked;
  }

  askedMs(number: number): number {
    return this.#askedMs[number] ?? Infinity;
  }

  ask(sentMs: number, by: string): void {
    this.#open.push({ number: this.asked, by });
    this.#askedMs.push(sentMs);
    this.#askedBy.push(by);
    this.asked += 1;
  }

  /** The host took the question that was asked last. */
  accepted(by: string): void {
    this.#accountOf(by).accepted += 1;
  }

  /**
   * A question or an answer to one leaves `from`, for good or in vain. Copies on purpose each leave a place of their own;
   * another one is a double that nobody asked for.
   */
  leaves(number: number, from: string): void {
    let all = this.#left.get(from);
    if (all === undefined) this.#left.set(from, (all = new Set()));
    this.#once(all, number, `sent by ${from}`);
    if (this.#askedBy[number] === from) this.#accountOf(from).left += 1;
  }

  /** Questions that a host took, and of which nothing was seen; who asks nothing loses none. */
  vanished(by: string): number {
    const { accepted, left } = this.#accountOf(by);
    return accepted === 0 ? 0 : accepted - left;
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
    const first = this.#open.findIndex(({ number }) => this.askedMs(number) + ANSWER_MS > nowMs);
    const due = this.#open.splice(0, first < 0 ? this.#open.length : first);
    for (const { number, by } of due) {
      const sentMs = this.askedMs(number);
      if (!this.#io.isRequired(sentMs, by)) continue;
      this.required += 1;
      if (this.#answered.has(number)) continue;
      this.#io.complain(
        `question ${number} of ${by}, of ${sentMs.toFixed(3)} ms, had no answer, and a way was well`,
      );
    }
  }

  #accountOf(by: string): Account {
    let account = this.#accounts.get(by);
    if (account === undefined) this.#accounts.set(by, (account = { accepted: 0, left: 0 }));
    return account;
  }

  #once(all: Set<number>, number: number, done: string): void {
    if (number >= this.asked) this.#io.complain(`question ${number} was ${done} though nobody asked it`);
    else if (all.has(number)) this.#io.complain(`question ${number} was ${done} twice`);
    all.add(number);
  }
}

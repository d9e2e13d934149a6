/** What worlds of paths are played on: time, trace and memory, questions that are asked all the time, and looks at how things are. */
import { MemoryUmem } from "../../../stack/device/pool.ts";
import { seededRandom, type Random } from "../../../stack/device/random.ts";
import type { Host } from "../../../stack/ip/host.ts";
import type { Timer } from "../../../stack/loop/timers.ts";
import { Timeline } from "../timeline.ts";
import { Trace } from "../witness.ts";
import { Course, type CoursePlan } from "./course.ts";
import { type Asker, NUMBER_AT, QUESTION_BYTES } from "./programs.ts";
import { Questions, type QuestionsIo } from "./questions.ts";

const ASK_EVERY_MS = 40;
/** Of one end of a cable: its rings, and what is on its way. */
const CHUNKS = 256;
export const RINGS = { rxRing: 64, txRing: 64, fillRing: 64 };
/** The world is looked at as a whole after so many rounds of questions. */
const LOOK_EVERY = 5;

/** What differs between worlds. */
export interface Script extends Pick<QuestionsIo, "isRequired"> {
  /** When the next packet that is held back becomes due; Infinity where there is none. */
  heldMs(): number;
  /** Looks whether all is as it has to be. */
  look(): void;
}

/** Somebody who asks, and by what name the world knows it. */
export interface Company {
  readonly name: string;
  readonly askers: readonly Asker[];
  /** Asks in every so many rounds. Default: 1. */
  readonly everyRounds?: number;
}

export class Stage {
  readonly random: Random;
  readonly trace: Trace;
  readonly time: Timeline;
  readonly loop: Timeline["loop"];
  readonly umems = new Set<MemoryUmem>();
  readonly questions: Questions;
  readonly #script: Script;
  readonly #question = new Uint8Array(QUESTION_BYTES);
  #asking: Timer | undefined;
  #rounds = 0;

  constructor(random: Random, keepsTrace: boolean, script: Script) {
    this.random = random;
    this.#script = script;
    this.trace = new Trace(() => this.now, keepsTrace);
    this.time = new Timeline({ complain: this.complain, heldMs: () => script.heldMs() });
    this.loop = this.time.loop;
    this.questions = new Questions({
      isRequired: (sentMs, by) => script.isRequired(sentMs, by),
      complain: this.complain,
    });
  }

  get now(): number {
    return this.time.now;
  }

  readonly complain = (text: string): void => this.trace.complain(text);

  /** Randomness of its own for one part of the world, so that the others go the same way without it. */
  fork(): Random {
    return seededRandom(this.random.next());
  }

  /** Memory that is accounted for at the end. */
  umem(): MemoryUmem {
    const made = new MemoryUmem({ chunkCount: CHUNKS });
    this.umems.add(made);
    return made;
  }

  /** Takes in what a host tells, and judges the course of its paths. */
  follow(name: string, host: Host, plan: CoursePlan): Course {
    const course = new Course(plan, (text) => this.complain(`${name}: ${text}`));
    host.on((event) => {
      course.hear(event);
      if (event.kind === "service") this.trace.note(`${name}: ${event.address} is at ${event.name}`);
      if (event.kind !== "path") return;
      const { path, state, previous, reason } = event;
      this.trace.note(`${name}: ${path} ${previous} -> ${state} (${reason})`);
    });
    return course;
  }

  /** All of `companies` ask from now on. */
  begin(companies: readonly Company[]): void {
    this.#asking = this.loop.every(ASK_EVERY_MS, () => {
      for (const company of companies)
        if (this.#rounds % (company.everyRounds ?? 1) === 0) this.#ask(company);
      this.#rounds += 1;
      if (this.#rounds % LOOK_EVERY === 0) this.#script.look();
    });
  }

  advance(ms: number): void {
    this.time.advance(ms);
    this.questions.judge(this.now);
  }

  /** No more questions. */
  hush(): void {
    this.#asking?.cancel();
  }

  /** Closes hosts and devices, in either order. */
  end(devicesFirst: boolean, hosts: () => void, devices: () => void): void {
    for (const close of devicesFirst ? [devices, hosts] : [hosts, devices]) {
      close();
      this.time.settle();
    }
  }

  #ask({ name, askers }: Company): void {
    const view = new DataView(this.#question.buffer);
    for (const ask of askers) {
      const number = this.questions.next;
      view.setUint32(NUMBER_AT, number);
      // Noted first: over a cable without delay the answer is there before the call returns.
      this.questions.ask(this.now, name);
      if (ask(this.#question)) this.questions.accepted(name);
      else this.trace.note("a question was refused");
    }
  }
}

/** A small world of one link in virtual time: two hosts on a switch, each with several interfaces and a service address, and questions. */
import { MemoryUmem } from "../../../stack/device/pool.ts";
import { seededRandom, type Random } from "../../../stack/device/random.ts";
import type { Host } from "../../../stack/ip/host.ts";
import type { Timer } from "../../../stack/loop/timers.ts";
import { FloodingSwitch } from "../../support/flooding-switch.ts";
import { Tap } from "../../support/tap.ts";
import { Timeline } from "../timeline.ts";
import { Trace } from "../witness.ts";
import { carriedBy } from "./judge.ts";
import type { Mortal } from "./life.ts";
import { LinkEnd, Seat } from "./link-end.ts";
import { endName, type LinkPlan, seatMac } from "./link-plan.ts";
import { type End, FAR, NEAR } from "./plan.ts";
import { answerAll, type Asker, askersOf, NUMBER_AT, QUESTION_BYTES } from "./programs.ts";
import { Questions } from "./questions.ts";

const ASK_EVERY_MS = 40;
const CHUNKS = 256;
const RING = 64;
/** One end notices that its interface is dead, speaks up elsewhere, and only then the other end finds it. */
const DETECT_MS = 2500;
const RESUME_MS = 4000;

export class LinkWorld implements Mortal {
  readonly plan: LinkPlan;
  readonly random: Random;
  readonly trace: Trace;
  readonly seats: readonly Seat[];
  readonly near: LinkEnd;
  readonly far: LinkEnd;
  readonly umems = new Set<MemoryUmem>();
  readonly questions: Questions;
  readonly loop: Timeline["loop"];
  readonly #time: Timeline;
  readonly #switch: FloodingSwitch;
  readonly #askers: readonly Asker[];
  readonly #asking: Timer;
  readonly #question = new Uint8Array(QUESTION_BYTES);

  constructor(plan: LinkPlan, random: Random, keepsTrace: boolean) {
    this.plan = plan;
    this.random = random;
    this.trace = new Trace(() => this.#time.now, keepsTrace);
    const complain = (text: string): void => this.trace.complain(text);
    this.#time = new Timeline({ complain, heldMs: () => Infinity });
    this.loop = this.#time.loop;
    this.#switch = new FloodingSwitch(this.loop);
    const { near, far } = plan.seats;
    const seatsOf = (end: End, count: number): Seat[] =>
      Array.from({ length: count }, (_, index) => this.#seat(end, index));
    this.seats = [...seatsOf(NEAR, near), ...seatsOf(FAR, far)];
    this.questions = new Questions({ isRequired: (sentMs) => this.#isRequired(sentMs), complain });
    this.near = this.#end(NEAR);
    this.far = this.#end(FAR);
    answerAll(this.far.speaker, (number) => this.questions.hear(number));
    this.#askers = askersOf(this.near.speaker, (number) => this.questions.take(number));
    this.#asking = this.loop.every(ASK_EVERY_MS, () => this.#ask());
  }

  get actions(): number {
    return this.plan.actions;
  }

  get hosts(): readonly Host[] {
    return [this.near.host, this.far.host];
  }

  get now(): number {
    return this.#time.now;
  }

  /** Nothing holds packets back here. */
  get quiet(): boolean {
    return true;
  }

  endOf(seat: Seat): LinkEnd {
    return seat.end === NEAR ? this.near : this.far;
  }

  advance(ms: number): void {
    this.#time.advance(ms);
    this.questions.judge(this.now);
  }

  hush(): void {
    this.#asking.cancel();
  }

  close(): void {
    const hosts = (): void => [this.near, this.far].forEach((end) => end.close());
    const devices = (): void => {
      for (const { tap } of this.seats) tap.close();
      this.#switch.close();
    };
    for (const end of this.plan.devicesFirst ? [devices, hosts] : [hosts, devices]) {
      end();
      this.#time.settle();
    }
  }

  /** Whether each end had an interface that was well, and what was wrong with others so old that it was known. */
  #isRequired(sentMs: number): boolean {
    const well = (end: End): boolean =>
      this.seats.some((seat) => seat.end === end && seat.goodSinceMs <= sentMs - RESUME_MS);
    return this.seats.every(({ worseMs }) => worseMs < sentMs - DETECT_MS) && well(NEAR) && well(FAR);
  }

  #ask(): void {
    const view = new DataView(this.#question.buffer);
    for (const ask of this.#askers) {
      view.setUint32(NUMBER_AT, this.questions.next);
      this.questions.ask(this.now);
      if (!ask(this.#question)) this.trace.note("a question was refused");
    }
  }

  #fork(): Random {
    return seededRandom(this.random.next());
  }

  #end(end: End): LinkEnd {
    const own = this.seats.filter((seat) => seat.end === end);
    const made = new LinkEnd(end, this.plan, own, this.loop, this.#fork());
    made.host.on((event) => {
      if (event.kind !== "path" && event.kind !== "service") return;
      const what =
        event.kind === "path"
          ? `${event.path} ${event.previous} -> ${event.state} (${event.reason})`
          : `${event.address} is at ${event.name}`;
      this.trace.note(`${endName(end)}: ${what}`);
    });
    return made;
  }

  #seat(end: End, index: number): Seat {
    const umem = new MemoryUmem({ chunkCount: CHUNKS });
    this.umems.add(umem);
    const name = `${endName(end)}${index}`;
    const rings = { rxRing: RING, txRing: RING, fillRing: RING };
    const mac = seatMac(end, index);
    const device = this.#switch.plug({ name, mac, umem, ...rings, hears: () => !seat.now.cutIn });
    const tap = new Tap(
      device,
      (view, at, head, length) => {
        this.trace.frame(`${name} >`, view, at, head, length);
        if (carriedBy(view, at, head) === undefined) return;
        const wrong = this.endOf(seat).wrongWith(seat);
        if (wrong !== undefined) this.trace.complain(`data leaves ${name} though ${wrong}`);
      },
      (view, at, head, length) => this.trace.frame(`${name} <`, view, at, head, length),
    );
    const seat: Seat = new Seat(end, index, device, tap);
    tap.loses = () => seat.now.cutOut;
    return seat;
  }
}

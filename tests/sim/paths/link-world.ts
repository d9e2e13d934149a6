/** A small world of one link in virtual time: two hosts on a switch, each with several interfaces, a guest, and questions. */
import type { MemoryDevice } from "../../../stack/device/memory.ts";
import type { Random } from "../../../stack/device/random.ts";
import * as ethernet from "../../../stack/wire/ethernet.ts";
import { FloodingSwitch } from "../../support/flooding-switch.ts";
import { answeredBy, Answers } from "./answers.ts";
import { askerOf, Guest } from "./guest.ts";
import type { Mortal } from "./life.ts";
import { LinkEnd, type Seat, type SeatTrouble } from "./link-end.ts";
import { GUEST_MAC, type LinkPlan, linkService, seatMac } from "./link-plan.ts";
import { type End, endName, FAR, NEAR } from "./plan.ts";
import { Port } from "./port.ts";
import { answerAll, answerCopies, askersOf } from "./programs.ts";
import { RINGS, Stage } from "./stage.ts";
import { DETECT_MS, RESUME_MS, Weather } from "./weather.ts";

const TROUBLES: readonly SeatTrouble[] = ["cutOut", "cutIn", "down", "left", "bare"];
/** One end notices that its interface is dead, speaks up elsewhere, and only then the other end finds it. */
const SERVICE_DETECT_MS = 2500;
const SERVICE_RESUME_MS = 4000;
/** Others on the link hear at once of who takes over. */
const TOLD_MS = 300;
/** A neighbour that is silent is doubted after 5 s, and asked three times (RFC 4861 section 10). */
const OUTDATED_MS = 9500;
/** Of timers that each begin a turn after what they wait for. */
const SLACK_MS = 500;

export class LinkWorld implements Mortal {
  readonly plan: LinkPlan;
  readonly stage: Stage;
  readonly seats: readonly Seat[];
  readonly near: LinkEnd;
  readonly far: LinkEnd;
  readonly #switch: FloodingSwitch;
  readonly #guest: Guest;
  readonly #guestPort: Port;
  readonly #answers = new Answers();
  readonly #detectMs: number;
  readonly #resumeMs: number;

  constructor(plan: LinkPlan, random: Random, keepsTrace: boolean) {
    this.plan = plan;
    const { watch, seats } = plan;
    this.#detectMs = watch === "service" ? SERVICE_DETECT_MS : DETECT_MS;
    this.#resumeMs = watch === "service" ? SERVICE_RESUME_MS : RESUME_MS[watch];
    const stage = new Stage(random, keepsTrace, {
      heldMs: () => Infinity,
      isRequired: (sentMs, by) => this.#isRequired(sentMs, by),
      look: () => this.#look(),
    });
    this.stage = stage;
    this.#switch = new FloodingSwitch(stage.loop);
    const seatsOf = (end: End, count: number): Seat[] =>
      Array.from({ length: count }, (_, index) => this.#seat(end, index));
    const [near, far] = [seatsOf(NEAR, seats.near), seatsOf(FAR, seats.far)];
    this.seats = [...near, ...far];
    this.#guestPort = this.#plugGuest();
    this.near = new LinkEnd(stage, NEAR, plan, near, this.#resumeMs);
    this.far = new LinkEnd(stage, FAR, plan, far, this.#resumeMs);
    this.#guest = new Guest(stage, plan, this.#guestPort);
    const hear = (number: number): void => stage.questions.hear(number);
    for (const { speaker } of this.parties) answerAll(speaker, hear);
    if (plan.policy === "redundant") answerCopies(this.far.speaker, hear);
    const askers = askersOf(this.near.speaker, (number) => stage.questions.take(number));
    stage.begin([{ name: this.near.name, askers }, ...this.#guest.companies]);
  }

  get parties(): readonly LinkEnd[] {
    return [this.near, this.far];
  }

  /** Nothing holds packets back here. */
  get quiet(): boolean {
    return true;
  }

  endOf({ end }: Seat): LinkEnd {
    return end === NEAR ? this.near : this.far;
  }

  close(): void {
    const hosts = (): void => [...this.parties, this.#guest].forEach((one) => one.close());
    const devices = (): void => {
      for (const { port } of this.seats) port.tap.close();
      this.#guestPort.tap.close();
      this.#switch.close();
    };
    this.stage.end(this.plan.devicesFirst, hosts, devices);
  }

  /**
   * Whether each end that takes part had an interface that was well, and what was wrong with others so old that it was known.
   * Where ends judge by each other both take part in everything.
   */
  #isRequired(sentMs: number, by: string): boolean {
    const all = by === this.near.name || this.plan.watch === "service";
    const ends = all ? this.parties : this.parties.filter(({ end }) => by === askerOf(end));
    if (by === this.near.name && this.#isOutdated(sentMs)) return false;
    return ends.every(({ seats, served }) => {
      const known = seats.every(
        ({ weather }) => weather.worseMs < sentMs - this.#detectMs - TOLD_MS && !weather.isUnclear(sentMs),
      );
      return (
        known && served.carries(sentMs) && seats.some(({ weather }) => weather.carries(sentMs - TOLD_MS))
      );
    });
  }

  /** An interface that was dead may have missed who took over, and finds that out by silence unless its monitor asks for it. */
  #isOutdated(sentMs: number): boolean {
    if (this.plan.watch === "service") return false;
    return this.seats.some(({ weather: { deadSinceMs, goodSinceMs } }) => {
      const wasAlways = goodSinceMs <= sentMs - OUTDATED_MS || goodSinceMs === 0;
      return deadSinceMs === Infinity && !wasAlways;
    });
  }

  /** Whether hosts know how it is, and answer for their service addresses where they can. */
  #look(): void {
    const { wrong } = this.#guest;
    if (wrong !== undefined) this.stage.complain(`guest: ${wrong}`);
    for (const end of this.parties) {
      end.audit();
      for (const seat of end.seats) this.#lookAt(end, seat);
      this.#lookAtSpeakers(end);
    }
  }

  #lookAt(end: LinkEnd, { port, weather }: Seat): void {
    const { plan, stage } = this;
    const path = end.pathOf(port, plan.family);
    if (path === undefined) return;
    if (weather.isKnownDead(stage.now, this.#detectMs) && path.state !== "down")
      stage.complain(`${path} of the ${end.name} end is ${path.state} though it is dead`);
    const upMs = weather.goodSinceMs + this.#resumeMs + plan.verifyMs + SLACK_MS;
    // Where ends judge by each other, how it is depends on the other one too.
    if (plan.watch === "service" || path.state === "up") return;
    if (stage.now > Math.max(upMs, end.course.freeAtMs(path) + SLACK_MS))
      stage.complain(`${path} of the ${end.name} end is ${path.state} though it is well`);
  }

  /** One speaks for the service address, on a link that the host knows to be one; where another is well no dead one does. */
  #lookAtSpeakers(end: LinkEnd): void {
    const { plan, stage } = this;
    if (end.served.has("removed")) return;
    const here = end.seats.filter(({ port }) => port.books.on !== undefined);
    const apart = plan.named ? 0 : here.filter(({ weather }) => weather.has("bare")).length;
    const expected = apart + (here.length > apart ? 1 : 0);
    const { announcers, elected } = end;
    if (announcers.length !== expected)
      stage.complain(`${announcers.length} interfaces of the ${end.name} end speak, and not ${expected}`);
    // Where ends judge by each other, and one is gone, all of the other's look alike.
    const others = this.parties.filter((other) => other !== end);
    const tells = others.every(
      ({ seats, served }) =>
        served.carries(stage.now) && seats.some(({ weather }) => weather.carries(stage.now)),
    );
    if (plan.watch === "service" && !tells) return;
    const dead = elected?.weather.isKnownDead(stage.now, this.#detectMs) === true;
    if (dead && end.seats.some(({ weather }) => weather.carries(stage.now)))
      stage.complain(`${elected.port.name} speaks for its host though it is dead, and another is well`);
  }

  #seat(end: End, index: number): Seat {
    const { watch } = this.plan;
    const weather = new Weather<SeatTrouble>({
      troubles: TROUBLES,
      fatal: ["cutOut", "cutIn", "down", "left"],
      watch: watch === "service" ? undefined : watch,
      resumeMs: this.#resumeMs,
    });
    const name = `${endName(end)}${index}`;
    const device = this.#device(name, seatMac(end, index), () => !weather.has("cutIn"));
    const port = new Port(this.stage, name, device, device.umem, false, {
      loses: () => weather.has("cutOut"),
      speaks: (spoken, from) => (end === NEAR ? this.near : this.far).speaks(spoken, from),
      says: (view, at, head) => this.#judgeAnswer(seat, view, at, head),
    });
    const seat: Seat = { end, index, device, port, weather };
    return seat;
  }

  #judgeAnswer(seat: Seat, view: DataView, at: number, head: number): void {
    const { family, named } = this.plan;
    const address = answeredBy(view, at, head);
    if (address === undefined || address !== linkService(seat.end, family)) return;
    const end = this.endOf(seat);
    // Who takes over says so to all, whoever did before; that is no answer.
    if (ethernet.destination(view, at).multicast) return;
    const asker = ethernet.destination(view, at).toString();
    if (!this.#answers.doubles(asker, address, seat.port.name, this.stage.now)) return;
    // Each answers for itself where all look dead, and where the host cannot know that it is one link.
    const path = end.elected && end.pathOf(end.elected.port, family);
    const apart = !named && end.seats.some(({ weather }) => weather.has("bare"));
    if (path !== undefined && path.state !== "down" && !apart)
      this.stage.complain(`${seat.port.name} answers ${asker} for ${address}, and another did so just now`);
  }

  #plugGuest(): Port {
    const name = "guest";
    const device = this.#device(name, GUEST_MAC, () => true);
    return new Port(this.stage, name, device, device.umem, false, {
      loses: () => false,
      speaks: ({ number }) => this.stage.questions.leaves(number, name),
    });
  }

  #device(name: string, mac: Uint8Array, hears: () => boolean): MemoryDevice {
    return this.#switch.plug({ name, mac, umem: this.stage.umem(), ...RINGS, hears });
  }
}

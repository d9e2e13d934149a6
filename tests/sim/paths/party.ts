/** One of the two hosts of a world of paths: its service addresses, its paths, and the judgement of what it says and how it is. */
import { Host } from "../../../stack/ip/host.ts";
import type { Path } from "../../../stack/ip/paths/path.ts";
import type { ServiceOptions } from "../../../stack/ip/service/service-address.ts";
import { type Family, IpAddress } from "../../../stack/wire/address.ts";
import type { Course } from "./course.ts";
import { Flows, type Option } from "./flows.ts";
import { PARKED_MS, type Spoken, wrongWith } from "./judge.ts";
import { type End, endName, type LifePlan } from "./plan.ts";
import type { Port } from "./port.ts";
import { COPIES_PORT, QUESTION_PORT, type Speaker } from "./programs.ts";
import type { Stage } from "./stage.ts";
import { Weather } from "./weather.ts";

/** Of every monitor: dead after three that are silent. */
export const PULSE = { intervalMs: 100, count: 3 } as const;

export abstract class Party {
  readonly end: End;
  readonly name: string;
  readonly host: Host;
  readonly course: Course;
  /** Whether its service addresses are there. */
  readonly served: Weather<"removed">;
  readonly #stage: Stage;
  readonly #plan: LifePlan;
  readonly #flows = new Flows();
  #services: readonly IpAddress[] = [];

  /** `resumeMs`: how long it takes until a service address that comes back is in use. */
  constructor(stage: Stage, end: End, plan: LifePlan, resumeMs: number) {
    this.end = end;
    this.name = endName(end);
    this.#stage = stage;
    this.#plan = plan;
    const { verifyMs, damping } = plan;
    const paths = { verifyMs, ...(damping ? {} : { damping: false as const }) };
    this.host = new Host({ loop: stage.loop, random: stage.fork() }, { paths });
    this.course = stage.follow(this.name, this.host, plan);
    this.served = new Weather({ troubles: ["removed"], fatal: ["removed"], watch: undefined, resumeMs });
  }

  abstract get ports(): readonly Port[];
  /** Its service address, and that of the other end. */
  abstract own(family: Family): string;
  abstract other(family: Family): string;
  /** The path to the other end's service address over a port. */
  abstract pathOf(port: Port, family: Family): Path | undefined;
  /** Whether a route leads there over it. */
  abstract leadsThere(port: Port): boolean;
  protected abstract get serviceOptions(): ServiceOptions;

  get speaker(): Speaker {
    const { families, policy, sockets, inPlace } = this.#plan;
    return {
      host: this.host,
      families,
      policy,
      sockets,
      inPlace,
      own: (family) => this.own(family),
      other: (family) => this.other(family),
      copied: (copies, family) => this.#copied(copies, family),
    };
  }

  /** Adds its service addresses or takes them away. */
  serve(present: boolean): void {
    if (present === !this.served.has("removed") && this.host.services.length > 0) return;
    for (const family of this.#plan.families) {
      if (present) this.host.addService(this.own(family), this.serviceOptions);
      else this.host.removeService(this.own(family));
    }
    this.#services = this.#plan.families.map((family) => IpAddress.parse(this.own(family)));
    this.served.set({ removed: !present }, this.#stage.now);
  }

  /** A question or an answer of it leaves. */
  speaks({ family, number, sourcePort }: Spoken, port: Port): void {
    const { questions } = this.#stage;
    const isCopy = sourcePort === COPIES_PORT;
    questions.leaves(number, isCopy ? port.name : this.name);
    const taken = this.pathOf(port, family);
    // An answer goes back in the frame of its question where no route leads there any more.
    if (taken === undefined) return;
    // Copies go over all that may live.
    // What waits for a neighbour does not turn back where another route came meanwhile.
    const routedMs = this.#stage.now - PARKED_MS;
    const rivals = isCopy ? [] : this.ports.filter((one) => this.leadsThere(one) && one.routedMs < routedMs);
    const others = rivals.map((one) => this.pathOf(one, family));
    const wrong = wrongWith(taken, others, this.#stage.now);
    if (wrong !== undefined) this.#complain(`data leaves ${port.name} though ${wrong}`);
    if (isCopy || sourcePort === QUESTION_PORT) return;
    const flow = `${sourcePort} of IPv${family}`;
    const wandered = this.#flows.wrongWith(
      flow,
      number,
      questions.askedMs(number),
      this.#option(port, family),
      (name) => this.ports.filter((one) => one.name === name).map((one) => this.#option(one, family))[0],
    );
    if (wandered !== undefined) this.#complain(wandered);
  }

  /** What the books of its interfaces say, whose packets are all accounted for; and whether each has the service addresses. */
  audit(): void {
    for (const { name, books } of this.ports) {
      const { wrong, on } = books;
      if (wrong !== undefined) this.#complain(`${name}: ${wrong}`);
      for (const service of on === undefined ? [] : this.#services) {
        const state = on?.addresses.find(service)?.state;
        if (state !== (this.served.has("removed") ? undefined : "preferred"))
          this.#complain(`${service} is ${state ?? "not"} on ${name}`);
      }
    }
  }

  /** When nothing is under way any more: what it took and did not send it gave up, with a count. */
  checkLosses(): void {
    const vanished = this.#plan.policy === "redundant" ? 0 : this.#stage.questions.vanished(this.name);
    const counted = this.ports.reduce(
      (sum, { books }) => sum + books.unresolved + (books.on?.link.counters.unresolved ?? 0),
      0,
    );
    if (vanished < 0 || vanished > counted)
      this.#complain(`${vanished} questions of ${this.name} were lost and ${counted} losses counted`);
  }

  close(): void {
    this.host.close();
    for (const { books } of this.ports) books.close();
  }

  /** Each way that is not known dead gets a copy. */
  #copied(copies: number, family: Family): void {
    if (this.served.has("removed")) return;
    const living = this.ports.filter((port) => {
      const path = this.pathOf(port, family);
      return this.leadsThere(port) && path !== undefined && path.state !== "down";
    });
    // Whoever is the next hop of its own path may not answer to its name.
    const least = living.filter((port) => this.pathOf(port, family)?.gateway !== undefined).length;
    if (copies > living.length || copies < least)
      this.#complain(`${copies} copies leave the ${this.name} end over ${living.length} living paths`);
  }

  #option(port: Port, family: Family): Option {
    const path = this.leadsThere(port) ? this.pathOf(port, family) : undefined;
    return { name: port.name, path, routedMs: port.routedMs };
  }

  #complain(text: string): void {
    this.#stage.complain(text);
  }
}

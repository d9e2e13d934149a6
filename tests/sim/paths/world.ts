/** A small world of paths in virtual time: two hosts, the networks between them with their weather, and a steady flow of questions. */
import { faulty, type FaultyDevice } from "../../../stack/device/fault.ts";
import { createLink, type MemoryDevice } from "../../../stack/device/memory.ts";
import { MemoryUmem } from "../../../stack/device/pool.ts";
import { chance, seededRandom, type Random } from "../../../stack/device/random.ts";
import { Host } from "../../../stack/ip/host.ts";
import type { PathState } from "../../../stack/ip/paths/path.ts";
import type { Timer } from "../../../stack/loop/timers.ts";
import { IpAddress } from "../../../stack/wire/address.ts";
import { Prefix } from "../../../stack/wire/prefix.ts";
import { Tap } from "../../support/tap.ts";
import { Timeline } from "../timeline.ts";
import { Trace } from "../witness.ts";
import { PathsEnd, type Plug } from "./end.ts";
import { carriedBy } from "./judge.ts";
import type { Mortal } from "./life.ts";
import {
  addressOf,
  bitsOf,
  type End,
  FAR,
  macOf,
  NEAR,
  type NetworkPlan,
  type PathsPlan,
  routerOf,
  serviceOf,
} from "./plan.ts";
import { answerAll, type Asker, askersOf, NUMBER_AT, QUESTION_BYTES } from "./programs.ts";
import { Questions } from "./questions.ts";
import { DETECT_MS, Weather } from "./weather.ts";

const ASK_EVERY_MS = 40;
/** Of one end of a cable: its rings, and what is on its way. */
const CHUNKS = 256;
const RING = 64;

/** A network, and what is wrong with it. */
export interface Network {
  readonly plan: NetworkPlan;
  readonly weather: Weather;
  readonly near: Plug;
  readonly far: Plug;
  readonly nearDevice: MemoryDevice;
  readonly farDevice: MemoryDevice;
}

export class PathsWorld implements Mortal {
  readonly plan: PathsPlan;
  readonly random: Random;
  readonly trace: Trace;
  readonly near: PathsEnd;
  readonly far: PathsEnd;
  readonly networks: readonly Network[];
  readonly umems = new Set<MemoryUmem>();
  readonly questions: Questions;
  readonly loop: Timeline["loop"];
  readonly #time: Timeline;
  readonly #routers: Host[] = [];
  readonly #devices: { close(): void }[] = [];
  readonly #faulty: FaultyDevice[] = [];
  readonly #states = new Map<string, PathState>();
  readonly #askers: readonly Asker[];
  readonly #asking: Timer;
  readonly #question = new Uint8Array(QUESTION_BYTES);

  constructor(plan: PathsPlan, random: Random, keepsTrace: boolean) {
    this.plan = plan;
    this.random = random;
    this.trace = new Trace(() => this.#time.now, keepsTrace);
    this.#time = new Timeline({
      complain: (text) => this.trace.complain(text),
      heldMs: () => this.#heldMs(),
    });
    this.loop = this.#time.loop;
    this.networks = plan.networks.map((network) => this.#build(network));
    this.questions = new Questions({
      isRequired: (sentMs) => this.#isRequired(sentMs),
      complain: (text) => this.trace.complain(text),
    });
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

  advance(ms: number): void {
    this.#time.advance(ms);
    this.questions.judge(this.now);
  }

  hush(): void {
    this.#asking.cancel();
  }

  get quiet(): boolean {
    return this.#heldMs() === Infinity;
  }

  close(): void {
    const hosts = (): void => {
      for (const host of this.#routers) host.close();
      this.near.close();
      this.far.close();
    };
    const devices = (): void => this.#devices.forEach((device) => device.close());
    for (const end of this.plan.devicesFirst ? [devices, hosts] : [hosts, devices]) {
      end();
      this.#time.settle();
    }
  }

  /**
   * Whether some network was well, and what was wrong with others so old that it was known. Over all at once the death of one
   * costs nothing. Networks get worse only where they are told to, so what holds now held then, where they have not.
   */
  #isRequired(sentMs: number): boolean {
    const all = this.networks.map(({ weather }) => weather);
    const known = all.every((one) => one.worseMs < sentMs - DETECT_MS && !one.isUnclear(sentMs));
    const well = all.some(({ goodSinceMs, resumeMs }) => goodSinceMs <= sentMs - resumeMs);
    return well && (known || this.plan.policy === "redundant");
  }

  #ask(): void {
    const view = new DataView(this.#question.buffer);
    for (const ask of this.#askers) {
      view.setUint32(NUMBER_AT, this.questions.next);
      // Noted first: over a cable without delay the answer is there before the call returns.
      this.questions.ask(this.now);
      if (!ask(this.#question)) this.trace.note("a question was refused");
    }
  }

  #heldMs(): number {
    let next = Infinity;
    for (const { nextDueMs } of this.#faulty) if (nextDueMs > this.now && nextDueMs < next) next = nextDueMs;
    return next;
  }

  #fork(): Random {
    return seededRandom(this.random.next());
  }

  #end(end: End): PathsEnd {
    const plugs = this.networks.map((network) => (end === NEAR ? network.near : network.far));
    const made = new PathsEnd(end, this.plan, plugs, this.loop, this.#fork());
    const name = end === NEAR ? "near" : "far";
    made.host.on((event) => {
      if (event.kind !== "path") return;
      const { path, state, previous, reason } = event;
      this.trace.note(`${name}: ${path} ${previous} -> ${state} (${reason})`);
      this.#follow(`${name} ${path.id}`, previous, state);
    });
    return made;
  }

  /** What is told of a path has no gaps. */
  #follow(key: string, previous: PathState | undefined, state: PathState): void {
    const known = this.#states.get(key);
    if (known !== undefined && known !== previous)
      this.trace.complain(`path ${key} is told to go from ${previous} to ${state}, and was ${known}`);
    if (previous === state) this.trace.complain(`path ${key} is told to go from ${previous} to itself`);
    this.#states.set(key, state);
  }

  #build(plan: NetworkPlan): Network {
    const weather = new Weather(plan.watch);
    if (!plan.routed) {
      const [near, far] = this.#cable(plan, [macOf(plan, NEAR, false), macOf(plan, FAR, false)]);
      return this.#network(plan, weather, near, far);
    }
    const [near, routerNear] = this.#cable(plan, [macOf(plan, NEAR, false), macOf(plan, NEAR, true)]);
    const [far, routerFar] = this.#cable(plan, [macOf(plan, FAR, false), macOf(plan, FAR, true)]);
    this.#route(plan, routerNear, routerFar);
    return this.#network(plan, weather, near, far);
  }

  #network(plan: NetworkPlan, weather: Weather, nearDevice: MemoryDevice, farDevice: MemoryDevice): Network {
    const plug = (end: End, device: MemoryDevice): Plug => ({
      network: plan,
      tap: this.#tap(plan, weather, end, device),
    });
    return { plan, weather, near: plug(NEAR, nearDevice), far: plug(FAR, farDevice), nearDevice, farDevice };
  }

  #cable(
    { index }: NetworkPlan,
    macs: readonly [Uint8Array, Uint8Array],
  ): readonly [MemoryDevice, MemoryDevice] {
    const umem = (): MemoryUmem => {
      const made = new MemoryUmem({ chunkCount: CHUNKS });
      this.umems.add(made);
      return made;
    };
    const name = `net${index}`;
    const rings = { rxRing: RING, txRing: RING, fillRing: RING };
    return createLink({ names: [name, name], macs, umems: [umem(), umem()], ...rings });
  }

  #tap({ delayMs }: NetworkPlan, weather: Weather, end: End, device: MemoryDevice): Tap {
    const delay = { delay: 1, delayMs: [delayMs, delayMs] as const };
    const late =
      delayMs === 0
        ? device
        : faulty(device, { random: this.#fork(), clock: this.#time.clock, tx: delay, rx: delay });
    if (late !== device) this.#faulty.push(late as FaultyDevice);
    const mark = end === NEAR ? "near" : "far";
    const losses = this.#fork();
    const tap = new Tap(
      late,
      (view, at, head, length) => {
        this.trace.frame(`${mark} ${device.name} >`, view, at, head, length);
        this.#judge(end, tap, view, at, head);
      },
      (view, at, head, length) => this.trace.frame(`${mark} ${device.name} <`, view, at, head, length),
    );
    tap.loses = () => {
      const { cutNear, cutFar, loss } = weather.now;
      return (end === NEAR ? cutNear : cutFar) || (loss > 0 && chance(losses, loss));
    };
    this.#devices.push(tap);
    return tap;
  }

  #judge(end: End, tap: Tap, view: DataView, at: number, head: number): void {
    const family = carriedBy(view, at, head);
    if (family === undefined) return;
    const from = end === NEAR ? this.near : this.far;
    const wrong = from.wrongWith(
      from.plugs.find((plug) => plug.tap === tap)!,
      family,
    );
    if (wrong !== undefined)
      this.trace.complain(`data leaves the ${end === NEAR ? "near" : "far"} end though ${wrong}`);
  }

  /** A router with a cable to each end, who knows where both service addresses are. */
  #route(plan: NetworkPlan, near: MemoryDevice, far: MemoryDevice): void {
    const router = new Host({ loop: this.loop, random: this.#fork() }, { forwarding: true });
    this.#routers.push(router);
    this.#devices.push(near, far);
    for (const [end, device] of [
      [NEAR, near],
      [FAR, far],
    ] as const) {
      const { families } = this.plan;
      const addresses = families.map((family) => `${routerOf(plan, end, family)}/${family === 4 ? 24 : 64}`);
      const on = router.join(device, { addresses, dad: false, name: `cable${end}` });
      for (const family of families) {
        const prefix = Prefix.of(IpAddress.parse(serviceOf(end, family)), bitsOf(family));
        const gateway = IpAddress.parse(addressOf(plan, end, family));
        router.addRoute({ prefix, gateway, interface: on.index, metric: 0, kind: "unicast" });
      }
    }
  }
}

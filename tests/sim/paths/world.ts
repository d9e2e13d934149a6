/** A small world of networks in virtual time: two hosts, the networks between them with their weather, and a steady flow of questions. */
import { faulty, type FaultyDevice } from "../../../stack/device/fault.ts";
import { createLink, type MemoryDevice } from "../../../stack/device/memory.ts";
import { chance, type Random } from "../../../stack/device/random.ts";
import { Host } from "../../../stack/ip/host.ts";
import { IpAddress } from "../../../stack/wire/address.ts";
import { Prefix } from "../../../stack/wire/prefix.ts";
import { PathsEnd, type Plug } from "./end.ts";
import type { Mortal } from "./life.ts";
import {
  addressOf,
  bitsOf,
  type End,
  endName,
  FAR,
  macOf,
  NEAR,
  type NetworkPlan,
  type PathsPlan,
  routerOf,
  serviceOf,
} from "./plan.ts";
import { Port } from "./port.ts";
import { answerAll, answerCopies, askersOf } from "./programs.ts";
import { RINGS, Stage } from "./stage.ts";
import { DETECT_MS, RESUME_MS, Weather } from "./weather.ts";

/** What may be wrong with a network: nothing gets through from the near end, or the far one; an end has no carrier, or has left. */
export type NetworkTrouble = "cutNear" | "cutFar" | "down" | "left" | "withdrawn";

const TROUBLES: readonly NetworkTrouble[] = ["cutNear", "cutFar", "down", "left", "withdrawn"];
/** A route that is withdrawn is no fault of the network. */
const FATAL: readonly NetworkTrouble[] = ["cutNear", "cutFar", "down", "left"];
/** Link events are asked for every few milliseconds. */
const CARRIER_MS = 20;
/** Of timers that each begin a turn after what they wait for. */
const SLACK_MS = 500;

/** A network, and what is wrong with it. */
export interface Network {
  readonly plan: NetworkPlan;
  readonly weather: Weather<NetworkTrouble>;
  readonly near: Plug;
  readonly far: Plug;
  readonly nearDevice: MemoryDevice;
  readonly farDevice: MemoryDevice;
}

export class PathsWorld implements Mortal {
  readonly plan: PathsPlan;
  readonly stage: Stage;
  readonly near: PathsEnd;
  readonly far: PathsEnd;
  readonly networks: readonly Network[];
  readonly #routers: Host[] = [];
  readonly #devices: { close(): void }[] = [];
  readonly #faulty: FaultyDevice[] = [];

  constructor(plan: PathsPlan, random: Random, keepsTrace: boolean) {
    this.plan = plan;
    const stage = new Stage(random, keepsTrace, {
      heldMs: () => this.#heldMs(),
      isRequired: (sentMs) => this.#isRequired(sentMs),
      look: () => this.#look(),
    });
    this.stage = stage;
    this.networks = plan.networks.map((network) => this.#build(network));
    this.near = new PathsEnd(
      stage,
      NEAR,
      plan,
      this.networks.map(({ near }) => near),
    );
    this.far = new PathsEnd(
      stage,
      FAR,
      plan,
      this.networks.map(({ far }) => far),
    );
    const answer = plan.policy === "redundant" ? answerCopies : answerAll;
    answer(this.far.speaker, (number) => stage.questions.hear(number));
    const askers = askersOf(this.near.speaker, (number) => stage.questions.take(number));
    stage.begin([{ name: this.near.name, askers }]);
  }

  get parties(): readonly PathsEnd[] {
    return [this.near, this.far];
  }

  get quiet(): boolean {
    return this.#heldMs() === Infinity;
  }

  close(): void {
    const hosts = (): void => {
      for (const host of this.#routers) host.close();
      for (const party of this.parties) party.close();
    };
    const devices = (): void => this.#devices.forEach((device) => device.close());
    this.stage.end(this.plan.devicesFirst, hosts, devices);
  }

  /**
   * Whether some network was well, and what was wrong with others so old that it was known. Over all at once the death of one
   * costs nothing. Networks get worse only where they are told to, so what holds now held then, where they have not.
   */
  #isRequired(sentMs: number): boolean {
    if (this.parties.some(({ served }) => !served.carries(sentMs))) return false;
    const all = this.networks.map(({ weather }) => weather);
    const known = all.every((one) => one.worseMs < sentMs - DETECT_MS && !one.isUnclear(sentMs));
    return all.some((one) => one.carries(sentMs)) && (known || this.plan.policy === "redundant");
  }

  /** Whether hosts know how it is: what is dead is down, and what has been well for long enough is up. */
  #look(): void {
    for (const party of this.parties) party.audit();
    for (const network of this.networks) {
      this.#lookAt(network, this.near, network.near, network.nearDevice);
      this.#lookAt(network, this.far, network.far, network.farDevice);
    }
  }

  #lookAt({ weather, plan: { watch } }: Network, end: PathsEnd, { port }: Plug, device: MemoryDevice): void {
    const { now } = this.stage;
    const isDead =
      weather.isKnownDead(now, DETECT_MS) || (!device.connected && weather.worseMs < now - CARRIER_MS);
    const upMs = weather.goodSinceMs + RESUME_MS[watch] + this.plan.verifyMs + SLACK_MS;
    for (const family of this.plan.families) {
      const path = end.pathOf(port, family);
      if (path === undefined) continue;
      if (isDead && path.state !== "down")
        this.stage.complain(`${path} of the ${end.name} end is ${path.state} though its network is dead`);
      if (path.state !== "up" && now > Math.max(upMs, end.course.freeAtMs(path) + SLACK_MS))
        this.stage.complain(`${path} of the ${end.name} end is ${path.state} though its network is well`);
    }
  }

  #heldMs(): number {
    const { now } = this.stage;
    let next = Infinity;
    for (const { nextDueMs } of this.#faulty) if (nextDueMs > now && nextDueMs < next) next = nextDueMs;
    return next;
  }

  #build(plan: NetworkPlan): Network {
    const { watch } = plan;
    const weather = new Weather({ troubles: TROUBLES, fatal: FATAL, watch, resumeMs: RESUME_MS[watch] });
    if (!plan.routed) {
      const [near, far] = this.#cable(plan, [macOf(plan, NEAR, false), macOf(plan, FAR, false)]);
      return this.#network(plan, weather, near, far);
    }
    const [near, routerNear] = this.#cable(plan, [macOf(plan, NEAR, false), macOf(plan, NEAR, true)]);
    const [far, routerFar] = this.#cable(plan, [macOf(plan, FAR, false), macOf(plan, FAR, true)]);
    this.#route(plan, routerNear, routerFar);
    return this.#network(plan, weather, near, far);
  }

  #network(
    plan: NetworkPlan,
    weather: Weather<NetworkTrouble>,
    nearDevice: MemoryDevice,
    farDevice: MemoryDevice,
  ): Network {
    const plug = (end: End, device: MemoryDevice): Plug => ({
      network: plan,
      port: this.#port(plan, weather, end, device),
    });
    return { plan, weather, near: plug(NEAR, nearDevice), far: plug(FAR, farDevice), nearDevice, farDevice };
  }

  #cable(
    { index }: NetworkPlan,
    macs: readonly [Uint8Array, Uint8Array],
  ): readonly [MemoryDevice, MemoryDevice] {
    const name = `net${index}`;
    const umems = [this.stage.umem(), this.stage.umem()] as const;
    return createLink({ names: [name, name], macs, umems, ...RINGS });
  }

  #port({ delayMs }: NetworkPlan, weather: Weather<NetworkTrouble>, end: End, device: MemoryDevice): Port {
    const { stage } = this;
    const delay = { delay: 1, delayMs: [delayMs, delayMs] as const };
    const late =
      delayMs === 0
        ? device
        : faulty(device, { random: stage.fork(), clock: stage.time.clock, tx: delay, rx: delay });
    if (late !== device) this.#faulty.push(late as FaultyDevice);
    const losses = stage.fork();
    const cut = end === NEAR ? "cutNear" : "cutFar";
    const port = new Port(stage, `${endName(end)} ${device.name}`, late, device.umem, late !== device, {
      loses: () => weather.has(cut) || chance(losses, weather.loss),
      speaks: (spoken, from) => (end === NEAR ? this.near : this.far).speaks(spoken, from),
    });
    this.#devices.push(port.tap);
    return port;
  }

  /** A router with a cable to each end, who knows where both service addresses are. */
  #route(plan: NetworkPlan, near: MemoryDevice, far: MemoryDevice): void {
    const { stage } = this;
    const router = new Host({ loop: stage.loop, random: stage.fork() }, { forwarding: true });
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

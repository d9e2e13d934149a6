/**
 * Two hosts joined by several cables between real cards, all in this process's own namespace and in zero-copy: each has an address
 * on every cable and a service address behind all of them, and they converse while cables and drivers come and go.
 */
import { expect } from "bun:test";
import {
  attach,
  Bfd,
  Host,
  type HostEvent,
  type Interface,
  IpAddress,
  Loop,
  NeighbourMonitor,
  type Path,
  Prefix,
  Umem,
  type XdpDevice,
} from "../../index.ts";
import { expectAllBack } from "./bad-day.ts";
import type { Bed } from "./bed.ts";
import { raise } from "./cards.ts";
import { Conversation } from "./conversation.ts";
import { until } from "./lab.ts";

/** Above all that an emulated processor needs to agree on a link, or to start a driver. */
export const PATIENCE_MS = 90_000;
/** An emulated machine may stand still for a second: whoever is silent for two is dead. */
const PULSE = { intervalMs: 200, count: 10 } as const;
const VERIFY_MS = 300;
const CHUNKS = 4096;
/** The fill ring as bed.ts wants it for an igb, and more than a conversation needs. */
const RINGS = { rx: 1024, tx: 256, fill: 1024, completion: 256 } as const;
/** Answers in a row over one cable that say: the conversation goes over it. */
const ROUNDS = 50;
const SERVICES = { near: "10.9.0.1", far: "10.9.0.2" } as const;
/** Of the route over the first cable; each further one is a backup of those before it. */
const METRIC = 10;

export type Which = "near" | "far";
export type Watcher = "bfd" | "neighbour";
type PathEvent = Extract<HostEvent, { kind: "path" }>;

/** A cable between two cards of one bed: the near card's name, and the far one's. */
export interface PathCable {
  readonly bed: Bed;
  readonly near: string;
  readonly far: string;
}

/** One card of an end, from attaching to the end of its memory. */
interface Port {
  readonly device: XdpDevice;
  readonly umem: Umem;
  readonly on: Interface;
}

const other = (which: Which): Which => (which === "near" ? "far" : "near");
const addressOn = (cable: number, which: Which): string => `10.${cable + 1}.0.${which === "near" ? 1 : 2}`;

/** One of the two hosts. */
class End {
  readonly host: Host;
  readonly events: HostEvent[] = [];
  readonly ports: Port[] = [];
  readonly #which: Which;
  readonly #cables: readonly PathCable[];
  readonly #bfd: Bfd;

  constructor(loop: Loop, which: Which, cables: readonly PathCable[], watcher: Watcher) {
    this.#which = which;
    this.#cables = cables;
    this.host = new Host({ loop, paths: { verifyMs: VERIFY_MS, damping: false } });
    this.host.on((event) => void this.events.push(event));
    this.#bfd = new Bfd(this.host);
    this.host.addService(SERVICES[which]);
    cables.forEach((_, i) => this.plug(i));
    for (const i of cables.keys()) this.#watch(i, watcher);
  }

  /** Attaches to the card of a cable, joins, and routes over it. */
  plug(i: number): void {
    const cable = this.#cables[i]!;
    const umem = new Umem({ chunks: CHUNKS, ...cable.bed.umem });
    const device = attach(cable[this.#which], { ...cable.bed.attach, rings: RINGS, umem });
    expect(device.mode.bind).toBe("zero-copy");
    const on = this.host.join(device, {
      addresses: [`${addressOn(i, this.#which)}/24`],
      linkLocal: false,
      dad: false,
    });
    this.ports[i] = { device, umem, on };
    this.host.addRoute({
      prefix: Prefix.parse(`${SERVICES[other(this.#which)]}/32`),
      gateway: IpAddress.parse(this.#gateway(i)),
      interface: on.index,
      metric: METRIC + i,
      kind: "unicast",
    });
  }

  /** The path over a cable; undefined while its card is not there. */
  path(i: number): Path | undefined {
    return this.host.paths.find({ gateway: this.#gateway(i) });
  }

  /** Changes of the paths over a cable, also of one that has ended, from an event on. */
  changes(i: number, from = 0): PathEvent[] {
    return this.events
      .slice(from)
      .filter(
        (event): event is PathEvent =>
          event.kind === "path" && event.path.gateway?.toString() === this.#gateway(i),
      );
  }

  async state(i: number, state: Path["state"]): Promise<void> {
    const what = `${this.#which} path ${i} to be ${state}`;
    await until(what, () => this.path(i)?.state === state, PATIENCE_MS).catch((error: unknown) => {
      throw new Error(`${what}: ${this.changes(i).map(spell).join(", ")}`, { cause: error });
    });
  }

  /** Closes what a cable's card was, and waits for the kernel to give back every chunk. */
  async settle(i: number): Promise<void> {
    const { device, umem } = this.ports[i]!;
    device.close();
    await expectAllBack(umem);
    umem.close();
    for (const queue of device.statistics().queues)
      expect([queue.completionForged, queue.rxForged]).toEqual([0, 0]);
  }

  close(): void {
    this.#bfd.close();
    this.host.close();
  }

  #watch(i: number, watcher: Watcher): void {
    const { intervalMs, count } = PULSE;
    const gateway = this.#gateway(i);
    const monitor =
      watcher === "bfd"
        ? this.#bfd.session({
            peer: gateway,
            interface: this.ports[i]!.on.name,
            intervalMs,
            multiplier: count,
          })
        : new NeighbourMonitor(this.host, PULSE);
    this.host.paths.watch({ gateway }, monitor);
  }

  #gateway(i: number): string {
    return addressOn(i, other(this.#which));
  }
}

/** "down: link" */
export const spell = ({ state, reason }: PathEvent): string => `${state}: ${reason}`;

/** What a test acts on. */
export class CardPaths {
  readonly cables: readonly PathCable[];
  readonly loop: Loop;
  readonly near: End;
  readonly far: End;
  readonly talk: Conversation;
  readonly errors: unknown[] = [];

  private constructor(cables: readonly PathCable[], watcher: Watcher) {
    this.cables = cables;
    this.loop = new Loop({ onError: (error) => void this.errors.push(error) });
    this.near = new End(this.loop, "near", cables, watcher);
    this.far = new End(this.loop, "far", cables, watcher);
    this.talk = new Conversation(this.loop, this.near.host, this.far.host, SERVICES);
  }

  /** Plays on these cables, the first of which is preferred; at the end every chunk is back and nothing was heard twice. */
  static async play(
    cables: readonly PathCable[],
    watcher: Watcher,
    act: (paths: CardPaths) => Promise<void>,
  ): Promise<void> {
    await raise(...cables.flatMap(({ near, far }) => [near, far]));
    const paths = new CardPaths(cables, watcher);
    const ends = [paths.near, paths.far];
    try {
      void paths.loop.run();
      // A card may restart its link where a program comes, and every monitor has to have seen life once.
      for (const end of ends)
        for (const i of cables.keys()) {
          await end.state(i, "up");
          const known = (): boolean => end.path(i)!.monitors.every(({ verdict }) => verdict === "up");
          await until(`path ${i} to be known alive`, known, PATIENCE_MS);
          await end.state(i, "up");
        }
      await paths.over(0);
      await act(paths);
      paths.talk.judge();
      expect(paths.errors).toEqual([]);
    } finally {
      for (const end of ends) end.close();
      paths.loop.close();
      for (const end of ends) for (const { device } of end.ports) device.close();
    }
    for (const end of ends) for (const i of cables.keys()) await end.settle(i);
  }

  /** Waits until answers come over this cable, and over no other, for so many rounds. */
  async over(i: number): Promise<void> {
    const name = this.cables[i]!.near;
    const { by } = this.talk;
    const first = by.length;
    const what = `the conversation to go over ${name}`;
    await until(
      what,
      () => by.length >= first + ROUNDS && by.slice(-ROUNDS).every((one) => one === name),
      PATIENCE_MS,
    ).catch((error: unknown) => {
      const { sent } = this.talk;
      const seen = [this.near, this.far].map((end) => end.changes(i).map(spell).join(", "));
      const tail = `of ${sent} sent ${by.length} answered, last over ${by.at(-1)}`;
      throw new Error(`${what}: ${tail}; near ${seen.join("; far ")}`, { cause: error });
    });
  }
}

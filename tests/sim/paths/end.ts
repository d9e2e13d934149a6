/** One of the two hosts of a world of paths: its interfaces and routes, and who watches them. */
import { Bfd } from "../../../stack/bfd/bfd.ts";
import { Host } from "../../../stack/ip/host.ts";
import type { Interface } from "../../../stack/ip/interface.ts";
import { EchoMonitor } from "../../../stack/ip/paths/echo-monitor.ts";
import type { PathMonitor } from "../../../stack/ip/paths/monitor.ts";
import { NeighbourMonitor } from "../../../stack/ip/paths/neighbour-monitor.ts";
import type { Random } from "../../../stack/device/random.ts";
import type { Path } from "../../../stack/ip/paths/path.ts";
import type { Loop } from "../../../stack/loop/loop.ts";
import { type Family, IpAddress } from "../../../stack/wire/address.ts";
import { Prefix } from "../../../stack/wire/prefix.ts";
import type { Tap } from "../../support/tap.ts";
import {
  addressOf,
  bitsOf,
  type End,
  otherOf,
  type NetworkPlan,
  type PathsPlan,
  routerOf,
  serviceOf,
} from "./plan.ts";
import { wrongWith } from "./judge.ts";
import type { Speaker } from "./programs.ts";

/** Of every monitor: dead after three that are silent. */
const INTERVAL_MS = 100;
const COUNT = 3;

/** One network as an end is on it. */
export interface Plug {
  readonly network: NetworkPlan;
  readonly tap: Tap;
}

export class PathsEnd {
  readonly end: End;
  readonly plan: PathsPlan;
  readonly host: Host;
  readonly plugs: readonly Plug[];
  readonly #bfd: Bfd;
  readonly #joined = new Map<Plug, Interface>();
  readonly #withdrawn = new Set<Plug>();

  constructor(end: End, plan: PathsPlan, plugs: readonly Plug[], loop: Loop, random: Random) {
    this.end = end;
    this.plan = plan;
    this.plugs = plugs;
    const paths = { verifyMs: plan.verifyMs, ...(plan.damping ? {} : { damping: false as const }) };
    this.host = new Host({ loop, random }, { paths });
    this.#bfd = new Bfd(this.host);
    for (const family of plan.families) this.host.addService(serviceOf(end, family), { dad: false });
    for (const plug of plugs) this.join(plug);
    for (const plug of plugs) this.#watch(plug);
  }

  get speaker(): Speaker {
    const { host, plan, end } = this;
    const { families, policy, sockets, inPlace } = plan;
    return {
      host,
      families,
      policy,
      sockets,
      inPlace,
      own: (family) => serviceOf(end, family),
      other: (family) => serviceOf(otherOf(end), family),
    };
  }

  pathOf({ network, tap }: Plug, family: Family): Path | undefined {
    return this.host.paths.find({ interface: tap.name, family, gateway: this.gateway(network, family) });
  }

  /** What is wrong with data that leaves over a network now; undefined where nothing is. */
  wrongWith(plug: Plug, family: Family): string | undefined {
    const taken = this.pathOf(plug, family);
    // An answer goes back in the frame of its question where no route leads there any more.
    if (taken === undefined) return undefined;
    // Copies go over all that may live.
    const rivals = this.plan.policy === "redundant" ? [] : this.plugs.filter((one) => this.leadsThere(one));
    const others = rivals.map((one) => this.pathOf(one, family));
    return wrongWith(taken, others, this.host.loop.now);
  }

  /** Whether a network leads to the other's service address. */
  leadsThere(plug: Plug): boolean {
    return this.#joined.has(plug) && !this.#withdrawn.has(plug);
  }

  /** The next hop over a network. */
  gateway(network: NetworkPlan, family: Family): string {
    return routerOf(network, this.end, family) ?? addressOf(network, otherOf(this.end), family);
  }

  join(plug: Plug): void {
    if (this.#joined.has(plug)) return;
    const bits = (family: Family): number => (family === 4 ? 24 : 64);
    const made = this.host.join(plug.tap, {
      addresses: this.plan.families.map(
        (family) => `${addressOf(plug.network, this.end, family)}/${bits(family)}`,
      ),
      dad: false,
    });
    this.#joined.set(plug, made);
    this.setRoutes(plug, true);
    // A path lasts as long as a route leads over it: this one stays when the service is withdrawn, and who judges goes on.
    for (const family of this.plan.families)
      this.#setRoute(plug, addressOf(plug.network, otherOf(this.end), family), family, true);
  }

  leave(plug: Plug): void {
    const made = this.#joined.get(plug);
    if (made === undefined) return;
    this.#joined.delete(plug);
    this.host.leave(made);
  }

  /** Adds or withdraws the routes over a network to the other's service address, as a routing daemon would. */
  setRoutes(plug: Plug, present: boolean): void {
    if (present) this.#withdrawn.delete(plug);
    else this.#withdrawn.add(plug);
    for (const family of this.plan.families)
      this.#setRoute(plug, serviceOf(otherOf(this.end), family), family, present);
  }

  #setRoute(plug: Plug, to: string, family: Family, present: boolean): void {
    const on = this.#joined.get(plug);
    if (on === undefined) return;
    const prefix = Prefix.of(IpAddress.parse(to), bitsOf(family));
    const gateway = IpAddress.parse(this.gateway(plug.network, family));
    const { metric } = plug.network;
    if (present) this.host.addRoute({ prefix, gateway, interface: on.index, metric, kind: "unicast" });
    else this.host.routes.remove({ prefix, gateway, interface: on.index });
  }

  close(): void {
    this.#bfd.close();
    this.host.close();
    this.#joined.clear();
  }

  /** Has the paths over a network judged, now and whenever they come back. */
  #watch({ network, tap }: Plug): void {
    for (const family of this.plan.families) {
      const gateway = this.gateway(network, family);
      this.host.paths.watch(
        { interface: tap.name, family, gateway },
        this.#monitor(network, tap.name, family),
      );
    }
  }

  #monitor(network: NetworkPlan, on: string, family: Family): PathMonitor {
    const peer = addressOf(network, otherOf(this.end), family);
    switch (network.watch) {
      case "bfd":
        return this.#bfd.session({ peer, interface: on, intervalMs: INTERVAL_MS, multiplier: COUNT });
      case "neighbour":
        return new NeighbourMonitor(this.host, { intervalMs: INTERVAL_MS, count: COUNT });
      case "health":
        return new EchoMonitor(this.host, { intervalMs: INTERVAL_MS, count: COUNT, target: peer });
    }
  }
}

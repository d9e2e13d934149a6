/** A host of a world of networks: its interfaces and routes, and who watches them. */
import { Bfd } from "../../../stack/bfd/bfd.ts";
import { EchoMonitor } from "../../../stack/ip/paths/echo-monitor.ts";
import type { PathMonitor } from "../../../stack/ip/paths/monitor.ts";
import { NeighbourMonitor } from "../../../stack/ip/paths/neighbour-monitor.ts";
import type { Path } from "../../../stack/ip/paths/path.ts";
import { type Family, IpAddress } from "../../../stack/wire/address.ts";
import { Prefix } from "../../../stack/wire/prefix.ts";
import { Party, PULSE } from "./party.ts";
import {
  addressOf,
  bitsOf,
  type End,
  type NetworkPlan,
  otherOf,
  type PathsPlan,
  routerOf,
  serviceOf,
} from "./plan.ts";
import type { Port } from "./port.ts";
import type { Stage } from "./stage.ts";

/** A service address needs nobody's consent here. */
const SERVED_MS = 100;

/** One network as an end is on it. */
export interface Plug {
  readonly network: NetworkPlan;
  readonly port: Port;
}

export class PathsEnd extends Party {
  readonly plugs: readonly Plug[];
  readonly ports: readonly Port[];
  readonly #plan: PathsPlan;
  readonly #stage: Stage;
  readonly #bfd: Bfd;
  readonly #plugOf: ReadonlyMap<Port, Plug>;
  readonly #withdrawn = new Set<Plug>();
  /** The next hops over each network, by family. */
  readonly #gateways = new Map<Plug, ReadonlyMap<Family, IpAddress>>();

  constructor(stage: Stage, end: End, plan: PathsPlan, plugs: readonly Plug[]) {
    super(stage, end, plan, SERVED_MS);
    this.#stage = stage;
    this.#plan = plan;
    this.plugs = plugs;
    this.ports = plugs.map(({ port }) => port);
    this.#plugOf = new Map(plugs.map((plug) => [plug.port, plug]));
    for (const plug of plugs)
      this.#gateways.set(
        plug,
        new Map(plan.families.map((family) => [family, IpAddress.parse(this.gateway(plug.network, family))])),
      );
    this.#bfd = new Bfd(this.host);
    this.serve(true);
    for (const plug of plugs) this.join(plug);
    for (const plug of plugs) this.#watch(plug);
  }

  own(family: Family): string {
    return serviceOf(this.end, family);
  }

  other(family: Family): string {
    return serviceOf(otherOf(this.end), family);
  }

  protected get serviceOptions() {
    return { dad: false };
  }

  pathOf(port: Port, family: Family): Path | undefined {
    const gateway = this.#gateways.get(this.#plugOf.get(port)!)!.get(family)!;
    return this.host.paths.find({ interface: port.tap.name, family, gateway });
  }

  leadsThere(port: Port): boolean {
    return port.books.on !== undefined && !this.#withdrawn.has(this.#plugOf.get(port)!);
  }

  /** The next hop over a network. */
  gateway(network: NetworkPlan, family: Family): string {
    return routerOf(network, this.end, family) ?? addressOf(network, otherOf(this.end), family);
  }

  join(plug: Plug): void {
    const { network, port } = plug;
    if (port.books.on !== undefined) return;
    const addresses = this.#plan.families.map(
      (family) => `${addressOf(network, this.end, family)}/${family === 4 ? 24 : 64}`,
    );
    port.books.open(() => this.host.join(port.tap, { addresses, dad: false }));
    this.setRoutes(plug, true);
    // A path lasts as long as a route leads over it: this one stays when the service is withdrawn, and who judges goes on.
    for (const family of this.#plan.families)
      this.#setRoute(plug, addressOf(network, otherOf(this.end), family), family, true);
  }

  leave({ port }: Plug): void {
    const { on } = port.books;
    if (on === undefined) return;
    this.host.leave(on);
    port.books.close();
    port.routedMs = this.#stage.now;
  }

  /** Adds or withdraws the routes over a network to the other's service address, as a routing daemon would. */
  setRoutes(plug: Plug, present: boolean): void {
    if (present) this.#withdrawn.delete(plug);
    else this.#withdrawn.add(plug);
    plug.port.routedMs = this.#stage.now;
    for (const family of this.#plan.families) this.#setRoute(plug, this.other(family), family, present);
  }

  #setRoute({ port, network }: Plug, to: string, family: Family, present: boolean): void {
    const { on } = port.books;
    if (on === undefined) return;
    const prefix = Prefix.of(IpAddress.parse(to), bitsOf(family));
    const gateway = IpAddress.parse(this.gateway(network, family));
    const { metric } = network;
    if (present) this.host.addRoute({ prefix, gateway, interface: on.index, metric, kind: "unicast" });
    else this.host.routes.remove({ prefix, gateway, interface: on.index });
  }

  override close(): void {
    this.#bfd.close();
    super.close();
  }

  /** Has the paths over a network judged, now and whenever they come back. */
  #watch({ network, port }: Plug): void {
    const { name } = port.tap;
    for (const family of this.#plan.families) {
      const gateway = this.gateway(network, family);
      this.host.paths.watch({ interface: name, family, gateway }, this.#monitor(network, name, family));
    }
  }

  #monitor(network: NetworkPlan, on: string, family: Family): PathMonitor {
    const peer = addressOf(network, otherOf(this.end), family);
    const { intervalMs, count } = PULSE;
    switch (network.watch) {
      case "bfd":
        return this.#bfd.session({ peer, interface: on, intervalMs, multiplier: count });
      case "neighbour":
        return new NeighbourMonitor(this.host, PULSE);
      case "health":
        return new EchoMonitor(this.host, { ...PULSE, target: peer });
    }
  }
}

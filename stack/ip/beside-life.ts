/**
 * An interface beside the kernel: its addresses, routes and neighbours are the kernel's, followed as they change.
 */
import type { EventSource, RouteSource, SystemChange, SystemHop } from "../device/routesource.ts";
import { IpAddress } from "../wire/address.ts";
import { MacAddress } from "../wire/mac.ts";
import { Prefix } from "../wire/prefix.ts";
import { AddressBook } from "./addresses/addresses.ts";
import { Interface } from "./interface.ts";
import type { LifeHost } from "./life.ts";
import type { Link } from "./link.ts";
import { silent } from "./loopback-life.ts";
import { MirroredNeighbours } from "./neighbours/mirrored-neighbours.ts";
import { Groups } from "./groups/multicast.ts";
import { Answers, type Inquiry } from "./neighbours/inquiry.ts";
import type { NeighbourIo } from "./neighbours/neighbour.ts";
import type { BesideOptions } from "./options.ts";
import type { Parked } from "./parked.ts";
import { DEFAULT_WEIGHT, MAX_WEIGHT } from "./routes/route.ts";
import type { Route, RouteKind } from "./routes/routes.ts";

/** Changes handled in one turn at most: a full table of routes is taken in over several. */
const CHANGES_PER_TURN = 1024;

type Change<K extends SystemChange["kind"]> = Extract<SystemChange, { readonly kind: K }>;

export class BesideLife implements EventSource {
  readonly interface: Interface;
  readonly name: string;
  readonly fds: readonly number[];
  readonly #host: LifeHost;
  readonly #source: RouteSource;
  readonly #systemIndex: number;
  readonly #book: AddressBook;
  readonly #neighbours4: MirroredNeighbours<Parked>;
  readonly #neighbours6: MirroredNeighbours<Parked>;
  readonly #answers = new Answers();

  constructor(index: number, link: Link, options: BesideOptions, host: LifeHost) {
    const { environment } = host;
    this.#host = host;
    this.#source = options.source;
    this.#systemIndex = options.interface;
    this.name = `kernel beside ${link.name}`;
    this.fds = options.source.fds;
    this.#book = new AddressBook(
      environment,
      {
        probe: () => true,
        announce: () => {},
        changed: (entry, change) => {
          this.interface.addressesChanged();
          host.addressChanged(this.interface, entry, change);
        },
        joinGroup: () => {},
        leaveGroup: () => {},
      },
      { dad: false },
    );
    this.#neighbours4 = new MirroredNeighbours(environment, this.#neighbourIo());
    this.#neighbours6 = new MirroredNeighbours(environment, this.#neighbourIo());
    this.interface = new Interface({
      index,
      life: "beside",
      link,
      addresses: this.#book,
      neighbours4: this.#neighbours4,
      neighbours6: this.#neighbours6,
      // Reports to routers are the kernel's, which knows the groups that it was asked to join for us.
      groups: new Groups(environment, {
        outlet: silent(link),
        source4: () => undefined,
        linkLocal: () => undefined,
        membership: (group, joined) => this.#membership(group, joined),
      }),
      protocols: undefined,
      inquiry: this.#inquiry(),
    });
  }

  /** Takes in what the kernel knows now. */
  start(): void {
    while (this.take() === CHANGES_PER_TURN);
  }

  take(): number {
    for (let taken = 0; taken < CHANGES_PER_TURN; taken++) {
      const change = this.#source.next();
      if (change === undefined) return taken;
      if (change.kind === "address") this.#address(change);
      else if (change.kind === "neighbour") this.#neighbour(change);
      else this.#route(change);
    }
    return CHANGES_PER_TURN;
  }

  #membership(group: IpAddress, joined: boolean): void {
    if (joined) this.#source.joinGroup(this.#systemIndex, group.toBytes());
    else this.#source.leaveGroup(this.#systemIndex, group.toBytes());
  }

  #neighbourIo(): NeighbourIo<Parked> {
    return {
      solicit: (neighbour) => this.#source.resolve(this.#systemIndex, neighbour.address.toBytes()),
      send: (parked, neighbour) => parked.leave(neighbour),
      discard: (parked, _neighbour, reason) => parked.drop(reason),
      changed: (neighbour) => this.#host.neighbourChanged(this.interface, neighbour),
    };
  }

  /** Questions that the kernel puts, when it finds time to; its table tells of the answers, where they change something. */
  #inquiry(): Inquiry {
    return {
      ask: (address, mac) => {
        const { w0, w1, w2, w3, family } = address;
        const neighbours = family === 4 ? this.#neighbours4 : this.#neighbours6;
        // Nobody asks for what was set for good.
        if (neighbours.lookup(w0, w1, w2, w3)?.state === "permanent") return false;
        const bytes = address.toBytes();
        if (mac !== undefined && this.#source.probe !== undefined)
          return this.#source.probe(this.#systemIndex, bytes);
        this.#source.resolve(this.#systemIndex, bytes);
        return true;
      },
      listen: (address, heard) => this.#answers.listen(address, heard),
    };
  }

  #address(change: Change<"address">): void {
    if (change.interface !== this.#systemIndex) return;
    const address = IpAddress.fromBytes(change.address);
    // A service address is here whatever the kernel makes of it.
    if (this.#book.find(address)?.origin === "service") return;
    if (!change.present) {
      this.#book.remove(address);
      return;
    }
    this.#book.add(address, change.prefixLength, {
      origin: "kernel",
      temporary: change.temporary,
      state: change.tentative ? "tentative" : change.deprecated ? "deprecated" : "preferred",
    });
  }

  #neighbour(change: Change<"neighbour">): void {
    if (change.interface !== this.#systemIndex) return;
    const address = IpAddress.fromBytes(change.address);
    const neighbours = address.family === 4 ? this.#neighbours4 : this.#neighbours6;
    if (!change.present) {
      neighbours.forget(address);
      return;
    }
    const mac = change.mac === undefined ? undefined : MacAddress.fromBytes(change.mac);
    neighbours.mirror(address, mac, change.state, change.router);
    if (change.state === "reachable") this.#answers.tell(address, mac);
  }

  /** Routes out of this interface, and those that refuse; of several hops each is a route. */
  #route(change: Change<"route">): void {
    const kind = KINDS[change.type];
    if (kind === undefined) return;
    const prefix = Prefix.of(IpAddress.fromBytes(change.destination), change.prefixLength);
    const { routes } = this.#host;
    const index = kind === "unicast" ? this.interface.index : 0;
    const match = { prefix, interface: index, metric: change.metric, kind, origin: "kernel" as const };
    if (!change.present) {
      routes.remove(match);
      return;
    }
    // Gateways of the other family (RTA_VIA) would need its neighbours: such a route is not followed.
    const followed = (hop: SystemHop): boolean =>
      hop.interface === this.#systemIndex &&
      (hop.gateway === undefined || hop.gateway.length === change.destination.length);
    const hops = kind === "unicast" ? change.hops.filter(followed) : [undefined];
    const told = hops.map((hop): Route => {
      const gateway = hop?.gateway === undefined ? undefined : IpAddress.fromBytes(hop.gateway);
      return {
        ...match,
        ...(gateway === undefined ? {} : { gateway }),
        ...(hop === undefined ? {} : { weight: hop.weight }),
        ...(change.source === undefined ? {} : { source: IpAddress.fromBytes(change.source) }),
        ...(change.mtu === undefined ? {} : { mtu: change.mtu }),
      };
    });
    const fresh = merged(told);
    for (const route of fresh) routes.add(route);
    for (const old of routes.of(prefix)) {
      const same =
        old.interface === index &&
        old.metric === change.metric &&
        old.kind === kind &&
        old.origin === "kernel";
      if (same && !fresh.some((route) => sameGateway(route, old)))
        routes.remove({ ...match, gateway: old.gateway });
    }
  }
}

/** What of the kernel's routes is followed; its own addresses and broadcasts are known from the addresses. */
const KINDS: Readonly<Record<Change<"route">["type"], RouteKind | undefined>> = {
  unicast: "unicast",
  blackhole: "blackhole",
  unreachable: "unreachable",
  prohibit: "prohibit",
  local: undefined,
  broadcast: undefined,
  multicast: undefined,
};

/** IPv4 lets a route name one next hop several times, to give it more weight: of those one is made, which has it all. */
const merged = (routes: readonly Route[]): readonly Route[] => {
  const found: Route[] = [];
  for (const route of routes) {
    const at = found.findIndex((other) => sameGateway(other, route));
    if (at < 0) found.push(route);
    else found[at] = { ...route, weight: Math.min(weightOf(found[at]!) + weightOf(route), MAX_WEIGHT) };
  }
  return found;
};

const weightOf = ({ weight = DEFAULT_WEIGHT }: Route): number => weight;

const sameGateway = (a: Route, b: Route): boolean =>
  a.gateway === undefined || b.gateway === undefined ? a.gateway === b.gateway : a.gateway.equals(b.gateway);

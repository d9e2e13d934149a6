/**
 * An IP host: interfaces that join and leave it, addresses and routes, and the transports that stand on it.
 *
 * Time, randomness and devices are arguments: a network of hosts runs in one test, in virtual time, from a seed.
 */
import type { Device, LinkEvent } from "../device/device.ts";
import type { Frame } from "../device/frame.ts";
import type { Random } from "../device/random.ts";
import type { EventHandler } from "../loop/events.ts";
import type { Loop } from "../loop/loop.ts";
import { Handle, type Subscription } from "../loop/subscription.ts";
import type { Network, Via } from "../transport/network.ts";
import { UdpTransport, type UdpStatistics } from "../udp/udp.ts";
import { type BurstOptions, DatagramBursts } from "../udp/bursts.ts";
import type { DatagramHandler, UdpSocket } from "../udp/socket.ts";
import { readAddress, type UdpOptions } from "../udp/options.ts";
import type { IpAddress } from "../wire/address.ts";
import { BesideLife } from "./beside-life.ts";
import { type IpStatistics, sumCounters } from "./counters.ts";
import type { Echo, EchoHandlers } from "./icmp/echoes.ts";
import type { TransitReports } from "./icmp/transit-reports.ts";
import { HostCore } from "./host-core.ts";
import type { HostEvent } from "./events.ts";
import type { Interceptor } from "./interceptor.ts";
import type { Interface } from "./interface.ts";
import { Link } from "./link.ts";
import { checkHostOptions, checkJoinOptions, type HostOptions, type JoinOptions } from "./options.ts";
import { OwnLife } from "./own-life.ts";
import type { Paths } from "./paths/paths.ts";
import type { Route } from "./routes/routes.ts";
import type { Strays } from "./strays.ts";
import type { ServiceAddress, ServiceOptions, ServiceStatistics } from "./service/service-address.ts";

export interface HostParts {
  readonly loop: Loop;
  /** Identifiers, ports, seeds of hash tables: unguessable outside of tests. */
  readonly random: Random;
}

export interface HostStatistics {
  /** Of all interfaces together. */
  readonly ip: IpStatistics;
  readonly udp: UdpStatistics;
  readonly icmp4: ReturnType<HostCore["icmp4"]["statistics"]>;
  readonly icmp6: ReturnType<HostCore["icmp6"]["statistics"]>;
  readonly reassembly: ReturnType<HostCore["reassembler"]["statistics"]>;
  readonly routes: ReturnType<HostCore["routing"]["routes"]["statistics"]>;
  readonly pathMtu: ReturnType<HostCore["routing"]["pathMtu"]["statistics"]>;
  readonly services: ServiceStatistics;
}

/** More events than a device keeps, while nobody takes them. */
const MAX_HISTORY = 1024;

/** What happened to a device before it joined: how it is now says all of it, and nobody is to hear of flaps that are over. */
const skipHistory = (device: Device): void => {
  for (let taken = 0; taken < MAX_HISTORY && device.takeLinkEvent() !== undefined; taken++);
};

export class Host {
  readonly loop: Loop;
  readonly #core: HostCore;
  readonly #udp: UdpTransport;
  readonly #joined = new Map<Interface, { readonly life: OwnLife | BesideLife; readonly off: () => void }>();
  readonly #subscriptions = new Map<Device, Subscription[]>();
  #open = true;

  constructor(parts: HostParts, options: HostOptions = {}) {
    this.loop = parts.loop;
    this.#core = new HostCore(parts.loop, parts.random, checkHostOptions(options));
    this.#udp = new UdpTransport(this.#core.network, this.#core.packet);
    this.#core.install(this.#udp);
    this.#serve(this.#core.loopback.link.device);
    for (const service of options.services ?? []) this.addService(service);
  }

  /** False after `close`. */
  get open(): boolean {
    return this.#open;
  }

  /** The interfaces that have joined, the loopback not among them. */
  get interfaces(): readonly Interface[] {
    return [...this.#joined.keys()];
  }

  /** The routing table. What is added here is the program's ("manual"); the rest comes from addresses, routers and the kernel. */
  get routes() {
    return this.#core.routing.routes;
  }

  /** What transports stand on, for what is built on the host. */
  get network(): Network {
    return this.#core.network;
  }

  /** Datagrams that come astray on purpose, for what is built on the host. */
  get strays(): Strays {
    return this.#core.strays;
  }

  /** What to tell senders of packets that are not sent on, for those who forward on their own. */
  get transit(): TransitReports {
    return this.#core.transit;
  }

  /** The ways out: which there are, whether they live, and who watches them. */
  get paths(): Paths {
    return this.#core.paths;
  }

  /** What paths are known to carry. */
  get pathMtu() {
    return this.#core.routing.pathMtu;
  }

  /**
   * Makes an interface of a device, or of a VLAN of it, and begins to receive. A device belongs to one host. Throws a
   * TypeError or RangeError that names what is wrong with the options, and where the device has an interface already.
   */
  join(device: Device, given: JoinOptions = {}): Interface {
    this.#assertOpen();
    const options = checkJoinOptions(given);
    if (!this.#subscriptions.has(device)) skipHistory(device);
    if (!device.open) throw new TypeError(`device "${device.name}" is closed`);
    const { routing, lifeHost } = this.#core;
    const link = new Link(device, options);
    const index = routing.nextIndex(link.name);
    const life =
      options.beside === undefined
        ? new OwnLife(index, link, options, lifeHost)
        : new BesideLife(index, link, options.beside, lifeHost);
    const made = life.interface;
    try {
      this.#core.framesOf(device).add(made);
      if (!this.#subscriptions.has(device)) this.#serve(device);
    } catch (error) {
      this.#forget(made);
      made.close();
      throw error;
    }
    routing.add(made);
    this.#core.paths.joined(made);
    const watch = life instanceof BesideLife ? this.loop.watch(life) : undefined;
    this.#joined.set(made, { life, off: () => watch?.close() });
    try {
      life.start();
      this.#core.services.join(made, options.segment);
      // Ports of single addresses are kept where those addresses are.
      if (options.beside !== undefined) this.#core.claims.add(made, options.beside);
    } catch (error) {
      this.leave(made);
      throw error;
    }
    return made;
  }

  /** Takes an interface out: its addresses, routes and neighbours go, its device stays open. Idempotent. */
  leave(one: Interface): void {
    const joined = this.#joined.get(one);
    if (joined === undefined) return;
    this.#joined.delete(one);
    joined.off();
    // First, so that another says at once that it has taken over.
    this.#core.services.leave(one);
    // A lease is given back while there is a way to do so.
    one.protocols?.close();
    this.#core.paths.left(one);
    one.close();
    this.#core.claims.remove(one);
    this.#core.routing.remove(one);
    this.#forget(one);
  }

  /** No more frames for it. */
  #forget(one: Interface): void {
    const { device } = one.link;
    const frames = this.#core.framesOf(device);
    frames.remove(one);
    if (!frames.empty) return;
    // The last words, such as a lease given back, go out though the loop may serve the device no more.
    if (device.open) for (const queue of device.queues) queue.flush();
    this.#core.forgetFrames(device);
    for (const subscription of this.#subscriptions.get(device) ?? []) subscription.close();
    this.#subscriptions.delete(device);
  }

  /** The service addresses, in the order of their addition. */
  get services(): readonly ServiceAddress[] {
    return this.#core.services.all;
  }

  /**
   * Adds an address that lives on all interfaces, those that join later too: packets for it are taken from each, and what is
   * sent from it goes out of any. On a link with several of our interfaces one answers for it; when that goes another tells the
   * link. Beside the kernel nobody answers for it: routers have to have a route to it over the kernel's address.
   *
   * Throws a TypeError or RangeError for what is no such address, is there already, or is one more than `MAX_SERVICES`.
   */
  addService(address: string | IpAddress, options: ServiceOptions = {}): ServiceAddress {
    this.#assertOpen();
    const service = this.#core.services.add(address, options);
    this.#core.routing.bump();
    return service;
  }

  /** Takes it from all interfaces; sockets that are bound to it hear nothing more. False where it was not there. */
  removeService(address: string | IpAddress): boolean {
    const removed = this.#core.services.remove(address);
    if (removed) this.#core.routing.bump();
    return removed;
  }

  /**
   * Opens a UDP socket: `handler` is called with each datagram. Throws a TypeError or RangeError that names what is wrong,
   * also where the port is taken.
   */
  udp(where: number | UdpOptions, handler: DatagramHandler): UdpSocket {
    this.#assertOpen();
    return this.#udp.open(typeof where === "number" ? { port: where } : where, handler);
  }

  /** Opens a UDP socket whose datagrams are pulled: `for await (const burst of host.datagrams({ port: 9000 }))`. */
  datagrams(where: number | UdpOptions, options: BurstOptions = {}): DatagramBursts {
    const bursts = new DatagramBursts(options);
    return bursts.over(this.udp(where, bursts.take));
  }

  /** A series of echo requests to an address; over exactly the path `via`, whatever routes say, where that is given. */
  ping(
    address: string | IpAddress,
    handlers: EchoHandlers,
    options: { readonly ttl?: number; readonly fragmentation?: "allow" | "refuse"; readonly via?: Via } = {},
  ): Echo {
    this.#assertOpen();
    const to = readAddress(address);
    const { network, echoes } = this.#core;
    const index = to.interface === undefined ? 0 : network.interfaceNamed(to.interface);
    return echoes.open(network.destination(to.address, { interface: index, ...options }), handlers);
  }

  /**
   * Shows the packets that come to an interface to `interceptor` before the host judges them: what that takes, the host never
   * sees. Throws a TypeError where another one does that already.
   */
  intercept(on: Interface, interceptor: Interceptor): Subscription {
    this.#assertOpen();
    if (on.interceptor !== undefined) throw new TypeError(`packets of "${on.name}" are intercepted already`);
    on.interceptor = interceptor;
    return new Handle(
      () => on.interceptor === interceptor,
      () => void (on.interceptor = undefined),
    );
  }

  /**
   * Adds a route of the program's, or renews it; the `weight` (1 to 256; 1) says how much of what is spread takes it, beside its
   * equals. False where the table is full. Throws a TypeError or RangeError that names the field which is no good.
   */
  addRoute(route: Omit<Route, "origin">): boolean {
    return this.routes.add({ ...route, origin: "manual" });
  }

  /** Calls `handler` with each event of this host; those of the loop's other users go by. */
  on(handler: (event: HostEvent) => void): Subscription {
    const own: EventHandler = (event) => {
      if (this.#core.isOwn(event)) handler(event as HostEvent);
    };
    return this.loop.on(own);
  }

  statistics(): HostStatistics {
    const core = this.#core;
    return {
      ip: sumCounters([...core.routing.interfaces()].map((one) => one.link.counters)),
      udp: this.#udp.statistics(),
      icmp4: core.icmp4.statistics(),
      icmp6: core.icmp6.statistics(),
      reassembly: core.reassembler.statistics(),
      routes: core.routing.routes.statistics(),
      pathMtu: core.routing.pathMtu.statistics(),
      services: core.services.statistics(),
    };
  }

  /** Ends sockets, interfaces and timers; devices stay open: they are their owner's. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#udp.close();
    // Nobody takes over any more.
    this.#core.services.close();
    for (const one of this.interfaces) this.leave(one);
    this.#open = false;
    for (const subscriptions of this.#subscriptions.values()) for (const one of subscriptions) one.close();
    this.#subscriptions.clear();
    this.#core.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #serve(device: Device): void {
    const frames = this.#core.framesOf(device);
    this.#subscriptions.set(device, [
      this.loop.receive(device, frames.receive as (frame: Frame) => void, frames.preview),
      this.loop.link(device, (event) => this.#linkChanged(device, event)),
      // One that its owner closes says no more.
      this.loop.left(device, () => {
        if (!device.open) this.#linkChanged(device, { kind: "gone", reason: "the device was closed" });
      }),
    ]);
  }

  /** What happens to a device happens to all its interfaces; one that is gone takes them along. */
  #linkChanged(device: Device, change: LinkEvent): void {
    for (const one of [...this.#core.framesOf(device).interfaces()]) {
      // Whoever heard of the one before may have taken it out.
      if (!this.#joined.has(one)) continue;
      this.#core.linkChanged(one, change);
      if (change.kind === "gone") this.leave(one);
    }
  }

  #assertOpen(): void {
    if (!this.#open) throw new TypeError("this host is closed");
  }
}

/**
 * A balancer on a host: services at addresses of the host's, whose packets it spreads over backends before the host sees them.
 *
 * The host answers ARP and neighbour solicitations for the addresses, pings, and all that is no service's; answers of backends go
 * to clients without passing here.
 */
import type { Host } from "../ip/host.ts";
import type { HostEvent } from "../ip/events.ts";
import type { Interface } from "../ip/interface.ts";
import type { Subscription } from "../loop/subscription.ts";
import type { Timer } from "../loop/timers.ts";
import type { IpAddress } from "../wire/address.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import type { Backend } from "./backend.ts";
import type { BalanceCounters } from "./counters.ts";
import { Director } from "./director.ts";
import {
  DEFAULT_FLOWS,
  type FlowRules,
  type FlowStatistics,
  FlowTable,
  MAX_BACKENDS,
  MAX_SERVICES,
} from "./flow-table.ts";
import { Hop } from "./hop.ts";
import { NOBODY } from "./maglev.ts";
import {
  CLOSING_SECONDS,
  MAX_IDLE_SECONDS,
  readIp,
  BalancedService,
  type BalancedServiceOptions,
  type ServiceOwner,
  TCP_IDLE_SECONDS,
  UDP_IDLE_SECONDS,
} from "./service.ts";
import { Vips } from "./vips.ts";

export interface BalancerOptions {
  /** Interfaces whose packets it takes. Default: those that have joined the host by now; `listen` adds one. */
  readonly interfaces?: readonly Interface[];
  /** Flows that are remembered, a power of two. Default 65536, which take 2 MiB. */
  readonly flows?: number;
  /** The same on all balancers that are to agree about flows, and better unknown to strangers. Default: random. */
  readonly seed?: number;
  /** Address to send tunnelled packets from, for each family. Default: one of the interface's that is no service's. */
  readonly sources?: readonly (string | IpAddress)[];
}

export interface BalancerStatistics extends Readonly<BalanceCounters> {
  readonly flows: FlowStatistics;
}

/** How often a part of the flows is looked through for those that are over, and into how many parts they are cut. */
const SWEEP_EVERY_MS = 100;
const SWEEP_PARTS = 64;
const MS_PER_SECOND = 1000;
/** Packets whose fragments are on their way: as many as a host puts together at once, many times over. 128 KiB. */
const FRAGMENTED_PACKETS = 4096;
/** RFC 8200 section 4.5: a packet whose fragments take longer is given up by its receiver. */
const FRAGMENT_SECONDS = 60;
const MAX_PORT = 0xffff;
const PROTOCOLS = { udp: PROTOCOL.UDP, tcp: PROTOCOL.TCP } as const;

export class Balancer {
  readonly #host: Host;
  readonly #vips: Vips;
  readonly #director: Director;
  readonly #flows: FlowTable;
  readonly #fragments: FlowTable;
  readonly #services: (BalancedService | undefined)[] = [];
  readonly #backends: (Backend | undefined)[] = [];
  readonly #sources: readonly IpAddress[];
  readonly #subscriptions: Subscription[] = [];
  readonly #timer: Timer;
  #open = true;

  /** @throws TypeError or RangeError that names what is wrong with the options. */
  constructor(host: Host, options: BalancerOptions = {}) {
    const { random } = host.network;
    this.#host = host;
    this.#sources = (options.sources ?? []).map(readIp);
    this.#vips = new Vips(random);
    this.#flows = new FlowTable(options.flows ?? DEFAULT_FLOWS, this.#rules());
    this.#fragments = new FlowTable(FRAGMENTED_PACKETS, {
      // No hash finds them again.
      choose: () => NOBODY,
      idleSeconds: () => FRAGMENT_SECONDS,
    });
    const seed = (options.seed ?? random.next()) | 0;
    const directory = {
      vips: this.#vips,
      flows: this.#flows,
      fragments: this.#fragments,
      backends: this.#backends,
      seed,
    };
    this.#director = new Director(directory, host.transit);
    try {
      for (const one of options.interfaces ?? host.interfaces) this.listen(one);
    } catch (error) {
      // Those before it are nobody's again.
      for (const subscription of this.#subscriptions) subscription.close();
      throw error;
    }
    this.#subscriptions.push(host.on((event) => this.#heard(event)));
    this.#sweep();
    this.#timer = host.loop.every(SWEEP_EVERY_MS, () => this.#sweep());
  }

  get services(): readonly BalancedService[] {
    return this.#services.filter((service) => service !== undefined);
  }

  /** Takes the packets of one more interface. @throws TypeError where another takes them. */
  listen(on: Interface): void {
    this.#assertOpen();
    this.#subscriptions.push(this.#host.intercept(on, this.#director));
  }

  /**
   * Opens a service, which has no backends yet.
   *
   * @throws TypeError or RangeError that names what is wrong with the options, also where there is one already.
   */
  service(options: BalancedServiceOptions): BalancedService {
    this.#assertOpen();
    const address = readIp(options.address);
    const { protocol: name, port } = options;
    const protocol = PROTOCOLS[name];
    if (protocol === undefined)
      throw new TypeError(`protocol is "udp" or "tcp", not ${JSON.stringify(name)}`);
    if (!Number.isInteger(port) || port < 1 || port > MAX_PORT)
      throw new RangeError(`port is a whole number from 1 to ${MAX_PORT}, not ${String(port)}`);
    const idleSeconds = options.idleSeconds ?? (name === "tcp" ? TCP_IDLE_SECONDS : UDP_IDLE_SECONDS);
    if (!(idleSeconds >= 1 && idleSeconds <= MAX_IDLE_SECONDS))
      throw new RangeError(`idleSeconds is 1 to ${MAX_IDLE_SECONDS}, not ${String(idleSeconds)}`);
    if (this.#vips.of(address)?.serviceOf(protocol, port) !== undefined)
      throw new TypeError(`there is a service for ${name} port ${port} of ${address} already`);
    const number = firstFree(this.#services, MAX_SERVICES, "services");
    const key = { address, protocol, port };
    const service = new BalancedService(this.#asOwner(), number, key, { ...options, idleSeconds });
    this.#vips.make(address).set(service);
    this.#services[number] = service;
    return service;
  }

  statistics(): BalancerStatistics {
    return { ...this.#director.counters, flows: this.#flows.statistics() };
  }

  /** Ends all services; their packets are the host's again. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#timer.cancel();
    for (const subscription of this.#subscriptions) subscription.close();
    for (const service of this.services) service.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #rules(): FlowRules {
    const services = this.#services;
    return {
      choose: (service, hash) => services[service]?.choose(hash) ?? NOBODY,
      idleSeconds: (number, closing) => {
        const idle = services[number]?.idleSeconds ?? 0;
        return closing && idle > CLOSING_SECONDS ? CLOSING_SECONDS : idle;
      },
    };
  }

  #asOwner(): ServiceOwner {
    return {
      enlist: (make) => {
        const number = firstFree(this.#backends, MAX_BACKENDS, "backends");
        const backend = make(number);
        this.#backends[number] = backend;
        return backend;
      },
      dismiss: ({ number }) => {
        this.#flows.forget("backend", number);
        this.#fragments.forget("backend", number);
        this.#backends[number] = undefined;
      },
      flowsOf: (number) => this.#flows.flowsOf(number),
      hop: (address, wanted) =>
        new Hop(this.#host, address, {
          ...wanted,
          source: this.#sources.find(({ family }) => family === address.family),
          isShared: (own) => this.#vips.of(own) !== undefined,
        }),
      ended: (service) => this.#ended(service),
    };
  }

  #ended(service: BalancedService): void {
    this.#flows.forget("service", service.number);
    this.#services[service.number] = undefined;
    const vip = this.#vips.of(service.address)!;
    vip.delete(service);
    if (!vip.empty) return;
    this.#fragments.forget("service", vip.number);
    this.#vips.delete(vip);
  }

  /** Routes say by themselves that they changed; what else a hop is made of is told by events. */
  #heard({ kind }: HostEvent): void {
    if (kind !== "link" && kind !== "address" && kind !== "path-mtu") return;
    for (const backend of this.#backends) backend?.hop.stale();
  }

  #sweep(): void {
    const seconds = Math.floor(this.#host.loop.now / MS_PER_SECOND);
    for (const table of [this.#flows, this.#fragments])
      table.sweep(seconds, Math.ceil(table.capacity / SWEEP_PARTS));
  }

  #assertOpen(): void {
    if (!this.#open) throw new TypeError("this balancer is closed");
  }
}

/** The first place of a list that is free, below `most`. */
const firstFree = (list: readonly unknown[], most: number, what: string): number => {
  const hole = list.indexOf(undefined);
  const number = hole < 0 ? list.length : hole;
  if (number >= most) throw new RangeError(`a balancer has at most ${most} ${what}`);
  return number;
};

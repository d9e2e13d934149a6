/**
 * A service: an address, a protocol and a port whose packets are spread over backends.
 */
import { IpAddress } from "../wire/address.ts";
import { MacAddress } from "../wire/mac.ts";
import { Backend, type BackendMode } from "./backend.ts";
import type { Hop, HopOptions } from "./hop.ts";
import { DEFAULT_PLACES, fillPlaces, NOBODY, requirePlaces } from "./maglev.ts";

export interface BackendOptions {
  /** Its own address, of a link of ours in "direct" mode. Of either family: a tunnel carries both. */
  readonly address: string | IpAddress;
  /** What its place in the table is made of: the same on all balancers. Default: the address. */
  readonly name?: string;
  /** Its share relative to that of the others, 0 to 1000. Default 1. */
  readonly weight?: number;
  /** Default: the service's. */
  readonly mode?: BackendMode;
  /** Its Ethernet address ("02:00:00:00:00:01"), instead of asking for it. */
  readonly mac?: string;
  /** Name of the interface that it is on. Default: the one that the route to it names. */
  readonly interface?: string;
  /** False where a health check has to find it first. Default true. */
  readonly healthy?: boolean;
}

export interface BalancedServiceOptions {
  /** The virtual address: one of the host's, so that it answers for it on the link. */
  readonly address: string | IpAddress;
  readonly protocol: "udp" | "tcp";
  readonly port: number;
  /** How packets reach backends that don't say otherwise. Default "direct". */
  readonly mode?: BackendMode;
  /** Seconds without a packet after which a flow is over. Default: `TCP_IDLE_SECONDS`, `UDP_IDLE_SECONDS`. */
  readonly idleSeconds?: number;
  /** Places of the table, a prime. Default `DEFAULT_PLACES`. */
  readonly places?: number;
}

/** As Linux's own balancer has them (net/netfilter/ipvs: timeouts of established and finished TCP, and of UDP). */
export const TCP_IDLE_SECONDS = 900;
export const UDP_IDLE_SECONDS = 300;
/** Of TCP connections that one side ended. */
export const CLOSING_SECONDS = 120;
/** A day: longer than any connection that is worth a place. */
export const MAX_IDLE_SECONDS = 86_400;

/** Where a hash is positive, so that a remainder is. */
const POSITIVE = 0x7fff_ffff;

export interface BalancedServiceStatistics {
  /** Packets to the service: sent on to a backend, or refused. */
  readonly packets: number;
  /** Flows that lost their backend and got another. */
  readonly moved: number;
  /** Packets of flows for which there was no backend. */
  readonly unserved: number;
}

/** What a service needs of the balancer. */
export interface ServiceOwner {
  /** A number for a backend. @throws RangeError where there are too many. */
  enlist(make: (number: number) => Backend): Backend;
  dismiss(backend: Backend): void;
  flowsOf(backend: number): number;
  hop(address: IpAddress, options: Pick<HopOptions, "mac" | "interface">): Hop;
  ended(service: BalancedService): void;
}

export class BalancedService {
  readonly address: IpAddress;
  /** IANA's number. */
  readonly protocol: number;
  readonly port: number;
  readonly mode: BackendMode;
  /** The balancer's number for it. */
  readonly number: number;
  readonly idleSeconds: number;
  packets = 0;
  moved = 0;
  unserved = 0;
  readonly #owner: ServiceOwner;
  readonly #backends = new Map<string, Backend>();
  readonly #table: Int16Array;
  #stale = false;
  #open = true;

  constructor(
    owner: ServiceOwner,
    number: number,
    key: { readonly address: IpAddress; readonly protocol: number; readonly port: number },
    options: Pick<BalancedServiceOptions, "mode" | "places"> & { readonly idleSeconds: number },
  ) {
    const { places = DEFAULT_PLACES, mode = "direct", idleSeconds } = options;
    requirePlaces(places);
    this.#owner = owner;
    this.number = number;
    this.address = key.address;
    this.protocol = key.protocol;
    this.port = key.port;
    this.mode = requireMode(mode);
    this.idleSeconds = idleSeconds;
    this.#table = new Int16Array(new ArrayBuffer(places * Int16Array.BYTES_PER_ELEMENT)).fill(NOBODY);
  }

  /** False after `close`. */
  get open(): boolean {
    return this.#open;
  }

  get backends(): readonly Backend[] {
    return [...this.#backends.values()];
  }

  /** The backend of this name. */
  backend(name: string): Backend | undefined {
    return this.#backends.get(name);
  }

  /**
   * Adds a backend. Flows that have begun stay where they are; of new ones it gets its share.
   *
   * @throws TypeError or RangeError that names what is wrong with the options, also where the name is taken.
   */
  add(options: BackendOptions): Backend {
    if (!this.#open) throw new TypeError("this service is closed");
    const address = readIp(options.address);
    const name = options.name ?? address.toString();
    if (this.#backends.has(name)) throw new TypeError(`there is a backend ${JSON.stringify(name)} already`);
    const mode = requireMode(options.mode ?? this.mode);
    const mac = options.mac === undefined ? undefined : MacAddress.parse(options.mac);
    const hop = this.#owner.hop(address, { mac, interface: options.interface });
    const weight = options.weight ?? 1;
    const backend = this.#owner.enlist(
      (number) => new Backend(this.#asOwner(), { name, number, mode }, hop, weight),
    );
    this.#backends.set(name, backend);
    backend.setHealthy(options.healthy ?? true);
    return backend;
  }

  /** The number of the backend that a flow with this hash gets when it begins, or `NOBODY`. */
  choose(hash: number): number {
    if (this.#stale) this.#fill();
    return this.#table[(hash & POSITIVE) % this.#table.length]!;
  }

  /** Places that each backend has now, by name: what the table makes of the weights. */
  shares(): ReadonlyMap<string, number> {
    if (this.#stale) this.#fill();
    const byNumber = new Map<number, number>();
    for (const number of this.#table) byNumber.set(number, (byNumber.get(number) ?? 0) + 1);
    return new Map(this.backends.map(({ name, number }) => [name, byNumber.get(number) ?? 0]));
  }

  statistics(): BalancedServiceStatistics {
    const { packets, moved, unserved } = this;
    return { packets, moved, unserved };
  }

  /** Ends it: its packets are the host's again. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const backend of this.backends) backend.remove();
    this.#owner.ended(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #asOwner() {
    return {
      // Filled when it is needed next: several changes at once are one.
      changed: (): void => void (this.#stale = true),
      flowsOf: ({ number }: Backend): number => this.#owner.flowsOf(number),
      removed: (backend: Backend): void => {
        this.#backends.delete(backend.name);
        this.#owner.dismiss(backend);
      },
    };
  }

  #fill(): void {
    this.#stale = false;
    fillPlaces(
      this.#table,
      this.backends.map(({ name, number, share }) => ({ name, number, weight: share })),
    );
  }
}

/**  TypeError that quotes the text, where it is no address. */
export const readIp = (address: string | IpAddress): IpAddress =>
  typeof address === "string" ? IpAddress.parse(address) : address;

const requireMode = (mode: BackendMode): BackendMode => {
  if (mode !== "direct" && mode !== "tunnel")
    throw new TypeError(`mode is "direct" or "tunnel", not ${JSON.stringify(mode)}`);
  return mode;
};

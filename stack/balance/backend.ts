/**
 * A backend of a service: where it is, how packets get there, and whether it takes new flows, serves old ones, or neither.
 */
import type { IpAddress } from "../wire/address.ts";
import { MAX_WEIGHT } from "./maglev.ts";
import type { Hop } from "./hop.ts";

/**
 * "direct": the frame goes to the backend's Ethernet address with the packet as it is, and the backend, which has the service's
 * address too but tells no neighbour of it, answers the client itself (direct server return). It has to be on a link of ours.
 * "tunnel": the packet travels in another one to the backend's own address (RFC 2003, RFC 2473), however far that is; the answer
 * goes the direct way.
 */
export type BackendMode = "direct" | "tunnel";

/** "up" takes flows; "draining" keeps those that it has; "down" gets nothing, "removed" never again. */
export type BackendState = "up" | "draining" | "down" | "removed";

/** What a backend needs of the service that it belongs to. */
export interface BackendOwner {
  /** Its share, or whether it takes flows at all, is another. */
  changed(): void;
  flowsOf(backend: Backend): number;
  removed(backend: Backend): void;
}

export class Backend {
  readonly name: string;
  readonly address: IpAddress;
  readonly mode: BackendMode;
  /** The balancer's number for it, which another may get when it is removed. */
  readonly number: number;
  readonly hop: Hop;
  /** Packets sent there, ICMP errors among them. */
  packets = 0;
  /** Bytes of them, from the client's IP header on. */
  bytes = 0;
  /** Its weight while it takes flows that begin, else 0. */
  share = 0;
  /** Takes packets of flows that it has. */
  serves = true;
  readonly #owner: BackendOwner;
  #weight: number;
  #healthy = true;
  #draining = false;
  #removed = false;

  constructor(
    owner: BackendOwner,
    identity: { readonly name: string; readonly number: number; readonly mode: BackendMode },
    hop: Hop,
    weight: number,
  ) {
    this.#owner = owner;
    this.name = identity.name;
    this.number = identity.number;
    this.mode = identity.mode;
    this.address = hop.address;
    this.hop = hop;
    this.#weight = requireWeight(weight);
    this.#settle();
  }

  get state(): BackendState {
    if (this.#removed) return "removed";
    if (!this.#healthy) return "down";
    return this.#draining ? "draining" : "up";
  }

  /** Flows that it has. */
  get flows(): number {
    return this.#owner.flowsOf(this);
  }

  /** Its share of new flows relative to that of the others. */
  get weight(): number {
    return this.#weight;
  }

  /** @throws RangeError where it is no whole number from 0 to `MAX_WEIGHT`. */
  setWeight(weight: number): void {
    this.#weight = requireWeight(weight);
    this.#settle();
  }

  /** What a health check says. Flows of one that is down move to others with their next packet. */
  setHealthy(healthy: boolean): void {
    this.#healthy = healthy;
    this.#settle();
  }

  /** Takes no more flows, but keeps those that it has until they end: then `flows` is 0. */
  drain(): void {
    this.#draining = true;
    this.#settle();
  }

  /** Ends the draining. */
  resume(): void {
    this.#draining = false;
    this.#settle();
  }

  /** Takes it out for good; flows that it still had move with their next packet. Idempotent. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#settle();
    this.#owner.removed(this);
  }

  #settle(): void {
    this.serves = this.#healthy && !this.#removed;
    const share = this.serves && !this.#draining ? this.#weight : 0;
    if (share === this.share) return;
    this.share = share;
    this.#owner.changed();
  }
}

const requireWeight = (weight: number): number => {
  if (!Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
    throw new RangeError(`weight is a whole number from 0 to ${MAX_WEIGHT}, not ${String(weight)}`);
  return weight;
};

/**
 * Who was told which interface has a service address, where each asker may have another: those who must be told again when
 * theirs is gone.
 */
import { hashAddress, type IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import { bidOf, NO_BID, saltOf } from "../rendezvous.ts";

/** Askers remembered at most: the stations of a large link, some addresses each. The one that asked longest ago goes first. */
export const MAX_ASKERS = 4096;

/** One asker of one service address, on an interface `M` of ours. */
export interface Asker<M> {
  readonly service: IpAddress;
  readonly address: IpAddress;
  mac: MacAddress;
  /** The interface that it was told of last. */
  member: M;
  /** False where that one is gone and it has not been told of another. */
  told: boolean;
}

export class Askers<M> {
  readonly #limit: number;
  /** The one that asked longest ago first. */
  readonly #askers = new Map<string, Asker<M>>();
  #forgotten = 0;

  constructor(limit: number = MAX_ASKERS) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#askers.size;
  }

  /** How many made room for others. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Somebody hears that `member` has the service address. */
  note(service: IpAddress, address: IpAddress, mac: MacAddress, member: M): void {
    const key = `${service} ${address}`;
    this.#askers.delete(key);
    this.#askers.set(key, { service, address, mac, member, told: true });
    if (this.#askers.size <= this.#limit) return;
    for (const oldest of this.#askers.keys()) {
      this.#askers.delete(oldest);
      this.#forgotten += 1;
      return;
    }
  }

  values(): Iterable<Asker<M>> {
    return this.#askers.values();
  }

  /** True while it is remembered as it is. */
  has(asker: Asker<M>): boolean {
    return this.#askers.get(`${asker.service} ${asker.address}`) === asker;
  }

  /** Forgets those that `match` takes. */
  forget(match: (asker: Asker<M>) => boolean): void {
    for (const [key, asker] of this.#askers) if (match(asker)) this.#askers.delete(key);
  }
}

/**
 * The interface for an asker of a service address: the one that bids most for the two, so that one that goes moves its own askers
 * alone. Undefined where there is none.
 */
export const chooseFor = <M extends { readonly on: { readonly index: number } }>(
  members: readonly M[],
  service: IpAddress,
  asker: IpAddress,
  seed: number,
): M | undefined => {
  const wanted = hashAddress(service.w0, service.w1, service.w2, service.w3, seed);
  let best: M | undefined;
  let bestBid = NO_BID;
  for (const member of members) {
    const bid = bidOf(asker, wanted, saltOf(seed, member.on.index));
    if (bid > bestBid) [best, bestBid] = [member, bid];
  }
  return best;
};

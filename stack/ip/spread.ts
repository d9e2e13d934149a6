/**
 * Chooses one of several equally good routes by what is sent: the same for all packets of a flow, as even as chance makes it
 * among flows.
 *
 * Each route bids with a hash of the flow and its next hop, and the highest bid wins (rendezvous hashing: Thaler and
 * Ravishankar, "Using name-based mappings to increase hit rates", 1998; among next hops RFC 2992 and RFC 2991 section 3 have it
 * as HRW). Where a next hop goes, only its own flows have another winner; where it comes back they return.
 */
import { hashAddress, type IpAddress } from "../wire/address.ts";
import type { Route, RouteTable } from "./routes/routes.ts";

export class Spread {
  readonly #routes: RouteTable;

  constructor(routes: RouteTable) {
    this.#routes = routes;
  }

  /** One of `routes` for packets of `flow` to an address; undefined where there is none. */
  choose(routes: readonly Route[], to: IpAddress, flow: number): Route | undefined {
    let best = routes[0];
    if (routes.length < 2) return best;
    let bestBid = -1;
    for (const route of routes) {
      const salt = this.#routes.hopOf(route)?.salt ?? route.interface;
      const bid = this.#bid(to, flow, salt);
      // Of equal bids the first counts: the order of routes is that of adding, and every settling finds the same.
      if (bid <= bestBid) continue;
      best = route;
      bestBid = bid;
    }
    return best;
  }

  #bid({ w0, w1, w2, w3 }: IpAddress, flow: number, salt: number): number {
    // Twice, so that the flow is mixed with what the address and the next hop made: either alone differs in few bits.
    return hashAddress(0, 0, flow | 0, hashAddress(w0, w1, w2, w3, salt), salt) >>> 0;
  }
}

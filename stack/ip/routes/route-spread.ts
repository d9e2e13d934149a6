/**
 * Chooses one of several equally good routes by what is sent: the same for all packets of a flow, and among flows each as often
 * as its weight says, as even as chance makes it.
 */
import type { IpAddress } from "../../wire/address.ts";
import { bidOf, NO_BID } from "../rendezvous.ts";
import { DEFAULT_WEIGHT } from "./route.ts";
import type { Route, RouteTable } from "./routes.ts";

export class RouteSpread {
  readonly #routes: RouteTable;

  constructor(routes: RouteTable) {
    this.#routes = routes;
  }

  /** One of `routes` for packets of `flow` to an address; undefined where there is none. Allocates nothing. */
  choose(routes: readonly Route[], to: IpAddress, flow: number): Route | undefined {
    let best = routes[0];
    if (routes.length < 2) return best;
    let bestBid = NO_BID;
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i]!;
      const salt = this.#routes.hopOf(route)?.salt ?? route.interface;
      const bid = bidOf(to, flow, salt, route.weight ?? DEFAULT_WEIGHT);
      // Of equal bids the first counts: the order of routes is that of adding, and every settling finds the same.
      if (bid <= bestBid) continue;
      best = route;
      bestBid = bid;
    }
    return best;
  }
}

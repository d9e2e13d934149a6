/**
 * Whether routing still stands behind a path: it is up while a certain route leads over it, and down when that is withdrawn.
 *
 * Withdrawn means out of the host's table, whoever told: the kernel beside us (its routing daemons among them), a router whose
 * advertisement took it back or ran out, a lease, the program. Whether the route is in use now doesn't matter.
 */
import type { Subscription } from "../../loop/subscription.ts";
import type { Timer } from "../../loop/timers.ts";
import { IpAddress } from "../../wire/address.ts";
import { Prefix } from "../../wire/prefix.ts";
import type { Route, RouteOrigin } from "../routes/routes.ts";
import type { PathMonitor } from "./monitor.ts";
import type { Path, Verdict } from "./path.ts";
import { checkKeys } from "./pulse-options.ts";
import { assertIdle, type Changed, type MonitorHost } from "./watched.ts";

export interface RouteMonitorOptions {
  /** Only routes that this one told count: "kernel", "ra", ... Default: everybody's. */
  readonly origin?: RouteOrigin;
  /** The next hop of the route, null for none. Default: the path's. */
  readonly gateway?: string | IpAddress | null;
}

export class RouteMonitor implements PathMonitor {
  readonly kind = "route";
  readonly rttMs = undefined;
  readonly prefix: Prefix;
  readonly #host: MonitorHost;
  readonly #origin: RouteOrigin | undefined;
  readonly #gateway: IpAddress | null | undefined;
  #verdict: Verdict = "unknown";
  #subscription: Subscription | undefined;
  #first: Timer | undefined;

  /**
   * `prefix` is exactly that of the route: "203.0.113.0/24", "0.0.0.0/0" for the default route. Throws a TypeError or RangeError that
   * names what is no good.
   */
  constructor(host: MonitorHost, prefix: string | Prefix, options: RouteMonitorOptions = {}) {
    checkKeys("a route monitor", options, ["origin", "gateway"]);
    const { gateway } = options;
    this.prefix = typeof prefix === "string" ? Prefix.parse(prefix) : prefix;
    this.#host = host;
    this.#origin = options.origin;
    this.#gateway = typeof gateway === "string" ? IpAddress.parse(gateway) : gateway;
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  /** Its first verdict comes in the loop's next turn. */
  start(path: Path, changed: Changed): void {
    assertIdle(this.kind, this.#subscription);
    const look = (): void => {
      const verdict = this.#leads(path) ? "up" : "down";
      if (verdict === this.#verdict) return;
      this.#verdict = verdict;
      changed(verdict, 0);
    };
    this.#subscription = this.#host.on((event) => {
      if (event.kind === "route" && event.route.prefix.equals(this.prefix)) look();
    });
    // Not from within this call, whose caller would hear of a verdict before it knows that there is a judge.
    this.#first = this.#host.loop.after(0, look);
  }

  /** Judges nothing any more; may be started again. Idempotent. */
  close(): void {
    this.#first?.cancel();
    this.#subscription?.close();
    this.#first = undefined;
    this.#subscription = undefined;
    this.#verdict = "unknown";
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #leads(path: Path): boolean {
    const gateway = this.#gateway === undefined ? path.gateway : (this.#gateway ?? undefined);
    return this.#host.routes
      .of(this.prefix)
      .some((route) => this.#isMeant(route, path.interface) && sameHop(route.gateway, gateway));
  }

  #isMeant(route: Route, index: number): boolean {
    const isOrigin = this.#origin === undefined || route.origin === this.#origin;
    return route.kind === "unicast" && route.interface === index && isOrigin;
  }
}

const sameHop = (a: IpAddress | undefined, b: IpAddress | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);

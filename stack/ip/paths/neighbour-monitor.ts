/**
 * Whether the next hop of a path is there: asked by ARP or neighbour discovery again and again, whatever the cache believes.
 *
 * Where its Ethernet address is known it alone is asked, and nobody else on the link is troubled. All are asked while it is
 * not, and once in a second while nobody answers, from the first silence on, since the next hop may live at another address now.
 *
 * Beside the kernel it is the kernel that asks (NUD_PROBE), and what it finds counts: at most one question is on its way at
 * once, repeated after `retrans_time_ms` of the interface (a second unless set) and given up after `ucast_solicit` (3). So
 * `intervalMs` below that time buys faster detection with less tolerance: one lost frame is then as long a silence as
 * three. For milliseconds with losses take BFD, or an `EchoMonitor` with ICMP claimed.
 */
import { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import { TokenBucket } from "../icmp/rate-limit.ts";
import type { Interface } from "../interface.ts";
import type { Inquiry } from "../neighbours/inquiry.ts";
import type { PathMonitor } from "./monitor.ts";
import type { Path, Verdict } from "./path.ts";
import { Pulse, type PulseStatistics } from "./pulse.ts";
import {
  checkKeys,
  PULSE_KEYS,
  type PulseOptions,
  type PulseSettings,
  pulseSettings,
} from "./pulse-options.ts";
import { assertIdle, type Changed, environmentOf, type MonitorHost } from "./watched.ts";

/** Questions to all in a second, after the first few (RFC 1122 section 2.3.2.1: one, for one destination). */
const TO_ALL_PER_SECOND = 1;

export interface NeighbourMonitorOptions extends PulseOptions {
  /** Who is asked: a station on the link. Default: the path's gateway; a path without one needs it to be judged. */
  readonly target?: string | IpAddress;
}

export class NeighbourMonitor implements PathMonitor {
  readonly kind = "neighbour";
  readonly #host: MonitorHost;
  readonly #settings: PulseSettings;
  readonly #target: IpAddress | undefined;
  #pulse: Pulse | undefined;
  #off: (() => void) | undefined;
  #asker: Asker | undefined;

  /** Throws a TypeError or RangeError that names the option which is no good. */
  constructor(host: MonitorHost, options: NeighbourMonitorOptions = {}) {
    checkKeys("a neighbour monitor", options, [...PULSE_KEYS, "target"]);
    const { target } = options;
    this.#host = host;
    this.#settings = pulseSettings(options);
    this.#target = typeof target === "string" ? IpAddress.parse(target) : target;
  }

  get verdict(): Verdict {
    return this.#pulse?.verdict ?? "unknown";
  }

  get rttMs(): number | undefined {
    return this.#pulse?.rttMs;
  }

  /** Undefined where it asks nobody. */
  statistics(): PulseStatistics | undefined {
    return this.#pulse?.statistics();
  }

  /** A path with nobody to ask, because it has no next hop and there is no `target`, stays "unknown". */
  start(path: Path, changed: Changed): void {
    assertIdle(this.kind, this.#pulse);
    const target = this.#target ?? path.gateway;
    const on = this.#host.interfaces.find((one) => one.index === path.interface);
    if (target === undefined || on?.inquiry === undefined) return;
    const { inquiry } = on;
    const environment = environmentOf(this.#host);
    const { count } = this.#settings;
    const all = new TokenBucket({ perSecond: TO_ALL_PER_SECOND, burst: count }, environment.timers.now);
    this.#off = inquiry.listen(target, (mac) => this.#heard(mac));
    const asker = new Asker(on, inquiry, target, all);
    const pulse = new Pulse(environment, this.#settings, {
      ask: () => asker.ask(pulse.verdict, environment.timers.now),
      changed,
    });
    this.#pulse = pulse;
    this.#asker = asker;
  }

  /** Judges nothing any more; may be started again. Idempotent. */
  close(): void {
    this.#off?.();
    this.#pulse?.close();
    this.#off = undefined;
    this.#pulse = undefined;
    this.#asker = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #heard(mac: MacAddress | undefined): void {
    this.#asker?.learn(mac);
    this.#pulse?.heard();
  }
}

/** Knows at which Ethernet address to ask, and when to ask all. */
class Asker {
  readonly #on: Interface;
  readonly #inquiry: Inquiry;
  readonly #target: IpAddress;
  readonly #all: TokenBucket;
  /** Where it answered from last. */
  #mac: MacAddress | undefined;
  /** The last question has no answer yet. */
  #waits = false;

  constructor(on: Interface, inquiry: Inquiry, target: IpAddress, all: TokenBucket) {
    this.#on = on;
    this.#inquiry = inquiry;
    this.#target = target;
    this.#all = all;
  }

  learn(mac: MacAddress | undefined): void {
    this.#mac = mac ?? this.#mac;
    this.#waits = false;
  }

  ask(verdict: Verdict, nowMs: number): boolean {
    const target = this.#target;
    const mac = this.#known();
    const one = mac !== undefined && this.#inquiry.ask(target, mac);
    // One that is silent may have moved, and all that a link hears of that where nobody else talks to it is to be asked for.
    const moved = this.#waits && this.#on.life === "own";
    this.#waits = true;
    if (one && verdict !== "down" && !moved) return true;
    // Beside the kernel an address that it has lost is no one's to ask at, and it looks for the next hop itself.
    const all = this.#all.take(nowMs) && this.#inquiry.ask(target, undefined);
    return one || all;
  }

  /** The cache hears of a next hop that moves even where that is told unasked. */
  #known(): MacAddress | undefined {
    const { w0, w1, w2, w3, family } = this.#target;
    const neighbour = this.#on.neighboursOf(family).lookup(w0, w1, w2, w3);
    return neighbour?.usable === true ? neighbour.mac : this.#mac;
  }
}

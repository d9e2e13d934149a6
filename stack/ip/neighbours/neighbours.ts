/**
 * The neighbour cache of one interface: the conceptual machine of RFC 4861 section 7.3 and appendix C, for ARP too.
 *
 * It sends nothing itself: requests and packets go out through its io, and what arrives is told to it by `solicited` and
 * `advertised`.
 */
import { RANDOM_RANGE, type Random } from "../../device/random.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import type { Environment, TimerSource } from "../environment.ts";
import { NeighbourPool } from "./neighbour-pool.ts";
import {
  type AdvertisedFlags,
  type DiscardReason,
  type Neighbour,
  NeighbourEntry,
  type NeighbourIo,
  type NeighbourLearner,
  type Neighbours,
  type NeighbourState,
} from "./neighbour.ts";
import {
  checkTime,
  MAX_RANDOM_FACTOR,
  MIN_RANDOM_FACTOR,
  type NeighbourOptions,
  type NeighbourSettings,
  type NeighbourStatistics,
  neighbourSettings,
  REDRAW_MS,
} from "./neighbour-options.ts";
import { TokenBucket } from "../icmp/rate-limit.ts";

export type {
  AdvertisedFlags,
  DiscardReason,
  Neighbour,
  NeighbourIo,
  Neighbours,
  NeighbourState,
} from "./neighbour.ts";
export type { NeighbourOptions, NeighbourStatistics } from "./neighbour-options.ts";

export class NeighbourCache<P> implements Neighbours<P>, NeighbourLearner<P> {
  readonly #timers: TimerSource;
  readonly #random: Random;
  readonly #io: NeighbourIo<P>;
  readonly #settings: NeighbourSettings;
  readonly #pool: NeighbourPool<P>;
  readonly #newcomers: TokenBucket;
  readonly #counts = {
    multicastSolicits: 0,
    unicastSolicits: 0,
    resolved: 0,
    unanswered: 0,
    ignored: 0,
    throttled: 0,
  };
  #reachableMs = 0;
  #redrawAtMs = -Infinity;
  #closed = false;

  /** @throws RangeError that names the option that is out of range. */
  constructor(environment: Environment, io: NeighbourIo<P>, options: NeighbourOptions = {}) {
    this.#timers = environment.timers;
    this.#random = environment.random;
    this.#io = io;
    this.#settings = neighbourSettings(options);
    this.#pool = new NeighbourPool(io, this.#settings, environment.random.next());
    const { newPerSecond } = this.#settings;
    const rate = { perSecond: newPerSecond, burst: Math.max(1, newPerSecond) };
    this.#newcomers = new TokenBucket(rate, this.#timers.now);
  }

  lookup(w0: number, w1: number, w2: number, w3: number): Neighbour<P> | undefined {
    return this.#pool.get(w0, w1, w2, w3);
  }

  /**
   * The neighbour to send to, made and asked for where there is none. Undefined, counted, where more new ones are wanted
   * than `newPerSecond`. One that did not answer is given as it is, "failed", until it may be asked again.
   */
  resolve(address: IpAddress): Neighbour<P> | undefined {
    const known = this.#pool.find(address);
    if (known !== undefined) return known;
    if (this.#closed || !this.#mayGrow()) return undefined;
    const entry = new NeighbourEntry<P>(address, this.#timers.now);
    entry.usedMs = this.#timers.now;
    if (!this.#pool.place(entry)) return undefined;
    this.#io.changed(entry);
    if (entry.live && entry.state === "incomplete") this.#solicit(entry, false);
    return entry;
  }

  used(neighbour: Neighbour<P>): void {
    const entry = neighbour as NeighbourEntry<P>;
    entry.usedMs = this.#timers.now;
    if (entry.state === "stale" && entry.live) this.#enter(entry, "delay", this.#settings.delayMs);
  }

  park(neighbour: Neighbour<P>, packet: P): void {
    const entry = neighbour as NeighbourEntry<P>;
    if (entry.usable) this.#io.send(packet, entry);
    else if (entry.live && entry.state === "incomplete") this.#pool.park(entry, packet);
    else this.#pool.discard(packet, entry, "unreachable");
  }

  abandon(neighbour: Neighbour<P>, reason: DiscardReason): number {
    return this.#pool.discardAll(neighbour as NeighbourEntry<P>, reason);
  }

  /** One store in REACHABLE; it ends DELAY, PROBE and STALE. It says nothing of a neighbour without an address. */
  confirm(neighbour: Neighbour<P>): void {
    const entry = neighbour as NeighbourEntry<P>;
    entry.confirmedMs = this.#timers.now;
    if (entry.state !== "reachable" && entry.usable && entry.state !== "permanent") this.#reach(entry);
  }

  /** Asks a usable neighbour at once whether it is still there: an upper layer has reason to doubt it. */
  probe(neighbour: Neighbour<P>): void {
    const entry = neighbour as NeighbourEntry<P>;
    if (entry.usable && entry.state !== "probe" && entry.state !== "permanent") this.#beginProbe(entry);
  }

  /**
   * Somebody's request or other message told its Ethernet address without being asked (RFC 4861 sections 7.2.3, 6.2.6,
   * 6.3.4, 8.3; RFC 826). `isRouter` where the message says that too.
   */
  solicited(address: IpAddress, mac: MacAddress, isRouter?: boolean): void {
    if (this.#closed || mac.multicast) return void (this.#counts.ignored += 1);
    const known = this.#pool.find(address);
    if (known === undefined) return this.#meet(address, mac, isRouter ?? false);
    if (known.state === "permanent") return;
    const sameRole = isRouter === undefined || known.isRouter === isRouter;
    known.isRouter = isRouter ?? known.isRouter;
    if (!known.has(mac)) this.#record(known, mac, "stale");
    else if (!sameRole) this.#io.changed(known);
  }

  /** An advertisement or ARP reply: the whole of RFC 4861 section 7.2.5. `mac` undefined where it tells none. */
  advertised(address: IpAddress, mac: MacAddress | undefined, flags: AdvertisedFlags): void {
    const entry = this.#pool.find(address);
    // Nobody asked: there is no need to know. One that failed is no longer asked for either.
    if (entry === undefined || entry.state === "failed" || entry.state === "permanent" || mac?.multicast)
      return void (this.#counts.ignored += 1);
    if (entry.state === "incomplete") {
      if (mac === undefined) return void (this.#counts.ignored += 1);
      entry.isRouter = flags.router;
      return this.#record(entry, mac, flags.solicited ? "reachable" : "stale");
    }
    const differs = mac !== undefined && !entry.has(mac);
    if (differs && !flags.override) {
      // Case I: doubt, but no new address.
      if (entry.state === "reachable") this.#enter(entry, "stale");
      else this.#counts.ignored += 1;
      return;
    }
    // Case II. Appendix C leaves the state alone where no address is told, 7.2.5 does not; 4.4 lets answers omit it.
    const sameRole = entry.isRouter === flags.router;
    entry.isRouter = flags.router;
    if (differs) this.#record(entry, mac, flags.solicited ? "reachable" : "stale");
    else if (flags.solicited && entry.state !== "reachable") this.#reach(entry);
    else {
      if (flags.solicited) entry.confirmedMs = this.#timers.now;
      if (!sameRole) this.#io.changed(entry);
    }
  }

  /** What a router advertisement without an Ethernet address tells of a neighbour that is known (RFC 4861 6.3.4). */
  setRouter(address: IpAddress, isRouter: boolean): void {
    const entry = this.#pool.find(address);
    if (entry === undefined || entry.isRouter === isRouter) return;
    entry.isRouter = isRouter;
    this.#io.changed(entry);
  }

  /** Sets an entry from outside the protocols; false where all that are there are permanent. */
  learn(address: IpAddress, mac: MacAddress, state: "reachable" | "stale" | "permanent"): boolean {
    if (mac.multicast) throw new RangeError(`mac must be that of one station, not ${mac.toString()}`);
    if (this.#closed) return false;
    const entry = this.#pool.find(address) ?? new NeighbourEntry<P>(address, this.#timers.now);
    this.#record(entry, mac, state);
    return entry.live;
  }

  forget(address: IpAddress): void {
    const entry = this.#pool.find(address);
    if (entry !== undefined) this.#pool.remove(entry, "unreachable");
  }

  doubt(): void {
    for (const entry of [...this.#pool.values()])
      if (entry.live && entry.state === "reachable") this.#enter(entry, "stale");
  }

  /** Forgets all but the permanent ones. */
  flush(): void {
    for (const entry of [...this.#pool.values()])
      if (entry.state !== "permanent") this.#pool.remove(entry, "unreachable");
  }

  /**
   * Sets what a router advertised (RFC 4861 section 6.3.4), in ms; undefined leaves it.
   *
   * @throws RangeError where one is not positive: on the wire 0 stands for "not specified".
   */
  setTimes(baseReachableMs: number | undefined, retransMs: number | undefined): void {
    if (retransMs !== undefined) this.#settings.retransMs = checkTime("retransMs", retransMs);
    if (baseReachableMs === undefined || baseReachableMs === this.#settings.baseReachableMs) return;
    this.#settings.baseReachableMs = checkTime("baseReachableMs", baseReachableMs);
    this.#redrawAtMs = -Infinity;
  }

  values(): Iterable<Neighbour<P>> {
    return this.#pool.values();
  }

  statistics(): NeighbourStatistics {
    return { ...this.#pool.statistics(), ...this.#counts };
  }

  /** Gives back all packets that wait ("closed") and stops all timers. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#pool.close();
  }

  /** A neighbour that we didn't know spoke to us: it may take the place of one that is not in use. */
  #meet(address: IpAddress, mac: MacAddress, isRouter: boolean): void {
    if (!this.#mayGrow()) return;
    const entry = new NeighbourEntry<P>(address, this.#timers.now);
    entry.isRouter = isRouter;
    entry.state = "stale";
    if (!this.#pool.place(entry, true)) return;
    entry.record(mac, this.#timers.now);
    this.#io.changed(entry);
  }

  #mayGrow(): boolean {
    const may = this.#newcomers.take(this.#timers.now);
    if (!may) this.#counts.throttled += 1;
    return may;
  }

  /** Records an Ethernet address, and sends what waited for it. */
  #record(entry: NeighbourEntry<P>, mac: MacAddress, state: "reachable" | "stale" | "permanent"): void {
    if (entry.state === "incomplete") this.#counts.resolved += 1;
    entry.timer?.cancel();
    entry.state = state;
    if (!this.#pool.place(entry)) return this.#pool.end(entry, "full");
    entry.record(mac, this.#timers.now);
    if (state === "reachable") this.#reach(entry);
    else this.#io.changed(entry);
    this.#pool.sendAll(entry);
  }

  #enter(entry: NeighbourEntry<P>, state: NeighbourState, ms?: number): void {
    entry.state = state;
    if (ms === undefined) entry.timer?.cancel();
    else this.#setTimer(entry, ms);
    this.#io.changed(entry);
  }

  #reach(entry: NeighbourEntry<P>): void {
    entry.confirmedMs = this.#timers.now;
    entry.updatedMs = this.#timers.now;
    this.#enter(entry, "reachable", this.#reachableTime());
  }

  #beginProbe(entry: NeighbourEntry<P>): void {
    entry.attempts = 0;
    this.#enter(entry, "probe", this.#settings.probeMs ?? this.#settings.retransMs);
    if (entry.live && entry.state === "probe") this.#solicit(entry, true);
  }

  #setTimer(entry: NeighbourEntry<P>, ms: number): void {
    if (entry.timer === undefined) entry.timer = this.#timers.after(ms, () => this.#due(entry));
    else entry.timer.restart(ms);
  }

  #due(entry: NeighbourEntry<P>): void {
    switch (entry.state) {
      case "incomplete":
        if (entry.attempts < this.#settings.multicastSolicits) this.#solicit(entry, false);
        else this.#giveUp(entry);
        break;
      case "reachable":
        this.#age(entry);
        break;
      case "delay":
        this.#beginProbe(entry);
        break;
      case "probe":
        if (entry.attempts < this.#settings.unicastSolicits) this.#solicit(entry, true);
        else this.#lose(entry);
        break;
      case "failed":
        this.#pool.remove(entry, "unreachable");
        break;
      case "stale":
      case "permanent":
    }
  }

  /** Confirmations only note their time, so the timer finds out here whether there was one. */
  #age(entry: NeighbourEntry<P>): void {
    const leftMs = entry.confirmedMs + this.#reachableTime() - this.#timers.now;
    if (leftMs > 0) this.#setTimer(entry, leftMs);
    else this.#enter(entry, "stale");
  }

  #solicit(entry: NeighbourEntry<P>, unicast: boolean): void {
    entry.attempts += 1;
    this.#counts[unicast ? "unicastSolicits" : "multicastSolicits"] += 1;
    const { retransMs, probeMs } = this.#settings;
    this.#setTimer(entry, unicast ? (probeMs ?? retransMs) : retransMs);
    this.#io.solicit(entry, unicast);
  }

  /** Nobody has the address: that is remembered for a while, so that packets to it don't each make a request. */
  #giveUp(entry: NeighbourEntry<P>): void {
    this.#counts.unanswered += 1;
    entry.state = "failed";
    this.#pool.place(entry);
    this.#setTimer(entry, this.#settings.failedMs);
    this.#io.changed(entry);
    this.#pool.discardAll(entry, "unreachable");
  }

  /** A neighbour has gone: the next packet to it asks everybody, as its Ethernet address may be another now. */
  #lose(entry: NeighbourEntry<P>): void {
    this.#counts.unanswered += 1;
    entry.state = "failed";
    this.#pool.remove(entry, "unreachable");
  }

  /** ReachableTime: drawn anew every few hours (RFC 4861 section 6.3.4), so that hosts don't probe in step. */
  #reachableTime(): number {
    if (this.#timers.now >= this.#redrawAtMs) {
      const spread = MAX_RANDOM_FACTOR - MIN_RANDOM_FACTOR;
      const factor = MIN_RANDOM_FACTOR + (this.#random.next() / RANDOM_RANGE) * spread;
      this.#reachableMs = this.#settings.baseReachableMs * factor;
      this.#redrawAtMs = this.#timers.now + REDRAW_MS;
    }
    return this.#reachableMs;
  }
}

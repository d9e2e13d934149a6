/**
 * A kernel's neighbour table as senders beside that kernel see it: the kernel asks and probes, and we are told.
 *
 * Entries come by `mirror`, from a dump and from changes as they happen. What is missing is asked for through the io's
 * `solicit`, which makes the kernel do it; a stale entry in use is asked for again, as the kernel doesn't see our packets.
 */
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import type { Environment, TimerSource } from "../environment.ts";
import { FAILED_MS, NEW_PER_SECOND, REACHABLE_TIME_MS } from "./neighbour-options.ts";
import { NeighbourPool, type PoolLimits, poolLimits, type PoolStatistics } from "./neighbour-pool.ts";
import {
  type DiscardReason,
  type Neighbour,
  NeighbourEntry,
  type NeighbourIo,
  type Neighbours,
  type NeighbourState,
} from "./neighbour.ts";
import { TokenBucket } from "../icmp/rate-limit.ts";

/** The kernel is asked again for the same neighbour at most this often, in ms. */
export const ASK_EVERY_MS = 1000;
/** The kernel gives up after three requests a second apart, and says so; one more second, and we give up without it. */
export const MAX_ASKS = 4;

export interface MirroredStatistics extends PoolStatistics {
  /** Times that the kernel was asked. */
  readonly asked: number;
  /** Times that it told something. */
  readonly mirrored: number;
  /** Neighbours not asked for because there were more new ones than NEW_PER_SECOND. */
  readonly throttled: number;
}

export class MirroredNeighbours<P> implements Neighbours<P> {
  readonly #timers: TimerSource;
  readonly #io: NeighbourIo<P>;
  readonly #pool: NeighbourPool<P>;
  readonly #newcomers: TokenBucket;
  /** During a dump, the entries that it has not told yet. */
  #unseen: Set<NeighbourEntry<P>> | undefined;
  #asked = 0;
  #mirrored = 0;
  #throttled = 0;
  #closed = false;

  /** @throws RangeError that names the limit that is no whole number from 1. */
  constructor(environment: Environment, io: NeighbourIo<P>, limits: Partial<PoolLimits> = {}) {
    this.#timers = environment.timers;
    this.#io = io;
    this.#pool = new NeighbourPool(io, poolLimits(limits), environment.random.next());
    this.#newcomers = new TokenBucket({ perSecond: NEW_PER_SECOND, burst: NEW_PER_SECOND }, this.#timers.now);
  }

  lookup(w0: number, w1: number, w2: number, w3: number): Neighbour<P> | undefined {
    return this.#pool.get(w0, w1, w2, w3);
  }

  resolve(address: IpAddress): Neighbour<P> | undefined {
    const known = this.#pool.find(address);
    if (known !== undefined) return known;
    if (this.#closed) return undefined;
    if (!this.#newcomers.take(this.#timers.now)) {
      this.#throttled += 1;
      return undefined;
    }
    const entry = new NeighbourEntry<P>(address, this.#timers.now);
    entry.usedMs = this.#timers.now;
    this.#pool.place(entry);
    this.#io.changed(entry);
    if (entry.live) this.#ask(entry);
    return entry;
  }

  used(neighbour: Neighbour<P>): void {
    const entry = neighbour as NeighbourEntry<P>;
    entry.usedMs = this.#timers.now;
    if (entry.state === "stale") this.#refresh(entry);
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

  /** The kernel need not ask for as long as such news lasts (RFC 4861 section 7.3.1). */
  confirm(neighbour: Neighbour<P>): void {
    (neighbour as NeighbourEntry<P>).confirmedMs = this.#timers.now;
  }

  /** What the kernel tells of one neighbour; `mac` undefined where it has none. */
  mirror(address: IpAddress, mac: MacAddress | undefined, state: NeighbourState, isRouter: boolean): void {
    if (this.#closed) return;
    this.#mirrored += 1;
    const known = this.#pool.find(address);
    if (known !== undefined) this.#unseen?.delete(known);
    const usable = mac !== undefined && state !== "incomplete" && state !== "failed";
    // Of what nobody here has asked for, only answers are of use.
    if (known === undefined && !usable) return;
    const entry = known ?? new NeighbourEntry<P>(address, this.#timers.now);
    if (usable) this.#know(entry, mac, state, isRouter, known === undefined);
    else if (state === "failed") this.#fail(entry);
    else if (entry.usable) this.#unknow(entry);
  }

  /** The kernel hears of its neighbours whatever paths of ours are thought to be. */
  doubt(): void {}

  /** The kernel has it no longer. */
  forget(address: IpAddress): void {
    const entry = this.#pool.find(address);
    if (entry !== undefined) this.#pool.remove(entry, "unreachable");
  }

  /** A dump of the kernel's table begins: what `mirror` doesn't tell until `endDump` is not there any more. */
  beginDump(): void {
    this.#unseen = new Set();
    for (const entry of this.#pool.values()) if (entry.usable) this.#unseen.add(entry);
  }

  /** The dump was whole. */
  endDump(): void {
    const unseen = this.#unseen;
    this.#unseen = undefined;
    for (const entry of unseen ?? []) this.#pool.remove(entry, "unreachable");
  }

  values(): Iterable<Neighbour<P>> {
    return this.#pool.values();
  }

  statistics(): MirroredStatistics {
    return {
      ...this.#pool.statistics(),
      asked: this.#asked,
      mirrored: this.#mirrored,
      throttled: this.#throttled,
    };
  }

  /** Gives back all packets that wait ("closed") and stops all timers. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#unseen = undefined;
    this.#pool.close();
  }

  #know(
    entry: NeighbourEntry<P>,
    mac: MacAddress,
    state: NeighbourState,
    isRouter: boolean,
    isNew: boolean,
  ): void {
    const same = entry.has(mac) && entry.state === state && entry.isRouter === isRouter;
    entry.timer?.cancel();
    entry.state = state;
    entry.isRouter = isRouter;
    // The kernel's table may be larger than ours: what we never asked for doesn't push out what we use.
    if (!this.#pool.place(entry, isNew)) {
      if (!isNew) this.#pool.end(entry, "full");
      return;
    }
    entry.record(mac, this.#timers.now);
    if (!same) this.#io.changed(entry);
    this.#pool.sendAll(entry);
  }

  #fail(entry: NeighbourEntry<P>): void {
    if (entry.state === "failed") return;
    entry.state = "failed";
    entry.unrecord();
    this.#pool.place(entry);
    this.#setTimer(entry, FAILED_MS);
    this.#io.changed(entry);
    this.#pool.discardAll(entry, "unreachable");
  }

  /** The kernel asks anew for one that it knew. */
  #unknow(entry: NeighbourEntry<P>): void {
    entry.state = "incomplete";
    entry.attempts = 0;
    entry.unrecord();
    this.#pool.place(entry);
    this.#setTimer(entry, ASK_EVERY_MS);
    this.#io.changed(entry);
  }

  #refresh(entry: NeighbourEntry<P>): void {
    const { now } = this.#timers;
    if (now < entry.askedMs + ASK_EVERY_MS || now < entry.confirmedMs + REACHABLE_TIME_MS || !entry.live)
      return;
    entry.askedMs = now;
    this.#asked += 1;
    this.#io.solicit(entry, true);
  }

  #ask(entry: NeighbourEntry<P>): void {
    entry.attempts += 1;
    entry.askedMs = this.#timers.now;
    this.#asked += 1;
    this.#setTimer(entry, ASK_EVERY_MS);
    this.#io.solicit(entry, false);
  }

  #setTimer(entry: NeighbourEntry<P>, ms: number): void {
    if (entry.timer === undefined) entry.timer = this.#timers.after(ms, () => this.#due(entry));
    else entry.timer.restart(ms);
  }

  #due(entry: NeighbourEntry<P>): void {
    if (entry.state === "failed") this.#pool.remove(entry, "unreachable");
    else if (entry.attempts < MAX_ASKS) this.#ask(entry);
    else this.#fail(entry);
  }
}

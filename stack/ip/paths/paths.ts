/**
 * The paths of a host: which there are, whether they live, who watches them, and what follows when one dies or comes back.
 *
 * A path follows the routing table: it comes with the first route over an interface to a next hop and ends with the last.
 */
import type { LinkEvent } from "../../device/device.ts";
import { Handle, type Subscription } from "../../loop/subscription.ts";
import type { Timer } from "../../loop/timers.ts";
import { IpAddress } from "../../wire/address.ts";
import type { TimerSource } from "../environment.ts";
import type { Interface } from "../interface.ts";
import type { HopUse, NextHop, RouteTable } from "../routes/routes.ts";
import { ChangeQueue } from "./change-queue.ts";
import { abandonParked, inFlight } from "./losses.ts";
import { IdlePaths } from "./idle-paths.ts";
import { LinkSigns } from "./link-signs.ts";
import type { PathMonitor, PathWatch } from "./monitor.ts";
import { PastPenalties } from "./past.ts";
import type { Path, PathChange, PathQuery, PathReason, PathState } from "./path.ts";
import { type PathIo, PathRecord, reasonOf } from "./path-record.ts";
import type { PathSettings } from "./path-options.ts";
import { queryOf } from "./path-query.ts";
import { type PathPeer, Peers } from "./peers.ts";
import { Watches } from "./watches.ts";

export type { PathPeer } from "./peers.ts";

/** `host.paths`. */
export interface Paths {
  /** Every path, in the order in which they came. */
  values(): Iterable<Path>;
  /** The first path that fits. */
  find(query: PathQuery): Path | undefined;
  /**
   * Has `monitor` judge a path: this one, or whichever fits the query first, also one that comes later. A monitor judges
   * one path at a time; where the path ends and another comes that fits, it begins again.
   */
  watch(which: Path | PathQuery, monitor: PathMonitor): PathWatch;
  /**
   * Makes a path of each way to a station on the link: a host route over each of `interfaces` (names or numbers; all that
   * have an address in a network with it) with the station itself as the next hop, and no other way where all are down.
   */
  peer(address: string | IpAddress, interfaces?: readonly (string | number)[]): PathPeer;
  /** "down" takes a path out of use; "up" gives it back at once, without a trial, unless link or monitors speak against it. */
  set(path: Path, state: "up" | "down"): void;
  /** The best state among an interface's paths: of those that are watched where any is, else of all; of its link where it has none. */
  standing(interfaceIndex: number): PathState;
  /** Whether an interface can be counted on: its standing is not "down". */
  usable(interfaceIndex: number): boolean;
  /** Calls `listener` with each change before the host's event of it. */
  listen(listener: (change: PathChange) => void): Subscription;
}

/** What the paths need of the host. */
export interface PathsIo {
  readonly timers: TimerSource;
  readonly routes: RouteTable;
  interfaces(): Iterable<Interface>;
  interfaceOf(index: number): Interface | undefined;
  /** Nothing goes over a next hop any more: what was found out about the way behind it is of no use. */
  abandoned(hop: NextHop): void;
  /** Tells the host's listeners. */
  changed(change: PathChange): void;
}

/** Those who listen inside one host: addresses, multipath senders, a few of the program's. */
export const MAX_PATH_LISTENERS = 256;
/** While a queue stands still the loop takes a turn this often, in ms: the driver looks in each whether frames complete. */
const STALL_LOOK_MS = 10;

/** Best first. */
const STATES: readonly PathState[] = ["up", "verifying", "damped", "down"];
const USES: Readonly<Record<PathState, HopUse>> = {
  up: "up",
  verifying: "last-resort",
  damped: "last-resort",
  down: "down",
};

export class HostPaths implements Paths {
  readonly #io: PathsIo;
  readonly #pathIo: PathIo;
  readonly #signs = new LinkSigns();
  readonly #past: PastPenalties;
  readonly #records = new Map<NextHop, PathRecord>();
  readonly #idle = new IdlePaths();
  readonly #watches: Watches;
  readonly #peers: Peers;
  readonly #changes: ChangeQueue;
  #listeners: readonly ((change: PathChange) => void)[] = [];
  #stallLook: Timer | undefined;
  #lastId = 0;
  #open = true;

  constructor(io: PathsIo, settings: PathSettings) {
    this.#io = io;
    this.#past = new PastPenalties(settings.damping);
    this.#pathIo = {
      timers: io.timers,
      verifyMs: settings.verifyMs,
      nameOf: (index) => io.interfaceOf(index)?.name,
      linkSign: (index) => this.#signs.of(index),
      neighbour: (index, { family, w0, w1, w2, w3 }) => {
        const known = io.interfaceOf(index)?.neighboursOf(family).lookup(w0, w1, w2, w3);
        return known && { state: known.state, mac: known.mac };
      },
      due: (path) => this.#settle([path], "verified", 0),
    };
    this.#changes = new ChangeQueue(io.timers, (change) => this.#tell(change));
    this.#watches = new Watches({
      seek: (fits) => this.#seek(fits),
      judged: (path, monitor, silentMs) => this.#settle([path], reasonOf(monitor), silentMs),
      doubted: (path, monitor) => this.#carryOut([path.doubt(reasonOf(monitor))]),
      safely: (act) => this.#safely(act),
    });
    this.#peers = new Peers({
      routes: io.routes,
      interfaces: () => io.interfaces(),
      pathTo: (index, gateway) => {
        const hop = io.routes.hop(index, gateway.family, gateway);
        return hop && this.#records.get(hop);
      },
    });
  }

  values(): Iterable<Path> {
    return [...this.#records.values()];
  }

  find(query: PathQuery): Path | undefined {
    return this.#seek(queryOf(query));
  }

  watch(which: Path | PathQuery, monitor: PathMonitor): PathWatch {
    this.#assertOpen();
    return this.#watches.add(monitor, queryOf(which));
  }

  peer(address: string | IpAddress, interfaces?: readonly (string | number)[]): PathPeer {
    this.#assertOpen();
    const station = typeof address === "string" ? IpAddress.parse(address) : address;
    return this.#peers.add(station, interfaces);
  }

  set(path: Path, state: "up" | "down"): void {
    const record = this.#seek((one) => one === path);
    if (record === undefined) throw new TypeError(`"${path.toString()}" is no path of this host any more`);
    if (state !== "up" && state !== "down")
      throw new TypeError(`a path is set "up" or "down", not ${String(state)}`);
    record.forbidden = state === "down";
    if (state === "down") return this.#settle([record], "administrative", 0);
    this.#carryOut([record.vouch()]);
  }

  standing(interfaceIndex: number): PathState {
    const all = this.#pathsOf(interfaceIndex);
    if (all.length === 0) return this.#signs.of(interfaceIndex) === undefined ? "up" : "down";
    const watched = all.filter((path) => path.monitors.length > 0 || path.forbidden);
    const states = (watched.length > 0 ? watched : all).map(({ state }) => state);
    return STATES.find((state) => states.includes(state))!;
  }

  usable(interfaceIndex: number): boolean {
    return this.standing(interfaceIndex) !== "down";
  }

  listen(listener: (change: PathChange) => void): Subscription {
    this.#assertOpen();
    if (this.#listeners.length >= MAX_PATH_LISTENERS)
      throw new RangeError(`paths have at most ${MAX_PATH_LISTENERS} listeners`);
    const one = (change: PathChange): void => listener(change);
    this.#listeners = [...this.#listeners, one];
    return new Handle(
      () => this.#listeners.includes(one),
      () => {
        this.#listeners = this.#listeners.filter((other) => other !== one);
      },
    );
  }

  /** An interface has joined. For the host, before it gets routes. */
  joined(on: Interface): void {
    this.#signs.joined(on.index, on.link.up);
    // Routes may have waited for it.
    this.#settle(this.#pathsOf(on.index), "link", 0);
    this.#peers.changed(on);
  }

  /** An interface has other addresses. For the host. */
  addressesChanged(on: Interface): void {
    this.#peers.changed(on);
  }

  /** An interface leaves. For the host, before its routes go. */
  left({ index }: Interface): void {
    this.linkChanged(index, { kind: "gone", reason: "it left the host" });
    this.#peers.left(index);
    this.#signs.left(index);
    this.#idle.left(index);
  }

  /** Something happened to a link. For the host. */
  linkChanged(interfaceIndex: number, change: LinkEvent): void {
    const reason = this.#signs.change(interfaceIndex, change);
    if (reason === undefined) return;
    this.#lookAtStalls();
    this.#settle(this.#pathsOf(interfaceIndex), reason, 0);
  }

  /** The first route over a next hop comes. For the routing table. */
  added(hop: NextHop): void {
    const on = this.#io.interfaceOf(hop.interface);
    if (on?.isLoopback === true) return;
    const key = keyOf(hop);
    this.#lastId += 1;
    const path = new PathRecord(this.#lastId, hop, this.#past.take(key), this.#pathIo);
    this.#records.set(hop, path);
    const { state, reason } = path;
    this.#apply(path);
    this.#changes.add([{ path, state, previous: undefined, reason, silentMs: 0, stranded: 0, givenUp: 0 }]);
    this.#watches.came(path);
  }

  /** The last route over a next hop goes. For the routing table. */
  removed(hop: NextHop): void {
    const path = this.#records.get(hop);
    if (path === undefined) return;
    this.#records.delete(hop);
    const change = path.end();
    this.#past.keep(keyOf(hop), path.penalty, this.#io.timers.now);
    this.#carryOut([change]);
    this.#apply(path);
    this.#watches.went(path);
  }

  /** Ends all monitors. Idempotent. */
  close(): void {
    this.#open = false;
    this.#stallLook?.cancel();
    this.#watches.close();
    this.#peers.close();
    this.#changes.close();
    this.#listeners = [];
    for (const path of this.#records.values()) path.stop();
    this.#records.clear();
  }

  #assertOpen(): void {
    if (!this.#open) throw new TypeError("this host is closed: it has no paths any more");
  }

  #pathsOf(interfaceIndex: number): readonly PathRecord[] {
    return [...this.#records.values()].filter((path) => path.interface === interfaceIndex);
  }

  #seek(fits: (path: PathRecord) => boolean): PathRecord | undefined {
    for (const path of this.#records.values()) if (fits(path)) return path;
    return undefined;
  }

  #settle(paths: readonly PathRecord[], cause: PathReason, silentMs: number): void {
    this.#carryOut(paths.map((path) => path.settle(cause, silentMs)));
  }

  /** First all routes know of it, then those who waited, then everybody: whoever hears of one change finds all of them made. */
  #carryOut(made: readonly (PathChange | undefined)[]): void {
    const changes = made.filter((change) => change !== undefined);
    for (const { path } of changes) this.#apply(path as PathRecord);
    for (const change of changes) this.#doubtNeighbours(change);
    this.#changes.add(changes, (change) => this.#withLosses(change));
  }

  /** Whoever moved while a path was dead may have said so in vain. */
  #doubtNeighbours({ path, state, previous }: PathChange): void {
    if (previous !== "down" || state === "down") return;
    this.#io.interfaceOf(path.interface)?.neighboursOf(path.family).doubt();
  }

  #withLosses(change: PathChange): PathChange {
    if (change.state !== "down") return change;
    const path = change.path as PathRecord;
    const on = this.#io.interfaceOf(path.interface);
    if (on === undefined) return change;
    const stranded = inFlight(on.link.device);
    const { interface: index, family } = path;
    const givenUp = abandonParked(
      on,
      path,
      (address) => this.#io.routes.hop(index, family, address) !== undefined,
    );
    path.lost(stranded, givenUp);
    return { ...change, stranded, givenUp };
  }

  /** Has routes and replies follow the state of a path. */
  #apply(path: PathRecord): void {
    const use = USES[path.state];
    this.#io.routes.setHopUse(path.hop, use);
    if (use === "down") this.#io.abandoned(path.hop);
    const on = this.#io.interfaceOf(path.interface);
    if (on === undefined) return;
    const turns = this.#idle.count(path);
    if (path.family === 4) on.turns4 = turns;
    else on.turns6 = turns;
  }

  #tell(change: PathChange): void {
    for (const listener of this.#listeners)
      if (this.#listeners.includes(listener)) this.#safely(() => listener(change));
    this.#io.changed(change);
  }

  /** What a listener or a monitor throws is the loop's to report: the table that has just changed goes on. */
  #safely(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#io.timers.after(0, () => {
        throw error;
      });
    }
  }

  /** Nothing else may be going on, and a queue that stands still is looked at in turns of the loop alone. */
  #lookAtStalls(): void {
    if (!this.#signs.anyStalled) return this.#stallLook?.cancel();
    if (this.#stallLook?.active !== true)
      this.#stallLook = this.#io.timers.every(STALL_LOOK_MS, () => {
        if (!this.#signs.anyStalled) this.#stallLook?.cancel();
      });
  }
}

const keyOf = ({ interface: index, family, gateway }: NextHop): string =>
  `${index} ${family} ${gateway === undefined ? "" : gateway.toString()}`;

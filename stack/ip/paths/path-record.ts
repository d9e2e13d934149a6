/**
 * One path and its course: down as soon as anything speaks against it, then on trial, then left out for a while where it
 * flaps, then up.
 *
 * It changes nothing but itself: what follows for routes, replies and listeners is done by those who settle it.
 */
import type { Timer } from "../../loop/timers.ts";
import type { Family, IpAddress } from "../../wire/address.ts";
import type { TimerSource } from "../environment.ts";
import type { NextHop } from "../routes/next-hops.ts";
import type { Penalty } from "./damping.ts";
import type { PathMonitor } from "./monitor.ts";
import type { Path, PathChange, PathNeighbour, PathReason, PathState, PathStatistics } from "./path.ts";

/** What a path is told of its surroundings. */
export interface PathIo {
  readonly timers: TimerSource;
  readonly verifyMs: number;
  /** Undefined where the interface is not there (yet, or any more). */
  nameOf(interfaceIndex: number): string | undefined;
  /** What is wrong with the link; undefined where it carries frames. */
  linkSign(interfaceIndex: number): PathReason | undefined;
  /** What is known of a station on the link of an interface. */
  neighbour(interfaceIndex: number, address: IpAddress): PathNeighbour | undefined;
  /** The time of a trial is over: the path is to be settled. */
  due(path: PathRecord): void;
}

/** The kinds of monitors that are reasons of their own. */
const KINDS: ReadonlySet<string> = new Set<PathReason>(["neighbour", "bfd", "route", "health"]);

/** What a monitor of a kind gives as a reason. */
export const reasonOf = ({ kind }: PathMonitor): PathReason =>
  KINDS.has(kind) ? (kind as PathReason) : "health";

export class PathRecord implements Path {
  readonly id: number;
  readonly hop: NextHop;
  /** What its flapping has cost it; undefined where nobody counts. */
  readonly penalty: Penalty | undefined;
  readonly monitors: PathMonitor[] = [];
  state: PathState;
  reason: PathReason;
  changedMs: number;
  live = true;
  /** The program has taken it out of use. */
  forbidden = false;
  readonly #io: PathIo;
  readonly #sentBefore: number;
  #name: string;
  #timer: Timer | undefined;
  #downs = 0;
  #damped = 0;
  #stranded = 0;
  #givenUp = 0;
  #downMs = 0;

  constructor(id: number, hop: NextHop, penalty: Penalty | undefined, io: PathIo) {
    this.id = id;
    this.hop = hop;
    this.penalty = penalty;
    this.#io = io;
    this.#name = io.nameOf(hop.interface) ?? "";
    this.#sentBefore = hop.sent;
    this.changedMs = io.timers.now;
    const sign = io.linkSign(hop.interface);
    this.state = sign === undefined ? "up" : "down";
    this.reason = sign ?? "new";
    // It was here before, and left too often.
    if (sign === undefined && this.#remainingMs() > 0) this.#enter("damped", "flapping");
  }

  /** Of an interface that left, the last that it had. */
  get name(): string {
    this.#name = this.#io.nameOf(this.interface) ?? this.#name;
    return this.#name;
  }

  get interface(): number {
    return this.hop.interface;
  }

  get family(): Family {
    return this.hop.family;
  }

  get gateway(): IpAddress | undefined {
    return this.hop.gateway;
  }

  get neighbour(): PathNeighbour | undefined {
    const { gateway } = this;
    return gateway && this.#io.neighbour(this.interface, gateway);
  }

  get rttMs(): number | undefined {
    let last: number | undefined;
    for (const { rttMs } of this.monitors) last = rttMs ?? last;
    return last;
  }

  statistics(): PathStatistics {
    const { now } = this.#io.timers;
    return {
      sent: this.hop.sent - this.#sentBefore,
      downs: this.#downs,
      damped: this.#damped,
      stranded: this.#stranded,
      givenUp: this.#givenUp,
      downMs: this.#downMs + (this.state === "down" && this.live ? now - this.changedMs : 0),
    };
  }

  /** What was lost with it when it went down. */
  lost(stranded: number, givenUp: number): void {
    this.#stranded += stranded;
    this.#givenUp += givenUp;
  }

  /**
   * Comes to the state that link, monitors and time call for. `cause` is what changed; the change is returned where that made
   * one, without what was lost.
   */
  settle(cause: PathReason, silentMs: number): PathChange | undefined {
    const against = this.#against();
    if (against !== undefined) return this.#fall(against, silentMs);
    if (this.state === "up") return undefined;
    if (this.monitors.some(({ verdict }) => verdict !== "up")) {
      this.#timer?.cancel();
      return this.state === "verifying" ? undefined : this.#change("verifying", cause, silentMs);
    }
    if (this.state === "down") return this.#tryOut(cause, silentMs);
    if (this.#timer?.active === true) return undefined;
    // The trial began with a monitor that had not made up its mind, and has an end only now.
    if (this.state === "verifying" && cause !== "verified") return this.#wait(this.#io.verifyMs);
    return this.#pass(silentMs);
  }

  /** The program vouches for it: no trial, and what it did is forgotten, unless something speaks against it. */
  vouch(): PathChange | undefined {
    this.penalty?.forgive();
    const against = this.#against();
    if (against !== undefined) return this.#fall(against, 0);
    return this.state === "up" ? undefined : this.#change("up", "administrative", 0);
  }

  /** Its like was known alive before its route went: until that is said again, it is on trial. */
  doubt(cause: PathReason): PathChange | undefined {
    return this.state === "up" ? this.#change("verifying", cause, 0) : undefined;
  }

  /** The last route over it is gone. What became of it, where it was not down. */
  end(): PathChange | undefined {
    this.live = false;
    return this.#fall("route", 0);
  }

  /** Nothing happens to it any more. */
  stop(): void {
    this.#timer?.cancel();
  }

  toString(): string {
    const { name, gateway, family } = this;
    return gateway === undefined ? `${name} on-link IPv${family}` : `${name} via ${gateway.toString()}`;
  }

  /** Everything that speaks against it, the gravest first. */
  #against(): PathReason | undefined {
    if (this.forbidden) return "administrative";
    if (!this.live) return "route";
    const sign = this.#io.linkSign(this.interface);
    if (sign !== undefined) return sign;
    const judge = this.monitors.find(({ verdict }) => verdict === "down");
    return judge === undefined ? undefined : reasonOf(judge);
  }

  #fall(reason: PathReason, silentMs: number): PathChange | undefined {
    if (this.state === "down") {
      this.reason = reason;
      if (!this.live) this.#downMs += this.#io.timers.now - this.changedMs;
      return undefined;
    }
    this.#downs += 1;
    // What the program does on purpose is no fault of the path.
    if (reason !== "administrative" && reason !== "gone") this.penalty?.add(this.#io.timers.now);
    return this.#change("down", reason, silentMs);
  }

  #tryOut(cause: PathReason, silentMs: number): PathChange {
    if (this.#io.verifyMs === 0) return this.#pass(silentMs)!;
    const change = this.#change("verifying", cause, silentMs);
    this.#wait(this.#io.verifyMs);
    return change;
  }

  /** Nothing spoke against it for long enough. */
  #pass(silentMs: number): PathChange | undefined {
    if (this.#remainingMs() === 0) return this.#change("up", "verified", silentMs);
    return this.state === "damped" ? this.#wait(this.#remainingMs()) : this.#enter("damped", "flapping");
  }

  #enter(state: "damped", reason: PathReason): PathChange {
    this.#damped += 1;
    const change = this.#change(state, reason, 0);
    this.#wait(this.#remainingMs());
    return change;
  }

  #remainingMs(): number {
    return this.penalty?.remainingMs(this.#io.timers.now) ?? 0;
  }

  #wait(ms: number): undefined {
    if (this.#timer === undefined) this.#timer = this.#io.timers.after(ms, () => this.#io.due(this));
    else this.#timer.restart(ms);
  }

  #change(state: PathState, reason: PathReason, silentMs: number): PathChange {
    const previous = this.state;
    const { now } = this.#io.timers;
    if (previous === "down") this.#downMs += now - this.changedMs;
    this.#timer?.cancel();
    this.state = state;
    this.reason = reason;
    this.changedMs = now;
    return { path: this, state, previous, reason, silentMs, stranded: 0, givenUp: 0 };
  }
}

/** One of the two hosts of a world of one link: its interfaces on the link, what is wrong with each, and who watches them. */
import type { MemoryDevice } from "../../../stack/device/memory.ts";
import type { Random } from "../../../stack/device/random.ts";
import { Host } from "../../../stack/ip/host.ts";
import type { Interface } from "../../../stack/ip/interface.ts";
import { NeighbourMonitor } from "../../../stack/ip/paths/neighbour-monitor.ts";
import type { Path } from "../../../stack/ip/paths/path.ts";
import type { Loop } from "../../../stack/loop/loop.ts";
import type { Tap } from "../../support/tap.ts";
import { wrongWith } from "./judge.ts";
import { linkService, type LinkPlan, seatAddress } from "./link-plan.ts";
import { type End, otherOf } from "./plan.ts";
import type { Speaker } from "./programs.ts";

/** What may be wrong with an interface. */
export interface SeatTrouble {
  /** What it says does not get through, or what others say does not come to it. */
  cutOut: boolean;
  cutIn: boolean;
  /** It has no carrier. */
  down: boolean;
  left: boolean;
}

/** One interface of an end on the link. */
export class Seat {
  readonly end: End;
  readonly index: number;
  readonly device: MemoryDevice;
  readonly tap: Tap;
  readonly now: SeatTrouble = { cutOut: false, cutIn: false, down: false, left: false };
  /** Since when all is well; Infinity where it is not. */
  goodSinceMs = 0;
  /** When something got worse last. */
  worseMs = -Infinity;

  constructor(end: End, index: number, device: MemoryDevice, tap: Tap) {
    this.end = end;
    this.index = index;
    this.device = device;
    this.tap = tap;
  }

  set(change: Partial<SeatTrouble>, nowMs: number): void {
    const before = { ...this.now };
    Object.assign(this.now, change);
    const names = ["cutOut", "cutIn", "down", "left"] as const;
    if (names.some((name) => this.now[name] && !before[name])) this.worseMs = nowMs;
    if (names.some((name) => this.now[name])) this.goodSinceMs = Infinity;
    else if (this.goodSinceMs === Infinity) this.goodSinceMs = nowMs;
  }
}

const INTERVAL_MS = 100;
const COUNT = 3;

export class LinkEnd {
  readonly end: End;
  readonly plan: LinkPlan;
  readonly host: Host;
  readonly seats: readonly Seat[];
  readonly #joined = new Map<Seat, Interface>();

  constructor(end: End, plan: LinkPlan, seats: readonly Seat[], loop: Loop, random: Random) {
    this.end = end;
    this.plan = plan;
    this.seats = seats;
    const { verifyMs, answer, family } = plan;
    const paths = { verifyMs, ...(plan.damping ? {} : { damping: false as const }) };
    this.host = new Host({ loop, random }, { paths });
    this.host.addService(linkService(end, family), { dad: false, answer });
    for (const seat of seats) this.join(seat);
    const target = linkService(otherOf(end), family);
    for (const { tap } of seats) {
      const monitor = new NeighbourMonitor(this.host, { intervalMs: INTERVAL_MS, count: COUNT, target });
      this.host.paths.watch({ interface: tap.name, family, gateway: null }, monitor);
    }
  }

  get speaker(): Speaker {
    const { host, plan, end } = this;
    const { family, policy, sockets, inPlace } = plan;
    return {
      host,
      families: [family],
      policy,
      sockets,
      inPlace,
      own: (of) => linkService(end, of),
      other: (of) => linkService(otherOf(end), of),
    };
  }

  pathOf(seat: Seat): Path | undefined {
    return this.host.paths.find({ interface: seat.tap.name, family: this.plan.family, gateway: null });
  }

  /** What is wrong with data that leaves by this seat now; undefined where nothing is. */
  wrongWith(seat: Seat): string | undefined {
    const taken = this.pathOf(seat);
    if (taken === undefined) return `seat ${seat.index} has no path`;
    const rivals = this.plan.policy === "redundant" ? [] : this.seats;
    const others = rivals.map((one) => this.pathOf(one));
    return wrongWith(taken, others, this.host.loop.now);
  }

  join(seat: Seat): void {
    if (this.#joined.has(seat)) return;
    const address = seatAddress(this.end, seat.index, this.plan.family);
    this.#joined.set(seat, this.host.join(seat.tap, { addresses: [address], dad: false }));
  }

  leave(seat: Seat): void {
    const made = this.#joined.get(seat);
    if (made === undefined) return;
    this.#joined.delete(seat);
    this.host.leave(made);
  }

  close(): void {
    this.host.close();
    this.#joined.clear();
  }
}

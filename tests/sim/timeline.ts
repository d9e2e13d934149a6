/**
 * The time of one world: a loop that is turned by hand, and the way from one moment at which something is due to the next.
 */
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";
import { WatchedLoop } from "../support/watched-loop.ts";

/** Turns at one moment at most: more is a circle. */
const MAX_TURNS_AT_ONCE = 5000;
/** Of the virtual clock, where something is due that could not be done: a ring was full. */
const STEP_MS = 0.1;
/** How often a loop asks for link events. */
const LINK_MS = 5;

/** What a world tells its time. */
export interface TimelineIo {
  /** Something is wrong. */
  complain(text: string): void;
  /** When the next packet that is held back becomes due, of those that are not due yet; Infinity where there is none. */
  heldMs(): number;
}

export class Timeline {
  readonly clock = new VirtualClock();
  readonly loop: WatchedLoop;
  readonly #io: TimelineIo;

  constructor(io: TimelineIo) {
    this.#io = io;
    this.loop = new WatchedLoop({
      clock: this.clock,
      waiter: new ManualWaiter(this.clock),
      onError: (error, source) =>
        io.complain(
          `the ${source.kind} handler of ${source.name} threw ${(error as Error)?.stack ?? String(error)}`,
        ),
    });
  }

  get now(): number {
    return this.clock.nowMs();
  }

  /** Lets time pass, from event to event. */
  advance(ms: number): void {
    const untilMs = this.now + ms;
    this.settle();
    let linkMs = this.now + LINK_MS;
    while (this.now < untilMs) {
      const next = Math.max(Math.min(this.loop.nextTimerMs, this.#io.heldMs()), this.now + STEP_MS);
      this.clock.advance(Math.min(next, linkMs, untilMs) - this.now);
      if (this.now >= linkMs) linkMs = untilMs;
      this.settle();
    }
  }

  /** The whole machine stands still, and finds that it is later. */
  stall(ms: number): void {
    this.clock.advance(ms);
    this.settle();
  }

  /** Turns until there is nothing to do at this moment. */
  settle(): void {
    for (let turns = 0; this.loop.turn(this.now); turns++) {
      if (turns < MAX_TURNS_AT_ONCE) continue;
      this.#io.complain("there is no end to this moment");
      return;
    }
  }
}

/**
 * One event loop whose events carry the data: frames, link changes, timers and signals arrive in the same turn.
 *
 * A turn receives bursts and calls handlers, then link events, due timers and signals, and submits what was sent; its
 * work is bounded, so nothing starves. Between turns the waiter lets the rest of the program run (servers, promises,
 * timers of the runtime), and an idle loop sleeps in it. Clock, waiter and signals are arguments.
 */
import type { Clock, Device, Waiter } from "../device/device.ts";
import { ErrorReporter, type ErrorSource } from "./errors.ts";
import type { LinkHandler, Member } from "./member.ts";
import { Members } from "./members.ts";
import { checkLoopOptions, type LoopOptions, type LoopStatistics, type WaitMode } from "./options.ts";
import { Receiver, type BurstHandler, type FrameHandler } from "./receiver.ts";
import { Signals } from "./signals.ts";
import { Handle, type Subscription } from "./subscription.ts";
import { Timers, type Timer } from "./timers.ts";

/** How often a busy loop asks devices for link events, in ms. After a sleep it asks at once. */
export const LINK_EVERY_MS = 5;

export class Loop {
  readonly mode: WaitMode;
  readonly #clock: Clock;
  readonly #waiter: Waiter;
  readonly #burst: number;
  readonly #spinMs: number;
  readonly #napMs: number;
  readonly #errors: ErrorReporter;
  readonly #members: Members;
  readonly #timers: Timers;
  readonly #signals: Signals;
  readonly #received = { bursts: 0, packets: 0 };
  #nowMs: number;
  #lastLinkMs = -Infinity;
  #lastFrameMs = -Infinity;
  #inTurn = false;
  #stopping = false;
  #closed = false;
  #ended: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #turns = 0;
  #idleTurns = 0;
  #timersRun = 0;
  #signalsRun = 0;
  #linkEvents = 0;
  #sleeps = 0;

  constructor(options: LoopOptions) {
    const { mode, burst, spinMs, napMs } = checkLoopOptions(options);
    this.#clock = options.clock;
    this.#waiter = options.waiter;
    this.mode = mode;
    this.#burst = burst;
    this.#spinMs = spinMs;
    this.#napMs = napMs;
    this.#errors = new ErrorReporter(options.onError);
    this.#members = new Members(this.#errors);
    this.#nowMs = this.#clock.nowMs();
    this.#timers = new Timers(
      () => Math.max(this.#nowMs, this.#clock.nowMs()),
      (error, kind) => this.#errors.report(error, { kind: "timer", name: kind }),
    );
    this.#signals = new Signals(options.signals, (error, name) =>
      this.#errors.report(error, { kind: "signal", name }),
    );
  }

  /** The time of this turn (of the last one, outside a turn), in ms of the clock. Costs nothing. */
  get now(): number {
    return this.#nowMs;
  }

  /** The moment that the next timer is due, Infinity without one: how far a simulation may jump. */
  get nextTimerMs(): number {
    return this.#timers.nextMs;
  }

  /** True from `run` until it has ended. */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Calls `handler` with each frame that arrives. A device has one receiver: a second one throws a TypeError. */
  receive(device: Device, handler: FrameHandler): Subscription {
    return this.#subscribe(device, handler, undefined, "frame");
  }

  /** Calls `handler` with each burst of frames that arrives; all of them end when it returns. */
  bursts(device: Device, handler: BurstHandler): Subscription {
    return this.#subscribe(device, undefined, handler, "burst");
  }

  /** Calls `handler` with each change of the device's link. After "gone" the device has left the loop. */
  link(device: Device, handler: LinkHandler): Subscription {
    checkFunction("link", handler);
    const member = this.#join(device);
    // A function of its own, so that the same handler may be given twice and taken off once.
    const own: LinkHandler = (event) => handler(event);
    member.linkHandlers = [...member.linkHandlers, own];
    return new Handle(
      () => member.linkHandlers.includes(own),
      () => {
        member.linkHandlers = member.linkHandlers.filter((other) => other !== own);
        this.#members.leaveUnwanted(member);
      },
    );
  }

  /** Flushes a device that only sends at the end of each turn. */
  add(device: Device): void {
    this.#join(device).holds += 1;
  }

  /** Takes back one `add`. A device that was not added is left as it is. */
  remove(device: Device): void {
    const member = this.#members.find(device);
    if (member === undefined || member.holds === 0) return;
    member.holds -= 1;
    this.#members.leaveUnwanted(member);
  }

  /** Runs `fn` once, `ms` from now: never early, at most a turn late. */
  after(ms: number, fn: () => void): Timer {
    this.#assertOpen();
    return this.#timers.after(ms, fn);
  }

  /**
   * Runs `fn` every `ms`, without drift: due times lie whole periods apart. After a stall it runs once, not once for
   * each period that was missed.
   */
  every(ms: number, fn: () => void): Timer {
    this.#assertOpen();
    return this.#timers.every(ms, fn);
  }

  /** Runs `fn` in the turn after each signal of that name ("SIGINT"). Signals wait until a turn runs. */
  signal(name: string, fn: () => void): Subscription {
    this.#assertOpen();
    const off = this.#signals.on(name, fn);
    let active = true;
    return new Handle(
      () => active,
      () => {
        active = false;
        off();
      },
    );
  }

  /** Takes turns until `stop`; the promise then resolves. A second call while it runs gives the same promise. */
  run(): Promise<void> {
    this.#assertOpen();
    if (this.#running !== undefined) return this.#running;
    this.#stopping = false;
    this.#running = new Promise((resolve) => (this.#ended = resolve));
    this.#lastFrameMs = this.#clock.nowMs();
    this.#waiter.yield(this.#step);
    return this.#running;
  }

  /** Ends `run` after the present turn. From anywhere; does nothing while the loop doesn't run. */
  stop(): void {
    if (this.#running !== undefined) this.#stopping = true;
  }

  /**
   * One turn; returns whether there was anything to do. `run` takes turns by itself; simulations call this with the
   * time they want it to be, never going back.
   */
  turn(nowMs: number = this.#clock.nowMs()): boolean {
    this.#assertOpen();
    if (this.#inTurn) throw new Error("a handler called turn(): turns do not nest");
    this.#inTurn = true;
    this.#nowMs = Math.max(nowMs, this.#nowMs);
    try {
      return this.#work();
    } finally {
      this.#inTurn = false;
    }
  }

  statistics(): LoopStatistics {
    return {
      turns: this.#turns,
      idleTurns: this.#idleTurns,
      bursts: this.#received.bursts,
      packets: this.#received.packets,
      timers: this.#timersRun,
      signals: this.#signalsRun,
      linkEvents: this.#linkEvents,
      sleeps: this.#sleeps,
      handlerErrors: this.#errors.count,
      devices: this.#members.count,
    };
  }

  /** Ends everything: handlers, timers, signals, the run, the waiter. Devices stay open: they are their owner's. */
  close(): void {
    if (this.#closed) return;
    this.#members.flush();
    this.#closed = true;
    this.#members.leaveAll();
    this.#timers.clear();
    this.#signals.clear();
    this.#waiter.close();
    this.#finish();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What the waiter calls: a turn, and a sleep with a turn after it where there is nothing to do. */
  readonly #step = (): void => {
    if (this.#closed) return;
    if (!this.#stopping && !this.turn() && !this.#stopping && this.#maySleep()) {
      this.#sleep();
      // What woke us is handled here and now. Yielding first would let sends of the program wait behind the next sleep.
      this.turn();
    }
    if (this.#stopping) this.#finish();
    else if (!this.#closed) this.#waiter.yield(this.#step);
  };

  #work(): boolean {
    const frames = this.#received.packets;
    this.#members.receive(this.#received);
    const received = this.#received.packets !== frames;
    if (received) this.#lastFrameMs = this.#nowMs;
    let events = 0;
    if (this.#members.sawClosed || this.#nowMs - this.#lastLinkMs >= LINK_EVERY_MS) {
      this.#lastLinkMs = this.#nowMs;
      events += this.#members.takeLinkEvents();
      this.#linkEvents += events;
    }
    const timers = this.#timers.run(this.#nowMs);
    this.#timersRun += timers;
    const signals = this.#signals.run();
    this.#signalsRun += signals;
    events += timers + signals;
    this.#members.flush();
    this.#turns += 1;
    const worked = received || events > 0;
    if (!worked) this.#idleTurns += 1;
    return worked;
  }

  #maySleep(): boolean {
    if (this.mode === "spin" || this.#closed) return false;
    return this.mode === "sleep" || this.#nowMs - this.#lastFrameMs >= this.#spinMs;
  }

  #sleep(): void {
    const fds = this.#members.takeNewFds();
    if (fds !== undefined) this.#waiter.watch(fds);
    const untilTimerMs = this.#timers.nextMs - this.#clock.nowMs();
    if (untilTimerMs <= 0) return;
    this.#sleeps += 1;
    this.#waiter.sleep(Math.min(this.#napMs, untilTimerMs));
    this.#lastLinkMs = -Infinity;
  }

  #finish(): void {
    const ended = this.#ended;
    this.#ended = undefined;
    this.#running = undefined;
    this.#stopping = false;
    ended?.();
  }

  #subscribe(
    device: Device,
    onFrame: FrameHandler | undefined,
    onBurst: BurstHandler | undefined,
    kind: "frame" | "burst",
  ): Subscription {
    checkFunction(kind, onFrame ?? onBurst);
    if (this.#members.find(device)?.receiver !== undefined) {
      throw new TypeError(
        `device "${device.name}" has a receiver in this loop; close that subscription first`,
      );
    }
    const member = this.#join(device);
    const source: ErrorSource = { kind, name: device.name };
    const failed = (error: unknown): void => this.#errors.report(error, source);
    const receiver = new Receiver(device, this.#burst, onFrame, onBurst, failed, this.#members);
    member.receiver = receiver;
    return new Handle(
      () => member.receiver === receiver,
      () => {
        receiver.close();
        if (member.receiver === receiver) member.receiver = undefined;
        this.#members.leaveUnwanted(member);
      },
    );
  }

  #join(device: Device): Member {
    this.#assertOpen();
    return this.#members.join(device);
  }

  #assertOpen(): void {
    if (this.#closed) throw new TypeError("this loop is closed");
  }
}

const checkFunction = (kind: string, handler: unknown): void => {
  if (typeof handler !== "function")
    throw new TypeError(`a ${kind} handler is a function, not ${typeof handler}`);
};

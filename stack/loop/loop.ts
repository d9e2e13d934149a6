/**
 * One event loop whose events carry the data: frames, link changes, timers and signals arrive in the same turn.
 *
 * A turn receives bursts and calls handlers, then link events and those of watched sources, due timers and signals, and
 * submits what was sent; its work is bounded, so nothing starves. Between turns the waiter lets the rest of the program
 * run (servers, promises, timers of the runtime), and an idle loop sleeps in it. `run` takes the turns, or whoever
 * iterates over `events`. Clock, waiter and signals are arguments.
 */
import type { Clock, Device, Waiter } from "../device/device.ts";
import type { EventSource } from "../device/routesource.ts";
import { Drive } from "./drive.ts";
import { ErrorReporter } from "./errors.ts";
import { EventBus, type EventHandler, type LoopEvent } from "./events.ts";
import { EventStream, type BurstEvent, type EventsOptions } from "./eventstream.ts";
import { HeldReceiver } from "./held.ts";
import type { LinkHandler } from "./member.ts";
import { checkFunction, Members } from "./members.ts";
import { checkLoopOptions, type LoopOptions, type LoopStatistics, type WaitMode } from "./options.ts";
import { Receiver, type BurstHandler, type BurstPreview, type FrameHandler } from "./receiver.ts";
import { Signals } from "./signals.ts";
import { Sources } from "./sources.ts";
import { Handle, type Subscription } from "./subscription.ts";
import { Timers, type Timer } from "./timers.ts";

/**
 * How often a busy loop asks devices for link events, and sources for theirs, in ms. After a sleep it asks at once. Asking costs
 * a system call each, a third of a microsecond; a path whose carrier went loses packets until it is asked.
 */
export const LINK_EVERY_MS = 1;

export class Loop {
  readonly mode: WaitMode;
  readonly #clock: Clock;
  readonly #waiter: Waiter;
  readonly #drive: Drive;
  readonly #burst: number;
  readonly #spinMs: number;
  readonly #napMs: number;
  readonly #errors: ErrorReporter;
  readonly #members: Members;
  readonly #timers: Timers;
  readonly #signals: Signals;
  readonly #sources: Sources;
  readonly #bus: EventBus;
  readonly #received = { bursts: 0, packets: 0 };
  #nowMs: number;
  #lastLinkMs = -Infinity;
  #lastFrameMs = -Infinity;
  #inTurn = false;
  #closed = false;
  #running: Promise<void> = Promise.resolve();
  #events: { end(): void } | undefined;
  #turns = 0;
  #idleTurns = 0;
  #timersRun = 0;
  #signalsRun = 0;
  #linkEvents = 0;
  #sourceEvents = 0;
  #sleeps = 0;

  constructor(options: LoopOptions) {
    const { mode, burst, spinMs, napMs } = checkLoopOptions(options);
    this.#clock = options.clock;
    this.#waiter = options.waiter;
    this.#drive = this.#createDrive();
    this.mode = mode;
    this.#burst = burst;
    this.#spinMs = spinMs;
    this.#napMs = napMs;
    this.#errors = new ErrorReporter(options.onError);
    this.#members = new Members(this.#errors);
    this.#sources = new Sources(this.#errors);
    this.#bus = new EventBus(this.#errors);
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

  /** True from `run` or `events` until it has ended. */
  get running(): boolean {
    return this.#drive.driver !== undefined;
  }

  /**
   * Calls `handler` with each frame that arrives, and `preview` with each burst before its frames: to read what they will
   * need, nothing more. A device has one receiver: a second one throws a TypeError.
   */
  receive(device: Device, handler: FrameHandler, preview?: BurstPreview): Subscription {
    this.#assertOpen();
    checkFunction("frame", handler);
    return this.#members.subscribe(device, "frame", (failed) => {
      return new Receiver(device, this.#burst, { onFrame: handler, preview }, failed, this.#members);
    });
  }

  /** Calls `handler` with each burst of frames that arrives; all of them end when it returns. */
  bursts(device: Device, handler: BurstHandler): Subscription {
    this.#assertOpen();
    checkFunction("burst", handler);
    return this.#members.subscribe(device, "burst", (failed) => {
      return new Receiver(device, this.#burst, { onBurst: handler }, failed, this.#members);
    });
  }

  /** Calls `handler` with each change of the device's link. After "gone" the device has left the loop. */
  link(device: Device, handler: LinkHandler): Subscription {
    this.#assertOpen();
    return this.#members.link(device, handler);
  }

  /**
   * Calls `handler` once when the device leaves the loop, for whatever reason: it is closed or gone, it failed, nobody
   * wants it here any more, or the loop closes. It must be in the loop, and this does not keep it there.
   */
  left(device: Device, handler: () => void): Subscription {
    this.#assertOpen();
    return this.#members.left(device, handler);
  }

  /** Flushes a device that only sends at the end of each turn. */
  add(device: Device): void {
    this.#assertOpen();
    this.#members.add(device);
  }

  /** Takes back one `add`. A device that was not added is left as it is. */
  remove(device: Device): void {
    this.#members.remove(device);
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

  /**
   * Asks `source` for its events: after a sleep, which its descriptors end, and every LINK_EVERY_MS while the loop is
   * busy. What it throws is reported; it is asked again. Throws a TypeError for what is no source.
   */
  watch(source: EventSource): Subscription {
    this.#assertOpen();
    return this.#sources.watch(source);
  }

  /** Calls `handler` with each event that is emitted, of whatever kind. */
  on(handler: EventHandler): Subscription {
    this.#assertOpen();
    return this.#bus.on(handler);
  }

  /** Delivers `event` to the handlers before it returns. Never throws: what they throw is reported. */
  emit(event: LoopEvent): void {
    this.#bus.emit(event);
  }

  /** Takes turns until `stop`; the promise then resolves. A second call while it runs gives the same promise. */
  run(): Promise<void> {
    this.#assertOpen();
    if (this.#drive.driver === "run") return this.#running;
    this.#drive.claim("run");
    this.#lastFrameMs = this.#clock.nowMs();
    this.#running = this.#drive.until();
    return this.#running;
  }

  /**
   * What happens, in bursts: `for await (const burst of loop.events({ devices: [eth] }))` takes the loop's turns itself,
   * in place of `run`. Frames are lent until the next burst is asked for; arrays and events are reused. `E` names the
   * kinds of events that the program emits, which come in the bursts too. Ends with `stop`, `close` and `break`.
   */
  events<E extends LoopEvent = never>(options: EventsOptions = {}): EventStream<BurstEvent | E> {
    this.#assertOpen();
    const members = this.#members;
    const stream = new EventStream<BurstEvent | E>(this, this.#drive, options, {
      hold: (device, sink) => {
        return members.subscribe(device, "burst", (failed) => {
          return new HeldReceiver(device, this.#burst, failed, members, sink);
        });
      },
      flush: () => members.flush(),
    });
    this.#lastFrameMs = this.#clock.nowMs();
    this.#events = stream;
    return stream;
  }

  /** Ends `run` or `events` after the present turn. From anywhere; does nothing while the loop doesn't run. */
  stop(): void {
    this.#drive.stop();
  }

  /**
   * One turn; returns whether there was anything to do. `run` takes turns by itself; simulations call this with the
   * time they want it to be, never going back.
   */
  turn(nowMs: number = this.#clock.nowMs()): boolean {
    this.#assertOpen();
    if (this.#drive.driver === "events")
      throw new TypeError("loop.events() takes the turns of the loop itself: end it before calling turn()");
    return this.#turn(nowMs);
  }

  #turn(nowMs: number): boolean {
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
      sourceEvents: this.#sourceEvents,
      sleeps: this.#sleeps,
      handlerErrors: this.#errors.count,
      devices: this.#members.count,
    };
  }

  /** Ends everything: handlers, timers, signals, the run, the waiter. Devices stay open: they are their owner's. */
  close(): void {
    if (this.#closed) return;
    this.#events?.end();
    this.#members.flush();
    this.#closed = true;
    this.#members.leaveAll();
    this.#timers.clear();
    this.#signals.clear();
    this.#sources.clear();
    this.#bus.clear();
    this.#waiter.close();
    this.#drive.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #createDrive(): Drive {
    const isClosed = (): boolean => this.#closed;
    const engine = {
      get closed() {
        return isClosed();
      },
      turn: () => this.#turn(this.#clock.nowMs()),
      maySleep: () => this.#maySleep(),
      sleep: () => this.#sleep(),
    };
    return new Drive(engine, this.#waiter);
  }

  #work(): boolean {
    const frames = this.#received.packets;
    this.#members.receive(this.#received);
    const received = this.#received.packets !== frames;
    if (received) this.#lastFrameMs = this.#nowMs;
    let events = 0;
    if (this.#members.sawClosed || this.#nowMs - this.#lastLinkMs >= LINK_EVERY_MS) events = this.#ask();
    const timers = this.#timers.run(this.#nowMs);
    this.#timersRun += timers;
    const signals = this.#signals.run();
    this.#signalsRun += signals;
    events += timers + signals;
    this.#members.flush();
    this.#turns += 1;
    // What waits in memory is work of the next turn, so neither a sleep nor a simulation's jump comes in between.
    const worked = received || events > 0 || this.#members.waiting;
    if (!worked) this.#idleTurns += 1;
    return worked;
  }

  /** Asks devices and sources what has happened besides frames; returns how many events that was. */
  #ask(): number {
    const links = this.#members.takeLinkEvents();
    const told = this.#sources.take();
    this.#linkEvents += links;
    this.#sourceEvents += told;
    // A source takes a bounded part of what it has: one that had something is asked again in the next turn.
    this.#lastLinkMs = told > 0 ? -Infinity : this.#nowMs;
    return links + told;
  }

  #maySleep(): boolean {
    if (this.mode === "spin" || this.#closed) return false;
    return this.mode === "sleep" || this.#nowMs - this.#lastFrameMs >= this.#spinMs;
  }

  #sleep(): void {
    const devicesChanged = this.#members.takeChanged();
    if (this.#sources.takeChanged() || devicesChanged) {
      this.#waiter.watch([...this.#members.fds, ...this.#sources.fds]);
    }
    const untilTimerMs = this.#timers.nextMs - this.#clock.nowMs();
    if (untilTimerMs <= 0) return;
    this.#sleeps += 1;
    this.#waiter.sleep(Math.min(this.#napMs, untilTimerMs));
    this.#lastLinkMs = -Infinity;
  }

  #assertOpen(): void {
    if (this.#closed) throw new TypeError("this loop is closed");
  }
}

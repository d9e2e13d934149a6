/**
 * What `loop.events` returns: the events of a loop as an async iterator of bursts, for those who prefer pulling.
 *
 * Asking for the next burst settles the one before, takes turns, and sleeps between them, until there is something to
 * hand over. Arrays and events are reused; frames are lent until the next call of `next`, `return` or `throw`.
 */
import type { Device, LinkEvent } from "../device/device.ts";
import type { Drive } from "./drive.ts";
import type { EventHandler, LoopEvent } from "./events.ts";
import type { FrameEvent, FrameSink, HeldReceiver } from "./held.ts";
import type { LinkHandler } from "./member.ts";
import type { Subscription } from "./subscription.ts";
import type { Timer } from "./timers.ts";

/** A device's link changed. */
export interface LinkChangeEvent extends LoopEvent {
  readonly kind: "link";
  readonly device: Device;
  readonly change: LinkEvent;
}

/** A signal came, once or more often since the last burst. */
export interface SignalEvent extends LoopEvent {
  readonly kind: "signal";
  readonly name: string;
}

/** `everyMs` went by. */
export interface TickEvent extends LoopEvent {
  readonly kind: "tick";
}

/** What a burst holds besides the events of `loop.emit`. */
export type BurstEvent = FrameEvent | LinkChangeEvent | SignalEvent | TickEvent;

export interface EventsOptions {
  /** Devices whose frames and link changes are wanted. They must have no other receiver in this loop. */
  readonly devices?: readonly Device[];
  /** Names of signals that are wanted. */
  readonly signals?: readonly string[];
  /** Period of ticks in ms. Default: none. */
  readonly everyMs?: number;
}

/** Emitted events that wait while a burst is being worked on, at most; more are counted in `dropped`. */
export const MAX_WAITING_EVENTS = 1 << 16;

/** What a stream uses of its loop like anybody. */
export interface EventsLoop {
  readonly now: number;
  link(device: Device, handler: LinkHandler): Subscription;
  signal(name: string, fn: () => void): Subscription;
  every(ms: number, fn: () => void): Timer;
  on(handler: EventHandler): Subscription;
}

/** What only a stream may do. */
export interface EventsHold {
  /** Becomes the device's receiver. */
  hold(device: Device, sink: FrameSink): Subscription & { readonly receiver: HeldReceiver };
  /** Submits what was sent on any device. */
  flush(): void;
}

const KEYS: ReadonlySet<string> = new Set<keyof EventsOptions>(["devices", "signals", "everyMs"]);

/** Bursts of events of one loop, of its own kinds and of `E`, which the program emits itself. */
export class EventStream<E extends LoopEvent = BurstEvent> implements AsyncIterableIterator<readonly E[]> {
  readonly #loop: EventsLoop;
  readonly #drive: Drive;
  readonly #hold: EventsHold;
  readonly #held: HeldReceiver[] = [];
  /** The way out of everything that was subscribed to. */
  readonly #offs: (() => void)[] = [];
  readonly #result: { done: false; value: readonly E[] };
  /** The burst that is being gathered, or has been handed over. */
  #burst: LoopEvent[] = [];
  /** What is emitted while none is being gathered. */
  #later: LoopEvent[] = [];
  /** True from `next` until its burst is handed over. */
  #gathering = false;
  #asked = false;
  #ended = false;
  #dropped = 0;

  /** Subscribes at once, so that nothing is missed before the first `next`. For `loop.events`. */
  constructor(loop: EventsLoop, drive: Drive, options: EventsOptions, hold: EventsHold) {
    checkOptions(options);
    this.#loop = loop;
    this.#drive = drive;
    this.#hold = hold;
    this.#result = { done: false, value: [] };
    drive.claim("events");
    try {
      this.#subscribe(options);
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Emitted events that were lost because MAX_WAITING_EVENTS of them waited already. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Ends the frames of the last burst and takes turns until there is a new one; done after `stop` or `close`. */
  next(): Promise<IteratorResult<readonly E[], undefined>> {
    if (this.#asked)
      return Promise.reject(
        new TypeError("next() was called before the last burst came: ask for one at a time"),
      );
    this.#settle();
    if (this.#drive.stopping) this.end();
    if (this.#ended) return Promise.resolve(DONE);
    this.#asked = true;
    return this.#drive.until(this.#hasEvents).then(this.#handOver);
  }

  /** Ends the frames of the last burst, and the iteration: what `break` does. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.end();
    return Promise.resolve(DONE);
  }

  /** As `return`, and rejects with `error`. */
  throw(error?: unknown): Promise<IteratorReturnResult<undefined>> {
    this.end();
    return Promise.reject(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  /** Gives everything back. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#settle();
    this.#ended = true;
    for (const off of this.#offs) off();
    this.#drive.release();
  }

  #subscribe({ devices = [], signals = [], everyMs }: EventsOptions): void {
    const loop = this.#loop;
    const sink: FrameSink = {
      get now() {
        return loop.now;
      },
      push: (event) => void this.#burst.push(event),
    };
    this.#keep(loop.on((event) => this.#emitted(event)));
    for (const device of devices) {
      const held = this.#hold.hold(device, sink);
      this.#held.push(held.receiver);
      this.#keep(held);
      this.#keep(loop.link(device, (change) => this.#changed(device, change)));
    }
    for (const name of signals) {
      const event = { kind: "signal", name, atMs: 0 };
      this.#keep(loop.signal(name, () => this.#stamp(event)));
    }
    if (everyMs === undefined) return;
    const tick = { kind: "tick", atMs: 0 };
    const timer = loop.every(everyMs, () => this.#stamp(tick));
    this.#offs.push(() => timer.cancel());
  }

  #keep(subscription: Subscription): void {
    this.#offs.push(() => subscription.close());
  }

  #changed(device: Device, change: LinkEvent): void {
    const event: LinkChangeEvent = { kind: "link", device, change, atMs: this.#loop.now };
    this.#burst.push(event);
  }

  /** Signals and ticks come once a turn at most, so one object each is enough. */
  #stamp(event: { readonly kind: string; atMs: number }): void {
    event.atMs = this.#loop.now;
    this.#burst.push(event);
  }

  #emitted(event: LoopEvent): void {
    const list = this.#gathering ? this.#burst : this.#later;
    if (list.length < MAX_WAITING_EVENTS) list.push(event);
    else this.#dropped += 1;
  }

  #settle(): void {
    if (this.#ended) return;
    for (const held of this.#held) held.settle();
    // Sent on other devices, or forwarded to them.
    this.#hold.flush();
    this.#burst.length = 0;
    [this.#burst, this.#later] = [this.#later, this.#burst];
    this.#gathering = true;
  }

  readonly #hasEvents = (): boolean => this.#burst.length > 0;

  readonly #handOver = (): IteratorResult<readonly E[], undefined> => {
    this.#asked = false;
    if (this.#burst.length === 0) this.end();
    if (this.#ended) return DONE;
    this.#gathering = false;
    const result = this.#result;
    result.value = this.#burst as readonly LoopEvent[] as readonly E[];
    return result;
  };
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

const checkOptions = (options: EventsOptions): void => {
  if (typeof options !== "object" || options === null)
    throw new TypeError("loop.events takes an object of options");
  const unknown = Object.keys(options).find((key) => !KEYS.has(key));
  if (unknown !== undefined)
    throw new TypeError(`loop.events has no option "${unknown}"; it has ${[...KEYS].join(", ")}`);
  for (const key of ["devices", "signals"] as const) {
    if (options[key] !== undefined && !Array.isArray(options[key]))
      throw new TypeError(`${key} of loop.events is an array`);
  }
};

/**
 * Virtual time and an outlet that keeps what is sent, for the state machines of an interface.
 */
import { expect } from "bun:test";
import { seededRandom, type Random } from "../../stack/device/random.ts";
import type { Environment, Outlet } from "../../stack/ip/environment.ts";
import { Loop } from "../../stack/loop/loop.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { ManualWaiter, VirtualClock } from "./virtual.ts";

/** A loop whose turns fall exactly on the due times of its timers. */
export class VirtualTime implements Environment {
  readonly timers: Loop;
  readonly random: Random;
  readonly #clock = new VirtualClock();

  constructor(seed = 1) {
    this.timers = new Loop({
      clock: this.#clock,
      waiter: new ManualWaiter(this.#clock),
      // What a timer throws fails the test.
      onError: (error) => {
        throw error;
      },
    });
    this.random = seededRandom(seed);
  }

  get now(): number {
    return this.timers.now;
  }

  /** True where no timer is set. */
  get idle(): boolean {
    return this.timers.nextTimerMs === Infinity;
  }

  /** Lets `ms` pass. */
  advance(ms: number): void {
    const until = this.#clock.nowMs() + ms;
    for (let turns = 0; this.timers.nextTimerMs <= until; turns++) {
      expect(turns).toBeLessThan(100_000);
      this.#turn(Math.max(this.timers.nextTimerMs, this.#clock.nowMs()));
    }
    this.#turn(until);
  }

  /** Lets `ms` pass in one turn, as if the process had slept: all timers of that time are late. */
  sleep(ms: number): void {
    this.#turn(this.#clock.nowMs() + ms);
  }

  #turn(ms: number): void {
    this.#clock.advance(ms - this.#clock.nowMs());
    this.timers.turn(this.#clock.nowMs());
  }
}

export interface SentFrame {
  readonly destination: MacAddress;
  readonly etherType: number;
  readonly view: DataView;
  readonly atMs: number;
}

/** Keeps copies of the payloads that are sent through it. */
export class RecordingOutlet implements Outlet {
  readonly name = "test0";
  readonly mtu = 1500;
  readonly sent: SentFrame[] = [];
  readonly mac: MacAddress;
  /** False: there is no room. */
  up = true;
  readonly #time: VirtualTime;

  constructor(time: VirtualTime, mac = "02:00:00:00:00:01") {
    this.#time = time;
    this.mac = MacAddress.parse(mac);
  }

  send(
    destination: MacAddress,
    etherType: number,
    lengthBytes: number,
    write: (view: DataView, at: number) => void,
  ): boolean {
    if (!this.up) return false;
    const view = new DataView(new ArrayBuffer(lengthBytes));
    write(view, 0);
    this.sent.push({ destination, etherType, view, atMs: this.#time.now });
    return true;
  }

  /** What was sent since the last call. */
  take(): SentFrame[] {
    return this.sent.splice(0);
  }
}

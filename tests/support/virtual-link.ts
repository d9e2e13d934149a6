/**
 * An environment for one protocol alone: virtual time, randomness that a test sets, and an outlet that writes down what
 * is sent.
 */
import { RANDOM_RANGE, type Random } from "../../stack/device/random.ts";
import type { Environment, Outlet } from "../../stack/ip/environment.ts";
import { Timers, type Timer } from "../../stack/loop/timers.ts";
import { MacAddress } from "../../stack/wire/mac.ts";

/** One frame as it was sent; its payload starts at 0 of `view`. */
export interface SentFrame {
  readonly atMs: number;
  readonly destination: MacAddress;
  readonly etherType: number;
  readonly view: DataView;
  readonly length: number;
}

/** More steps than any script needs: a timer that sets itself to now again and again ends here. */
const MAX_STEPS = 100_000;

export class VirtualLink {
  /** Of the range of random numbers, which part comes next; undefined draws from `random`. */
  fraction: number | undefined = 0.5;
  /** Whether the outlet takes frames. */
  up = true;
  mtu = 1500;
  readonly mac = MacAddress.parse("02:00:00:00:00:01");
  readonly sent: SentFrame[] = [];
  readonly failures: unknown[] = [];
  readonly environment: Environment;
  readonly outlet: Outlet;
  #nowMs: number;
  readonly #timers: Timers;

  /** `random` is what is drawn from while `fraction` is undefined. */
  constructor(random: Random = { next: () => 0 }, nowMs = 1_000_000) {
    this.#nowMs = nowMs;
    this.#timers = new Timers(
      () => this.#nowMs,
      (error) => this.failures.push(error),
    );
    const link = this;
    this.environment = {
      timers: {
        get now() {
          return link.#nowMs;
        },
        after: (ms: number, fn: () => void): Timer => link.#timers.after(ms, fn),
        every: (ms: number, fn: () => void): Timer => link.#timers.every(ms, fn),
      },
      random: {
        next: () => (link.fraction === undefined ? random.next() : Math.floor(link.fraction * RANDOM_RANGE)),
      },
    };
    this.outlet = {
      name: "virtual0",
      mac: this.mac,
      get mtu() {
        return link.mtu;
      },
      send: (destination, etherType, length, write) => link.#send(destination, etherType, length, write),
    };
  }

  get now(): number {
    return this.#nowMs;
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets time pass, and runs each timer when it is due. Errors of timers are thrown here. */
  advance(ms: number): void {
    const until = this.#nowMs + ms;
    for (let step = 0; this.#timers.nextMs <= until; step++) {
      if (step === MAX_STEPS) throw new Error("timers run in circles");
      this.#nowMs = Math.max(this.#nowMs, this.#timers.nextMs);
      this.#timers.run(this.#nowMs);
    }
    this.#nowMs = until;
    if (this.failures.length > 0) throw this.failures[0];
  }

  /** What was sent since the last call. */
  take(): SentFrame[] {
    return this.sent.splice(0);
  }

  #send(
    destination: MacAddress,
    etherType: number,
    length: number,
    write: (view: DataView, at: number) => void,
  ): boolean {
    if (!this.up) return false;
    // Guards around the payload show a writer that leaves its bounds.
    const bytes = new Uint8Array(length + 2 * GUARD_BYTES).fill(GUARD);
    bytes.fill(0, GUARD_BYTES, GUARD_BYTES + length);
    write(new DataView(bytes.buffer), GUARD_BYTES);
    const guards = [...bytes.subarray(0, GUARD_BYTES), ...bytes.subarray(GUARD_BYTES + length)];
    if (guards.some((byte) => byte !== GUARD)) throw new Error("the writer left its bounds");
    const view = new DataView(bytes.slice(GUARD_BYTES, GUARD_BYTES + length).buffer);
    this.sent.push({ atMs: this.#nowMs, destination, etherType, view, length });
    return true;
  }
}

const GUARD_BYTES = 64;
const GUARD = 0xa5;

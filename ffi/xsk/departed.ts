/**
 * Sockets of a umem that are closed while a driver may still write into their chunks, and the wait until it has let go.
 *
 * A close returns before the driver is told: the kernel frees the socket after a grace period, and a work item then takes
 * the queue from the driver (net/xdp/xsk.c xsk_destruct, xsk_buff_pool.c xp_release_deferred). Nobody is notified of its
 * end, so it is looked for: soon at first, then less and less often. Where it never comes the chunks stay where they are.
 */
import { usleep } from "../sys/libc.ts";

/** Looks whether the driver of one queue has let go. */
export interface LetGo {
  /** The queue, for a person: `"eth0" queue 0`. */
  readonly name: string;
  /** True from the moment on in which no device can reach the chunks any more. */
  look(): boolean;
  /** Idempotent. */
  close(): void;
}

/** A grace period is about 30 ms: the first look comes early in it, each later one after twice the time. */
const FIRST_LOOK_MS = 10;
const LOOK_GROWTH = 2;
/** The rarest that it is looked: a queue that another program has taken meanwhile may stay busy for ever. */
const RAREST_LOOK_MS = 1000;
const AWAIT_STEP_MS = 2;
const US_PER_MS = 1000;

/** The closed sockets of one umem, by slot. */
export class Departed {
  readonly #waiting = new Map<number, LetGo>();
  readonly #takeBack: (slot: number) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `takeBack` is called once for each slot that is free again. */
  constructor(takeBack: (slot: number) => void) {
    this.#takeBack = takeBack;
  }

  get names(): readonly string[] {
    return [...this.#waiting.values()].map(({ name }) => name);
  }

  has(slot: number): boolean {
    return this.#waiting.has(slot);
  }

  add(slot: number, watch: LetGo): void {
    this.#waiting.set(slot, watch);
    this.#lookIn(FIRST_LOOK_MS);
  }

  /** Takes back what can be had by now; true when nothing is left to wait for. */
  look(): boolean {
    for (const [slot, watch] of this.#waiting) {
      if (!watch.look()) continue;
      this.#waiting.delete(slot);
      watch.close();
      this.#takeBack(slot);
    }
    return this.#waiting.size === 0;
  }

  /** The same, again and again until nothing is left or the time is up; blocks. */
  await(limitMs: number): boolean {
    const end = performance.now() + limitMs;
    while (!this.look()) {
      if (performance.now() >= end) return false;
      usleep(AWAIT_STEP_MS * US_PER_MS);
    }
    return true;
  }

  /** Waits no longer: the memory itself ends. */
  close(): void {
    clearTimeout(this.#timer);
    for (const [slot, watch] of this.#waiting) {
      this.#waiting.delete(slot);
      watch.close();
      this.#takeBack(slot);
    }
  }

  #lookIn(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (!this.look()) this.#lookIn(Math.min(delayMs * LOOK_GROWTH, RAREST_LOOK_MS));
    }, delayMs);
    // Only memory waits for this: no reason to keep a program alive.
    this.#timer.unref();
  }
}

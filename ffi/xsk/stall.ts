/**
 * Whether a queue takes frames and completes none, found out from wakeups that move nothing or, where a card takes frames in its
 * own time, from how long nothing has moved; told to its device.
 */
import { ERRNO, errnoName } from "../sys/errno.ts";
import type { SocketHost } from "./host.ts";

/** Wakeups in a row without the kernel taking one descriptor, after which the queue is reported as stalled. */
export const STALL_KICKS = 1000;
/**
 * With zero-copy, frames that wait in the ring for so long while none completes are a stall, in ms. A card that lives completes
 * within microseconds; one that was told to pause (IEEE 802.3 annex 31B: 65 535 quanta) is silent for 34 ms at 1 Gbit/s.
 */
export const STALL_MS = 500;

/** Frames wait for no card. */
const NOT_WAITING = -1;

export class Stall {
  readonly #queue: number;
  readonly #host: SocketHost;
  #idle = 0;
  #odd = 0;
  #stalled = false;
  readonly #nowMs: () => number;
  #waitingSinceMs = NOT_WAITING;

  constructor(queue: number, host: SocketHost, nowMs: () => number = () => performance.now()) {
    this.#queue = queue;
    this.#host = host;
    this.#nowMs = nowMs;
  }

  /** The kernel took descriptors. */
  moved(): void {
    this.#idle = 0;
    this.completed();
  }

  /** It took none. */
  idle(code: number): void {
    this.#idle += 1;
    if (this.#idle % STALL_KICKS !== 0) return;
    const why =
      code === 0 ? "sendto succeeds but sends nothing; has the device this transmit queue?" : errnoName(code);
    this.#tell(`${STALL_KICKS} wakeups moved no descriptor: ${why}`);
  }

  /** With zero-copy: after a wakeup, whether frames still wait for the card to take them. */
  left(waiting: boolean): void {
    if (!waiting) this.#waitingSinceMs = NOT_WAITING;
    else if (this.#waitingSinceMs === NOT_WAITING) this.#waitingSinceMs = this.#nowMs();
    else if (this.#nowMs() - this.#waitingSinceMs >= STALL_MS) {
      this.#waitingSinceMs = this.#nowMs();
      this.#tell(`frames wait, and none was completed for ${STALL_MS} ms`);
    }
  }

  /** The link's own event may be turns away, and none of what is sent until then leaves. */
  linkDown(): void {
    if (!this.#stalled) this.#tell(`sendto: ${errnoName(ERRNO.ENETDOWN)}: the interface is down`);
  }

  /** An error that has no counter of its own. */
  odd(code: number): void {
    if (this.#odd++ % STALL_KICKS === 0) this.#tell(`sendto: ${errnoName(code)}`);
  }

  /** Frames completed. */
  completed(): void {
    this.#waitingSinceMs = NOT_WAITING;
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#odd = 0;
    this.#host.recovered(this.#queue);
  }

  #tell(reason: string): void {
    this.#stalled = true;
    this.#host.stalled(this.#queue, reason);
  }
}

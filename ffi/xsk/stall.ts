/**
 * Whether a queue takes frames and completes none, found out from wakeups that move nothing, and told to its device.
 */
import { ERRNO, errnoName } from "../sys/errno.ts";
import type { SocketHost } from "./host.ts";

/** Wakeups in a row without the kernel taking one descriptor, after which the queue is reported as stalled. */
export const STALL_KICKS = 1000;

export class Stall {
  readonly #queue: number;
  readonly #host: SocketHost;
  #idle = 0;
  #odd = 0;
  #stalled = false;

  constructor(queue: number, host: SocketHost) {
    this.#queue = queue;
    this.#host = host;
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

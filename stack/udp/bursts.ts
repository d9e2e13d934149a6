/**
 * Datagrams as bursts, for programs that would rather pull than be called: `for await (const burst of bursts)`.
 *
 * Each datagram is kept, not copied, and given back when the next burst is asked for or the loop over them ends; what the
 * program replied to or released itself is its own affair. While nobody asks, a bounded number waits.
 */
import type { Timer } from "../loop/timers.ts";
import type { Datagram, KeptDatagram } from "./datagram.ts";
import type { UdpSocket } from "./socket.ts";

/** Datagrams that wait for a program that is slow: four bursts of the loop, a sixteenth of a usual umem. */
export const DEFAULT_WAITING = 256;

export interface BurstOptions {
  /** Datagrams that may wait; more are dropped and counted. Default: DEFAULT_WAITING. */
  readonly limit?: number;
}

export class DatagramBursts implements AsyncIterableIterator<readonly KeptDatagram[]> {
  readonly #limit: number;
  #socket: UdpSocket | undefined;
  #waiting: KeptDatagram[] = [];
  /** What the program has now. */
  #given: readonly KeptDatagram[] = [];
  #wake: ((result: IteratorResult<readonly KeptDatagram[]>) => void) | undefined;
  /** Runs at the end of a turn in which something came, so that a burst is all of it. */
  #timer: Timer | undefined;
  #dropped = 0;
  #ended = false;

  /** Throws a RangeError for a limit below 1. */
  constructor(options: BurstOptions = {}) {
    const { limit = DEFAULT_WAITING } = options;
    if (!(Number.isInteger(limit) && limit >= 1))
      throw new RangeError(`limit is a whole number from 1, not ${String(limit)}`);
    this.#limit = limit;
  }

  /** The socket that they come to: for sending, groups and statistics. */
  get socket(): UdpSocket {
    return this.#socket!;
  }

  /** Datagrams that came while as many waited as may. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The handler of the socket. */
  readonly take = (datagram: Datagram): void => {
    if (this.#ended) return;
    if (this.#waiting.length >= this.#limit) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(datagram.keep());
    if (this.#timer === undefined) this.#timer = this.socket.network.after(0, () => this.#deliver());
    else if (!this.#timer.active) this.#timer.restart(0);
  };

  /** Says which socket it is; for the host. */
  over(socket: UdpSocket): this {
    this.#socket = socket;
    return this;
  }

  /** The next burst, when there is one. What the last one had is given back. */
  next(): Promise<IteratorResult<readonly KeptDatagram[]>> {
    if (this.#wake !== undefined) throw new TypeError("a burst is being waited for already");
    giveBack(this.#given);
    this.#given = [];
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#deliver();
    });
  }

  /** Ends it: closes the socket and gives everything back. */
  return(): Promise<IteratorResult<readonly KeptDatagram[]>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** The same, from outside the loop over it. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#socket?.close();
    giveBack(this.#given);
    giveBack(this.#waiting);
    this.#given = [];
    this.#waiting = [];
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #deliver(): void {
    const wake = this.#wake;
    if (wake === undefined || this.#waiting.length === 0) return;
    this.#wake = undefined;
    // The promise is resolved now and runs after this turn: what comes until then waits for the next burst.
    this.#given = this.#waiting;
    this.#waiting = [];
    wake({ done: false, value: this.#given });
  }
}

const giveBack = (datagrams: readonly KeptDatagram[]): void => {
  for (const datagram of datagrams) if (datagram.live) datagram.release();
};

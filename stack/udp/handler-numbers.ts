/**
 * Small numbers for the handlers of connected sockets: what a slot of the table of flows has room for in place of a function.
 *
 * A server's thousand sockets most often share one handler, so that the few there are stay in a cache while the sockets don't.
 */
import type { DatagramHandler } from "./socket.ts";

/** Stands for no handler: ask the socket. */
export const NO_HANDLER = 0;

export class HandlerNumbers {
  readonly #most: number;
  /** By number; undefined at NO_HANDLER and where a number is free. */
  readonly handlers: (DatagramHandler | undefined)[] = [undefined];
  readonly #uses = new Map<DatagramHandler, { readonly number: number; count: number }>();
  readonly #free: number[] = [];

  /** Numbers go up to `most`. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The handler's number for one more user, NO_HANDLER where none is left. */
  take(handler: DatagramHandler): number {
    const known = this.#uses.get(handler);
    if (known !== undefined) {
      known.count += 1;
      return known.number;
    }
    const number = this.#free.pop() ?? this.handlers.length;
    if (number > this.#most) return NO_HANDLER;
    this.handlers[number] = handler;
    this.#uses.set(handler, { number, count: 1 });
    return number;
  }

  /** Takes back one `take` that gave a number. */
  give(number: number): void {
    const handler = this.handlers[number];
    const use = handler && this.#uses.get(handler);
    if (handler === undefined || use === undefined) return;
    use.count -= 1;
    if (use.count > 0) return;
    this.#uses.delete(handler);
    this.handlers[number] = undefined;
    this.#free.push(number);
  }
}

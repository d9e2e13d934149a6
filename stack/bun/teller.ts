/**
 * Tells a socket's handlers what happens, and finds somebody for every error that one of them throws.
 */
import type { Loop } from "../loop/loop.ts";
import type { Notice } from "../transport/network.ts";
import type { Handlers } from "./config.ts";
import { callError } from "./errors.ts";

export class Teller {
  handlers: Handlers;
  /** For the host: hears what became of datagrams that waited for a neighbour. */
  readonly notice: Notice;
  readonly #loop: Loop;
  /** What handlers are called on. */
  readonly #self: { readonly closed: boolean };
  /** That a neighbour did not answer is said in the next turn, once for all datagrams that waited for it. */
  #unreachable = false;

  constructor(loop: Loop, self: { readonly closed: boolean }, handlers: Handlers) {
    this.#loop = loop;
    this.#self = self;
    this.handlers = handlers;
    this.notice = {
      sent: () => {},
      dropped: (reason) => {
        if (reason === "unreachable") this.#sayUnreachable();
      },
    };
  }

  data(payload: unknown, port: number, address: string, flags: Bun.udp.ReceiveFlags): void {
    try {
      this.handlers.data?.call(this.#self, this.#self, payload, port, address, flags);
    } catch (error) {
      this.error(error);
    }
  }

  drain(): void {
    try {
      this.handlers.drain?.call(this.#self, this.#self);
    } catch (error) {
      this.error(error);
    }
  }

  /**
   * Tells the error handler, as Bun does with the error alone, whatever its types say. Without one, or where that throws
   * too, the loop's error handler hears of it, in its next turn: other sockets may be waiting for this very packet.
   */
  error(error: unknown): void {
    let thrown = error;
    const { error: handler } = this.handlers;
    if (handler !== undefined) {
      try {
        handler.call(this.#self, error);
        return;
      } catch (second) {
        thrown = second;
      }
    }
    this.#loop.after(0, () => {
      throw thrown;
    });
  }

  #sayUnreachable(): void {
    if (this.#unreachable) return;
    this.#unreachable = true;
    this.#loop.after(0, () => {
      this.#unreachable = false;
      if (!this.#self.closed) this.error(callError("EHOSTUNREACH", "recv"));
    });
  }
}

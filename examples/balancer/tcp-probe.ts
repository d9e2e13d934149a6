/**
 * A probe that opens a TCP connection through the kernel: good where somebody accepts it.
 */
import type { Probe } from "millrace";

export class TcpProbe implements Probe {
  readonly #hostname: string;
  readonly #port: number;
  #open = true;

  constructor(hostname: string, port: number) {
    this.#hostname = hostname;
    this.#port = port;
  }

  ask(told: (good: boolean) => void): void {
    const tell = (good: boolean): void => {
      if (this.#open) told(good);
    };
    const socket = {
      open(accepted: { end(): void }) {
        tell(true);
        accepted.end();
      },
      data() {},
      connectError: () => tell(false),
      error() {},
    };
    // The refusal is told twice: to the handler, and by the promise.
    Bun.connect({ hostname: this.#hostname, port: this.#port, socket }).catch(() => {});
  }

  close(): void {
    this.#open = false;
  }
}

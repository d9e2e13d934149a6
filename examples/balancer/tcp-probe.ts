/**
 * A probe that opens a TCP connection through the kernel: good where somebody accepts it.
 */
import type { Probe } from "millrace";

/** Connections that are being tried at most. The kernel gives one up after two minutes, and nobody can before. */
const MAX_TRIED = 256;

export class TcpProbe implements Probe {
  readonly #hostname: string;
  readonly #port: number;
  #open = true;
  #tried = 0;

  constructor(hostname: string, port: number) {
    this.#hostname = hostname;
    this.#port = port;
  }

  ask(told: (good: boolean) => void): void {
    if (this.#tried >= MAX_TRIED) return told(false);
    this.#tried += 1;
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
    Bun.connect({ hostname: this.#hostname, port: this.#port, socket })
      .catch(() => {})
      .finally(() => void (this.#tried -= 1));
  }

  close(): void {
    this.#open = false;
  }
}

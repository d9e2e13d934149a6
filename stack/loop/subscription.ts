/**
 * What a loop returns for every handler that it is given: the way to take it off again.
 */

/** Returned for every handler; `close` takes the handler off, also from inside it. */
export interface Subscription {
  /** False after `close`, or when the device has left the loop. */
  readonly active: boolean;
  /** Idempotent. */
  close(): void;
  [Symbol.dispose](): void;
}

/** A subscription made of two functions. */
export class Handle implements Subscription {
  readonly #isActive: () => boolean;
  readonly #off: () => void;

  constructor(isActive: () => boolean, off: () => void) {
    this.#isActive = isActive;
    this.#off = off;
  }

  get active(): boolean {
    return this.#isActive();
  }

  close(): void {
    if (this.#isActive()) this.#off();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Signals of a loop: they arrive whenever the runtime delivers them and run in the loop's turn, like everything else.
 *
 * Like the kernel's own, signals of one name that arrive before they are handled are one.
 */
import type { SignalSource } from "../device/device.ts";

/** Names that one loop listens to at most; Linux has 64 signals. */
export const MAX_SIGNALS = 64;

interface Listened {
  readonly name: string;
  handlers: readonly (() => void)[];
  pending: boolean;
  unlisten: () => void;
}

export class Signals {
  readonly #source: SignalSource | undefined;
  readonly #failed: (error: unknown, name: string) => void;
  readonly #listened = new Map<string, Listened>();
  #pending = 0;

  constructor(source: SignalSource | undefined, failed: (error: unknown, name: string) => void) {
    this.#source = source;
    this.#failed = failed;
  }

  /** Calls `fn` in a turn after each `name` ("SIGINT"), until the returned function is called. */
  on(name: string, fn: () => void): () => void {
    if (typeof fn !== "function") throw new TypeError("a signal needs a function");
    const listened = this.#listened.get(name) ?? this.#listen(name);
    listened.handlers = [...listened.handlers, fn];
    let on = true;
    return () => {
      if (!on) return;
      on = false;
      listened.handlers = without(listened.handlers, fn);
      if (listened.handlers.length === 0) this.#drop(listened);
    };
  }

  /** Runs the handlers of the signals that have arrived; returns how many signals. */
  run(): number {
    if (this.#pending === 0) return 0;
    let ran = 0;
    for (const listened of [...this.#listened.values()]) {
      if (!listened.pending) continue;
      listened.pending = false;
      this.#pending -= 1;
      ran += 1;
      for (const fn of listened.handlers) {
        // A handler before it may have taken this one off.
        if (listened.handlers.includes(fn)) this.#call(fn, listened.name);
      }
    }
    return ran;
  }

  /** Listens to nothing any more. */
  clear(): void {
    for (const listened of [...this.#listened.values()]) this.#drop(listened);
  }

  #call(fn: () => void, name: string): void {
    try {
      fn();
    } catch (error) {
      this.#failed(error, name);
    }
  }

  #listen(name: string): Listened {
    if (this.#source === undefined) {
      throw new TypeError(`cannot listen to ${name}: this loop was made without a source of signals`);
    }
    if (this.#listened.size >= MAX_SIGNALS)
      throw new RangeError(`a loop listens to at most ${MAX_SIGNALS} signals`);
    const listened: Listened = { name, handlers: [], pending: false, unlisten: () => {} };
    listened.unlisten = this.#source.listen(name, () => {
      if (listened.pending) return;
      listened.pending = true;
      this.#pending += 1;
    });
    this.#listened.set(name, listened);
    return listened;
  }

  #drop(listened: Listened): void {
    if (this.#listened.get(listened.name) !== listened) return;
    this.#listened.delete(listened.name);
    if (listened.pending) this.#pending -= 1;
    listened.pending = false;
    listened.handlers = [];
    listened.unlisten();
  }
}

/** `list` without the first `item`. */
const without = <T>(list: readonly T[], item: T): readonly T[] => {
  const at = list.indexOf(item);
  return at < 0 ? list : [...list.slice(0, at), ...list.slice(at + 1)];
};

/**
 * What becomes of an error that somebody's handler threw: counted, told to the program, never the end of the loop.
 */

/** Whose code threw. `name` is the device's, the signal's or the source's name, or the kind of timer or event. */
export interface ErrorSource {
  readonly kind: "frame" | "burst" | "link" | "timer" | "signal" | "device" | "source" | "event";
  readonly name: string;
}

export type ErrorHandler = (error: unknown, source: ErrorSource) => void;

/** Distinct texts that the default handler remembers; beyond it new ones are only counted, so a flood stays bounded. */
export const MAX_PRINTED_ERRORS = 64;

/** Counts errors and hands them on; an error handler that throws itself is counted too. */
export class ErrorReporter {
  readonly #handler: ErrorHandler;
  #count = 0;

  constructor(handler: ErrorHandler | undefined) {
    this.#handler = handler ?? printOnce();
  }

  /** Errors since the start. */
  get count(): number {
    return this.#count;
  }

  report(error: unknown, source: ErrorSource): void {
    this.#count += 1;
    try {
      this.#handler(error, source);
    } catch (second) {
      this.#count += 1;
      console.error("millrace: the error handler of the loop threw", second);
    }
  }
}

/** Prints each distinct error once: a handler that throws at every packet must not print at every packet. */
const printOnce = (): ErrorHandler => {
  const printed = new Set<string>();
  return (error, source) => {
    const text = `millrace: ${source.kind} handler of ${source.name}: ${String(error)}`;
    if (printed.has(text) || printed.size >= MAX_PRINTED_ERRORS) return;
    printed.add(text);
    console.error(text, error, "(printed once; later ones are counted in statistics().handlerErrors)");
  };
};

/**
 * Events that parts of the program tell each other through the loop: delivered at once, in order, whoever throws.
 */
import type { ErrorReporter } from "./errors.ts";
import { Handle, type Subscription } from "./subscription.ts";

/** What `emit` delivers. Each kind adds members of its own. */
export interface LoopEvent {
  readonly kind: string;
  /** When it happened, in ms of the loop's clock: the turn's time, or finer. */
  readonly atMs: number;
}

export type EventHandler = (event: LoopEvent) => void;

/** Handlers of one loop at most: each is called at every event. */
export const MAX_EVENT_HANDLERS = 1024;

/** Events that handlers emit within events at most; deeper is an endless exchange, which would end in a full stack. */
export const MAX_EMIT_DEPTH = 64;

interface Listening {
  readonly handler: EventHandler;
  active: boolean;
}

export class EventBus {
  readonly #errors: ErrorReporter;
  /** Replaced, never changed in place: `emit` may walk over it while handlers add and remove. */
  #listening: readonly Listening[] = [];
  #depth = 0;

  constructor(errors: ErrorReporter) {
    this.#errors = errors;
  }

  /** Calls `handler` with each event from now on. The same handler twice is two subscriptions. */
  on(handler: EventHandler): Subscription {
    if (typeof handler !== "function")
      throw new TypeError(`an event handler is a function, not ${typeof handler}`);
    if (this.#listening.length >= MAX_EVENT_HANDLERS)
      throw new RangeError(`a loop has at most ${MAX_EVENT_HANDLERS} handlers of events`);
    const listening: Listening = { handler, active: true };
    this.#listening = [...this.#listening, listening];
    return new Handle(
      () => listening.active,
      () => {
        listening.active = false;
        this.#listening = this.#listening.filter((other) => other !== listening);
      },
    );
  }

  /** Calls the handlers in the order of their subscriptions before it returns. Never throws: errors are reported. */
  emit(event: LoopEvent): void {
    if (this.#depth >= MAX_EMIT_DEPTH) {
      const error = new RangeError(`events that cause events go at most ${MAX_EMIT_DEPTH} deep`);
      this.#errors.report(error, { kind: "event", name: nameOf(event) });
      return;
    }
    this.#depth += 1;
    for (const listening of this.#listening) {
      // A handler before it may have taken this one off.
      if (!listening.active) continue;
      try {
        listening.handler(event);
      } catch (error) {
        this.#errors.report(error, { kind: "event", name: nameOf(event) });
      }
    }
    this.#depth -= 1;
  }

  /** No handler is called any more. */
  clear(): void {
    for (const listening of this.#listening) listening.active = false;
    this.#listening = [];
  }
}

/** Also of what is no event at all: a report must not fail for the same reason as the handler. */
const nameOf = (event: LoopEvent | undefined | null): string => String(event?.kind);

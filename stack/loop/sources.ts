/**
 * What a loop asks besides its devices: sources of events with descriptors of their own, such as a kernel's routes.
 */
import type { EventSource } from "../device/routesource.ts";
import type { ErrorReporter } from "./errors.ts";
import { Handle, type Subscription } from "./subscription.ts";

/** Sources in one loop at most; each costs a system call whenever they are asked. */
export const MAX_SOURCES = 256;

interface Watched {
  readonly source: EventSource;
  active: boolean;
}

export class Sources {
  readonly #errors: ErrorReporter;
  /** Replaced, never changed in place: a turn may walk over it while sources come and go. */
  #watched: readonly Watched[] = [];
  #changed = false;

  constructor(errors: ErrorReporter) {
    this.#errors = errors;
  }

  /** Their descriptors, read when they are asked for. */
  get fds(): readonly number[] {
    return this.#watched.flatMap(({ source }) => source.fds);
  }

  /** Asks `source` from now on, until the subscription is closed. The same one twice is asked twice. */
  watch(source: EventSource): Subscription {
    if (typeof source?.take !== "function" || !Array.isArray(source.fds))
      throw new TypeError("a loop watches a source of events: an object with a name, fds and take()");
    if (this.#watched.length >= MAX_SOURCES)
      throw new RangeError(`a loop watches at most ${MAX_SOURCES} sources of events`);
    const watched: Watched = { source, active: true };
    this.#watched = [...this.#watched, watched];
    this.#changed = true;
    return new Handle(
      () => watched.active,
      () => this.#drop(watched),
    );
  }

  /** True once after sources came or went: the descriptors to wait for are others. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** Lets each source handle what is there; returns how many events. One that throws is reported and asked again. */
  take(): number {
    let events = 0;
    for (const watched of this.#watched) {
      // One before it may have closed this one's subscription.
      if (!watched.active) continue;
      try {
        events += watched.source.take();
      } catch (error) {
        this.#errors.report(error, { kind: "source", name: watched.source.name });
      }
    }
    return events;
  }

  /** Watches nothing any more. */
  clear(): void {
    for (const watched of this.#watched) this.#drop(watched);
  }

  #drop(watched: Watched): void {
    watched.active = false;
    this.#watched = this.#watched.filter((other) => other !== watched);
    this.#changed = true;
  }
}

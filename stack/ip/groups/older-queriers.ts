/**
 * Which dialect of group membership a link speaks: the oldest of the queriers heard of late (RFC 3376 section 7.2.1,
 * RFC 3810 section 8.2.1).
 */
import type { Timer } from "../../loop/timers.ts";
import type { TimerSource } from "../environment.ts";

/** 3 is IGMPv3 and MLDv2, 2 is IGMPv2 and MLDv1, 1 is IGMPv1. */
export type Dialect = 1 | 2 | 3;

/** Query Interval until a querier says otherwise: RFC 3376 section 8.2, RFC 3810 section 9.2. */
export const QUERY_INTERVAL_MS = 125_000;
/** Query Response Interval until a querier says otherwise: RFC 3376 section 8.3, RFC 3810 section 9.3. */
export const QUERY_RESPONSE_MS = 10_000;

/** What of a query tells of the querier. */
interface QuerierSigns {
  readonly dialect: Dialect;
  /** Undefined in a general query, the only thing about it that matters here. */
  readonly group: unknown;
  readonly maxResponseMs: number;
  readonly intervalMs: number;
}

export class OlderQueriers {
  readonly #timers: TimerSource;
  readonly #changed: () => void;
  #v1: Timer | undefined;
  #v2: Timer | undefined;
  #intervalMs = QUERY_INTERVAL_MS;
  #dialect: Dialect = 3;

  /** `changed` is called after the dialect changed. */
  constructor(timers: TimerSource, changed: () => void) {
    this.#timers = timers;
    this.#changed = changed;
  }

  /** The dialect to speak. */
  get dialect(): Dialect {
    return this.#dialect;
  }

  /** Learns from a query. An older querier counts as present for Older Version Querier Present Timeout from now. */
  heard(query: QuerierSigns, robustness: number): void {
    if (query.dialect === 3) this.#intervalMs = query.intervalMs > 0 ? query.intervalMs : QUERY_INTERVAL_MS;
    const responseMs = query.maxResponseMs > 0 ? query.maxResponseMs : QUERY_RESPONSE_MS;
    const timeoutMs = robustness * this.#intervalMs + responseMs;
    // Only general queries tell of version 2: a querier of version 3 may ask about a group in the older form.
    if (query.dialect === 1) this.#v1 = this.#present(this.#v1, timeoutMs);
    else if (query.dialect === 2 && query.group === undefined) this.#v2 = this.#present(this.#v2, timeoutMs);
    this.#judge();
  }

  close(): void {
    this.#v1?.cancel();
    this.#v2?.cancel();
  }

  #present(timer: Timer | undefined, timeoutMs: number): Timer {
    if (timer === undefined) return this.#timers.after(timeoutMs, () => this.#judge());
    timer.restart(timeoutMs);
    return timer;
  }

  #judge(): void {
    const dialect = this.#v1?.active === true ? 1 : this.#v2?.active === true ? 2 : 3;
    if (dialect === this.#dialect) return;
    this.#dialect = dialect;
    this.#changed();
  }
}

/**
 * What a feed counts: what was handed on, what was lost, and what was out of order.
 */
import type { FeedSideStatistics } from "./feed-sides.ts";

/** Counters of a feed, in numbers unless the name says otherwise. */
export interface FeedStatistics extends Readonly<FeedCounters> {
  /** Datagrams that wait now. */
  readonly held: number;
  readonly sides: readonly FeedSideStatistics[];
}

export class FeedCounters {
  /** Handed on. */
  delivered = 0;
  /** Given up: no side brought them in time. */
  lost = 0;
  /** Runs of lost numbers. */
  gaps = 0;
  /** Gaps that were given up early, because as many datagrams waited as may. */
  forced = 0;
  /** Datagrams out of all order, which were dropped: what follows such a one begins anew. */
  strays = 0;
  /** Datagrams of a session that had just ended, which were dropped. */
  stragglers = 0;
  /** Times that the numbers began anew. */
  resets = 0;
  /** Handlers that threw. */
  failed = 0;
  /** The most datagrams that ever waited. */
  mostHeld = 0;
}

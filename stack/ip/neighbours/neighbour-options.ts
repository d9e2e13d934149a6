/**
 * The constants of neighbour unreachability detection (RFC 4861 section 10) and the options that change them.
 */
import { type PoolLimits, poolLimits, type PoolStatistics } from "./neighbour-pool.ts";

/** RFC 4861 section 10, in ms. */
export const REACHABLE_TIME_MS = 30_000;
export const RETRANS_TIMER_MS = 1000;
export const DELAY_FIRST_PROBE_MS = 5000;
export const MAX_MULTICAST_SOLICIT = 3;
export const MAX_UNICAST_SOLICIT = 3;
export const MIN_RANDOM_FACTOR = 0.5;
export const MAX_RANDOM_FACTOR = 1.5;
/** ReachableTime is drawn anew at least every few hours (RFC 4861 section 6.3.4). */
export const REDRAW_MS = 2 * 3_600_000;

/**
 * How long one that did not answer is not asked again. RFC 1122 section 2.3.2.1: at most one request per second for one
 * destination.
 */
export const FAILED_MS = 1000;

/** New neighbours in one second: each costs a request that the whole link hears, whoever provoked it (RFC 6583). */
export const NEW_PER_SECOND = 1024;

/** The longest time that a router may advertise: 32 bits of ms (RFC 4861 section 4.2). */
const MAX_TIME_MS = 2 ** 32;
/** Requests for one neighbour at most; more is a mistake. */
const MAX_SOLICITS = 100;

/** Probes for failover within milliseconds. */
export interface FastProbe {
  /** Time between probes in ms, and before the first. */
  readonly intervalMs: number;
  /** Probes without an answer until the neighbour is given up. */
  readonly count: number;
}

export interface NeighbourOptions extends Partial<PoolLimits> {
  /** The middle of the random time that a confirmation lasts. Default: 30 s. */
  readonly baseReachableMs?: number;
  /** Time between requests. Default: 1 s. */
  readonly retransMs?: number;
  /** Time for upper layers to confirm a stale neighbour in use, before it is probed. Default: 5 s. */
  readonly delayMs?: number;
  /** Requests to all for one neighbour. Default: 3. */
  readonly multicastSolicits?: number;
  /** Probes of a neighbour that is known. Default: 3. */
  readonly unicastSolicits?: number;
  /** How long one that did not answer is not asked again. Default: 1 s. */
  readonly failedMs?: number;
  /** New neighbours in one second, and at once. Default: 1024. */
  readonly newPerSecond?: number;
  /** Probes in quick succession, in place of `delayMs`, `unicastSolicits` and, for probes, `retransMs`. Default: off. */
  readonly fastProbe?: FastProbe | undefined;
}

export interface NeighbourSettings extends PoolLimits {
  baseReachableMs: number;
  retransMs: number;
  readonly delayMs: number;
  readonly multicastSolicits: number;
  readonly unicastSolicits: number;
  readonly failedMs: number;
  readonly newPerSecond: number;
  /** Time between probes, where it is not `retransMs`. */
  readonly probeMs: number | undefined;
}

export interface NeighbourStatistics extends PoolStatistics {
  /** Neighbours that were not made because there were more new ones than `newPerSecond`. */
  readonly throttled: number;
  /** Requests to all, and probes to one. */
  readonly multicastSolicits: number;
  readonly unicastSolicits: number;
  /** Neighbours that were asked for and whose address came. */
  readonly resolved: number;
  /** Neighbours that did not answer. */
  readonly unanswered: number;
  /** Messages that changed nothing because RFC 4861 section 7.2.5 says so, or from a group address. */
  readonly ignored: number;
}

/** The options with defaults, checked. Throws a RangeError that names the wrong one. */
export const neighbourSettings = (options: NeighbourOptions): NeighbourSettings => {
  const { fastProbe } = options;
  const settings = {
    ...poolLimits(options),
    baseReachableMs: checkTime("baseReachableMs", options.baseReachableMs ?? REACHABLE_TIME_MS),
    retransMs: checkTime("retransMs", options.retransMs ?? RETRANS_TIMER_MS),
    delayMs: checkTime("delayMs", fastProbe?.intervalMs ?? options.delayMs ?? DELAY_FIRST_PROBE_MS),
    multicastSolicits: count("multicastSolicits", options.multicastSolicits ?? MAX_MULTICAST_SOLICIT),
    unicastSolicits: count(
      "unicastSolicits",
      fastProbe?.count ?? options.unicastSolicits ?? MAX_UNICAST_SOLICIT,
    ),
    failedMs: checkTime("failedMs", options.failedMs ?? FAILED_MS),
    newPerSecond: options.newPerSecond ?? NEW_PER_SECOND,
    probeMs: fastProbe?.intervalMs,
  };
  if (!(settings.newPerSecond > 0))
    throw new RangeError(`newPerSecond must be more than 0, not ${settings.newPerSecond}`);
  return settings;
};

/** `ms`, or a RangeError that names it. */
export const checkTime = (name: string, ms: number): number => {
  if (!(ms > 0 && ms <= MAX_TIME_MS))
    throw new RangeError(`${name} must be more than 0 and at most ${MAX_TIME_MS} ms, not ${String(ms)}`);
  return ms;
};

const count = (name: string, value: number): number => {
  if (!Number.isInteger(value) || value < 1 || value > MAX_SOLICITS)
    throw new RangeError(`${name} must be a whole number from 1 to ${MAX_SOLICITS}, not ${String(value)}`);
  return value;
};

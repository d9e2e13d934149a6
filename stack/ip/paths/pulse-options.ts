/**
 * How often the other end of a path is asked, and how much silence is its death: options, defaults and limits.
 */

/** Of a path that answers, where nothing else is said: within a second it is known that it doesn't any more. */
export const INTERVAL_MS = 300;
/** Unanswered questions that are death: two may be lost. */
export const COUNT = 3;
/** A path that is down is asked no more often than this, in ms, until it answers: nobody is flooded for the dead. */
export const RETRY_MS = 100;
/** Below that questions and answers wait longer for their turns than for each other. */
const MIN_INTERVAL_MS = 1;
/** An hour: what is asked less often is not watched. */
const MAX_INTERVAL_MS = 3_600_000;
/** BFD's multiplier has eight bits (RFC 5880 section 4.1), and more is a mistake here too. */
const MAX_COUNT = 255;

export interface PulseOptions {
  /**
   * Time between questions in ms; the actual one is 10 to 25 % less, at random, so that `count` questions fall in the time
   * that `count` intervals take, and many who ask don't do so in step. Default: 300.
   */
  readonly intervalMs?: number;
  /**
   * After `count` intervals without an answer the verdict is "down", and after as many questions in a row that were answered
   * it is "up" again. Default: 3.
   */
  readonly count?: number;
  /** Time between questions while nothing answers. Default: `intervalMs`, but not less than 100. */
  readonly retryMs?: number;
}

export type PulseSettings = Required<PulseOptions>;

/** The options with defaults, checked. Throws a RangeError that names the wrong one. */
export const pulseSettings = (options: PulseOptions): PulseSettings => {
  const intervalMs = checkInterval("intervalMs", options.intervalMs ?? INTERVAL_MS);
  return {
    intervalMs,
    count: checkCount("count", options.count ?? COUNT),
    retryMs: checkInterval("retryMs", options.retryMs ?? Math.max(intervalMs, RETRY_MS)),
  };
};

/** `ms`, or a RangeError that names it. */
export const checkInterval = (name: string, ms: number): number => {
  if (!(ms >= MIN_INTERVAL_MS && ms <= MAX_INTERVAL_MS))
    throw new RangeError(`${name} is ${MIN_INTERVAL_MS} to ${MAX_INTERVAL_MS} ms, not ${String(ms)}`);
  return ms;
};

/** `value`, or a RangeError that names it. */
export const checkCount = (name: string, value: number): number => {
  if (!(Number.isInteger(value) && value >= 1 && value <= MAX_COUNT))
    throw new RangeError(`${name} is a whole number from 1 to ${MAX_COUNT}, not ${String(value)}`);
  return value;
};

/** Throws a TypeError that names an option which `what` does not have. */
export const checkKeys = (what: string, given: object, known: readonly string[]): void => {
  if (typeof given !== "object" || given === null) throw new TypeError(`${what} takes an object of options`);
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new TypeError(`${what} has no option "${unknown}"; it has ${known.join(", ")}`);
};

export const PULSE_KEYS: readonly (keyof PulseOptions)[] = ["intervalMs", "count", "retryMs"];

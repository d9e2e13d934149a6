/**
 * Rates from counters, and figures as a person reads them.
 */

const MS_PER_S = 1000;
const BITS_PER_BYTE = 8;
/** Decimal prefixes, as rates have them. */
const PREFIXES = ["", "k", "M", "G", "T"] as const;
const STEP = 1000;
const DIGITS = 3;

/** Turns counters that only grow into rates per second. */
export class Meter<K extends string> {
  #lastMs: number;
  #last: Readonly<Record<K, number>>;

  constructor(nowMs: number, start: Readonly<Record<K, number>>) {
    this.#lastMs = nowMs;
    this.#last = start;
  }

  /** Growth per second since the last call, rounded. */
  rates(nowMs: number, now: Readonly<Record<K, number>>): Record<K, number> {
    const seconds = Math.max((nowMs - this.#lastMs) / MS_PER_S, Number.EPSILON);
    const rates: Record<K, number> = { ...now };
    for (const key of Object.keys(now) as K[])
      rates[key] = Math.round((now[key] - this.#last[key]) / seconds);
    this.#lastMs = nowMs;
    this.#last = now;
    return rates;
  }
}

/** "12 ", "1.23 k", "45.6 M": three digits that mean something, and the prefix of the unit that follows. */
export const scaled = (value: number): string => {
  let left = value;
  let prefix = 0;
  // What rounds to a thousand has the next prefix.
  while (Number(left.toPrecision(DIGITS)) >= STEP && prefix < PREFIXES.length - 1) {
    left /= STEP;
    prefix += 1;
  }
  const text = prefix === 0 ? String(Math.round(left)) : left.toPrecision(DIGITS);
  return `${text} ${PREFIXES[prefix] ?? ""}`;
};

/** "1.23 Mpps". */
export const packetRate = (pps: number): string => `${scaled(pps)}pps`;

/** "45.6 Mbit/s" from bytes per second. */
export const bitRate = (bytesPerSecond: number): string => `${scaled(bytesPerSecond * BITS_PER_BYTE)}bit/s`;

/** "1,234,567". */
export const grouped = (value: number): string => Math.round(value).toLocaleString("en-US");

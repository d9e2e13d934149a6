/**
 * The penalty of a path that keeps going down, which decays with time (RFC 2439 section 4.4): while it is high, the path is
 * left out of use though it lives.
 *
 * Time is an argument, and decay is worked out when somebody asks, so that a penalty costs no timer.
 */

/** RFC 2439 section 4.2 calls these the cutoff threshold, the reuse threshold, the half-life and the ceiling. */
export interface DampingOptions {
  /** Added each time that the path goes down. Default 1000. */
  readonly penalty?: number;
  /** Above this the path is damped. Default 3000: at the fourth time within a few seconds. */
  readonly suppress?: number;
  /** Below this it is used again. Default 1000. */
  readonly reuse?: number;
  /** In this time the penalty halves, in ms. Default 5000. */
  readonly halfLifeMs?: number;
  /** No penalty is higher. Default 8000: with the others, a path is damped for 15 s after it went down last at most. */
  readonly maximum?: number;
}

/** The RFC thinks of routes that the whole Internet hears of, and of minutes; a host tells nobody, and of seconds. */
export const DAMPING = { penalty: 1000, suppress: 3000, reuse: 1000, halfLifeMs: 5000, maximum: 8000 };

export type DampingSettings = Required<DampingOptions>;

const NAMES = Object.keys(DAMPING) as (keyof DampingSettings)[];

/** @throws TypeError or RangeError that names the option which is no good. */
export const dampingSettings = (options: DampingOptions = {}): DampingSettings => {
  if (typeof options !== "object" || options === null)
    throw new TypeError("damping is an object of options, or false");
  const unknown = Object.keys(options).find((key) => !NAMES.includes(key as keyof DampingSettings));
  if (unknown !== undefined)
    throw new TypeError(`damping has no option "${unknown}"; it has ${NAMES.join(", ")}`);
  const settings = { ...DAMPING, ...options };
  for (const name of NAMES) {
    const value = settings[name];
    if (!(typeof value === "number" && value > 0 && value < Infinity))
      throw new RangeError(`damping.${name} must be a positive number, not ${String(value)}`);
  }
  const { reuse, suppress, maximum } = settings;
  if (reuse > suppress)
    throw new RangeError(`damping.reuse ${reuse} must not be above suppress, ${suppress}`);
  if (maximum < suppress)
    throw new RangeError(`damping.maximum ${maximum} must not be below suppress, ${suppress}`);
  return settings;
};

export class Penalty {
  readonly #settings: DampingSettings;
  #value = 0;
  #atMs = 0;
  /** When it has decayed to the lower threshold, where it was above the upper one. */
  #reuseAtMs = -Infinity;

  constructor(settings: DampingSettings) {
    this.#settings = settings;
  }

  /** The penalty now. */
  at(nowMs: number): number {
    return this.#value * 2 ** -((nowMs - this.#atMs) / this.#settings.halfLifeMs);
  }

  /** The path went down once more. */
  add(nowMs: number): void {
    const { penalty, maximum, suppress, reuse, halfLifeMs } = this.#settings;
    // What is damped stays so until the lower threshold (RFC 2439 section 4.4.3).
    const damped = this.remainingMs(nowMs) > 0;
    this.#value = Math.min(this.at(nowMs) + penalty, maximum);
    this.#atMs = nowMs;
    if (damped || this.#value > suppress)
      this.#reuseAtMs = nowMs + Math.log2(this.#value / reuse) * halfLifeMs;
  }

  /** How long it will be before the path may be used, in ms; 0 where it may. */
  remainingMs(nowMs: number): number {
    return Math.max(0, this.#reuseAtMs - nowMs);
  }

  /** True where it is so low that nothing is lost by forgetting it (RFC 2439 section 4.4.5: half of the reuse threshold). */
  spent(nowMs: number): boolean {
    return this.at(nowMs) < this.#settings.reuse / 2;
  }

  /** Begins anew, as if the path had never been down. */
  forgive(): void {
    this.#value = 0;
    this.#reuseAtMs = -Infinity;
  }
}

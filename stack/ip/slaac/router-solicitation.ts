/**
 * When to ask for routers: RFC 4861 section 6.3.7, with the retransmission of RFC 7559, which never gives up.
 */
import { RANDOM_RANGE } from "../../device/random.ts";
import type { Timer } from "../../loop/timers.ts";
import type { Environment } from "../environment.ts";

/** MAX_RTR_SOLICITATION_DELAY of RFC 4861 section 10: hosts that start together don't ask together. */
export const START_DELAY_MS = 1_000;
/** IRT of RFC 7559 section 2. */
export const FIRST_INTERVAL_MS = 4_000;
/** MRT of RFC 7559 section 2. */
export const LONGEST_INTERVAL_MS = 3_600_000;
/** RAND of RFC 8415 section 15, which RFC 7559 refers to: a tenth up or down. */
const JITTER = 0.1;

export class RouterSolicitation {
  readonly #environment: Environment;
  readonly #solicit: () => void;
  #timer: Timer | undefined;
  #intervalMs = 0;

  /** `solicit` sends one solicitation. */
  constructor(environment: Environment, solicit: () => void) {
    this.#environment = environment;
    this.#solicit = solicit;
  }

  /** Still asks. */
  get active(): boolean {
    return this.#timer?.active ?? false;
  }

  /** Asks from now on, from the beginning. */
  start(): void {
    this.stop();
    this.#intervalMs = 0;
    this.#timer = this.#environment.timers.after(this.#random() * START_DELAY_MS, () => this.#ask());
  }

  /** Asks no more, as RFC 7559 section 2.1 has it once an advertisement brought a default route. */
  stop(): void {
    this.#timer?.cancel();
  }

  #ask(): void {
    const jitter = (this.#random() * 2 - 1) * JITTER;
    if (this.#intervalMs === 0) this.#intervalMs = FIRST_INTERVAL_MS * (1 + jitter);
    else this.#intervalMs *= 2 + jitter;
    if (this.#intervalMs > LONGEST_INTERVAL_MS) this.#intervalMs = LONGEST_INTERVAL_MS * (1 + jitter);
    this.#timer?.restart(this.#intervalMs);
    this.#solicit();
  }

  /** From 0 to 1. */
  #random(): number {
    return this.#environment.random.next() / RANDOM_RANGE;
  }
}

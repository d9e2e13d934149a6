/**
 * The echo function of one session (RFC 5880 sections 6.4, 6.8.5, 6.8.8, 6.8.9): when the next echo is due, which came back,
 * and when too many did not.
 *
 * Peers offer echoes that they never send back, where their kernel does not forward: what has not come back once since the session
 * was made says nothing, and control packets go on as if there were none.
 */
import type { Random } from "../device/random.ts";
import { drawJitter } from "./jitter.ts";

/** Echoes under way whose times are remembered: more than any multiplier's worth of 1 ms on a link. */
const REMEMBERED = 256;
const US_PER_MS = 1000;
const NEVER = -Infinity;

export class EchoFunction {
  readonly #wantedUs: number;
  readonly #random: Random;
  /** When the echo of a sequence number left; the number is the index in the circle. */
  readonly #sentMs: Float64Array;
  #intervalMs = 0;
  #multiplier = 0;
  #sequence = 0;
  #nextMs = Infinity;
  #failsAtMs = Infinity;
  /** When the last one came back, or was not missed yet. */
  #heardMs = 0;
  /** One came back, ever. */
  #proven = false;
  rttMs: number | undefined;

  /** `wantedUs`: 0 for no echoes at all. */
  constructor(wantedUs: number, random: Random) {
    this.#wantedUs = wantedUs;
    this.#random = random;
    // Most sessions have no echoes, and two KiB each would be most of what a session takes.
    this.#sentMs = new Float64Array(wantedUs > 0 ? REMEMBERED : 0).fill(NEVER);
  }

  /** True while echoes are sent. */
  get running(): boolean {
    return this.#intervalMs > 0;
  }

  /** True while they are what failures are seen by. */
  get active(): boolean {
    return this.running && this.#proven;
  }

  /** When `advance` is to be called next. */
  get nextMs(): number {
    return Math.min(this.#nextMs, this.#failsAtMs);
  }

  /** Ms since the last echo came back. */
  silentMs(nowMs: number): number {
    return nowMs - this.#heardMs;
  }

  /**
   * To be called when the session came up or went down, or the peer said another `peerUs`: it sends echoes back this often, or
   * not (0). Failure is `multiplier` echoes without an answer.
   */
  settle(up: boolean, peerUs: number, multiplier: number, nowMs: number): void {
    const runs = up && this.#wantedUs > 0 && peerUs > 0;
    const intervalMs = runs ? Math.max(this.#wantedUs, peerUs) / US_PER_MS : 0;
    if (intervalMs === this.#intervalMs && multiplier === this.#multiplier) return;
    this.#multiplier = multiplier;
    const starts = this.#intervalMs === 0;
    this.#intervalMs = intervalMs;
    if (!runs) {
      this.#nextMs = Infinity;
      this.#failsAtMs = Infinity;
    } else if (starts) {
      this.#sentMs.fill(NEVER);
      this.#nextMs = nowMs;
      this.#heardMs = nowMs;
      this.#failsAtMs = this.#failure();
    } else {
      this.#nextMs = Math.min(this.#nextMs, nowMs + intervalMs);
      // Those that are missing by the new measure were not asked for by it.
      if (this.#proven) this.#failsAtMs = nowMs + intervalMs * multiplier;
    }
  }

  /** The number of an echo that is to be sent now; undefined where none is due. */
  due(nowMs: number): number | undefined {
    if (nowMs < this.#nextMs) return undefined;
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) >>> 0;
    this.#sentMs[sequence % REMEMBERED] = nowMs;
    this.#nextMs = nowMs + this.#intervalMs * drawJitter(this.#random, this.#multiplier);
    return sequence;
  }

  /** When too many will not have come back; Infinity where that says nothing. */
  get failsAtMs(): number {
    return this.#failsAtMs;
  }

  /** Does not fail before then. */
  excuse(untilMs: number): void {
    this.#failsAtMs = Math.max(this.#failsAtMs, untilMs);
  }

  /** True where too many in a row did not come back. */
  failed(nowMs: number): boolean {
    return nowMs >= this.#failsAtMs;
  }

  /** An echo of this session came back. False where it is none that is waited for. */
  returned(sequence: number, nowMs: number): boolean {
    const behind = (this.#sequence - sequence) >>> 0;
    if (!this.running || behind < 1 || behind > REMEMBERED) return false;
    const sentMs = this.#sentMs[sequence % REMEMBERED]!;
    // One that comes back twice is waited for once.
    if (sentMs === NEVER) return false;
    this.#sentMs[sequence % REMEMBERED] = NEVER;
    this.rttMs = nowMs - sentMs;
    this.#heardMs = nowMs;
    this.#proven = true;
    this.#failsAtMs = this.#failure();
    return true;
  }

  #failure(): number {
    return this.#proven ? this.#heardMs + this.#intervalMs * this.#multiplier : Infinity;
  }
}

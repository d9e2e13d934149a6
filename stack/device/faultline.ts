/**
 * One direction of a faulty queue: draws the fate of each packet and holds those back that come late.
 */
import type { Clock } from "./device.ts";
import { below, chance, RANDOM_RANGE, type Random } from "./random.ts";

/** Fates of one direction, in packets. */
export interface FaultCounters {
  /** Handed on, whatever else happened to them; doubled ones twice. */
  passed: number;
  passedBytes: number;
  dropped: number;
  duplicated: number;
  reordered: number;
  delayed: number;
  corrupted: number;
  /** Spared a fault for want of a chunk or of room to hold them. */
  spared: number;
  /** Lost because nobody could take them: larger than the burst that they should go in. */
  lost: number;
}

/** What a line needs of FaultRates: all of them, checked. */
export interface LineRates {
  readonly drop: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly reorderMs: number;
  readonly delay: number;
  readonly delayMs: readonly [least: number, most: number];
  readonly corrupt: number;
}

/** A packet between two places: its chunks, and whether they are kept (held back) or lent. */
export interface Packet {
  readonly address: number[];
  readonly length: number[];
  readonly bytes: number;
  kept: boolean;
  dueMs: number;
  /** True while the next packet that passes lets it go. */
  waits: boolean;
}

export const createPacket = (address: number[], length: number[]): Packet => ({
  address,
  length,
  bytes: length.reduce((sum, one) => sum + one, 0),
  kept: false,
  dueMs: 0,
  waits: false,
});

export class FaultLine {
  readonly counters: FaultCounters;
  readonly #rates: LineRates;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #limit: number;
  /** By due time, and in order of arrival where that is the same. */
  readonly #held: Packet[] = [];

  constructor(rates: LineRates, counters: FaultCounters, random: Random, clock: Clock, limit: number) {
    this.counters = counters;
    this.#rates = rates;
    this.#random = random;
    this.#clock = clock;
    this.#limit = limit;
  }

  /** The earliest moment at which a held packet is due, Infinity without one. */
  get nextDueMs(): number {
    return this.#held[0]?.dueMs ?? Infinity;
  }

  drops(): boolean {
    if (!chance(this.#random, this.#rates.drop)) return false;
    this.counters.dropped += 1;
    return true;
  }

  duplicates(): boolean {
    return chance(this.#random, this.#rates.duplicate);
  }

  /** Flips a bit of the packet, perhaps. */
  corrupt(packet: Packet, umemBytes: Uint8Array): void {
    if (!chance(this.#random, this.#rates.corrupt)) return;
    this.counters.corrupted += 1;
    let at = below(this.#random, packet.bytes);
    let chunk = 0;
    while (at >= packet.length[chunk]!) {
      at -= packet.length[chunk]!;
      chunk += 1;
    }
    umemBytes[packet.address[chunk]! + at]! ^= 1 << below(this.#random, 8);
  }

  /** Decides whether the packet is held back; its due time is set then. The caller keeps its chunks and calls `hold`. */
  holds(packet: Packet): boolean {
    const { reorder, reorderMs, delay, delayMs } = this.#rates;
    const waits = chance(this.#random, reorder);
    const late = chance(this.#random, delay);
    if (!waits && !late) return false;
    let ms = waits ? reorderMs : 0;
    if (late) {
      const [least, most] = delayMs;
      ms = most > least ? least + (this.#random.next() / RANDOM_RANGE) * (most - least) : least;
    }
    if (this.#held.length >= this.#limit) {
      this.counters.spared += 1;
      return false;
    }
    packet.waits = waits && !late;
    packet.dueMs = this.#clock.nowMs() + ms;
    return true;
  }

  hold(packet: Packet): void {
    if (packet.waits) this.counters.reordered += 1;
    else this.counters.delayed += 1;
    this.#insert(packet);
  }

  /** A packet has passed: those that waited to be overtaken are due now. */
  overtake(): void {
    if (this.#rates.reorder === 0) return;
    for (const packet of this.#held.filter((held) => held.waits)) {
      this.#held.splice(this.#held.indexOf(packet), 1);
      packet.waits = false;
      packet.dueMs = -Infinity;
      this.#insert(packet);
    }
  }

  /** The next packet that is due, without taking it. */
  due(): Packet | undefined {
    const packet = this.#held[0];
    return packet !== undefined && packet.dueMs <= this.#clock.nowMs() ? packet : undefined;
  }

  /** Takes the packet that is due first, due or not. */
  take(): Packet | undefined {
    return this.#held.shift();
  }

  #insert(packet: Packet): void {
    const held = this.#held;
    let at = held.length;
    while (at > 0 && held[at - 1]!.dueMs > packet.dueMs) at -= 1;
    held.splice(at, 0, packet);
  }
}

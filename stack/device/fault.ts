/**
 * Faults around any device, in either direction, from a seed: lost, doubled, overtaken, late and corrupt packets.
 *
 * It looks like the device that it wraps, and every chunk stays accounted for: a packet that is held back lies in a chunk
 * that is kept. Randomness and time are arguments, so a run can be repeated exactly.
 */
import type { Clock, Device, DeviceStatistics } from "./device.ts";
import { FaultyQueue, type FaultCounters } from "./faultyqueue.ts";
import type { Random } from "./random.ts";
import { Wrapper } from "./wrapper.ts";

/** How often what goes wrong: probabilities from 0 to 1, each 0 unless given. */
export interface FaultRates {
  /** Lost. */
  readonly drop?: number;
  /** Arrives twice, in a row. */
  readonly duplicate?: number;
  /** Overtaken by the next packet; let go after `reorderMs` where none comes. */
  readonly reorder?: number;
  /** How long a packet waits to be overtaken, in ms. Default: 5. */
  readonly reorderMs?: number;
  /** Held back for `delayMs`. */
  readonly delay?: number;
  /** Bounds of the delay in ms, evenly distributed between. Default: 1 to 1. */
  readonly delayMs?: readonly [least: number, most: number];
  /** One bit flipped somewhere in the packet. */
  readonly corrupt?: number;
}

export interface FaultOptions {
  readonly random: Random;
  readonly clock: Clock;
  /** Faults of packets that arrive. */
  readonly rx?: FaultRates;
  /** Faults of packets that are sent. */
  readonly tx?: FaultRates;
  /** Packets held back in each direction of each queue at most; above it they pass on time, counted. Default: 1024. */
  readonly holdPackets?: number;
}

/** A device with faults around it. */
export interface FaultyDevice extends Device {
  readonly queues: readonly FaultyQueue[];
  /** The device inside. */
  readonly inner: Device;
  /** What happened to packets on their way in and out. */
  faults(): { readonly rx: Readonly<FaultCounters>; readonly tx: Readonly<FaultCounters> };
  /** When the next packet that is held back becomes due, in ms of the clock; Infinity where none is. */
  readonly nextDueMs: number;
  [Symbol.dispose](): void;
}

const DEFAULT_HOLD_PACKETS = 1024;
/** Chunks of a busy device; a fault device that holds more than this is a memory, not a fault. */
export const MAX_HOLD_PACKETS = 65536;
const DEFAULT_REORDER_MS = 5;
const DEFAULT_DELAY_MS = [1, 1] as const;
/** An hour: longer is a mistake in the unit. */
export const MAX_DELAY_MS = 3_600_000;

/** Rates with nothing left out. */
export type CheckedRates = Required<FaultRates>;

/** Wraps `device`. The wrapper owns it: closing the one closes the other. Throws a RangeError for rates out of range. */
export const faulty = (device: Device, options: FaultOptions): FaultyDevice => new Faulty(device, options);

class Faulty extends Wrapper implements FaultyDevice {
  readonly queues: readonly FaultyQueue[];
  readonly #rx: FaultCounters = zero();
  readonly #tx: FaultCounters = zero();

  constructor(device: Device, options: FaultOptions) {
    super(device);
    const holdPackets = checkHold(options.holdPackets ?? DEFAULT_HOLD_PACKETS);
    const rates = { rx: checkRates("rx", options.rx ?? {}), tx: checkRates("tx", options.tx ?? {}) };
    const counters = { rx: this.#rx, tx: this.#tx };
    this.queues = device.queues.map(
      (queue) => new FaultyQueue(queue, device, { ...options, holdPackets, rates, counters }),
    );
  }

  get nextDueMs(): number {
    return Math.min(...this.queues.map((queue) => queue.nextDueMs));
  }

  faults(): { readonly rx: Readonly<FaultCounters>; readonly tx: Readonly<FaultCounters> } {
    return { rx: { ...this.#rx }, tx: { ...this.#tx } };
  }

  /** As its user sees it: what was lost here is lost, and doubled packets count twice. */
  override statistics(): DeviceStatistics {
    const inner = this.inner.statistics();
    return {
      ...inner,
      rxPackets: this.#rx.passed,
      rxBytes: this.#rx.passedBytes,
      txDropped: inner.txDropped + this.#tx.dropped + this.#tx.lost,
      rxDropped: inner.rxDropped + this.#rx.dropped + this.#rx.lost,
    };
  }

  override close(): void {
    for (const queue of this.queues) queue.empty();
    super.close();
  }
}

const zero = (): FaultCounters => ({
  passed: 0,
  passedBytes: 0,
  dropped: 0,
  duplicated: 0,
  reordered: 0,
  delayed: 0,
  corrupted: 0,
  spared: 0,
  lost: 0,
});

const checkHold = (packets: number): number => {
  if (Number.isInteger(packets) && packets >= 0 && packets <= MAX_HOLD_PACKETS) return packets;
  throw new RangeError(`holdPackets is a whole number from 0 to ${MAX_HOLD_PACKETS}, not ${String(packets)}`);
};

const checkRates = (direction: string, rates: FaultRates): CheckedRates => {
  const rate = (name: "drop" | "duplicate" | "reorder" | "delay" | "corrupt"): number => {
    const value = rates[name] ?? 0;
    if (typeof value === "number" && value >= 0 && value <= 1) return value;
    throw new RangeError(`${direction}.${name} is a probability from 0 to 1, not ${String(value)}`);
  };
  const time = (name: string, value: number): number => {
    if (typeof value === "number" && value >= 0 && value <= MAX_DELAY_MS) return value;
    throw new RangeError(`${direction}.${name} is 0 to ${MAX_DELAY_MS} ms, not ${String(value)}`);
  };
  const [least, most] = rates.delayMs ?? DEFAULT_DELAY_MS;
  if (least > most)
    throw new RangeError(`${direction}.delayMs goes from the least to the most, not ${least} to ${most}`);
  return {
    drop: rate("drop"),
    duplicate: rate("duplicate"),
    reorder: rate("reorder"),
    reorderMs: time("reorderMs", rates.reorderMs ?? DEFAULT_REORDER_MS),
    delay: rate("delay"),
    delayMs: [time("delayMs", least), time("delayMs", most)],
    corrupt: rate("corrupt"),
  };
};

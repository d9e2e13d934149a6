/**
 * What the host's protocols are given from outside: time, randomness, and a way out of one interface. Types only.
 */
import type { Random } from "../device/random.ts";
import type { Timer } from "../loop/timers.ts";
import type { MacAddress } from "../wire/mac.ts";

/** Time and timers; a `Loop` is one. */
export interface TimerSource {
  /** The time of this turn in ms. */
  readonly now: number;
  /** Runs `fn` once, `ms` from now. */
  after(ms: number, fn: () => void): Timer;
  /** Runs `fn` every `ms`. */
  every(ms: number, fn: () => void): Timer;
}

export interface Environment {
  readonly timers: TimerSource;
  readonly random: Random;
}

/** A way out of one interface for control packets, which are small and seldom: allocation is fine. */
export interface Outlet {
  readonly name: string;
  readonly mac: MacAddress;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /**
   * Sends one Ethernet frame: `write` fills its payload of `lengthBytes` at (view, at), which holds zeros before.
   * False, counted, where there is no room or the link is down.
   */
  send(
    destination: MacAddress,
    etherType: number,
    lengthBytes: number,
    write: (view: DataView, at: number) => void,
  ): boolean;
}

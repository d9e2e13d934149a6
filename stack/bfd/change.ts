/**
 * What a BFD session tells of itself when its state changes.
 */
import type { Verdict } from "../ip/paths/monitor.ts";
import { STATE, type State } from "../wire/bfd.ts";

/** Where a session stands. */
export type BfdState = "admin-down" | "down" | "init" | "up";

/** By the number that packets have for it. */
export const STATES: Readonly<Record<State, BfdState>> = {
  [STATE.ADMIN_DOWN]: "admin-down",
  [STATE.DOWN]: "down",
  [STATE.INIT]: "init",
  [STATE.UP]: "up",
};

/** A change of a session's state. */
export interface BfdChange {
  /** In ms of the loop's clock. */
  readonly atMs: number;
  readonly state: BfdState;
  readonly previous: BfdState;
  /** Our reason, and the peer's as it said last: RFC 5880 section 4.1, `bfd.DIAGNOSTIC`. */
  readonly diagnostic: number;
  readonly remoteDiagnostic: number;
  readonly verdict: Verdict;
  /** Ms from the last sign of life to the change. */
  readonly silentMs: number;
}

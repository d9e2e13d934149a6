/** What clients and services of the anycast example say to each other: a number that comes back with the name of who answered. */

/** The client's count of its datagrams, 32 bits. */
export const SEQUENCE = 0;
/** The host that answers writes its number here, 8 bits; 0 in questions. */
export const SERVED_BY = SEQUENCE + 4;
/** As long as a small question of any protocol. */
export const MESSAGE_BYTES = 64;

/** What the clients print, ten times a second. */
export interface ClientReport {
  readonly sent: number;
  readonly answered: number;
  /** Questions that were passed over by the answer to a later one of the same flow. */
  readonly lost: number;
  /** Answers that a later one had overtaken. They are not among the lost. */
  readonly late: number;
  readonly duplicates: number;
  /** Who answered each flow last; 0 where nobody has yet. */
  readonly servers: readonly number[];
  /** Flows that were answered by another than before, since the last report. */
  readonly moves: readonly Move[];
}

export interface Move {
  readonly flow: number;
  readonly from: number;
  readonly to: number;
  /** From the last answer of the one to the first of the other. */
  readonly gapMs: number;
}

/** What a service prints with each beat of its heart: the loop turns, and so datagrams are answered. */
export interface Beat {
  readonly beat: true;
  readonly answered: number;
}

/** What a keeper prints. */
export type KeeperReport =
  | { readonly what: "started"; readonly pid: number }
  | { readonly what: "announced" }
  | { readonly what: "withdrawn"; readonly why: string }
  | { readonly what: "answered"; readonly answered: number };

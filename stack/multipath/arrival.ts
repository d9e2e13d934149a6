/**
 * What a copy turns out to be when it arrives, and who remembers the first one of each. Types and numbers only.
 */

/** How a datagram stands to those that came before. */
export const ARRIVAL = {
  /** The first copy, and newer than all before. */
  newest: 0,
  /** The first copy of one that newer ones have overtaken. */
  overtaken: 1,
  /** Another copy. */
  duplicate: 2,
  /** Too old for anybody to know whether it is a copy. */
  stale: 3,
} as const;
export type Arrival = (typeof ARRIVAL)[keyof typeof ARRIVAL];

/** About the copy that came first, after an arrival that was a duplicate. */
export interface FirstCopy {
  /** The number of the path that it came over. */
  readonly firstPath: number;
  readonly firstMs: number;
}

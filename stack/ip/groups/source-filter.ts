/**
 * Source filters of multicast groups: what one member wants, and what an interface wants for all of its members.
 *
 * Lists of sources are sorted by address and hold each once, so that set operations are merges and a look-up is a
 * binary search. RFC 3376 and RFC 3810 say the same in both families, and a list holds either.
 */
import type { IpAddress } from "../../wire/address.ts";

/** INCLUDE: only packets from these sources. EXCLUDE: all but those from these sources. */
export interface SourceFilter {
  readonly mode: "include" | "exclude";
  /** Unicast addresses of the group's family, in any order. */
  readonly sources: readonly IpAddress[];
}

/** From whomever: an ordinary join. */
export const EVERY_SOURCE: SourceFilter = { mode: "exclude", sources: [] };

/** From nobody: a group that is not joined, which RFC 3376 section 3.2 takes for the same. */
export const NO_SOURCE: SourceFilter = { mode: "include", sources: [] };

/** True where a filter lets nothing through. */
export const isEmpty = (filter: SourceFilter): boolean =>
  filter.mode === "include" && filter.sources.length === 0;

/** Sorted by address, each once. */
export const sortedSources = (sources: readonly IpAddress[]): IpAddress[] => {
  const sorted = sources.toSorted(inOrder);
  return sorted.filter((source, i) => i === 0 || !source.equals(sorted[i - 1]!));
};

/** Walks two sorted lists in step and keeps what `keep` says of being in the first, in the second. */
const walk = (
  a: readonly IpAddress[],
  b: readonly IpAddress[],
  keep: (inA: boolean, inB: boolean) => boolean,
): IpAddress[] => {
  const kept: IpAddress[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const order = i === a.length ? 1 : j === b.length ? -1 : inOrder(a[i]!, b[j]!);
    if (keep(order <= 0, order >= 0)) kept.push(order <= 0 ? a[i]! : b[j]!);
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
  }
  return kept;
};

/** In either of two sorted lists. */
export const union = (a: readonly IpAddress[], b: readonly IpAddress[]): IpAddress[] =>
  walk(a, b, () => true);

/** In both of two sorted lists. */
export const intersection = (a: readonly IpAddress[], b: readonly IpAddress[]): IpAddress[] =>
  walk(a, b, (inA, inB) => inA && inB);

/** In the first of two sorted lists and not in the second. */
export const difference = (a: readonly IpAddress[], b: readonly IpAddress[]): IpAddress[] =>
  walk(a, b, (inA, inB) => inA && !inB);

/**
 * What an interface must let through so that every member gets what it wants, RFC 3376 section 3.2 and RFC 3810 section
 * 4.2: with any EXCLUDE among them, EXCLUDE of the sources that all of those exclude and that no INCLUDE names; else
 * INCLUDE of all that are named. The sources of `filters` are sorted.
 */
export const merge = (filters: Iterable<SourceFilter>): SourceFilter => {
  let included: IpAddress[] = [];
  let excluded: IpAddress[] | undefined;
  for (const { mode, sources } of filters) {
    if (mode === "include") included = union(included, sources);
    else excluded = excluded === undefined ? [...sources] : intersection(excluded, sources);
  }
  if (excluded === undefined) return { mode: "include", sources: included };
  return { mode: "exclude", sources: difference(excluded, included) };
};

/** Whether two filters with sorted sources are the same. */
export const sameFilter = (a: SourceFilter, b: SourceFilter): boolean =>
  a.mode === b.mode &&
  a.sources.length === b.sources.length &&
  a.sources.every((source, i) => source.equals(b.sources[i]!));

/** Whether a sorted list holds an address. Hot: allocates nothing. */
export const hasSource = (
  sorted: readonly IpAddress[],
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): boolean => {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const order = compareToWords(sorted[middle]!, w0, w1, w2, w3);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return false;
};

/** Whether a filter with sorted sources lets a packet from this address through. Hot: allocates nothing. */
export const admits = (filter: SourceFilter, w0: number, w1: number, w2: number, w3: number): boolean =>
  hasSource(filter.sources, w0, w1, w2, w3) === (filter.mode === "include");

/** Turns the order of int32 words into that of the unsigned words that they stand for. */
const SIGN = 0x80000000 | 0;

/** By address. */
const inOrder = (a: IpAddress, b: IpAddress): number => compareToWords(a, b.w0, b.w1, b.w2, b.w3);

const compareToWords = (a: IpAddress, w0: number, w1: number, w2: number, w3: number): number => {
  if (a.w0 !== w0) return (a.w0 ^ SIGN) < (w0 ^ SIGN) ? -1 : 1;
  if (a.w1 !== w1) return (a.w1 ^ SIGN) < (w1 ^ SIGN) ? -1 : 1;
  if (a.w2 !== w2) return (a.w2 ^ SIGN) < (w2 ^ SIGN) ? -1 : 1;
  if (a.w3 !== w3) return (a.w3 ^ SIGN) < (w3 ^ SIGN) ? -1 : 1;
  return 0;
};

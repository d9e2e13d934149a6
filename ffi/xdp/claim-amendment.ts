/**
 * What turns one table of claims into another in place, where frames that are judged meanwhile can't tell: only additions, or
 * only removals, of entries that claim whatever the source, under the same plan of lookups.
 *
 * A search ends at such an entry, wherever it stands; so adding one can only turn a "no" of the old list into the "yes" of the
 * new, and removing one the other way round. With both at once a frame could miss the old entry and the new one.
 */
import type { CompiledClaims } from "./claims.ts";
import { KEY, VALUE_ANY } from "./layout.ts";

/** More than so many are made as a whole: one call for all, against one for each. */
const MOST_ENTRIES = 1024;

/** `struct key` of each entry. */
export interface Amendment {
  readonly added: readonly Uint8Array[];
  readonly removed: readonly Uint8Array[];
}

const samePlan = (a: CompiledClaims, b: CompiledClaims): boolean =>
  a.everything === b.everything &&
  a.ethertypes === b.ethertypes &&
  a.ipv4 === b.ipv4 &&
  a.ipv6 === b.ipv6 &&
  Buffer.compare(a.trees, b.trees) === 0;

const keyAt = ({ keys }: CompiledClaims, i: number): Uint8Array =>
  keys.slice(i * KEY.bytes, (i + 1) * KEY.bytes);

const textOf = (key: Uint8Array): string => String.fromCharCode(...key);

/** Entries of `claims` by their keys. */
const entriesOf = (claims: CompiledClaims): Map<string, number> => {
  const entries = new Map<string, number>();
  for (let i = 0; i < claims.count; i++) entries.set(textOf(keyAt(claims, i)), claims.values[i]!);
  return entries;
};

/** The keys of `claims` that are not in `others`; undefined where one of them is no plain claim, or has another value there. */
const beyond = (claims: CompiledClaims, others: ReadonlyMap<string, number>): Uint8Array[] | undefined => {
  const keys: Uint8Array[] = [];
  for (let i = 0; i < claims.count; i++) {
    const key = keyAt(claims, i);
    const value = claims.values[i]!;
    const other = others.get(textOf(key));
    if (other === value) continue;
    if (other !== undefined || value !== VALUE_ANY || keys.length >= MOST_ENTRIES) return undefined;
    keys.push(key);
  }
  return keys;
};

/** What makes `now` of `before` in a table with `room` for so many entries; undefined where that takes a table of its own. */
export const amendment = (
  before: CompiledClaims,
  now: CompiledClaims,
  room: number,
): Amendment | undefined => {
  if (now.count > room || Math.abs(now.count - before.count) > MOST_ENTRIES || !samePlan(before, now))
    return undefined;
  const added = beyond(now, entriesOf(before));
  const removed = added && beyond(before, entriesOf(now));
  if (added === undefined || removed === undefined) return undefined;
  return added.length > 0 && removed.length > 0 ? undefined : { added, removed };
};

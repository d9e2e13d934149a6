/**
 * Which of a host's interfaces are on the same link: those that are in one network, or that were given one name for it.
 */
import type { Interface } from "../interface.ts";

/** An interface and the name that its link was given. */
export interface Placed {
  readonly on: Interface;
  readonly segment: string | undefined;
}

/** The marks by which interfaces of one link know each other. One with a name goes by that alone. */
function* marksOf({ on, segment }: Placed): Iterable<string> {
  if (segment !== undefined) {
    yield `named ${segment}`;
    return;
  }
  for (const { address, prefix, state, origin } of on.addresses.values()) {
    const whole = prefix.length === (address.family === 4 ? IPV4_BITS : IPV6_BITS);
    // Every link has the link-local networks, and an address that stands alone is in no network.
    if (whole || address.linkLocal || origin === "service") continue;
    if (state === "preferred" || state === "deprecated") yield prefix.toString();
  }
}

const IPV4_BITS = 32;
const IPV6_BITS = 128;

/** The interfaces in groups of one link each; groups and their members in the order in which they were given. */
export const segmentsOf = <P extends Placed>(placed: Iterable<P>): P[][] => {
  const all = [...placed];
  /** For each an earlier one of its group, or itself where it is the first. */
  const earlier = all.map((_, i) => i);
  const firstOf = (i: number): number => (earlier[i] === i ? i : firstOf(earlier[i]!));
  const byMark = new Map<string, number>();
  for (const [i, one] of all.entries()) {
    for (const mark of marksOf(one)) {
      const [mine, theirs] = [firstOf(i), firstOf(byMark.get(mark) ?? i)];
      earlier[Math.max(mine, theirs)] = Math.min(mine, theirs);
      byMark.set(mark, i);
    }
  }
  const groups = new Map<number, P[]>();
  for (const [i, one] of all.entries()) {
    const first = firstOf(i);
    const group = groups.get(first);
    if (group === undefined) groups.set(first, [one]);
    else group.push(one);
  }
  return [...groups.values()];
};

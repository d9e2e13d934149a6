/**
 * What the zone says to a question: the algorithm of RFC 1034 section 4.3.2, with wildcards (RFC 4592) and negative answers
 * (RFC 2308). It runs when answers are made, never when they are given.
 */
import { QTYPE, RCODE, type Rcode, TYPE } from "./message.ts";
import { isWithin, keyOf } from "./names.ts";
import { nameIn, type Rdata } from "./rdata.ts";
import type { RecordSet, Zone, ZoneNode } from "./zone.ts";

/** Records in an answer. */
export interface Placed {
  readonly set: RecordSet;
  /** True where they are the name's that was asked for, also where a wildcard stands in for it. */
  readonly asked: boolean;
  readonly ttl: number;
}

export interface Outcome {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  readonly answer: readonly Placed[];
  readonly authority: readonly Placed[];
  /** Addresses without which a referral leads nowhere (RFC 9471 section 3.1). */
  readonly glue: readonly Placed[];
  /** Addresses that save a question, and are left out where there is no room. */
  readonly extra: readonly Placed[];
}

/** A type that no record and no question has: what is said about it is said about all types that a name has not. */
export const NO_TYPE = -1;

/** Aliases that lead to aliases; more are a mistake, and the asker goes on by itself. */
const MAX_CHAIN = 16;
const ADDRESS_TYPES = [TYPE.A, TYPE.AAAA] as const;
/** Bytes of SOA data behind its names; the last four are the minimum. */
const MINIMUM_BYTES = 4;

const whole = (set: RecordSet, asked = false): Placed => ({ set, asked, ttl: set.ttl });

/** The SOA record as proof that there is nothing, for as long as its minimum says (RFC 2308 section 5). */
const negative = ({ soa }: Zone): Placed => {
  const { bytes } = soa.data[0]!;
  const minimum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - MINIMUM_BYTES);
  return { set: soa, asked: false, ttl: Math.min(soa.ttl, minimum) };
};

/** The outcome for a name within the zone; `asked` as it may stand in the question. */
export const resolve = (zone: Zone, asked: Uint8Array, type: number): Outcome => {
  const answer: Placed[] = [];
  const seen = new Set<string>();
  let name = asked;
  for (;;) {
    const place = zone.find(name);
    if (place === undefined) return found(zone, answer);
    const { node, exact } = place;
    const { cut } = node;
    // Only what the delegation is signed with is the parent's (RFC 4035 section 3.1.4.1).
    const parents = exact && node === cut && type === TYPE.DS;
    if (cut !== undefined && !parents) return referral(zone, cut, answer);
    const source = exact ? node : node.wildcard;
    if (source === undefined) return none(zone, RCODE.NXDOMAIN, answer);
    const first = answer.length === 0;
    const set = pick(source, type);
    if (set !== undefined) return found(zone, [...answer, owned(set, name, first)]);
    const alias = source.sets.get(TYPE.CNAME);
    if (alias === undefined) return none(zone, RCODE.NOERROR, answer);
    answer.push(owned(alias, name, first));
    seen.add(keyOf(name));
    name = target(alias.data[0]!);
    if (seen.has(keyOf(name)) || answer.length === MAX_CHAIN) return found(zone, answer);
  }
};

/** The set of that type; to ANY one set is answer enough (RFC 8482 section 4.1), the shortest. */
const pick = ({ sets }: ZoneNode, type: number): RecordSet | undefined => {
  if (type !== QTYPE.ANY) return sets.get(type);
  return [...sets.values()].sort((a, b) => bytesOf(a) - bytesOf(b))[0];
};

const bytesOf = ({ data }: RecordSet): number => data.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** The set as `name` has it: its own, or a wildcard's. */
const owned = (set: RecordSet, name: Uint8Array, first: boolean): Placed =>
  whole(first || keyOf(set.owner) === keyOf(name) ? set : { ...set, owner: name }, first);

const found = (zone: Zone, answer: readonly Placed[]): Outcome => ({
  rcode: RCODE.NOERROR,
  authoritative: true,
  answer,
  authority: [],
  glue: [],
  extra: answer.flatMap(({ set }) => addressesOf(zone, set)),
});

const none = (zone: Zone, rcode: Rcode, answer: readonly Placed[]): Outcome => ({
  rcode,
  authoritative: true,
  answer,
  authority: [negative(zone)],
  glue: [],
  extra: [],
});

const referral = (zone: Zone, cut: ZoneNode, answer: readonly Placed[]): Outcome => {
  const servers = cut.sets.get(TYPE.NS)!;
  const addresses = addressesOf(zone, servers);
  const within = ({ set }: Placed): boolean => isWithin(set.owner, cut.name);
  return {
    rcode: RCODE.NOERROR,
    authoritative: answer.length > 0,
    answer,
    authority: [whole(servers)],
    glue: addresses.filter(within),
    extra: addresses.filter((each) => !within(each)),
  };
};

/** Addresses of what NS, MX and SRV records lead to, as far as the zone has them, each once. */
const addressesOf = (zone: Zone, set: RecordSet): Placed[] => {
  if (set.type === TYPE.CNAME) return [];
  const targets = new Map(
    set.data.filter(({ targetAt }) => targetAt >= 0).map((data) => [keyOf(target(data)), target(data)]),
  );
  return [...targets.values()].flatMap((name) => {
    const place = zone.find(name);
    const source = place?.exact === true ? place.node : undefined;
    return ADDRESS_TYPES.flatMap((type) => source?.sets.get(type) ?? []).map((each) => whole(each));
  });
};

const target = (data: Rdata): Uint8Array => nameIn(data, data.targetAt);

/** The types to which the answers of a name differ; to all others it says what it says to `NO_TYPE`. */
export const typesOf = (zone: Zone, name: Uint8Array): number[] => {
  const types = new Set<number>();
  const seen = new Set<string>();
  for (let at: Uint8Array | undefined = name; at !== undefined && !seen.has(keyOf(at));) {
    seen.add(keyOf(at));
    const place = zone.find(at);
    if (place === undefined) break;
    const { node, exact } = place;
    if (node.cut !== undefined) {
      if (exact && node === node.cut) types.add(TYPE.DS);
      break;
    }
    const sets = (exact ? node : node.wildcard)?.sets;
    for (const type of sets?.keys() ?? []) types.add(type);
    const alias = sets?.get(TYPE.CNAME);
    at = alias === undefined ? undefined : target(alias.data[0]!);
  }
  return [...types, QTYPE.ANY];
};

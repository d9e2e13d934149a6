/**
 * Which of our addresses to send from, and which of theirs to try first (RFC 6724 sections 5 and 6).
 */
import type { IpAddress } from "../../wire/address.ts";
import { DEFAULT_POLICY_TABLE, type PolicyTable } from "./policy-table.ts";

/** One of our addresses; those of an `AddressBook` with their interface are of this shape. */
export interface Candidate {
  readonly address: IpAddress;
  /** Bits of its prefix; the rest names the interface and doesn't count when prefixes are compared. */
  readonly prefixLength: number;
  /** Number of the interface that has it. */
  readonly interface: number;
  /** Only preferred and deprecated addresses are ever chosen (RFC 4862 section 5.5.4). */
  readonly state: "tentative" | "preferred" | "deprecated" | "duplicated";
  /** A privacy address (RFC 8981). */
  readonly temporary?: boolean;
  /** It is on all interfaces of the host: a service address. */
  readonly everywhere?: boolean;
  /** A home address and a care-of address of Mobile IPv6; both at once is a node at home. */
  readonly home?: boolean;
  readonly careOf?: boolean;
  /** The router that advertised its prefix, where that is known (rule 5.5). */
  readonly router?: IpAddress | undefined;
}

export interface SourceOptions {
  /** `DEFAULT_POLICY_TABLE`. */
  readonly policies?: PolicyTable;
  /** The next hop to the destination, for rule 5.5; without it the rule does not apply. */
  readonly nextHop?: IpAddress | undefined;
  /** Turns rule 7 around: public addresses before temporary ones. */
  readonly preferPublic?: boolean;
}

const WORD_BITS = 32;
/** Bits in front of an IPv4 address among its four words. */
const MAPPED_BITS = 96;

/** Bits that both addresses begin with, of 128: both are of one family, and 96 of IPv4 addresses are always common. */
const commonBits = (a: IpAddress, b: IpAddress): number => {
  if (a.w0 !== b.w0) return Math.clz32(a.w0 ^ b.w0);
  if (a.w1 !== b.w1) return WORD_BITS + Math.clz32(a.w1 ^ b.w1);
  if (a.w2 !== b.w2) return 2 * WORD_BITS + Math.clz32(a.w2 ^ b.w2);
  return 3 * WORD_BITS + Math.clz32(a.w3 ^ b.w3);
};

/** CommonPrefixLen of RFC 6724 section 2.2: at most the length of the source's prefix. */
export const commonPrefixLength = (source: Candidate, destination: IpAddress): number => {
  const bits = commonBits(source.address, destination);
  return Math.min(source.address.family === 4 ? bits - MAPPED_BITS : bits, source.prefixLength);
};

/** -1 where only `a` is, 1 where only `b` is, 0 where they don't differ: as a comparison function has it. */
const prefer = (a: boolean, b: boolean): number => Number(b) - Number(a);

/**
 * The address to send to `destination` from, out of interface `outInterface` (0: not known yet). Undefined where there
 * is none of its family. Between equals the first one stays.
 */
export const chooseSource = <C extends Candidate>(
  candidates: Iterable<C>,
  destination: IpAddress,
  outInterface: number,
  options: SourceOptions = {},
): C | undefined => {
  let best: C | undefined;
  for (const candidate of candidates) {
    if (!eligible(candidate, destination, outInterface)) continue;
    if (best === undefined || compareSources(candidate, best, destination, outInterface, options) < 0)
      best = candidate;
  }
  return best;
};

/** Whether an address is in the candidate set of RFC 6724 section 4. */
const eligible = (candidate: Candidate, destination: IpAddress, outInterface: number): boolean => {
  const { address, state } = candidate;
  if (address.family !== destination.family || address.multicast || address.unspecified) return false;
  if (state !== "preferred" && state !== "deprecated") return false;
  // These mean something on one link only, so an address of another link would not be answered.
  if (destination.multicast || destination.linkLocal)
    return outInterface === 0 || candidate.interface === outInterface;
  return true;
};

/** Negative where `a` is the better source, positive where `b` is, 0 where no rule of section 5 tells. */
const compareSources = (
  a: Candidate,
  b: Candidate,
  destination: IpAddress,
  outInterface: number,
  options: SourceOptions,
): number => {
  const { policies = DEFAULT_POLICY_TABLE, preferPublic = false, nextHop } = options;
  const label = policies.label(destination);
  const temporary = prefer(a.temporary === true, b.temporary === true);
  return (
    // Rule 1: prefer same address.
    prefer(a.address.equals(destination), b.address.equals(destination)) ||
    // Rule 2: prefer appropriate scope.
    compareScopes(a.address.scope, b.address.scope, destination.scope) ||
    // Rule 3: avoid deprecated addresses.
    prefer(a.state === "preferred", b.state === "preferred") ||
    // Rule 4: prefer home addresses.
    compareHomes(a, b) ||
    // Rule 5: prefer outgoing interface; what is on all of them is of none.
    prefer(a.everywhere !== true, b.everywhere !== true) ||
    prefer(a.interface === outInterface, b.interface === outInterface) ||
    // Rule 5.5: prefer addresses in a prefix advertised by the next hop.
    prefer(advertisedBy(a, nextHop), advertisedBy(b, nextHop)) ||
    // Rule 6: prefer matching label.
    prefer(policies.label(a.address) === label, policies.label(b.address) === label) ||
    // Rule 7: prefer temporary addresses.
    (preferPublic ? -temporary : temporary) ||
    // Rule 8: use longest matching prefix.
    commonPrefixLength(b, destination) - commonPrefixLength(a, destination)
  );
};

/** The smallest scope that still reaches the destination's; where neither does, the larger. */
const compareScopes = (a: number, b: number, destination: number): number => {
  if (a === b) return 0;
  return a < b ? (a < destination ? 1 : -1) : b < destination ? -1 : 1;
};

type Mobility = Pick<Candidate, "home" | "careOf">;

/** First who is at home, then a home address before a care-of address. */
const compareHomes = (a: Mobility, b: Mobility): number =>
  prefer(atHome(a), atHome(b)) ||
  prefer(a.home === true && b.careOf === true, b.home === true && a.careOf === true);

const atHome = (address: Mobility): boolean => address.home === true && address.careOf === true;

const advertisedBy = (candidate: Candidate, nextHop: IpAddress | undefined): boolean =>
  nextHop !== undefined && candidate.router?.equals(nextHop) === true;

export interface DestinationOptions {
  /** `DEFAULT_POLICY_TABLE`. */
  readonly policies?: PolicyTable;
  /** True for destinations that are known not to answer. */
  readonly unreachable?: (destination: IpAddress) => boolean;
  /** True for destinations that are reached through a tunnel. */
  readonly encapsulated?: (destination: IpAddress) => boolean;
}

/** A destination with what the rules ask of it, found out once. */
interface Rated {
  readonly destination: IpAddress;
  readonly usable: boolean;
  readonly scopeMatches: boolean;
  readonly preferred: boolean;
  readonly home: boolean;
  readonly careOf: boolean;
  readonly labelMatches: boolean;
  readonly precedence: number;
  readonly native: boolean;
  readonly scope: number;
  readonly prefixLength: number;
}

/**
 * The destinations in the order in which to try them; a new array. `sourceOf` gives the address that would be sent from,
 * as `chooseSource` finds it, or undefined where there is none.
 */
export const orderDestinations = (
  destinations: readonly IpAddress[],
  sourceOf: (destination: IpAddress) => Candidate | undefined,
  options: DestinationOptions = {},
): IpAddress[] =>
  destinations
    .map((destination) => rate(destination, sourceOf(destination), options))
    // Rule 10, leave the order unchanged, is that `sort` is stable.
    .sort(compareDestinations)
    .map((rated) => rated.destination);

const rate = (destination: IpAddress, source: Candidate | undefined, options: DestinationOptions): Rated => {
  const { policies = DEFAULT_POLICY_TABLE, unreachable, encapsulated } = options;
  return {
    destination,
    usable: source !== undefined && unreachable?.(destination) !== true,
    scopeMatches: source !== undefined && source.address.scope === destination.scope,
    preferred: source !== undefined && source.state === "preferred",
    home: source?.home === true,
    careOf: source?.careOf === true,
    labelMatches: source !== undefined && policies.label(source.address) === policies.label(destination),
    precedence: policies.precedence(destination),
    native: encapsulated?.(destination) !== true,
    scope: destination.scope,
    prefixLength: source === undefined ? 0 : commonPrefixLength(source, destination),
  };
};

/** Negative where `a` is to be tried first, positive where `b` is, by the rules of section 6. */
const compareDestinations = (a: Rated, b: Rated): number =>
  // Rule 1: avoid unusable destinations.
  prefer(a.usable, b.usable) ||
  // Rule 2: prefer matching scope.
  prefer(a.scopeMatches, b.scopeMatches) ||
  // Rule 3: avoid deprecated addresses.
  prefer(a.preferred, b.preferred) ||
  // Rule 4: prefer home addresses.
  compareHomes(a, b) ||
  // Rule 5: prefer matching label.
  prefer(a.labelMatches, b.labelMatches) ||
  // Rule 6: prefer higher precedence.
  b.precedence - a.precedence ||
  // Rule 7: prefer native transport.
  prefer(a.native, b.native) ||
  // Rule 8: prefer smaller scope.
  a.scope - b.scope ||
  // Rule 9: use longest matching prefix, within one family.
  (a.destination.family === b.destination.family ? b.prefixLength - a.prefixLength : 0);

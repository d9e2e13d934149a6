/**
 * Claims: which traffic is the program's rather than the kernel's, and the check that a list of them makes sense.
 */
import { type Prefix, parsePrefix } from "./prefix.ts";

/**
 * One kind of traffic; all members that are given must hold.
 *
 * Frames are seen through up to two VLAN tags and through IPv6 extension headers. A fragment that is not the first of its
 * datagram has no ports, so it follows claims on addresses and protocols only.
 */
export interface Claim {
  /** 0x0600-0xffff, behind VLAN tags. */
  readonly ethertype?: number;
  /** ARP; `source` is then the sender's protocol address and `destination` the target's. */
  readonly arp?: true;
  /** IPv4 protocol or, behind the extension headers, IPv6 next header. "icmp" is IPv4's, "icmp6" IPv6's. */
  readonly protocol?: number | ProtocolName;
  /** TCP destination port. */
  readonly tcp?: number;
  /** UDP destination port. */
  readonly udp?: number;
  /** SCTP destination port. */
  readonly sctp?: number;
  /** Destination port of TCP, UDP and SCTP, or of the one that `protocol` names. */
  readonly port?: number;
  /** ICMP over IPv4. */
  readonly icmp?: true;
  /** ICMP over IPv6. */
  readonly icmp6?: true;
  /** "10.0.0.0/8", "2001:db8::/32", or a host without a length. */
  readonly source?: string;
  /** "10.0.0.0/8", "2001:db8::/32", or a host without a length. */
  readonly destination?: string;
}

export type ProtocolName = "tcp" | "udp" | "sctp" | "icmp" | "icmp6";

/** Every frame, one kind of traffic, or any of several; an empty list claims nothing. */
export type Claims = "everything" | Claim | readonly Claim[];

/** Claims in one list. The table grows with them; at this number it takes some 10 MB and 100 ms to set. */
export const MAX_CLAIMS = 16_384;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
/** IEEE 802.1Q and 802.1ad: tags are seen through, never claimed. */
const ETHERTYPE_TAGS: readonly number[] = [0x8100, 0x88a8];
/** Below this the field is a length (IEEE 802.3). */
const MIN_ETHERTYPE = 0x0600;
const MAX_ETHERTYPE = 0xffff;
const MAX_PROTOCOL = 255;
const MAX_PORT = 65_535;

/** IANA's protocol numbers. */
const PROTOCOLS: Readonly<Record<ProtocolName, number>> = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 };
const WITH_PORTS = ["tcp", "udp", "sctp"] as const;

/** A claim that makes sense, in the terms of the lookup. */
export type CheckedClaim =
  | { readonly kind: "ethertype"; readonly ethertype: number }
  | { readonly kind: "arp"; readonly source?: Prefix; readonly destination?: Prefix }
  | {
      readonly kind: "ip";
      readonly families: readonly (4 | 6)[];
      /** Empty for any protocol. */
      readonly protocols: readonly number[];
      readonly port?: number;
      readonly source?: Prefix;
      readonly destination?: Prefix;
    };

/** Everything, or a list in which each claim has been checked. */
export type CheckedClaims = "everything" | readonly CheckedClaim[];

const show = (value: unknown): string => {
  try {
    return typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? String(value));
  } catch {
    return typeof value;
  }
};

const wrongType = (index: number, field: string, value: unknown, allowed: string): TypeError =>
  new TypeError(`claim ${index}: ${field} is ${allowed}, not ${show(value)}`);

const conflict = (index: number, text: string): TypeError => new TypeError(`claim ${index}: ${text}`);

const FIELDS = [
  "ethertype",
  "arp",
  "protocol",
  "tcp",
  "udp",
  "sctp",
  "port",
  "icmp",
  "icmp6",
  "source",
  "destination",
] as const satisfies readonly (keyof Claim)[];
type Field = (typeof FIELDS)[number];

/** Members that say what is carried: one claim has at most one of them, apart from `protocol` with `port`. */
const CONTENTS: readonly Field[] = ["arp", "protocol", "tcp", "udp", "sctp", "port", "icmp", "icmp6"];

const integer = (index: number, field: Field, value: unknown, min: number, max: number): number => {
  if (typeof value !== "number") throw wrongType(index, field, value, `a number from ${min} to ${max}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`claim ${index}: ${field} is a whole number from ${min} to ${max}, not ${value}`);
  }
  return value;
};

const checkFlags = (index: number, claim: Claim): void => {
  for (const field of ["arp", "icmp", "icmp6"] as const) {
    if (field in claim && claim[field] !== true)
      throw wrongType(index, field, claim[field], "true, or left out");
  }
};

const checkEthertype = (index: number, claim: Claim): number | undefined => {
  if (!("ethertype" in claim)) return undefined;
  const ethertype = integer(index, "ethertype", claim.ethertype, MIN_ETHERTYPE, MAX_ETHERTYPE);
  if (ETHERTYPE_TAGS.includes(ethertype)) {
    throw new RangeError(
      `claim ${index}: ethertype 0x${ethertype.toString(16)} is a VLAN tag; tags are seen through, so claim what they carry`,
    );
  }
  return ethertype;
};

const checkPrefix = (index: number, field: "source" | "destination", claim: Claim): Prefix | undefined => {
  if (!(field in claim)) return undefined;
  const text: unknown = claim[field];
  if (typeof text !== "string") {
    throw wrongType(index, field, text, 'a string such as "10.0.0.0/8" or "2001:db8::1"');
  }
  const prefix = parsePrefix(text);
  if (typeof prefix === "string") throw new RangeError(`claim ${index}: ${field} ${show(text)} ${prefix}`);
  return prefix;
};

const protocolNumber = (index: number, protocol: unknown): number => {
  if (typeof protocol === "string") {
    if (Object.hasOwn(PROTOCOLS, protocol)) return PROTOCOLS[protocol as ProtocolName];
    throw new RangeError(
      `claim ${index}: protocol is 0 to ${MAX_PROTOCOL} or one of ${Object.keys(PROTOCOLS).join(", ")}, not ${show(protocol)}`,
    );
  }
  return integer(index, "protocol", protocol, 0, MAX_PROTOCOL);
};

interface Content {
  readonly protocols: readonly number[];
  readonly port?: number;
}

const checkPort = (index: number, field: "tcp" | "udp" | "sctp" | "port", claim: Claim): number =>
  integer(index, field, claim[field], 1, MAX_PORT);

/** Protocols and port that a claim names, whichever way it names them. */
const checkContent = (index: number, claim: Claim): Content => {
  const named = CONTENTS.filter((field) => field in claim);
  const pair = named.length === 2 && named[0] === "protocol" && named[1] === "port";
  if (named.length > 1 && !pair) {
    throw conflict(index, `${named.join(" and ")} exclude one another in one claim; write a claim for each`);
  }
  for (const field of WITH_PORTS) {
    if (field in claim) return { protocols: [PROTOCOLS[field]], port: checkPort(index, field, claim) };
  }
  if ("icmp" in claim) return { protocols: [PROTOCOLS.icmp] };
  if ("icmp6" in claim) return { protocols: [PROTOCOLS.icmp6] };
  const withPorts = WITH_PORTS.map((name) => PROTOCOLS[name]);
  if ("protocol" in claim) {
    const protocol = protocolNumber(index, claim.protocol);
    if (!pair) return { protocols: [protocol] };
    if (!withPorts.includes(protocol)) {
      throw conflict(index, `port goes with protocol ${WITH_PORTS.join(", ")}, not ${show(claim.protocol)}`);
    }
    return { protocols: [protocol], port: checkPort(index, "port", claim) };
  }
  if ("port" in claim) return { protocols: withPorts, port: checkPort(index, "port", claim) };
  return { protocols: [] };
};

/** What the claim's members say about the IP version; each must agree with the others. */
const checkFamilies = (
  index: number,
  claim: Claim,
  ethertype: number | undefined,
  prefixes: readonly (readonly [string, Prefix | undefined])[],
): readonly (4 | 6)[] => {
  const says: (readonly [string, 4 | 6])[] = [];
  if (ethertype === ETHERTYPE_IPV4) says.push(["ethertype 0x0800", 4]);
  if (ethertype === ETHERTYPE_IPV6) says.push(["ethertype 0x86dd", 6]);
  if ("arp" in claim || ethertype === ETHERTYPE_ARP) says.push(["arp", 4]);
  if ("icmp" in claim || claim.protocol === "icmp") says.push(["icmp", 4]);
  if ("icmp6" in claim || claim.protocol === "icmp6") says.push(["icmp6", 6]);
  for (const [field, prefix] of prefixes) if (prefix !== undefined) says.push([field, prefix.family]);
  const [first] = says;
  const other = says.find(([, family]) => family !== first?.[1]);
  if (first !== undefined && other !== undefined) {
    throw conflict(
      index,
      `${first[0]} is IPv${first[1]} but ${other[0]} is IPv${other[1]}; keep to one of them`,
    );
  }
  return first === undefined ? [4, 6] : [first[1]];
};

const checkKeys = (index: number, claim: unknown): Claim => {
  if (typeof claim !== "object" || claim === null || Array.isArray(claim)) {
    throw new TypeError(`claim ${index} is an object such as { udp: 9000 }, not ${show(claim)}`);
  }
  const keys = Reflect.ownKeys(claim);
  const unknown = keys.find((key) => !(FIELDS as readonly PropertyKey[]).includes(key));
  if (unknown !== undefined) {
    throw new TypeError(`claim ${index}: unknown field ${String(unknown)}; there are ${FIELDS.join(", ")}`);
  }
  if (keys.length === 0) {
    throw new TypeError(
      `claim ${index} is empty; claim "everything", or name at least one of ${FIELDS.join(", ")}`,
    );
  }
  return claim as Claim;
};

const checkClaim = (index: number, given: unknown): CheckedClaim => {
  const claim = checkKeys(index, given);
  checkFlags(index, claim);
  const ethertype = checkEthertype(index, claim);
  const source = checkPrefix(index, "source", claim);
  const destination = checkPrefix(index, "destination", claim);
  const content = checkContent(index, claim);
  const prefixed = source !== undefined || destination !== undefined;
  const prefixes = {
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
  };
  const isIp = ethertype === undefined || ethertype === ETHERTYPE_IPV4 || ethertype === ETHERTYPE_IPV6;
  const carries = CONTENTS.find((field) => field !== "arp" && field in claim);
  if (!isIp && carries !== undefined) {
    throw conflict(
      index,
      `ethertype 0x${ethertype.toString(16)} is not IP, so ${carries} means nothing there`,
    );
  }
  if ("arp" in claim && ethertype !== undefined && ethertype !== ETHERTYPE_ARP) {
    throw conflict(index, `ethertype 0x${ethertype.toString(16)} is not ARP; leave one of the two out`);
  }
  if (!isIp && ethertype !== ETHERTYPE_ARP && prefixed) {
    throw conflict(
      index,
      `ethertype 0x${ethertype.toString(16)} has no addresses; prefixes go with IP and ARP`,
    );
  }
  const families = checkFamilies(index, claim, ethertype, [
    ["source", source],
    ["destination", destination],
  ]);
  if ("arp" in claim || ethertype === ETHERTYPE_ARP) {
    return prefixed ? { kind: "arp", ...prefixes } : { kind: "ethertype", ethertype: ETHERTYPE_ARP };
  }
  if (ethertype !== undefined && carries === undefined && !prefixed) return { kind: "ethertype", ethertype };
  return { kind: "ip", families, ...content, ...prefixes };
};

/**
 * Checks claims and says what they mean. Touches nothing.
 *
 * Throws TypeError for members of the wrong type, unknown members and combinations that can match no frame, RangeError
 * for values out of range and for more than `MAX_CLAIMS` claims; both name the claim's index and the field.
 */
export const checkClaims = (claims: Claims): CheckedClaims => {
  if (claims === "everything") return claims;
  if (typeof claims !== "object" || claims === null) {
    throw new TypeError(`claims are "everything", a claim or a list of claims, not ${show(claims)}`);
  }
  const list: readonly unknown[] = Array.isArray(claims) ? claims : [claims];
  if (list.length > MAX_CLAIMS) {
    throw new RangeError(
      `${list.length} claims are more than the ${MAX_CLAIMS} that one list may hold; claim prefixes, or "everything"`,
    );
  }
  // Not map(): it would skip the holes of a sparse array.
  return Array.from(list, (claim, index) => checkClaim(index, claim));
};

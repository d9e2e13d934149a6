/**
 * Address prefixes as people write them: "10.0.0.0/8", "2001:db8::/32", or a host without a length.
 */

/** An IPv4 or IPv6 prefix. IPv4 fills the first word only. */
export interface Prefix {
  readonly family: 4 | 6;
  /** The address from left to right, 32 bits a word, as unsigned numbers; bits beyond the length are 0. */
  readonly words: Words;
  /** Bits: 0-32 or 0-128. */
  readonly length: number;
}

export type Words = readonly [number, number, number, number];

const WORD_BITS = 32;
const IPV4_BITS = 32;
const IPV6_BITS = 128;
const GROUPS = 8;
const GROUP_BITS = 16;

/** `word` number `index` of an address with the bits beyond `length` cleared. */
export const maskWord = (word: number, index: number, length: number): number => {
  const kept = length - index * WORD_BITS;
  if (kept >= WORD_BITS) return word;
  return kept <= 0 ? 0 : (word & (~0 << (WORD_BITS - kept))) >>> 0;
};

/** The first `length` bits of an address. */
export const maskWords = (words: Words, length: number): Words => [
  maskWord(words[0], 0, length),
  maskWord(words[1], 1, length),
  maskWord(words[2], 2, length),
  maskWord(words[3], 3, length),
];

/** Four decimal octets without leading zeros, which some readers take for octal; undefined for anything else. */
const parseIpv4 = (text: string): number | undefined => {
  const octets = text.split(".");
  if (octets.length !== 4) return undefined;
  let address = 0;
  for (const octet of octets) {
    if (!/^(0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return undefined;
    address = address * 256 + Number(octet);
  }
  return address;
};

/** 16-bit groups of one side of "::"; an IPv4 address may end it (RFC 4291 section 2.2). */
const parseGroups = (text: string, last: boolean): number[] | undefined => {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const embedded = last && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (embedded === undefined) return undefined;
    groups.push(embedded >>> GROUP_BITS, embedded & 0xffff);
  }
  return groups;
};

const parseIpv6 = (text: string): Words | undefined => {
  const sides = text.split("::");
  if (sides.length > 2) return undefined;
  const head = parseGroups(sides[0]!, sides.length === 1);
  const tail = sides.length === 2 ? parseGroups(sides[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = GROUPS - head.length - tail.length;
  // "::" stands for at least one group.
  if (sides.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<number>(missing).fill(0), ...tail];
  const word = (i: number): number => ((groups[2 * i]! << GROUP_BITS) | groups[2 * i + 1]!) >>> 0;
  return [word(0), word(1), word(2), word(3)];
};

/** The prefix that `text` names, or the reason why it names none. */
export const parsePrefix = (text: string): Prefix | string => {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const ipv4 = parseIpv4(address);
  const words: Words | undefined = ipv4 === undefined ? parseIpv6(address) : [ipv4, 0, 0, 0];
  if (words === undefined) return "is not an IPv4 or IPv6 address with an optional /length";
  const bits = ipv4 === undefined ? IPV6_BITS : IPV4_BITS;
  const lengthText = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > bits) {
    return `has a length that is not 0 to ${bits}`;
  }
  const length = Number(lengthText);
  if (maskWords(words, length).some((word, i) => word !== words[i])) {
    return `has bits set beyond its length of ${length}: write the network's address, or leave the length out for a host`;
  }
  return { family: ipv4 === undefined ? 6 : 4, words, length };
};

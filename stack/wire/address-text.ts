/**
 * The texts of IP addresses: RFC 4291 section 2.2 read, RFC 5952 written, both as four big-endian words.
 */

/** Four int32 words, big-endian; an IPv4 address is mapped (0, 0, 0xffff, address). */
export type Words = readonly [w0: number, w1: number, w2: number, w3: number];

/** The third word of an IPv4 address: ::ffff:0:0/96, RFC 4291 section 2.5.5.2. */
export const MAPPED = 0xffff;

/** Groups of 16 bits in an IPv6 address. */
const GROUPS = 8;
const GROUP_BITS = 16;
const GROUP_MASK = 0xffff;
const BYTE_BITS = 8;
const BYTE_MASK = 0xff;
/** "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255": nothing longer is an address. */
const MAX_TEXT = 45;
/** A single zero group is never written as "::" (RFC 5952 section 4.2.2). */
const SHORTEST_RUN = 2;

const GROUP = /^[0-9a-f]{1,4}$/i;
/** No leading zeros, which some programs read as octal (RFC 6943 section 3.1.1). */
const OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const DOTTED = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

const dottedWord = (text: string): number | undefined => {
  if (!DOTTED.test(text)) return undefined;
  return text.split(".").reduce((word, octet) => (word << BYTE_BITS) | Number(octet), 0);
};

/** The groups of a part between colons; where the text ends in a dotted address, that counts as two groups. */
const groupsOf = (part: string, mayEndDotted: boolean): number[] | undefined => {
  if (part === "") return [];
  const pieces = part.split(":");
  const groups: number[] = [];
  for (const [i, piece] of pieces.entries()) {
    const word = mayEndDotted && i === pieces.length - 1 ? dottedWord(piece) : undefined;
    if (word !== undefined) groups.push(word >>> GROUP_BITS, word & GROUP_MASK);
    else if (GROUP.test(piece)) groups.push(Number.parseInt(piece, 16));
    else return undefined;
  }
  return groups;
};

const parseGroups = (text: string): number[] | undefined => {
  const [before = "", after, more] = text.split("::");
  if (more !== undefined) return undefined;
  const head = groupsOf(before, after === undefined);
  if (head === undefined) return undefined;
  if (after === undefined) return head.length === GROUPS ? head : undefined;
  const tail = groupsOf(after, true);
  if (tail === undefined) return undefined;
  // "::" stands for one group or more (RFC 4291 section 2.2, 2).
  const missing = GROUPS - head.length - tail.length;
  return missing < 1 ? undefined : [...head, ...Array<number>(missing).fill(0), ...tail];
};

/** The words of a text, or undefined where it is no address. Dotted texts give mapped words; zones are not taken. */
export const parseWords = (text: string): Words | undefined => {
  if (text.length > MAX_TEXT) return undefined;
  const word = dottedWord(text);
  if (word !== undefined) return [0, 0, MAPPED, word];
  const groups = parseGroups(text);
  if (groups === undefined) return undefined;
  const [g0 = 0, g1 = 0, g2 = 0, g3 = 0, g4 = 0, g5 = 0, g6 = 0, g7 = 0] = groups;
  return [(g0 << GROUP_BITS) | g1, (g2 << GROUP_BITS) | g3, (g4 << GROUP_BITS) | g5, (g6 << GROUP_BITS) | g7];
};

const formatDotted = (word: number): string => {
  const octets: number[] = [];
  for (let shift = 3 * BYTE_BITS; shift >= 0; shift -= BYTE_BITS) octets.push((word >>> shift) & BYTE_MASK);
  return octets.join(".");
};

/** The first of the longest runs of zero groups, as [start, length] (RFC 5952 section 4.2.3). */
const longestRun = (groups: readonly number[]): readonly [start: number, length: number] => {
  let best = 0;
  let bestLength = 0;
  let length = 0;
  for (const [i, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > bestLength) {
      bestLength = length;
      best = i + 1 - length;
    }
  }
  return [best, bestLength];
};

/**
 * Dotted for IPv4, RFC 5952 for IPv6. Addresses that embed an IPv4 address otherwise (64:ff9b::/96) are written in
 * hexadecimal too, as the kernel's tools write them.
 */
export const formatWords = (w0: number, w1: number, w2: number, w3: number): string => {
  if (w0 === 0 && w1 === 0 && w2 === MAPPED) return formatDotted(w3);
  const groups = [w0, w1, w2, w3].flatMap((word) => [word >>> GROUP_BITS, word & GROUP_MASK]);
  const texts = groups.map((group) => group.toString(16));
  const [start, length] = longestRun(groups);
  if (length < SHORTEST_RUN) return texts.join(":");
  return `${texts.slice(0, start).join(":")}::${texts.slice(start + length).join(":")}`;
};

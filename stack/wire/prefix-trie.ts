/**
 * A binary trie of prefixes with its paths compressed (Morrison's PATRICIA, 1968): a node for each prefix, and a fork
 * wherever two of them part, so that n prefixes make less than 2n nodes, and a way down is short.
 *
 * All functions take words of 128 bits; a trie holds prefixes of one family.
 */
import { IPV4_BITS, IPV6_BITS, type Prefix } from "./prefix.ts";

const WORD_BITS = 32;
const SHIFT_MASK = WORD_BITS - 1;

/** A prefix that has a value, or a fork, which has none but two branches. */
export class TrieNode<T> {
  // What a step looks at comes first, so that it lies together. Words and masks are copied out of the prefix for that.
  /** Bits of the prefix in 128, and the number of the bit that chooses the branch. */
  readonly bits: number;
  readonly w3: number;
  readonly mask3: number;
  value: T | undefined;
  zero: TrieNode<T> | undefined = undefined;
  one: TrieNode<T> | undefined = undefined;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly mask0: number;
  readonly mask1: number;
  readonly mask2: number;
  readonly prefix: Prefix;

  constructor(prefix: Prefix, value: T | undefined) {
    this.prefix = prefix;
    this.bits = bitsOf(prefix);
    this.w0 = prefix.address.w0;
    this.w1 = prefix.address.w1;
    this.w2 = prefix.address.w2;
    this.w3 = prefix.address.w3;
    this.mask0 = prefix.mask0;
    this.mask1 = prefix.mask1;
    this.mask2 = prefix.mask2;
    this.mask3 = prefix.mask3;
    this.value = value;
  }
}

/** A node or nothing: every way down ends in nothing. */
export type Branch<T> = TrieNode<T> | undefined;

const bitsOf = (prefix: Prefix): number =>
  prefix.family === 4 ? IPV6_BITS - IPV4_BITS + prefix.length : prefix.length;

/** Whether bit `index` is set, 0 to 127 from the left. */
const bitAt = (w0: number, w1: number, w2: number, w3: number, index: number): boolean => {
  const upper = index < WORD_BITS ? w0 : w1;
  const lower = index < 3 * WORD_BITS ? w2 : w3;
  return (index < 2 * WORD_BITS ? upper : lower) << (index & SHIFT_MASK) < 0;
};

/** The value of the longest prefix below `node` that contains the words. */
export const longest = <T>(
  node: Branch<T>,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): T | undefined => {
  let best: T | undefined;
  while (node !== undefined) {
    const differs =
      ((w0 ^ node.w0) & node.mask0) |
      ((w1 ^ node.w1) & node.mask1) |
      ((w2 ^ node.w2) & node.mask2) |
      ((w3 ^ node.w3) & node.mask3);
    if (differs !== 0) return best;
    if (node.value !== undefined) best = node.value;
    node = bitAt(w0, w1, w2, w3, node.bits) ? node.one : node.zero;
  }
  return best;
};

/** The same in a trie of IPv4 prefixes, whose first three words are all alike. */
export const longest4 = <T>(node: Branch<T>, w3: number): T | undefined => {
  let best: T | undefined;
  while (node !== undefined) {
    if (((w3 ^ node.w3) & node.mask3) !== 0) return best;
    if (node.value !== undefined) best = node.value;
    node = w3 << (node.bits & SHIFT_MASK) < 0 ? node.one : node.zero;
  }
  return best;
};

/** Bits at the start that the prefixes of two nodes share, at most the length of the shorter one. */
const sharedBits = <T>(a: TrieNode<T>, b: TrieNode<T>): number => {
  let shared = Math.clz32(a.w0 ^ b.w0);
  if (shared === WORD_BITS) shared += Math.clz32(a.w1 ^ b.w1);
  if (shared === 2 * WORD_BITS) shared += Math.clz32(a.w2 ^ b.w2);
  if (shared === 3 * WORD_BITS) shared += Math.clz32(a.w3 ^ b.w3);
  return Math.min(shared, a.bits, b.bits);
};

const onOne = <T>(node: TrieNode<T>, index: number): boolean =>
  bitAt(node.w0, node.w1, node.w2, node.w3, index);

const hang = <T>(parent: TrieNode<T>, child: TrieNode<T>): TrieNode<T> => {
  if (onOne(child, parent.bits)) parent.one = child;
  else parent.zero = child;
  return parent;
};

/** Puts a new leaf into the trie below `node` and gives what is there in place of `node`. */
export const graft = <T>(node: Branch<T>, leaf: TrieNode<T>): TrieNode<T> => {
  if (node === undefined) return leaf;
  const shared = sharedBits(node, leaf);
  if (shared === node.bits) {
    if (shared === leaf.bits) {
      node.value = leaf.value;
      return node;
    }
    return hang(node, graft(onOne(leaf, shared) ? node.one : node.zero, leaf));
  }
  if (shared === leaf.bits) return hang(leaf, node);
  const cut = leaf.prefix.length - (leaf.bits - shared);
  return hang(hang(new TrieNode<T>(leaf.prefix.shortened(cut), undefined), node), leaf);
};

/** The node of this very prefix; it is a fork where it has no value. */
export const find = <T>(node: Branch<T>, prefix: Prefix): Branch<T> => {
  const { w0, w1, w2, w3 } = prefix.address;
  const bits = bitsOf(prefix);
  while (node !== undefined && node.bits < bits)
    node = bitAt(w0, w1, w2, w3, node.bits) ? node.one : node.zero;
  return node?.prefix.equals(prefix) === true ? node : undefined;
};

/** Takes the value of a prefix that is there out of the trie below `node`, and gives what is there in place of `node`. */
export const prune = <T>(node: Branch<T>, prefix: Prefix): Branch<T> => {
  if (node === undefined) return undefined;
  if (node.prefix.equals(prefix)) node.value = undefined;
  else if (bitAt(prefix.address.w0, prefix.address.w1, prefix.address.w2, prefix.address.w3, node.bits))
    node.one = prune(node.one, prefix);
  else node.zero = prune(node.zero, prefix);
  // Without a value and without two branches a node has no reason to be.
  if (node.value !== undefined || (node.zero !== undefined && node.one !== undefined)) return node;
  return node.zero ?? node.one;
};

/** Adds the prefixes that have a value, in the order of their addresses, shorter ones first. */
export const collect = <T>(node: Branch<T>, into: [Prefix, T][]): void => {
  if (node === undefined) return;
  if (node.value !== undefined) into.push([node.prefix, node.value]);
  collect(node.zero, into);
  collect(node.one, into);
};

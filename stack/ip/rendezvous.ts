/**
 * Rendezvous hashing: everybody who could have a key bids for it, and the highest bid has it.
 *
 * Where a bidder goes only its own keys have another, and where it comes back they return (Thaler and Ravishankar, "Using
 * name-based mappings to increase hit rates", 1998; among next hops RFC 2991 section 3 and RFC 2992 have it as HRW).
 *
 * A bid is ln(u) / w, where u is the hash as a number between 0 and 1 and w the bidder's weight: without its sign, the time until
 * the first of events that come at a rate of w. Each bidder is first as often as its rate is part of all rates: so shares follow
 * weights, and a weight that changes moves keys to that bidder or from it, never between others (Schindelhauer and Schomaker,
 * "Weighted distributed hash tables", 2005).
 */
import { hashAddress } from "../wire/address.ts";

/** An address, or any four words. */
interface Words {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

const NOBODY: Words = { w0: 0, w1: 0, w2: 0, w3: 0 };

/** Values that a hash can have. */
const RANGE = 2 ** 32;
/** Hashes lie in the middle of their steps: none is 0, which has no logarithm, nor 1, of which every weight makes 0. */
const MIDDLE = 0.5;

/** What tells bidders of one seed apart: an int32 of their number and their address, if they have one. */
export const saltOf = (seed: number, number: number, { w0, w1, w2, w3 } = NOBODY): number =>
  hashAddress(w0, w1, w2, w3, seed ^ number);

/**
 * What the bidder of a salt bids for the key of an address and a number: below 0, and the same every time. Without weights bids
 * are in the order of the hashes. Allocates nothing, but takes a logarithm: for choices that are remembered.
 */
export const bidOf = ({ w0, w1, w2, w3 }: Words, number: number, salt: number, weight = 1): number => {
  // Twice, so that the number is mixed with what the address and the bidder made: either alone differs in few bits.
  const hash = hashAddress(0, 0, number | 0, hashAddress(w0, w1, w2, w3, salt), salt) >>> 0;
  return Math.log((hash + MIDDLE) / RANGE) / weight;
};

/** Below every bid. */
export const NO_BID = -Infinity;

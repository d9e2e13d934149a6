/**
 * Arithmetic with the numbers of a feed, which wrap around at a modulus that may be larger than 32 bits.
 */

/** How far `to` is ahead of `from`, the shorter way around; behind it negative. NaN where there is no `from`. */
export const distanceOf = (from: number, to: number, modulus: number): number => {
  const ahead = to - from;
  if (ahead >= modulus / 2) return ahead - modulus;
  return ahead < -modulus / 2 ? ahead + modulus : ahead;
};

/** The number `count` after `from`. */
export const numberAfter = (from: number, count: number, modulus: number): number => {
  const after = from + count;
  // Most often the remainder of a division would be the number itself.
  return after < modulus ? after : after % modulus;
};

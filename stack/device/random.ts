/**
 * Randomness as an argument: a generator with a seed, so that whatever it decides can be repeated.
 *
 * The algorithm is sfc32 (Chris Doty-Humphrey's small fast counting generator, 128 bits of state, passes PractRand); it
 * is not for secrets.
 */

/** A source of evenly distributed numbers. */
export interface Random {
  /** The next whole number, 0 to 2^32 - 1. */
  next(): number;
}

/** Values that `next` can give. */
export const RANDOM_RANGE = 2 ** 32;

/** Rounds after seeding, so that seeds that differ in one bit give streams that differ everywhere. */
const WARM_UP_ROUNDS = 15;

/** sfc32 from a seed of any whole number; the low 53 bits count. */
export const seededRandom = (seed: number): Random => {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`a seed is a whole number, not ${String(seed)}`);
  let a = 0;
  let b = seed | 0;
  let c = Math.floor(seed / RANDOM_RANGE) | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < WARM_UP_ROUNDS; i++) next();
  return { next };
};

/** A whole number from 0 to `bound` - 1. */
export const below = (random: Random, bound: number): number =>
  Math.floor((random.next() / RANDOM_RANGE) * bound);

/** True with probability `rate` (0 to 1). Draws nothing where the answer is certain, so unused faults cost no numbers. */
export const chance = (random: Random, rate: number): boolean =>
  rate > 0 && (rate >= 1 || random.next() < rate * RANDOM_RANGE);

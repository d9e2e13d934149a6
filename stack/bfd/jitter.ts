/**
 * How much earlier than agreed packets leave, at random, so that the systems of a link do not fall into step (RFC 5880 sections
 * 6.8.7 and 6.8.9).
 */
import type { Random } from "../device/random.ts";
import { RANDOM_RANGE } from "../device/random.ts";

/** The interval is cut by up to this part of it. */
const MOST = 0.25;
/** The least that is cut where a single missing packet ends the session: of control packets by the RFC, of echoes for its reason. */
const LEAST_OF_ONE = 0.1;

/** What the interval before the next packet is multiplied by. */
export const drawJitter = (random: Random, multiplier: number): number => {
  const least = multiplier === 1 ? LEAST_OF_ONE : 0;
  return 1 - least - ((MOST - least) * random.next()) / RANDOM_RANGE;
};

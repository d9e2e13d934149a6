/** From a seed the life of a world of networks between two hosts, and that of a world of one link. */
import { seededRandom } from "../../../stack/device/random.ts";
import { act, heal } from "./actions.ts";
import { type LifeOutcome, liveIn } from "./life.ts";
import { actOnLink, healLink } from "./link-actions.ts";
import { type LinkPlan, linkPlanOf } from "./link-plan.ts";
import { LinkWorld } from "./link-world.ts";
import { planOf, type PathsPlan } from "./plan.ts";
import { PathsWorld } from "./world.ts";

/** Runs the world of `seed`. Never throws for what is wrong in it. */
export const simulatePaths = (seed: number, keepsTrace = false): LifeOutcome<PathsPlan> => {
  const random = seededRandom(seed);
  return liveIn(new PathsWorld(planOf(seed, random), random, keepsTrace), { act, heal });
};

/** The same where all interfaces are on one link. */
export const simulateLink = (seed: number, keepsTrace = false): LifeOutcome<LinkPlan> => {
  const random = seededRandom(seed);
  const world = new LinkWorld(linkPlanOf(seed, random), random, keepsTrace);
  return liveIn(world, { act: actOnLink, heal: healLink });
};

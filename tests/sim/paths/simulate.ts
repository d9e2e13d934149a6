/** From a seed the life of a world of networks between two hosts, and that of a world of one link. */
import { seededRandom } from "../../../stack/device/random.ts";
import { act, heal } from "./actions.ts";
import { type LifeOutcome, liveThrough } from "./life.ts";
import { actOnLink, healLink } from "./link-actions.ts";
import { type LinkPlan, linkPlanOf } from "./link-plan.ts";
import { LinkWorld } from "./link-world.ts";
import { planOf, type PathsPlan } from "./plan.ts";
import { PathsWorld } from "./world.ts";

export interface PathsOutcome extends LifeOutcome {
  readonly plan: PathsPlan;
}

/** Runs the world of `seed`. Never throws for what is wrong in it. */
export const simulatePaths = (seed: number, keepsTrace = false): PathsOutcome => {
  const random = seededRandom(seed);
  const plan = planOf(seed, random);
  return { plan, ...liveThrough(seed, new PathsWorld(plan, random, keepsTrace), { act, heal }) };
};

export interface LinkOutcome extends LifeOutcome {
  readonly plan: LinkPlan;
}

/** The same where all interfaces are on one link. */
export const simulateLink = (seed: number, keepsTrace = false): LinkOutcome => {
  const random = seededRandom(seed);
  const plan = linkPlanOf(seed, random);
  return {
    plan,
    ...liveThrough(seed, new LinkWorld(plan, random, keepsTrace), { act: actOnLink, heal: healLink }),
  };
};

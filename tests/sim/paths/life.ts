/** The life of a world of paths: things break and heal while questions are asked; then all heals, must be in use again, and ends. */
import { below } from "../../../stack/device/random.ts";
import { liveThrough, type Outcome } from "../outcome.ts";
import type { Party } from "./party.ts";
import type { LifePlan } from "./plan.ts";
import type { Stage } from "./stage.ts";

/** A world that can be lived through. */
export interface Mortal {
  readonly plan: LifePlan;
  readonly stage: Stage;
  /** Those whose paths are to be used again when all is well. */
  readonly parties: readonly Party[];
  /** No packet is held back on its way. */
  readonly quiet: boolean;
  close(): void;
}

/** What can be done to a world. */
export interface Deeds<W> {
  /** Something happens. */
  readonly act: (world: W) => void;
  /** Everything that was broken is whole again. */
  readonly heal: (world: W) => void;
}

export interface LifeOutcome<Plan extends LifePlan = LifePlan> extends Outcome {
  readonly plan: Plan;
  readonly questions: number;
  /** Questions that had to be answered, and were unless somebody complains. */
  readonly required: number;
}

/** Longest pause between two things that happen, in ms. */
const PAUSE_MS = 2500;
/** All paths are used again by then: the longest damping, 15 s, a trial of seconds, and a BFD session that comes up slowly. */
const RECOVER_MS = 25_000;
const LOOK_EVERY_MS = 500;
/** Questions are asked for so long when all is well. */
const WELL_MS = 1000;
/** Then all is quiet: no question waits for a neighbour any more. */
const QUIET_MS = 10_000;

/** Lives through it. Never throws for what is wrong in it. */
export const liveIn = <Plan extends LifePlan, W extends Mortal & { readonly plan: Plan }>(
  world: W,
  { act, heal }: Deeds<W>,
): LifeOutcome<Plan> => {
  const { stage, plan } = world;
  const phases = [() => live(world, act), () => recover(world, heal), () => rest(world), () => end(world)];
  const outcome = liveThrough(plan.seed, stage.trace, () => stage.now, phases);
  const { asked: questions, required } = stage.questions;
  return { ...outcome, plan, questions, required };
};

const live = <W extends Mortal>(world: W, act: (world: W) => void): void => {
  const { stage, plan } = world;
  const { random, trace } = stage;
  stage.advance(below(random, PAUSE_MS));
  // What happens after something was wrong would hide it in the trace.
  for (let i = 0; i < plan.actions && trace.complaints.length === 0; i++) {
    act(world);
    stage.advance(below(random, PAUSE_MS));
    checkLent(stage);
  }
};

/** Whatever has been, once all is well every path is used again. */
const recover = <W extends Mortal>(world: W, heal: (world: W) => void): void => {
  const { stage } = world;
  heal(world);
  for (let ms = 0; notUp(world).length > 0; ms += LOOK_EVERY_MS) {
    if (ms >= RECOVER_MS) {
      stage.complain(`not in use ${RECOVER_MS} ms after all was healed: ${notUp(world).join(", ")}`);
      return;
    }
    stage.advance(LOOK_EVERY_MS);
  }
  stage.advance(WELL_MS);
  checkLent(stage);
};

const notUp = ({ parties }: Mortal): string[] =>
  parties.flatMap(({ host }) =>
    [...host.paths.values()].filter(({ state }) => state !== "up").map((path) => `${path} is ${path.state}`),
  );

const rest = (world: Mortal): void => {
  const { stage, parties } = world;
  stage.hush();
  stage.advance(QUIET_MS);
  for (const party of parties) party.checkLosses();
  for (const umem of stage.umems) {
    const { kept, lent } = umem.accounts();
    // Monitors go on asking: a packet may be on its way, but nobody keeps one.
    if (lent !== 0 || (kept !== 0 && world.quiet))
      stage.complain(`${kept} chunks are kept and ${lent} lent when all is quiet`);
  }
};

const end = (world: Mortal): void => {
  const { stage } = world;
  world.close();
  for (const umem of stage.umems) {
    const accounts = umem.accounts();
    if (accounts.pool !== accounts.total)
      stage.complain(`chunks are missing at the end: ${JSON.stringify(accounts)}`);
  }
  const { loop } = stage;
  if (loop.timers !== 0) stage.complain(`${loop.timers} timers are left at the end`);
  const { devices } = loop.statistics();
  if (devices !== 0) stage.complain(`${devices} devices are left in the loop`);
  loop.close();
};

const checkLent = ({ umems, loop, complain }: Stage): void => {
  for (const umem of umems) {
    const { lent } = umem.accounts();
    if (lent !== 0) complain(`${lent} chunks are lent to nobody`);
  }
  for (const complaint of loop.complaints.splice(0)) complain(complaint);
};

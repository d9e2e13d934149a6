/** The life of a world of paths: things break and heal while questions are asked; then all heals, must be in use again, and ends. */
import type { MemoryUmem } from "../../../stack/device/pool.ts";
import { below, type Random } from "../../../stack/device/random.ts";
import type { Host } from "../../../stack/ip/host.ts";
import type { WatchedLoop } from "../../support/watched-loop.ts";
import type { Trace } from "../witness.ts";
import type { Questions } from "./questions.ts";

/** A world that can be lived through. */
export interface Mortal {
  /** Things that happen before all is healed. */
  readonly actions: number;
  readonly random: Random;
  readonly trace: Trace;
  readonly questions: Questions;
  readonly loop: WatchedLoop;
  readonly umems: ReadonlySet<MemoryUmem>;
  /** Those whose paths are to be used again when all is well. */
  readonly hosts: readonly Host[];
  readonly now: number;
  /** No packet is held back on its way. */
  readonly quiet: boolean;
  advance(ms: number): void;
  /** No more questions. */
  hush(): void;
  close(): void;
}

/** What can be done to a world. */
export interface Deeds<W> {
  /** Something happens. */
  readonly act: (world: W) => void;
  /** Everything that was broken is whole again. */
  readonly heal: (world: W) => void;
}

export interface LifeOutcome {
  readonly seed: number;
  /** What was wrong; empty where nothing was. */
  readonly complaints: readonly string[];
  /** The last lines of the trace, where they were wanted. */
  readonly lines: readonly string[];
  /** Over every frame and its time. */
  readonly hash: number;
  readonly frames: number;
  readonly questions: number;
  /** Questions that had to be answered, and were unless somebody complains. */
  readonly required: number;
  /** Virtual time that passed. */
  readonly ms: number;
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
export const liveThrough = <W extends Mortal>(
  seed: number,
  world: W,
  { act, heal }: Deeds<W>,
): LifeOutcome => {
  const { trace, questions } = world;
  try {
    for (const phase of [
      () => live(world, act),
      () => recover(world, heal),
      () => rest(world),
      () => end(world),
    ]) {
      phase();
      if (trace.complaints.length > 0) break;
    }
  } catch (error) {
    trace.complain(`thrown: ${(error as Error)?.stack ?? String(error)}`);
  }
  const { hash, frames, complaints, lines } = trace;
  const { asked, required } = questions;
  return { seed, complaints, lines, hash, frames, questions: asked, required, ms: world.now };
};

const live = <W extends Mortal>(world: W, act: (world: W) => void): void => {
  const { random, actions, trace } = world;
  world.advance(below(random, PAUSE_MS));
  // What happens after something was wrong would hide it in the trace.
  for (let i = 0; i < actions && trace.complaints.length === 0; i++) {
    act(world);
    world.advance(below(random, PAUSE_MS));
    checkLent(world);
  }
};

/** Whatever has been, once all is well every path is used again. */
const recover = <W extends Mortal>(world: W, heal: (world: W) => void): void => {
  heal(world);
  for (let ms = 0; notUp(world).length > 0; ms += LOOK_EVERY_MS) {
    if (ms >= RECOVER_MS) {
      world.trace.complain(`not in use ${RECOVER_MS} ms after all was healed: ${notUp(world).join(", ")}`);
      return;
    }
    world.advance(LOOK_EVERY_MS);
  }
  world.advance(WELL_MS);
  checkLent(world);
};

const notUp = ({ hosts }: Mortal): string[] =>
  hosts.flatMap((host) =>
    [...host.paths.values()].filter(({ state }) => state !== "up").map((path) => `${path} is ${path.state}`),
  );

const rest = (world: Mortal): void => {
  world.hush();
  world.advance(QUIET_MS);
  for (const umem of world.umems) {
    const { kept, lent } = umem.accounts();
    // Monitors go on asking: a packet may be on its way, but nobody keeps one.
    if (lent !== 0 || (kept !== 0 && world.quiet))
      world.trace.complain(`${kept} chunks are kept and ${lent} lent when all is quiet`);
  }
};

const end = (world: Mortal): void => {
  world.close();
  for (const umem of world.umems) {
    const accounts = umem.accounts();
    if (accounts.pool !== accounts.total)
      world.trace.complain(`chunks are missing at the end: ${JSON.stringify(accounts)}`);
  }
  const { loop } = world;
  if (loop.timers !== 0) world.trace.complain(`${loop.timers} timers are left at the end`);
  const { devices } = loop.statistics();
  if (devices !== 0) world.trace.complain(`${devices} devices are left in the loop`);
  loop.close();
};

const checkLent = (world: Mortal): void => {
  for (const umem of world.umems) {
    const { lent } = umem.accounts();
    if (lent !== 0) world.trace.complain(`${lent} chunks are lent to nobody`);
  }
  for (const complaint of world.loop.complaints.splice(0)) world.trace.complain(complaint);
};

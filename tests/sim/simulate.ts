/**
 * The life of one world: it is built, things happen to it, it heals, it must work, and it ends.
 */
import { below, seededRandom } from "../../stack/device/random.ts";
import { act, heal } from "./actions.ts";
import { checkAlways, checkOver, checkQuiet, isQuiet } from "./invariants.ts";
import { KIND } from "./ledger.ts";
import { liveThrough, type Outcome } from "./outcome.ts";
import { planOf, type Plan } from "./plan.ts";
import { SERVICE, type Station } from "./station.ts";
import { World } from "./world.ts";

export interface HostsOutcome extends Outcome {
  readonly plan: Plan;
  readonly datagrams: number;
  readonly collisions: number;
}

/** Longest pause between two things that happen, in ms. */
const PAUSE_MS = 400;
/** Everything must work again so long after it was healed: failed neighbours, detection, a new lease with its back-off. */
const RESUME_MS = 240_000;
const TRY_EVERY_MS = 500;
/** Then all is quiet: the longest wait is for fragments, 60 s. */
const QUIET_MS = 61_000;
const QUIET_TRIES = 200;
const QUIET_EVERY_MS = 50;
const CHECK_EVERY = 8;

/** Runs the world of `seed`. Never throws for what is wrong in it. */
export const simulate = (seed: number, keepsTrace = false): HostsOutcome => {
  const random = seededRandom(seed);
  const plan = planOf(seed, random);
  const world = new World(plan, random, keepsTrace);
  const phases = [live, resume, rest, end].map((phase) => () => phase(world));
  const outcome = liveThrough(seed, world.trace, () => world.now, phases);
  const { arrived: datagrams, collisions } = world.ledger;
  return { ...outcome, plan, datagrams, collisions };
};

const live = (world: World): void => {
  const { random, plan } = world;
  for (let i = 0; i < plan.actions; i++) {
    act(world);
    world.advance(below(random, PAUSE_MS));
    if (i % CHECK_EVERY === 0) checkAlways(world);
  }
  checkAlways(world);
};

/** Everybody asks everybody until all have answered. */
const resume = (world: World): void => {
  heal(world);
  for (const { answers } of world.stations) answers.clear();
  for (let ms = 0; ms < RESUME_MS; ms += TRY_EVERY_MS) {
    const missing = world.stations.flatMap((station) => ask(world, station));
    if (missing.length === 0) return checkAlways(world);
    world.advance(TRY_EVERY_MS);
    if (ms + TRY_EVERY_MS >= RESUME_MS)
      world.trace.complain(`no answer after all was healed: ${missing.join(", ")}`);
  }
};

const ASK_BYTES = 100;

/** Asks those who have not answered yet; says who that is. */
const ask = (world: World, station: Station): string[] => {
  const missing: string[] = [];
  for (const other of world.stations) {
    for (const family of [4, 6] as const) {
      if (other.plan.index <= station.plan.index || station.answers.has(`${other.plan.index}/${family}`))
        continue;
      missing.push(`${station.suspect.name} from ${other.suspect.name} over IPv${family}`);
      const to = other.address(family);
      if (to !== undefined) station.send(station.client!, KIND.request, to, SERVICE.echo, ASK_BYTES);
    }
  }
  return missing;
};

const rest = (world: World): void => {
  world.advance(QUIET_MS);
  checkAlways(world);
  // Somebody may be speaking at this very moment.
  for (let tries = 0; !isQuiet(world) && tries < QUIET_TRIES; tries++) world.advance(QUIET_EVERY_MS);
  checkQuiet(world);
};

const end = (world: World): void => {
  const { stations, ports, plan } = world;
  const closeDevices = (): void => ports.forEach((port) => port.tap.close());
  if (plan.devicesFirst) closeDevices();
  else for (const station of stations) station.close();
  world.settle();
  for (const station of stations) while (station.kept.length > 0) station.letGo(false);
  if (plan.devicesFirst) for (const station of stations) station.close();
  else closeDevices();
  world.close();
  checkOver(world);
  world.loop.close();
};

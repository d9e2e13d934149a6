/** What happens in a world of one link: interfaces go silent one way or both, flap, lose their carrier, leave; or nothing does. */
import { below, chance, type Random } from "../../../stack/device/random.ts";
import type { Seat } from "./link-end.ts";
import type { LinkWorld } from "./link-world.ts";

interface Action {
  readonly name: string;
  readonly weight: number;
  readonly run: (world: LinkWorld, seat: Seat, random: Random) => void;
}

const MOST_FLAPS = 6;
const FLAP_MS = 400;
/** Long enough that all is settled, and questions have to be answered. */
const CALM_MS = 9000;

const pick = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;

const healOne = (world: LinkWorld, seat: Seat): void => {
  seat.device.setUp(true);
  world.endOf(seat).join(seat);
  seat.set({ cutOut: false, cutIn: false, down: false, left: false }, world.now);
};

/** Goes and comes, silently or with the carrier. */
const flap = (world: LinkWorld, seat: Seat, random: Random): void => {
  const silent = chance(random, 0.5);
  const { cutOut, cutIn, down } = seat.now;
  for (let left = 1 + below(random, MOST_FLAPS); left > 0; left--) {
    if (!silent) seat.device.setUp(false);
    seat.set(silent ? { cutOut: true, cutIn: true } : { down: true }, world.now);
    world.advance(below(random, FLAP_MS));
    // What was wrong with it before still is.
    if (!silent) seat.device.setUp(!down);
    seat.set(silent ? { cutOut, cutIn } : { down }, world.now);
    world.advance(below(random, FLAP_MS));
  }
};

const ACTIONS: readonly Action[] = [
  {
    name: "cut",
    weight: 6,
    run: (world, seat, random) => {
      const ways = pick(random, [{ cutOut: true, cutIn: true }, { cutOut: true }, { cutIn: true }]);
      seat.set(ways, world.now);
    },
  },
  { name: "heal", weight: 6, run: healOne },
  { name: "flap", weight: 2, run: flap },
  {
    name: "carrier",
    weight: 3,
    run: (world, seat) => {
      seat.device.setUp(false);
      seat.set({ down: true }, world.now);
    },
  },
  {
    name: "leave",
    weight: 2,
    run: (world, seat) => {
      world.endOf(seat).leave(seat);
      seat.set({ left: true }, world.now);
    },
  },
  { name: "calm", weight: 6, run: (world, _, random) => world.advance(below(random, CALM_MS)) },
];
const ALL_WEIGHTS = ACTIONS.reduce((sum, action) => sum + action.weight, 0);

/** Something happens to one of the interfaces. */
export const actOnLink = (world: LinkWorld): void => {
  const { random, seats } = world;
  let at = below(random, ALL_WEIGHTS);
  const action = ACTIONS.find((one) => (at -= one.weight) < 0)!;
  const seat = pick(random, seats);
  world.trace.note(`-- ${action.name} of ${seat.tap.name}`);
  action.run(world, seat, random);
};

/** Everything that was broken is whole again. */
export const healLink = (world: LinkWorld): void => {
  world.trace.note("-- all is healed");
  for (const seat of world.seats) healOne(world, seat);
};

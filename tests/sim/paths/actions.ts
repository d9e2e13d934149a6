/** What happens in a world of paths: cables are cut and flap, packets are lost, routes withdrawn, interfaces leave; or nothing does. */
import { below, chance, type Random } from "../../../stack/device/random.ts";
import type { PathsEnd, Plug } from "./end.ts";
import type { Network, PathsWorld } from "./world.ts";

interface Action {
  readonly name: string;
  readonly weight: number;
  readonly run: (world: PathsWorld, network: Network, random: Random) => void;
}

const MOST_FLAPS = 8;
const FLAP_MS = 400;
/** In percent: monitors disagree about what is lost so often. */
const MOST_LOSS = 60;
const MS_PER_S = 1000;
/** Long enough that all is settled, and questions have to be answered. */
const CALM_MS = 9 * MS_PER_S;

const pick = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;

/** One end of a network, or both. */
const endsOf = (
  world: PathsWorld,
  network: Network,
  random: Random,
): readonly (readonly [PathsEnd, Plug])[] => {
  const near = [world.near, network.near] as const;
  const far = [world.far, network.far] as const;
  return pick(random, [[near], [far], [near, far]]);
};

const cut = (world: PathsWorld, { weather }: Network, random: Random): void => {
  const [cutNear, cutFar] = pick(random, [
    [true, true],
    [true, false],
    [false, true],
  ] as const);
  weather.set({ cutNear: weather.now.cutNear || cutNear, cutFar: weather.now.cutFar || cutFar }, world.now);
};

const healOne = (world: PathsWorld, network: Network): void => {
  const { near, far, nearDevice, farDevice, weather } = network;
  for (const device of [nearDevice, farDevice]) device.setUp(true);
  for (const [end, plug] of [
    [world.near, near],
    [world.far, far],
  ] as const) {
    end.join(plug);
    end.setRoutes(plug, true);
  }
  const well = { cutNear: false, cutFar: false, down: false, left: false, withdrawn: false, loss: 0 };
  weather.set(well, world.now);
};

/** Goes and comes, silently or with the carrier. */
const flap = (world: PathsWorld, { weather, nearDevice, farDevice }: Network, random: Random): void => {
  const silent = chance(random, 0.5);
  const device = pick(random, [nearDevice, farDevice]);
  const { cutNear, cutFar, down } = weather.now;
  for (let left = 1 + below(random, MOST_FLAPS); left > 0; left--) {
    if (silent) weather.set({ cutNear: true, cutFar: true }, world.now);
    else {
      device.setUp(false);
      weather.set({ down: true }, world.now);
    }
    world.advance(below(random, FLAP_MS));
    // What was wrong with it before still is.
    if (silent) weather.set({ cutNear, cutFar }, world.now);
    else {
      device.setUp(!down);
      weather.set({ down }, world.now);
    }
    world.advance(below(random, FLAP_MS));
  }
};

const ACTIONS: readonly Action[] = [
  { name: "cut", weight: 6, run: cut },
  { name: "heal", weight: 6, run: healOne },
  { name: "flap", weight: 3, run: flap },
  {
    name: "carrier",
    weight: 3,
    run: (world, { weather, nearDevice, farDevice }, random) => {
      pick(random, [nearDevice, farDevice]).setUp(false);
      weather.set({ down: true }, world.now);
    },
  },
  {
    name: "loss",
    weight: 2,
    run: (world, { weather }, random) =>
      weather.set({ loss: (1 + below(random, MOST_LOSS)) / 100 }, world.now),
  },
  {
    name: "withdraw",
    weight: 2,
    run: (world, network, random) => {
      for (const [end, plug] of endsOf(world, network, random)) end.setRoutes(plug, false);
      network.weather.set({ withdrawn: true }, world.now);
    },
  },
  {
    name: "leave",
    weight: 2,
    run: (world, network, random) => {
      for (const [end, plug] of endsOf(world, network, random)) end.leave(plug);
      network.weather.set({ left: true }, world.now);
    },
  },
  { name: "calm", weight: 5, run: (world, _, random) => world.advance(below(random, CALM_MS)) },
];
const ALL_WEIGHTS = ACTIONS.reduce((sum, action) => sum + action.weight, 0);

/** Something happens to one of the networks. */
export const act = (world: PathsWorld): void => {
  const { random, networks } = world;
  let at = below(random, ALL_WEIGHTS);
  const action = ACTIONS.find((one) => (at -= one.weight) < 0)!;
  const network = pick(random, networks);
  world.trace.note(`-- ${action.name} of network ${network.plan.index}`);
  action.run(world, network, random);
};

/** Everything that was broken is whole again. */
export const heal = (world: PathsWorld): void => {
  world.trace.note("-- all is healed");
  for (const network of world.networks) healOne(world, network);
};

/** What happens in a world of networks: cables are cut and flap, packets are lost, routes withdrawn, interfaces and addresses go. */
import { below, chance, type Random } from "../../../stack/device/random.ts";
import { type Action, CALM_MS, flapping, happen } from "./deeds.ts";
import type { PathsEnd, Plug } from "./end.ts";
import { pick } from "./plan.ts";
import type { Network, PathsWorld } from "./world.ts";

/** In percent: monitors disagree about what is lost so often. */
const MOST_LOSS = 60;

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
  weather.clear(world.stage.now);
};

const ACTIONS: readonly Action<PathsWorld, Network>[] = [
  {
    name: "cut",
    weight: 6,
    run: ({ stage }, { weather }, random) => {
      const cuts = [{ cutNear: true, cutFar: true }, { cutNear: true }, { cutFar: true }];
      weather.set(pick(random, cuts), stage.now);
    },
  },
  { name: "heal", weight: 6, run: healOne },
  {
    name: "flap",
    weight: 3,
    run: ({ stage }, { weather, nearDevice, farDevice }, random) => {
      const isSilent = chance(random, 0.5);
      const device = pick(random, [nearDevice, farDevice]);
      flapping(stage, weather, isSilent ? ["cutNear", "cutFar"] : ["down"], random, (isDown) => {
        if (!isSilent) device.setUp(!isDown);
      });
    },
  },
  {
    name: "carrier",
    weight: 3,
    run: ({ stage }, { weather, nearDevice, farDevice }, random) => {
      pick(random, [nearDevice, farDevice]).setUp(false);
      weather.set({ down: true }, stage.now);
    },
  },
  {
    name: "loss",
    weight: 2,
    run: ({ stage }, { weather }, random) => weather.set({}, stage.now, (1 + below(random, MOST_LOSS)) / 100),
  },
  {
    name: "withdraw",
    weight: 2,
    run: (world, network, random) => {
      for (const [end, plug] of endsOf(world, network, random)) end.setRoutes(plug, false);
      network.weather.set({ withdrawn: true }, world.stage.now);
    },
  },
  {
    name: "leave",
    weight: 2,
    run: (world, network, random) => {
      for (const [end, plug] of endsOf(world, network, random)) end.leave(plug);
      network.weather.set({ left: true }, world.stage.now);
    },
  },
  {
    name: "address",
    weight: 1,
    run: ({ stage, near, far }, _, random) => {
      const end = pick(random, [near, far]);
      end.serve(false);
      stage.advance(below(random, CALM_MS));
      end.serve(true);
    },
  },
  { name: "calm", weight: 5, run: ({ stage }, _, random) => stage.advance(below(random, CALM_MS)) },
];

/** Something happens to one of the networks. */
export const act = (world: PathsWorld): void => {
  const network = pick(world.stage.random, world.networks);
  happen(world, network, `network ${network.plan.index}`, ACTIONS);
};

/** Everything that was broken is whole again. */
export const heal = (world: PathsWorld): void => {
  world.stage.trace.note("-- all is healed");
  for (const network of world.networks) healOne(world, network);
};

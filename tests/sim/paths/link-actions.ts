/** What happens in a world of one link: interfaces go silent one way or both, flap, lose carrier or address, leave; addresses go. */
import { below, chance } from "../../../stack/device/random.ts";
import { type Action, CALM_MS, flapping, happen } from "./deeds.ts";
import type { Seat } from "./link-end.ts";
import type { LinkWorld } from "./link-world.ts";
import { pick } from "./plan.ts";

const healOne = (world: LinkWorld, seat: Seat): void => {
  const end = world.endOf(seat);
  // First what is between it and the others: what it says as it joins is heard.
  seat.weather.set({ cutOut: false, cutIn: false }, world.stage.now);
  seat.device.setUp(true);
  end.join(seat);
  end.dress(seat, true);
  seat.weather.clear(world.stage.now);
};

const ACTIONS: readonly Action<LinkWorld, Seat>[] = [
  {
    name: "cut",
    weight: 6,
    run: ({ stage }, { weather }, random) => {
      // No path leads over one without an address, so nobody judges it and could tell.
      if (weather.has("bare")) return;
      const ways = [{ cutOut: true, cutIn: true }, { cutOut: true }, { cutIn: true }];
      weather.set(pick(random, ways), stage.now);
    },
  },
  { name: "heal", weight: 6, run: healOne },
  {
    name: "flap",
    weight: 2,
    run: ({ stage }, { weather, device }, random) => {
      const isSilent = !weather.has("bare") && chance(random, 0.5);
      flapping(stage, weather, isSilent ? ["cutOut", "cutIn"] : ["down"], random, (isDown) => {
        if (!isSilent) device.setUp(!isDown);
      });
    },
  },
  {
    name: "carrier",
    weight: 3,
    run: ({ stage }, { weather, device }) => {
      device.setUp(false);
      weather.set({ down: true }, stage.now);
    },
  },
  {
    name: "leave",
    weight: 2,
    run: (world, seat) => {
      world.endOf(seat).leave(seat);
      seat.weather.set({ left: true, bare: false }, world.stage.now);
    },
  },
  {
    name: "undress",
    weight: 1,
    run: (world, seat) => {
      if (seat.weather.goodSinceMs === Infinity) return;
      world.endOf(seat).dress(seat, false);
      seat.weather.set({ bare: true }, world.stage.now);
    },
  },
  {
    name: "address",
    weight: 1,
    run: (world, seat, random) => {
      const end = world.endOf(seat);
      end.serve(false);
      world.stage.advance(below(random, CALM_MS));
      end.serve(true);
    },
  },
  { name: "calm", weight: 6, run: ({ stage }, _, random) => stage.advance(below(random, CALM_MS)) },
];

/** Something happens to one of the interfaces. */
export const actOnLink = (world: LinkWorld): void => {
  const seat = pick(world.stage.random, world.seats);
  happen(world, seat, seat.port.name, ACTIONS);
};

/** Everything that was broken is whole again. */
export const healLink = (world: LinkWorld): void => {
  world.stage.trace.note("-- all is healed");
  for (const seat of world.seats) healOne(world, seat);
};

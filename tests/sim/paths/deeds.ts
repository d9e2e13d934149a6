/** How things happen in worlds of paths: one of several by its weight, and what goes and comes again and again. */
import { below, type Random } from "../../../stack/device/random.ts";
import type { Stage } from "./stage.ts";
import type { Weather } from "./weather.ts";

/** One thing that may happen to a part of a world, and how often beside the others. */
export interface Action<World, Part> {
  readonly name: string;
  readonly weight: number;
  readonly run: (world: World, part: Part, random: Random) => void;
}

/** Long enough that all is settled, and questions have to be answered. */
export const CALM_MS = 9000;
const MOST_FLAPS = 8;
const FLAP_MS = 400;

/** Something happens to `part`. */
export const happen = <World extends { readonly stage: Stage }, Part>(
  world: World,
  part: Part,
  name: string,
  actions: readonly Action<World, Part>[],
): void => {
  const { random, trace } = world.stage;
  let at = below(
    random,
    actions.reduce((sum, { weight }) => sum + weight, 0),
  );
  const action = actions.find(({ weight }) => (at -= weight) < 0)!;
  trace.note(`-- ${action.name} of ${name}`);
  action.run(world, part, random);
};

/** Goes and comes; `move` moves what the troubles stand for. What was wrong before still is afterwards. */
export const flapping = <Trouble extends string>(
  stage: Stage,
  weather: Weather<Trouble>,
  troubles: readonly Trouble[],
  random: Random,
  move: (isDown: boolean) => void,
): void => {
  const before = new Set(troubles.filter((trouble) => weather.has(trouble)));
  const change = (isDown: boolean): void => {
    move(isDown || before.size > 0);
    const all: Partial<Record<Trouble, boolean>> = {};
    for (const trouble of troubles) all[trouble] = isDown || before.has(trouble);
    weather.set(all, stage.now);
  };
  for (let left = 1 + below(random, MOST_FLAPS); left > 0; left--) {
    change(true);
    stage.advance(below(random, FLAP_MS));
    change(false);
    stage.advance(below(random, FLAP_MS));
  }
};

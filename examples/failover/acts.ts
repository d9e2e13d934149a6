/** Five ways for a path to die, and what became of a conversation meanwhile. */
import type { TwoPathLab } from "../two-path-lab.ts";
import { HEARD_ON, type Pair, type ToldChange, type WindowFigures } from "./pair.ts";

/** Down and up again, so many times and so soon that nobody could use it in between. */
const FLAPS = 4;
const FLAP_MS = 120;
/** From the beginning of a window to the cut, and from there to its end: an answer that takes longer counts as none. */
const BEFORE_MS = 60;
const AFTER_MS = 1000;
/** Questions at the end of a window by which one sees that the conversation went on. */
const LAST = 100;

/** How paths of IPv4 are called in this laboratory. */
const IPV4 = / via 10\.| on-link IPv4/;

/** One way to die. */
export interface Act {
  readonly name: "carrier" | "questions" | "answers" | "route" | "flapping";
  /** The same in two words, and as a sentence. */
  readonly short: string;
  readonly words: string;
  /** True where the cut itself ends the path: an answer that came over it shows that it was not cut yet. */
  readonly severs: boolean;
  /** Cuts the first path, and resolves with when that was, or when each time, in ms since 1970. */
  readonly cut: (lab: TwoPathLab) => Promise<number[]>;
}

/** What became of it. Times in ms since the window began. */
export interface Outcome {
  readonly figures: WindowFigures;
  readonly changes: readonly ToldChange[];
  readonly cutsMs: readonly number[];
  /** Who saw first that the path was dead; undefined where nobody did. */
  readonly seen: (ToldChange & { readonly ms: number }) | undefined;
}

const once =
  (cut: (lab: TwoPathLab) => Promise<void>): Act["cut"] =>
  async (lab) => {
    await cut(lab);
    return [lab.begunAtMs];
  };

const flap = async (lab: TwoPathLab): Promise<number[]> => {
  const cuts: number[] = [];
  for (let i = 0; i < FLAPS; i++) {
    await lab.carrier(0, "both", false);
    cuts.push(lab.begunAtMs);
    await Bun.sleep(FLAP_MS);
    await lab.carrier(0, "both", true);
    await Bun.sleep(FLAP_MS);
  }
  return cuts;
};

export const ACTS: readonly Act[] = [
  {
    name: "carrier",
    short: "carrier down",
    severs: true,
    words: "the carrier goes at both ends",
    cut: once((lab) => lab.carrier(0, "both", false)),
  },
  {
    name: "questions",
    short: "questions lost",
    severs: true,
    words: "every question is lost silently",
    cut: once((lab) => lab.drop(0, "to-host")),
  },
  {
    name: "answers",
    short: "answers lost",
    severs: true,
    words: "every answer is lost silently",
    cut: once((lab) => lab.drop(0, "to-client")),
  },
  {
    name: "route",
    short: "route withdrawn",
    severs: false,
    words: "the client's route is withdrawn",
    cut: once((lab) => lab.withdraw(0, "client")),
  },
  {
    name: "flapping",
    short: "flapping",
    severs: true,
    words: `the carrier goes and comes ${FLAPS} times`,
    cut: flap,
  },
];

/** When the last question was asked that went over the first path, from when it was about to be cut on. */
const lastAlive = ({ trace }: WindowFigures, fromMs: number): number => {
  let last = fromMs;
  for (const [i, askedMs] of (trace?.askedMs ?? []).entries()) {
    if (askedMs < fromMs) continue;
    if (trace!.heardOn[i] !== HEARD_ON[0]) break;
    last = askedMs;
  }
  return last;
};

/** Plays one of them, and counts the questions around it. */
export const play = async (pair: Pair, act: Act): Promise<Outcome> => {
  const from = pair.changes.length;
  pair.begin();
  await Bun.sleep(BEFORE_MS);
  const cuts = await act.cut(pair.lab);
  await Bun.sleep(AFTER_MS);
  const figures = await pair.figures(true);
  const changes = pair.changes.slice(from);
  const began = figures.beganAtMs ?? 0;
  // The conversation is one of IPv4.
  const [begun = 0] = cuts;
  // What was given up before the cut, by a busy machine that took silence for death, says nothing of it.
  const dead = changes.filter(
    ({ state, path, atMs }) => state === "down" && IPV4.test(path) && atMs >= begun,
  );
  const [first] = dead.toSorted((a, b) => a.atMs - b.atMs);
  const [cut = 0, ...more] = cuts.map((atMs) => atMs - began);
  return {
    figures,
    changes,
    cutsMs: [act.severs ? lastAlive(figures, cut) : cut, ...more],
    seen: first === undefined ? undefined : { ...first, ms: first.atMs - began },
  };
};

/** True where nothing was answered twice, and answers came again after the worst: most of the last questions have one. */
export const wentOn = ({ figures: { duplicated, trace } }: Outcome): boolean => {
  const last = trace?.delaysMs.slice(-LAST) ?? [];
  return duplicated === 0 && last.filter((ms) => ms >= 0).length > last.length / 2;
};

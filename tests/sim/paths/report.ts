/** What a failed world of paths tells: how it was made, what was wrong, the last things that happened, and how to repeat it. */
import type { LifeOutcome } from "./life.ts";
import type { LinkPlan } from "./link-plan.ts";
import type { PathsPlan } from "./plan.ts";
import { simulateLink, simulatePaths } from "./simulate.ts";

const SHOWN_LINES = 80;
const SHOWN_COMPLAINTS = 5;

const explain = (what: string, { seed, complaints, lines, ms }: LifeOutcome): string =>
  [
    `${what} of seed ${seed} failed after ${ms.toFixed(0)} ms of virtual time`,
    ...lines.slice(-SHOWN_LINES).map((line) => `  ${line}`),
    ...complaints.slice(0, SHOWN_COMPLAINTS),
    `repeat it: make sim SEEDS=1 SEED=${seed}`,
  ].join("\n");

const describePaths = ({ networks, policy, families, verifyMs }: PathsPlan): string => {
  const each = networks.map(
    ({ index, routed, watch, delayMs, metric }) =>
      `net${index} is ${routed ? "routed" : "a cable"} of ${delayMs} ms, metric ${metric}, watched by ${watch}`,
  );
  return `networks (${each.join("; ")}; ${policy}, IPv${families.join(" and IPv")}, trial of ${verifyMs} ms)`;
};

const describeLink = ({ seats, policy, family, answer, watch, named, verifyMs }: LinkPlan): string =>
  `link (${seats.near} interfaces to ${seats.far}; ${policy}, ${answer}, IPv${family}, ${named ? "named, " : ""}watched by ${watch}, trial of ${verifyMs} ms)`;

/** Runs the seed again with the trace on; it goes the same way. */
export const explainPaths = (seed: number): string => {
  const outcome = simulatePaths(seed, true);
  return explain(describePaths(outcome.plan), outcome);
};

export const explainLink = (seed: number): string => {
  const outcome = simulateLink(seed, true);
  return explain(describeLink(outcome.plan), outcome);
};

/** What many worlds came to. */
export class LifeTally {
  readonly #what: string;
  seeds = 0;
  frames = 0;
  questions = 0;
  required = 0;
  readonly failed: number[] = [];

  /** `what`: "worlds of networks". */
  constructor(what: string) {
    this.#what = what;
  }

  add({ seed, frames, questions, required, complaints }: LifeOutcome): void {
    this.seeds += 1;
    this.frames += frames;
    this.questions += questions;
    this.required += required;
    if (complaints.length > 0) this.failed.push(seed);
  }

  toString(): string {
    const { seeds, frames, questions, required, failed } = this;
    return `${seeds} ${this.#what}, ${frames} frames, ${questions} questions, ${required} that had to be answered, ${failed.length} failed`;
  }
}

/** What demo-failover shows: what is there, a picture of each way to die with its figures, and a table of all of them. */
import type { PathReason } from "millrace";
import { grouped } from "../support/meter.ts";
import { bold, columns, dim, flow, green, red, yellow } from "../support/paint.ts";
import { print } from "../support/program.ts";
import type { TwoPathLab } from "../two-path-lab.ts";
import type { Act, Outcome } from "./acts.ts";
import { legend, picture } from "./picture.ts";
import type { Pulse } from "./end.ts";
import { HEARD_ON } from "./pair.ts";

const INDENT = "  ";
/** Wider rows show more of the time after, and nothing else. */
const MAX_WIDTH = 100;
const NAME_WIDTH = 16;
const FIGURE_WIDTH = 9;
const SEEN_WIDTH = 16;
const DIGITS = 1;

/** By what a death was seen, in a word or two. */
const BY: Readonly<Partial<Record<PathReason, string>>> = {
  link: "carrier",
  bfd: "BFD",
  route: "route",
  stalled: "stalled queue",
};

const width = (): number => Math.min(MAX_WIDTH, columns() - 1);
const say = (...parts: readonly string[]): void => {
  for (const line of flow(parts, width(), INDENT)) print(line);
};
const ms = (value: number): string => `${value.toFixed(DIGITS)} ms`;
const byWhat = (reason: PathReason): string => BY[reason] ?? reason;

/** Before anything dies. */
export const showScene = (lab: TwoPathLab, { intervalMs, count }: Pulse): void => {
  const service = lab.service[4];
  print("");
  for (const line of [
    "         ╭─ path 1 ─╮",
    `client ──┤          ├── service ${service}`,
    "         ╰─ path 2 ─╯",
  ])
    print(`${INDENT}${line}`);
  print("");
  say(
    ...`The client asks a thousand times a second. Both ends have both paths, and watch each with BFD: a packet every ${intervalMs} ms, dead after ${count} that are missing. Path 1 now dies in five ways.`.split(
      " ",
    ),
  );
  print("");
  say(...legend());
};

/** One way to die: a picture, and what it came to. */
export const showOutcome = (number: number, act: Act, outcome: Outcome): void => {
  const { figures, cutsMs, seen } = outcome;
  const { trace, gapMs, lost, sent, duplicated, reordered } = figures;
  if (trace === undefined) return;
  const lanes = HEARD_ON.map((heardOn, i) => ({ label: `path ${i + 1}`, heardOn }));
  const { lines, scale } = picture({ trace, lanes, cutsMs, seenMs: seen?.ms }, width());
  const scaled = scale === 1 ? "a sign is a question" : `a sign is ${scale} questions, the worst is shown`;
  print("");
  say(`${bold(`${number}. ${act.words}`)};`, dim(scaled));
  for (const line of lines) print(line);
  const count = (value: number, words: string): string =>
    `${value === 0 ? green("none") : yellow(grouped(value))} ${words}`;
  say(
    `no answer for ${bold(ms(gapMs))};`,
    `of ${grouped(sent)} questions`,
    `${count(lost, "lost")},`,
    `${count(duplicated, "answered twice")}`,
    ...(reordered > 0 ? [`and ${count(reordered, "overtaken")}`] : []),
  );
  say(...seenParts(outcome));
};

/** Who saw it first, by what, and how long that took. */
const seenParts = ({ seen, cutsMs: [cutMs = 0] }: Outcome): string[] => {
  if (seen === undefined)
    return [red("nobody saw the path die; on a busy machine it may have been given up before")];
  const afterMs = Math.max(0, seen.ms - cutMs);
  // Who was told by the other end had heard of it a moment before.
  const silent =
    seen.silentMs > 0 && seen.silentMs >= afterMs
      ? [`(${ms(seen.silentMs)} after the last sign of life)`]
      : [];
  return [
    `the ${seen.end} saw it first,`,
    `by ${bold(byWhat(seen.reason))},`,
    `${ms(afterMs)} after the cut`,
    ...silent,
  ];
};

/** All of them once more, a line each. */
export const showTable = (all: readonly (readonly [Act, Outcome])[]): void => {
  const figures = ["silence", "lost", "twice", "overtaken"];
  // In a narrow terminal what was done gives way to what it came to.
  const isNarrow = width() < INDENT.length + NAME_WIDTH + figures.length * (FIGURE_WIDTH + 1) + SEEN_WIDTH;
  const row = (words: string, values: readonly string[], seen: string): string => {
    const cells = values.map((value) => value.padStart(FIGURE_WIDTH)).join(" ");
    return isNarrow ? `${INDENT}${cells}` : `${INDENT}${words.padEnd(NAME_WIDTH)}${cells}  ${seen}`;
  };
  print(`\n${dim(row("what happened", figures, "seen by"))}`);
  for (const [act, { figures: each, seen }] of all) {
    const values = [
      ms(each.gapMs),
      ...[each.lost, each.duplicated, each.reordered].map((value) => (value === 0 ? "-" : grouped(value))),
    ];
    if (isNarrow) print(`${INDENT}${act.short}`);
    print(row(act.short, values, seen === undefined ? "nobody" : `${seen.end}, ${byWhat(seen.reason)}`));
  }
};

/** A picture for a terminal of what became of questions, one after the other: which path took each, how soon its answer came. */
import { cyan, dim, green, red, yellow } from "../support/paint.ts";
import type { Trace } from "./ledger.ts";

const LOST = -1;
/** Heights of the answered, by the ms that their answers took at most. */
const HEIGHTS = [
  { mostMs: 2, bar: "█", paint: green },
  { mostMs: 5, bar: "▆", paint: green },
  { mostMs: 20, bar: "▄", paint: yellow },
  { mostMs: Infinity, bar: "▂", paint: yellow },
] as const;
const HOLE = "×";
const MARK = "▼";
const TICK = "╵";
const TICK_SIGNS = 10;
/** Share of the signs that comes before the cut, and that is used up to the end of the trouble: then one sees it go on. */
const BEFORE = 0.15;
const USED = 0.8;
/** Questions that a sign may stand for. */
const SCALES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] as const;
const LABEL_WIDTH = 9;

/** What is shown. All times are ms since the window of the trace began. */
export interface Scene {
  readonly trace: Trace;
  /** A lane of its own for each interface of the other end that may have heard a question. */
  readonly lanes: readonly { readonly label: string; readonly heardOn: number }[];
  /** When the path was cut, once or several times; the first is 0 on the scale. */
  readonly cutsMs: readonly number[];
  /** When somebody saw it first; undefined where nobody did. */
  readonly seenMs: number | undefined;
}

export interface Picture {
  readonly lines: readonly string[];
  /** Questions that a sign stands for; the worst of them is shown. */
  readonly scale: number;
}

/** Draws it in lines of at most `width`. */
export const picture = (scene: Scene, width: number): Picture => {
  const { trace, lanes, cutsMs, seenMs } = scene;
  const { askedMs, delaysMs } = trace;
  const signs = width - LABEL_WIDTH;
  const lead = Math.ceil(signs * BEFORE);
  const at = (ms: number): number => firstFrom(askedMs, ms);
  const cuts = cutsMs.map(at);
  const seen = seenMs === undefined ? [] : [at(seenMs)];
  const [cut = 0] = cuts;
  const trouble = Math.max(...cuts, ...seen, delaysMs.lastIndexOf(LOST)) - cut;
  const scale = SCALES.find((each) => trouble <= each * (signs - lead) * USED) ?? SCALES.at(-1)!;
  const from = cut - lead * scale;
  const column = (question: number): number => Math.floor((question - from) / scale);
  const groups = Array.from({ length: signs }, (_, i) => {
    const first = from + i * scale;
    return { first: Math.max(0, first), end: Math.max(0, Math.min(first + scale, askedMs.length)) };
  });
  const lane = (label: string, cell: (group: Group) => string): string =>
    `${label.padStart(LABEL_WIDTH - 1)} ${groups.map(cell).join("")}`;
  const lines = [
    marks(cuts.map(column), seen.map(column)),
    ...lanes.map(({ label, heardOn }) => lane(label, (group) => answered(trace, heardOn, group))),
    lane("lost", ({ first, end }) => (delaysMs.slice(first, end).includes(LOST) ? red(HOLE) : " ")),
    axis(lead, signs, scale),
  ];
  return { lines: lines.map((line) => line.trimEnd()), scale };
};

/** Questions that share a sign. */
interface Group {
  readonly first: number;
  readonly end: number;
}

/** The number of the first question from `ms` on. */
const firstFrom = (askedMs: readonly number[], ms: number): number => {
  const found = askedMs.findIndex((asked) => asked >= ms);
  return found < 0 ? askedMs.length : found;
};

/** The sign for those that were heard on an interface. */
const answered = ({ delaysMs, heardOn }: Trace, on: number, { first, end }: Group): string => {
  let worst = LOST;
  for (let i = first; i < end; i++) if (heardOn[i] === on) worst = Math.max(worst, delaysMs[i]!);
  if (worst === LOST) return " ";
  const { bar, paint } = HEIGHTS.find(({ mostMs }) => worst <= mostMs)!;
  return paint(bar);
};

/** "cut ▼" where the cuts were, and "▼ seen". */
const marks = (cuts: readonly number[], seen: readonly number[]): string => {
  const [first = 0] = cuts;
  const word = "cut ";
  let line = " ".repeat(LABEL_WIDTH + first - word.length) + red(word);
  let at = first;
  const points = [
    ...cuts.map((column) => ({ column, sign: red(MARK), words: "" })),
    ...seen.map((column) => ({ column, sign: cyan(MARK), words: " seen " })),
  ].toSorted((a, b) => a.column - b.column);
  for (const { column, sign, words } of points) {
    // What falls on a sign that is taken comes behind it.
    line += " ".repeat(Math.max(0, column - at)) + sign + cyan(words);
    at = Math.max(at, column) + 1 + words.length;
  }
  return line;
};

/** Ms since the cut, where one question is asked each. */
const axis = (lead: number, signs: number, scale: number): string => {
  let line = "";
  for (let at = 0; lead + at + TICK_SIGNS <= signs; at += TICK_SIGNS)
    line += `${TICK}${at * scale}`.padEnd(TICK_SIGNS);
  return dim(`${" ".repeat(LABEL_WIDTH + lead)}${line.trimEnd()} ms`);
};

/** What the signs mean, in parts that belong together. */
export const legend = (): string[] => [
  dim("answered within"),
  ...HEIGHTS.map(
    ({ bar, paint, mostMs }) => `${paint(bar)} ${dim(mostMs === Infinity ? "later" : `${mostMs} ms`)} `,
  ),
  `${red(HOLE)} ${dim("lost")} `,
  `${red(MARK)} ${dim("cut")} `,
  `${cyan(MARK)} ${dim("seen")}`,
];

/** A row of a terminal that shows what became of questions, one after the other: answered, late, or lost. */
import { dim, green, red, yellow } from "../support/paint.ts";

const LOST = -1;
/** Heights of the answered, by the ms that their answers took at most. */
const HEIGHTS = [
  { mostMs: 2, bar: "█", paint: green },
  { mostMs: 5, bar: "▆", paint: green },
  { mostMs: 20, bar: "▄", paint: yellow },
  { mostMs: Infinity, bar: "▂", paint: yellow },
] as const;
const HOLE = "×";
/** Share of the row that comes before the first trouble. */
const BEFORE = 0.15;
/** Later than that is trouble. */
const LATE_MS = 20;

/** What the columns of a row stand for. */
export interface Row {
  readonly text: string;
  /** Questions in a column; the worst of them is shown. */
  readonly scale: number;
}

/** The part of a trace around what was lost and late, in at most `width` columns. */
export const rowOf = (trace: readonly number[], width: number): Row => {
  const isTrouble = (ms: number): boolean => ms === LOST || ms > LATE_MS;
  const first = Math.max(0, trace.findIndex(isTrouble));
  const last = trace.findLastIndex(isTrouble);
  const troubled = Math.max(1, last - first + 1);
  const scale = Math.max(1, Math.ceil(troubled / (width * (1 - 2 * BEFORE))));
  const from = Math.max(0, first - Math.floor(width * BEFORE) * scale);
  const cells: string[] = [];
  for (let at = from; at < trace.length && cells.length < width; at += scale)
    cells.push(cellOf(trace.slice(at, at + scale)));
  return { text: cells.join(""), scale };
};

const cellOf = (delays: readonly number[]): string => {
  if (delays.includes(LOST)) return red(HOLE);
  const worst = Math.max(...delays);
  const { bar, paint } = HEIGHTS.find(({ mostMs }) => worst <= mostMs)!;
  return paint(bar);
};

/** What the signs mean. */
export const legend = (): string => {
  const [fast, good, late, slow] = HEIGHTS;
  const sign = ({ bar, paint, mostMs }: (typeof HEIGHTS)[number]): string =>
    `${paint(bar)} ${dim(mostMs === Infinity ? "later" : `within ${mostMs} ms`)}`;
  return [fast, good, late, slow].map(sign).join("  ") + `  ${red(HOLE)} ${dim("lost")}`;
};

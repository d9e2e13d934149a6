/**
 * What a measurement says: its line, as JSON or in a table, and the medians that it is made of.
 */

/** One measurement against one peer. */
export interface Line {
  readonly name: string;
  readonly unit: string;
  /** Median over the pairs. */
  readonly millrace: number;
  /** Median over the pairs; null where there is nothing to compare with. */
  readonly peer: number | null;
  readonly peerName: string | null;
  /** Median over the pairs of millrace / peer; null without a peer, or where the peer's reading is 0. */
  readonly ratio: number | null;
  readonly pairs: number;
  readonly conditions: string;
}

/** The middle of the values, or the mean of the two in the middle. NaN for none. */
export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? NaN) + upper) / 2;
};

/** Four significant digits are more than two noisy cores can tell. */
const SIGNIFICANT_DIGITS = 4;
const rounded = (value: number): number => Number(value.toPrecision(SIGNIFICANT_DIGITS));

/** The line of readings taken in pairs: entry `i` of both was taken in the same pair. */
export const lineOf = (
  what: { readonly name: string; readonly unit: string; readonly conditions: string },
  millrace: readonly number[],
  peerName: string | null,
  peer: readonly number[],
): Line => {
  const ratios = millrace.flatMap((value, i) => {
    const other = peer[i];
    return other === undefined || other === 0 ? [] : [value / other];
  });
  return {
    name: what.name,
    unit: what.unit,
    millrace: rounded(median(millrace)),
    peer: peerName === null ? null : rounded(median(peer)),
    peerName,
    ratio: peerName === null || ratios.length === 0 ? null : rounded(median(ratios)),
    pairs: millrace.length,
    conditions: what.conditions,
  };
};

const isText = (value: unknown): value is string => typeof value === "string";
const isNumber = (value: unknown): value is number => typeof value === "number";

/** The measurement that a line of output carries, as `--json` prints them; undefined for any other text. */
export const parseLine = (text: string): Line | undefined => {
  if (!text.startsWith("{")) return undefined;
  let value: Partial<Record<keyof Line, unknown>>;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  const { name, unit, millrace, peer, peerName, ratio, pairs, conditions } = value;
  if (!isText(name) || !isText(unit) || !isNumber(millrace) || !isNumber(pairs) || !isText(conditions)) {
    return undefined;
  }
  return {
    name,
    unit,
    millrace,
    peer: isNumber(peer) ? peer : null,
    peerName: isText(peerName) ? peerName : null,
    ratio: isNumber(ratio) ? ratio : null,
    pairs,
    conditions,
  };
};

const COLUMNS = ["name", "unit", "millrace", "peer", "ratio", "pairs", "against"] as const;

const cells = (line: Line): readonly string[] => [
  line.name,
  line.unit,
  line.millrace.toLocaleString("en"),
  line.peer === null ? "-" : line.peer.toLocaleString("en"),
  line.ratio === null ? "-" : line.ratio.toFixed(3),
  String(line.pairs),
  line.peerName ?? "-",
];

/** The lines as a table, with the conditions below it: each set of conditions once, with the names it holds for. */
export const table = (lines: readonly Line[]): string => {
  const rows = [COLUMNS as readonly string[], ...lines.map(cells)];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const body = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const names = new Map<string, string[]>();
  for (const line of lines) names.set(line.conditions, [...(names.get(line.conditions) ?? []), line.name]);
  const notes = [...names].map(([conditions, of]) => `${of.join(", ")}: ${conditions}`);
  return [...body, "", ...notes].join("\n");
};

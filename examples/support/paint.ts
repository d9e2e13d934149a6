/**
 * Colour and width for a terminal; plain text where standard output is none, or NO_COLOR is set.
 */

const coloured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;

/** ECMA-48 select graphic rendition. */
const paint =
  (code: number) =>
  (text: string): string =>
    coloured ? `\u001b[${code}m${text}\u001b[0m` : text;

export const bold = paint(1);
export const dim = paint(2);
export const red = paint(31);
export const green = paint(32);
export const yellow = paint(33);
export const cyan = paint(36);

/** What a terminal is taken for that says it has no columns and no rows, as one over a serial line or of `script` may. */
const USUAL = { columns: 80, rows: 24 } as const;

/** Columns of the terminal; without end where standard output is none, so that a line stays one line for grep. */
export const columns = (): number =>
  process.stdout.isTTY === true ? process.stdout.columns || USUAL.columns : Infinity;

/** Rows of the terminal that standard output is. */
export const rows = (): number => process.stdout.rows || USUAL.rows;

/** `text` in lines of at most `width`, broken between words and where it has line ends. */
export const wrap = (text: string, width: number): string[] =>
  text.split("\n").flatMap((line) => {
    const lines: string[] = [];
    for (const word of line.split(" ")) {
      const last = lines.at(-1);
      if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
      else lines[lines.length - 1] = `${last} ${word}`;
    }
    return lines;
  });

/** What `paint` writes around a text, which takes no room on the screen. */
const INVISIBLE = /\u001b\[[\d;]*m/g;
const RESET = "\u001b[0m";

/** Columns that a text takes, painted or not. Of these programs' signs each takes one. */
export const widthOf = (text: string): number => text.replace(INVISIBLE, "").length;

/** A line that takes at most `width` columns; one that is cut ends with "…". */
export const clip = (text: string, width: number): string => {
  if (widthOf(text) <= width) return text;
  let [at, left] = [0, width - 1];
  for (const { index, 0: code } of text.matchAll(INVISIBLE)) {
    if (index - at >= left) break;
    left -= index - at;
    at = index + code.length;
  }
  const kept = text.slice(0, at + left);
  return `${kept}…${kept.includes("\u001b") ? RESET : ""}`;
};

/** Parts of a sentence in lines of at most `width` columns, broken between parts. Each line begins with `indent`. */
export const flow = (parts: readonly string[], width: number, indent = ""): string[] => {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last === undefined || widthOf(last) + 1 + widthOf(part) > width) lines.push(`${indent}${part}`);
    else lines[lines.length - 1] = `${last} ${part}`;
  }
  return lines;
};

const BLOCKS = " ▁▂▃▄▅▆▇█";

/** The last `width` values as a row of bars, scaled to the largest. */
export const sparkline = (values: readonly number[], width: number): string => {
  const shown = values.slice(-width);
  const most = Math.max(...shown, 1);
  const bar = (value: number): string =>
    BLOCKS[value === 0 ? 0 : Math.max(1, Math.round((value / most) * (BLOCKS.length - 1)))] ?? " ";
  return shown.map(bar).join("").padEnd(width);
};

/** `part` of `whole` as a bar of `width`. */
export const gauge = (part: number, whole: number, width: number): string => {
  const filled = Math.min(width, Math.round((part / Math.max(whole, 1)) * width));
  return cyan("█".repeat(filled)) + dim("░".repeat(width - filled));
};

/**
 * The kernel matrix: the findings of several kernels as the README's table, and the README with that table in its place.
 */
import type { Found, SurveyKernel } from "./found.ts";

/** One kernel's survey. */
export interface Survey {
  readonly kernel: SurveyKernel;
  readonly found: readonly Found[];
}

/** Where and how the surveys ran. */
export interface Conditions {
  readonly emulator: string;
}

interface Row {
  readonly feature: string;
  readonly devices: string[];
  readonly cells: readonly string[];
}

/** Remedies and other notes, each once, by the number that the cells refer to. */
class Notes {
  readonly #texts: string[] = [];

  reference(text: string | undefined): string {
    if (text === undefined) return "";
    const known = this.#texts.indexOf(text);
    return ` (${known < 0 ? this.#texts.push(text) : known + 1})`;
  }

  get lines(): readonly string[] {
    return this.#texts.map((text, i) => `${i + 1}. ${capital(text)}.`);
  }
}

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

/** A survey that ended early says nothing of what it did not reach. */
const NOT_REACHED = "?";

const cellOf = (found: Found | undefined, notes: Notes): string => {
  if (found === undefined) return NOT_REACHED;
  if (found.answer === "works") return "yes";
  if (found.answer === "absent") return "-";
  if (found.answer === "refused") return `no: ${found.errno ?? "refused"}${notes.reference(found.remedy)}`;
  const { detail, remedy } = found;
  return `wrong${notes.reference(remedy === undefined ? detail : `${detail}: ${remedy}`)}`;
};

const unique = (values: readonly string[]): string[] => [...new Set(values)];

/** A row for each feature and each set of devices that answer alike on every kernel, in the order of the survey. */
const rowsOf = (surveys: readonly Survey[], notes: Notes): Row[] => {
  const all = surveys.flatMap(({ found }) => found);
  const devices = unique(all.map(({ device }) => device));
  return unique(all.map(({ feature }) => feature)).flatMap((feature) => {
    const rows: Row[] = [];
    for (const device of devices) {
      const found = surveys.map((survey) =>
        survey.found.find((each) => each.feature === feature && each.device === device),
      );
      if (found.every((each) => each === undefined || each.answer === "absent")) continue;
      const cells = found.map((each) => cellOf(each, notes));
      const alike = rows.find((row) => row.cells.join("|") === cells.join("|"));
      if (alike === undefined) rows.push({ feature, devices: [device], cells });
      else alike.devices.push(device);
    }
    const [only] = rows;
    if (rows.length === 1 && only!.devices.length === devices.length)
      only!.devices.splice(0, Infinity, "all");
    return rows;
  });
};

/** A Markdown table, its columns as wide as their widest cell, as `bun fmt` leaves it. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join(
    "\n",
  );
};

/** "6.1.176 (6.1.0-50-amd64)"; the release alone where it is no other number. */
const describeKernel = ({ release, upstream }: SurveyKernel): string =>
  release.startsWith(upstream) ? release : `${upstream} (${release})`;

/** The README's block: the conditions, the table, and the notes that its cells refer to. */
export const kernelTable = (surveys: readonly Survey[], { emulator }: Conditions): string => {
  const notes = new Notes();
  const rows = rowsOf(surveys, notes).map(({ feature, devices, cells }, i, all) => [
    i > 0 && all[i - 1]!.feature === feature ? "" : feature,
    devices.join("; "),
    ...cells,
  ]);
  const head = ["feature", "devices", ...surveys.map(({ kernel }) => kernel.upstream)];
  const kernels = surveys.map(({ kernel }) => describeKernel(kernel)).join(", ");
  return [
    `Linux ${kernels};\nQEMU ${emulator}, an emulated processor (TCG) of two cores, emulated cards.`,
    table(head, rows),
    ...(notes.lines.length === 0 ? [] : [notes.lines.join("\n")]),
  ].join("\n\n");
};

const begin = (name: string): string => `<!-- ${name}: begin -->`;
const end = (name: string): string => `<!-- ${name}: end -->`;

/** The README with `text` in the block of this name. Throws where it has no such block. */
export const replaceBlock = (readme: string, name: string, text: string): string => {
  const from = readme.indexOf(begin(name));
  const to = readme.indexOf(end(name));
  if (from < 0 || to < from)
    throw new Error(`the README has no block between ${begin(name)} and ${end(name)}`);
  return `${readme.slice(0, from + begin(name).length)}\n\n${text}\n\n${readme.slice(to)}`;
};

/**
 * doctor: what this machine and an interface can do for AF_XDP, and why not.
 *
 *   bun run examples/doctor.ts [IFACE] [--json]
 *
 * You should see a table with an answer for each point, the fact behind it, and a remedy where the answer is not yes. The
 * last part is no reading but a trial: each mode is attached for a moment, with an empty claim, so that no traffic is touched.
 * Without an interface it looks at one of a lab of its own. The exit code is 0 if attaching works and 1 if it does not.
 */
import { probe } from "millrace";
import { Lab } from "./lab.ts";
import { bold, columns, dim, green, red, wrap, yellow } from "./support/paint.ts";
import { openPlace, PAIR, type Place } from "./support/place.ts";
import { program } from "./support/program.ts";
import { tryModes } from "./support/trial.ts";

const USAGE = `usage: bun run examples/doctor.ts [IFACE] [options]
  --json        everything as one line of JSON`;

type Report = ReturnType<typeof probe>;
type Finding = Report["machine"][number];

const MARKS = { yes: green("✓"), no: red("✗"), unknown: yellow("?") } as const;

/** In front of a name: two spaces, the mark, a space; and two spaces behind it. */
const MARGIN = 6;
/** A column narrower than this is not worth wrapping into. */
const MIN_WRAP = 30;

const printTable = (title: string, findings: readonly Finding[]): void => {
  if (findings.length === 0) return;
  const width = Math.max(...findings.map(({ name }) => name.length));
  const indent = " ".repeat(width + MARGIN);
  const room = Math.max(MIN_WRAP, columns() - indent.length);
  console.log(bold(title));
  for (const { name, answer, detail, remedy } of findings) {
    const [first = "", ...rest] = wrap(detail, room);
    console.log(`  ${MARKS[answer]} ${name.padEnd(width)}  ${first}`);
    for (const line of rest) console.log(indent + line);
    if (remedy === undefined) continue;
    for (const [i, line] of wrap(remedy, room - 2).entries())
      console.log(dim(indent + (i === 0 ? "→ " : "  ") + line));
  }
  console.log();
};

/** Looks at an interface and tries it. */
const examine = (place: Place) => {
  const name = place.interfaces[0]!;
  const namespace = place.lab?.namespace("b");
  const report = probe(name, namespace === undefined ? {} : { namespace });
  return { name, report, trial: tryModes((options) => place.attach(name, options)) };
};

const examineMachine = (reason: string) => {
  const report = probe();
  const trial: readonly Finding[] = [
    { name: "attach", answer: "no", detail: `no lab to try it in: ${reason}`, remedy: "name an interface" },
  ];
  return { name: undefined, report, trial };
};

await program(USAGE, { json: { type: "boolean", default: false } }, async (values, interfaces) => {
  const reason = interfaces.length > 0 ? undefined : Lab.unavailable();
  using place = reason === undefined ? openPlace(interfaces, PAIR) : undefined;
  const { name, report, trial } = place === undefined ? examineMachine(reason ?? "") : examine(place);
  const works = trial.some((each) => each.name === "attach" && each.answer === "yes");
  if (values.json) {
    const { machine } = report;
    const found = report.interface?.findings ?? [];
    console.log(JSON.stringify({ interface: name ?? null, works, machine, findings: found, trial }));
    return works ? 0 : 1;
  }
  printTable("This machine", report.machine);
  if (report.interface !== undefined) {
    const where = place?.lab === undefined ? "" : " (one end of a veth pair made for this)";
    printTable(`Interface ${name}${where}`, report.interface.findings);
  }
  printTable("Tried", trial);
  console.log(
    works ? green("millrace works here.") : red("millrace cannot attach here; the table says why."),
  );
  return works ? 0 : 1;
});

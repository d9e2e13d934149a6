/**
 * demo-failover: a conversation that outlives each of its two paths. `make demo-failover` runs it.
 *
 *   bun run examples/demo-failover.ts [--bfd MSxN] [--json]
 *
 * A client asks a service a thousand times a second; both live on two interfaces, joined by two paths in a laboratory of
 * network namespaces. The first path dies in five ways: its carrier goes; every question is lost silently, then every
 * answer; its route is withdrawn; it flaps. You should see a row for each, where one sign is one question: a few tens that are
 * lost where a path dies silently, since nobody can know of that sooner than three packets of BFD are missing, and next to
 * none where somebody tells. The client lives beside the kernel, whose routes it follows; the service has its addresses to
 * itself. The exit code is 0 if the conversation went on each time and nothing was answered twice.
 */
import type { ToldChange, WindowFigures } from "./failover/pair.ts";
import { Pair } from "./failover/pair.ts";
import { legend, rowOf } from "./failover/picture.ts";
import { readPulse } from "./failover/text.ts";
import { bold, columns, dim, green, red } from "./support/paint.ts";
import { Panel } from "./support/panel.ts";
import { print, program } from "./support/program.ts";
import type { TwoPathLab } from "./two-path-lab.ts";

const USAGE = `usage: bun run examples/demo-failover.ts [options]
  --bfd MSxN  the pulse of each path: a packet every MS, dead after N that are missing; 10x3 unless given
  --json      one line of JSON for each way to die`;
/** From the beginning of a row to the cut, and from there to its end: an answer that takes longer counts as none. */
const BEFORE_MS = 60;
const AFTER_MS = 1000;
/** Down and up again, so many times and so soon that nobody could use it in between. */
const FLAPS = 4;
const FLAP_MS = 120;
const VERIFY_MS = 200;
/** A session of BFD that was down needs some seconds to be up again (RFC 5880 section 6.8.3), and damping its time. */
const BACK_LIMIT_MS = 30_000;
const LOOK_MS = 20;
const STEADY_MS = 500;
const WARMUP_MS = 2000;
const WIDTH = 100;
const MARGIN = 4;
/** Questions at the end of a row by which one sees that the conversation went on. */
const LAST = 100;
/** Five programs share what may be two cores, and one that does not run is as silent as a dead path. */
const NICE = ["nice", "-n", "-19"];

interface Act {
  readonly name: string;
  readonly words: string;
  readonly cut: (lab: TwoPathLab) => Promise<void>;
}

const flap = async (lab: TwoPathLab): Promise<void> => {
  for (let i = 0; i < FLAPS; i++) {
    await lab.carrier(0, "both", false);
    await Bun.sleep(FLAP_MS);
    await lab.carrier(0, "both", true);
    await Bun.sleep(FLAP_MS);
  }
};

const ACTS: readonly Act[] = [
  { name: "carrier", words: "the carrier goes at both ends", cut: (lab) => lab.carrier(0, "both", false) },
  { name: "questions", words: "every question is lost silently", cut: (lab) => lab.drop(0, "to-host") },
  { name: "answers", words: "every answer is lost silently", cut: (lab) => lab.drop(0, "to-client") },
  { name: "route", words: "the client's route is withdrawn", cut: (lab) => lab.withdraw(0, "client") },
  { name: "flapping", words: `the carrier goes and comes ${FLAPS} times`, cut: flap },
];

/** Resolves when the client uses the first path again, and the service does. */
const settled = async ({ lab, changes }: Pair): Promise<void> => {
  const [path] = lab.paths;
  const names = { client: path.client, host: path.host };
  const isUp = (end: "client" | "host"): boolean => {
    const name = `${names[end].name} via ${names[end].gateways[4]}`;
    const last = changes.findLast((change) => change.end === end && change.path === name);
    return last === undefined || last.state === "up";
  };
  const limit = performance.now() + BACK_LIMIT_MS;
  while (!(isUp("client") && isUp("host")) && performance.now() < limit) await Bun.sleep(LOOK_MS);
  await Bun.sleep(VERIFY_MS + STEADY_MS);
};

/** Who saw it first, and how. */
const seenBy = (lab: TwoPathLab, changes: readonly ToldChange[]): string => {
  const first = changes.find(({ state, path }) => state === "down" && path.includes(" via 10."));
  if (first === undefined) return "nobody saw a path die";
  const after = first.silentMs > 0 ? ` after ${first.silentMs.toFixed(1)} ms` : "";
  return `the ${first.end} saw it first${after}: ${first.reason}`;
};

/** One way to die, and what became of the questions around it. */
const play = async (pair: Pair, act: Act): Promise<{ figures: WindowFigures; changes: ToldChange[] }> => {
  const from = pair.changes.length;
  pair.begin();
  await Bun.sleep(BEFORE_MS);
  await act.cut(pair.lab);
  await Bun.sleep(AFTER_MS);
  const figures = await pair.figures(true);
  return { figures, changes: pair.changes.slice(from) };
};

const show = (act: Act, lab: TwoPathLab, figures: WindowFigures, changes: readonly ToldChange[]): void => {
  const { text, scale } = rowOf(figures.trace ?? [], Math.min(WIDTH, columns() - MARGIN));
  const { gapMs, lost, sent, duplicated, reordered } = figures;
  const count = (value: number, words: string): string =>
    `${value === 0 ? green("none") : red(String(value))} ${words}`;
  const scaled = scale > 1 ? dim(` (${scale} questions a sign)`) : "";
  print(`\n  ${bold(act.words)}${scaled}\n  ${text}`);
  print(
    `  longest silence ${bold(`${gapMs.toFixed(1)} ms`)}; of ${sent} questions ${count(lost, "lost")}, ` +
      `${count(duplicated, "answered twice")}, ${count(reordered, "overtaken")}; ${seenBy(lab, changes)}`,
  );
};

/** True where answers came again after the worst: most of the last questions have one. */
const wentOn = ({ trace = [] }: WindowFigures): boolean => {
  const last = trace.slice(-LAST);
  return last.filter((ms) => ms >= 0).length > last.length / 2;
};

await program(
  USAGE,
  { bfd: { type: "string", default: "10x3" }, json: { type: "boolean", default: false } },
  async ({ bfd, json }) => {
    readPulse("--bfd", bfd);
    using panel = new Panel();
    panel.draw(["  two paths, a service and its client begin …"]);
    using pair = await Pair.start({
      lab: { client: "kernel" },
      both: ["--bfd", bfd, "--verify", String(VERIFY_MS)],
      prefix: { client: NICE, host: NICE },
    });
    await Bun.sleep(WARMUP_MS);
    panel.draw([]);
    if (!json) print(`\n  ${legend()}`);
    let good = true;
    for (const act of ACTS) {
      panel.draw([dim(`  ${act.words} …`)]);
      const { figures, changes } = await play(pair, act);
      panel.draw([]);
      good &&= figures.duplicated === 0 && wentOn(figures);
      const { trace: _, ...record } = figures;
      if (json) print(JSON.stringify({ act: act.name, ...record, changes }));
      else show(act, pair.lab, figures, changes);
      panel.draw([dim("  the path is healed, and tried out before it is used again …")]);
      await pair.lab.heal();
      await settled(pair);
      panel.draw([]);
    }
    pair.close();
    if (!json) print(`\n  Torn down: no program, no namespace and no process is left.`);
    return good ? 0 : 1;
  },
);

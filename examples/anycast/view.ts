/** What the anycast example shows: a panel while it runs, or a line for each thing that happened, or JSON. */
import { grouped, Meter, packetRate } from "../support/meter.ts";
import { bold, cyan, dim, gauge, green, red, sparkline, widthOf, yellow } from "../support/paint.ts";
import type { Panel } from "../support/panel.ts";
import { print } from "../support/program.ts";
import type { Stage } from "./stage.ts";
import type { Figures } from "./story.ts";

/** Each of the four once: older ones leave the panel where it goes on for ever. */
const SHOWN = 4;
const FAMILIES = [4, 6] as const;
const SPARK_WIDTH = 30;
const GAUGE_WIDTH = 24;
const RATE_WIDTH = 11;
const SHARE_WIDTH = 4;
const WHAT_WIDTH = 16;
const NUMBER_WIDTH = 8;

const percent = (value: number): string => `${Math.round(value)} %`;
const ms = (value: number): string => `${Math.round(value)} ms`;

/** How the parts of the flows went: with the host, without it, and with it again. */
const sharesText = ({ before, after, back }: Figures): string =>
  before
    .map((_, i) => `host ${i + 1} ${[before, after, back].map((values) => percent(values[i]!)).join(" → ")}`)
    .join(", ");

/** About a turn: how the shares moved, and what that cost. */
const figuresLines = (one: Figures): string[] => {
  const gap = `gap ${ms(one.medianGapMs)}, at most ${ms(one.maxGapMs)}`;
  const late = one.late === 0 ? "" : ` (${grouped(one.late)} came too late)`;
  const lost = one.lost === 0 ? green("none lost") : yellow(`${grouped(one.lost)} lost${late}`);
  const disturbed = one.disturbed === 0 ? "" : red(`, ${one.disturbed} other flows disturbed`);
  const back = one.lostBack === 0 ? "" : yellow(`, ${one.lostBack} lost on its way back`);
  const head = `host ${one.host} ${bold(one.what)}`;
  return [
    `${head}${" ".repeat(Math.max(1, WHAT_WIDTH - widthOf(head)))}shares: ${sharesText(one)}`,
    `${" ".repeat(WHAT_WIDTH)}${one.moved} flows moved, ${gap}, ${lost}${disturbed}${back}`,
  ];
};

export class View {
  readonly #stage: Stage;
  readonly #panel: Panel;
  readonly #json: boolean;
  readonly #meter: Meter<"sent" | "answered">;
  readonly #history: number[] = [];
  readonly #done: Figures[] = [];
  #now = "";
  #pps = 0;
  #established = 0;

  constructor(stage: Stage, panel: Panel, json: boolean) {
    this.#stage = stage;
    this.#panel = panel;
    this.#json = json;
    this.#meter = new Meter(performance.now(), { sent: 0, answered: 0 });
  }

  /** What happens from now on. */
  begins(text: string): void {
    this.#now = text;
    if (!this.#json && !this.#panel.live) print(dim(text));
  }

  /** Nothing happens any more: the panel stays as it is. */
  end(): void {
    if (!this.#json) this.#panel.draw(this.#lines());
  }

  /** A turn is over. */
  ended(figures: Figures): void {
    this.#done.push(figures);
    if (this.#json) print(JSON.stringify(figures));
    else if (!this.#panel.live) for (const line of figuresLines(figures)) print(line);
  }

  /** Shows the present state; with --json as a record. */
  draw(established: number): void {
    const { sent, answered, lost } = this.#stage.report;
    const rates = this.#meter.rates(performance.now(), { sent, answered });
    this.#pps = rates.answered;
    this.#history.push(rates.answered);
    this.#established = established;
    if (this.#json) {
      const announced = this.#stage.hosts.map((host) => host.announced);
      const record = { pps: rates.sent, answeredPps: rates.answered, lost, established, announced };
      const byFamily = { 4: this.#stage.shares(4), 6: this.#stage.shares(6) };
      print(JSON.stringify({ ...record, shares: this.#stage.shares(), byFamily }));
      return;
    }
    this.#panel.draw([...this.#lines(), "", dim(`  ${this.#now}; Ctrl-C ends`)]);
  }

  /** The shares among the flows of one family. */
  #family(family: 4 | 6): string {
    return `IPv${family} alone: ${this.#stage.shares(family).map(percent).join(" and ")}`;
  }

  #lines(): string[] {
    const { hosts } = this.#stage;
    const parts = this.#stage.shares();
    const rows = hosts.map((host, i) => {
      const state = host.announced ? green("announced") : yellow(`withdrawn${host.why && `: ${host.why}`}`);
      const share = percent(parts[i]!).padStart(SHARE_WIDTH);
      return `  host ${host.number}   ${gauge(parts[i]!, 100, GAUGE_WIDTH)} ${share}  ${dim(grouped(host.answered).padStart(NUMBER_WIDTH))}  ${state}`;
    });
    const rate = packetRate(this.#pps).padStart(RATE_WIDTH);
    return [
      `  answers  ${cyan(sparkline(this.#history, SPARK_WIDTH))} ${bold(rate)}  ${dim(`${this.#established} BGP sessions`)}`,
      "",
      ...rows,
      dim(`  ${FAMILIES.map((family) => this.#family(family)).join(", ")}`),
      "",
      ...this.#done.slice(-SHOWN).flatMap((one) => figuresLines(one).map((line) => `  ${line}`)),
    ];
  }
}

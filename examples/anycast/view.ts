/** What the anycast example shows: a panel while it runs, or a line for each thing that happened, or JSON. */
import { grouped, Meter, packetRate } from "../support/meter.ts";
import { bold, cyan, dim, gauge, green, red, sparkline, yellow } from "../support/paint.ts";
import type { Panel } from "../support/panel.ts";
import { print } from "../support/program.ts";
import type { Stage } from "./stage.ts";
import type { Figures } from "./story.ts";

const SPARK_WIDTH = 30;
const GAUGE_WIDTH = 24;
const RATE_WIDTH = 11;
const SHARE_WIDTH = 4;
const WHAT_WIDTH = 9;
const NUMBER_WIDTH = 8;

const percent = (value: number): string => `${Math.round(value)} %`;
const ms = (value: number): string => `${Math.round(value)} ms`;
const shares = (values: readonly number[]): string => values.map(percent).join(" / ");

/** One line about a turn. */
const figuresLine = (one: Figures): string => {
  const gap = `gap ${ms(one.medianGapMs)}, at most ${ms(one.maxGapMs)}`;
  const late = one.late === 0 ? "" : ` (${grouped(one.late)} answered after all, too late)`;
  const lost = one.lost === 0 ? green("none lost") : yellow(`${grouped(one.lost)} lost${late}`);
  const disturbed = one.disturbed === 0 ? "" : red(`, ${one.disturbed} other flows disturbed`);
  const back = one.lostBack === 0 ? "" : yellow(`, ${one.lostBack} lost on its way back`);
  return (
    `${bold(one.what.padEnd(WHAT_WIDTH))} host ${one.host}: ${shares(one.before)} → ${shares(one.after)} → ${shares(one.back)}; ` +
    `${one.moved} flows moved, ${gap}, ${lost}${disturbed}${back}`
  );
};

export class View {
  readonly #stage: Stage;
  readonly #panel: Panel;
  readonly #json: boolean;
  readonly #meter: Meter<"sent" | "answered">;
  readonly #history: number[] = [];
  readonly #done: Figures[] = [];
  #now = "";

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

  /** A turn is over. */
  ended(figures: Figures): void {
    this.#done.push(figures);
    if (this.#json) print(JSON.stringify(figures));
    else if (!this.#panel.live) print(figuresLine(figures));
  }

  /** Shows the present state; with --json as a record. */
  draw(established: number): void {
    const { sent, answered, lost } = this.#stage.report;
    const rates = this.#meter.rates(performance.now(), { sent, answered });
    this.#history.push(rates.answered);
    if (this.#json) {
      const announced = this.#stage.hosts.map((host) => host.announced);
      const record = { pps: rates.sent, answeredPps: rates.answered, lost, established, announced };
      print(JSON.stringify({ ...record, shares: this.#stage.shares() }));
      return;
    }
    this.#panel.draw(this.#lines(rates, established));
  }

  #lines(rates: { readonly sent: number; readonly answered: number }, established: number): string[] {
    const { hosts } = this.#stage;
    const parts = this.#stage.shares();
    const rows = hosts.map((host, i) => {
      const state = host.announced ? green("announced") : yellow(`withdrawn${host.why && `: ${host.why}`}`);
      const share = percent(parts[i]!).padStart(SHARE_WIDTH);
      return `  host ${host.number}   ${gauge(parts[i]!, 100, GAUGE_WIDTH)} ${share}  ${dim(grouped(host.answered).padStart(NUMBER_WIDTH))}  ${state}`;
    });
    const rate = packetRate(rates.answered).padStart(RATE_WIDTH);
    return [
      `  answers  ${cyan(sparkline(this.#history, SPARK_WIDTH))} ${bold(rate)}  ${dim(`${established} BGP sessions`)}`,
      "",
      ...rows,
      "",
      ...this.#done.map((one) => `  ${figuresLine(one)}`),
      "",
      dim(`  ${this.#now}; Ctrl-C ends`),
    ];
  }
}

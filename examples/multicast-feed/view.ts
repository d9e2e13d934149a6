/**
 * What a subscriber shows: a panel that is redrawn (or a line a second where there is no terminal), or records of JSON.
 */
import { build, type Histogram } from "hdr-histogram-js";
import type { FeedArbiter, FeedSideStatistics } from "millrace";
import { grouped, Meter, packetRate } from "../support/meter.ts";
import { bold, cyan, dim, gauge, green, red, sparkline } from "../support/paint.ts";
import type { Panel } from "../support/panel.ts";
import { print } from "../support/program.ts";

const SPARK_WIDTH = 50;
const GAUGE_WIDTH = 10;
const SHARE_WIDTH = 5;
const RATE_WIDTH = 10;
const COUNT_WIDTH = 6;
const WHOLE_PERCENT = 100;
const US_PER_MS = 1000;
/** A minute, in microseconds: whoever is later than that has been given up long ago. */
const HIGHEST_US = 60_000_000;
const MEDIAN = 50;
const LATE_PERCENTILE = 99;
const DIGITS = 2;

/** Leads in microseconds, to two digits. */
const leads = (): Histogram =>
  build({
    bitBucketSize: 64,
    autoResize: false,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 2,
  });

export class FeedView {
  readonly #panel: Panel;
  readonly #json: boolean;
  readonly #feed: FeedArbiter;
  readonly #leads: readonly Histogram[];
  readonly #nameWidth: number;
  readonly #history: number[] = [];
  readonly #draw: Meter<"delivered">;
  readonly #line: Meter<"delivered">;

  constructor(feed: FeedArbiter, leads: readonly Histogram[], panel: Panel, json: boolean, nowMs: number) {
    this.#feed = feed;
    this.#leads = leads;
    this.#panel = panel;
    this.#json = json;
    this.#nameWidth = Math.max(...feed.statistics().sides.map(({ name }) => name.length));
    this.#draw = new Meter(nowMs, { delivered: 0 });
    this.#line = new Meter(nowMs, { delivered: 0 });
  }

  /** Histograms of leads, one a side, and the function that fills them. */
  static leads(sides: number): {
    readonly histograms: readonly Histogram[];
    readonly onLead: (ms: number, side: number) => void;
  } {
    const histograms = Array.from({ length: sides }, leads);
    const onLead = (ms: number, side: number): void =>
      histograms[side]?.recordValue(Math.min(HIGHEST_US, Math.round(ms * US_PER_MS)));
    return { histograms, onLead };
  }

  /** Redraws the panel. */
  draw(nowMs: number): void {
    if (!this.#panel.live || this.#json) return;
    const { delivered } = this.#feed.statistics();
    const rates = this.#draw.rates(nowMs, { delivered });
    this.#history.push(rates.delivered);
    if (this.#history.length > SPARK_WIDTH) this.#history.shift();
    this.#panel.draw([
      `  ${dim("in order")} ${cyan(sparkline(this.#history, SPARK_WIDTH))} ${bold(packetRate(rates.delivered).padStart(RATE_WIDTH))}`,
      "",
      ...this.#lines(),
      "",
      dim("  Ctrl-C ends"),
    ]);
  }

  /** The record, or the line, of a second. */
  second(nowMs: number): void {
    const { sides, ...counts } = this.#feed.statistics();
    const { delivered: pps } = this.#line.rates(nowMs, { delivered: counts.delivered });
    if (this.#json) {
      const shown = sides.map((side, i) => ({ ...side, ...this.#percentiles(i) }));
      print(JSON.stringify({ pps, ...counts, sides: shown }));
      return;
    }
    if (this.#panel.live) return;
    const firsts = sides.map(
      ({ name, first, filled }) => `${name} first ${grouped(first)}, filled ${filled}`,
    );
    print(
      `${packetRate(pps).padStart(RATE_WIDTH)}   ${grouped(counts.delivered)} in order, ${counts.lost} lost   ${firsts.join("   ")}`,
    );
  }

  /** What came of it. */
  summary(): void {
    this.#panel.draw([]);
    if (!this.#json) for (const line of this.#lines()) print(line);
  }

  #lines(): string[] {
    const { sides, delivered, lost, gaps, held, mostHeld, resets } = this.#feed.statistics();
    const bad = lost === 0 ? green("none lost") : red(`${grouped(lost)} lost in ${grouped(gaps)} gaps`);
    return [
      ...sides.map((side, i) => this.#sideLine(side, i, delivered)),
      "",
      `  ${bold(grouped(delivered))} handed on in order, ${bad}; ${held} wait, ${mostHeld} at most${resets > 0 ? `; begun anew ${resets} times` : ""}`,
    ];
  }

  #sideLine({ name, first, filled, second }: FeedSideStatistics, i: number, delivered: number): string {
    const { leadP50Ms, leadP99Ms } = this.#percentiles(i);
    const share = ((first * WHOLE_PERCENT) / Math.max(1, delivered)).toFixed(1).padStart(SHARE_WIDTH);
    const missed = grouped(Math.max(0, delivered - first - second));
    const lead = `ahead ${leadP50Ms.toFixed(DIGITS)}, ${leadP99Ms.toFixed(DIGITS)} ms`;
    return (
      `  ${name.padEnd(this.#nameWidth)} ${gauge(first, delivered, GAUGE_WIDTH)} ${share} % first ` +
      `${grouped(filled).padStart(COUNT_WIDTH)} filled ${missed.padStart(COUNT_WIDTH)} missing  ${dim(lead)}`
    );
  }

  #percentiles(side: number): { leadP50Ms: number; leadP99Ms: number } {
    const at = (percentile: number): number =>
      (this.#leads[side]?.getValueAtPercentile(percentile) ?? 0) / US_PER_MS;
    return { leadP50Ms: at(MEDIAN), leadP99Ms: at(LATE_PERCENTILE) };
  }
}

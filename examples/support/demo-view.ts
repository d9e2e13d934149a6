/**
 * What `demo` shows: a panel while it runs (or a line a second where there is no terminal), and a summary at the end.
 */
import type { XdpDevice } from "millrace";
import type { Load } from "./load.ts";
import { bitRate, grouped, Meter, packetRate } from "./meter.ts";
import { bold, cyan, dim, gauge, green, red, sparkline } from "./paint.ts";
import type { Panel } from "./panel.ts";
import { describeMode } from "./trial.ts";

const MS_PER_S = 1000;
const SPARK_WIDTH = 30;
const GAUGE_WIDTH = 20;
const LABEL_WIDTH = 10;
const NAME_WIDTH = 38;
const RATE_WIDTH = 11;
const FIGURE_WIDTH = 9;

const label = (text: string): string => dim(text.padEnd(LABEL_WIDTH));

/** The device's counters that are shown as rates. */
const totalsOf = (device: XdpDevice) => {
  const { rxPackets, rxBytes, txPackets, txBytes } = device.statistics();
  return { rxPackets, rxBytes, txPackets, txBytes };
};

export class DemoView {
  readonly #device: XdpDevice;
  readonly #loads: ReadonlyMap<string, Load>;
  readonly #seconds: number;
  readonly #panel: Panel;
  readonly #meter: Meter<keyof ReturnType<typeof totalsOf>>;
  readonly #lineMeter: Meter<keyof ReturnType<typeof totalsOf>>;
  readonly #history: { readonly rx: number[]; readonly tx: number[] } = { rx: [], tx: [] };
  #peakPps = 0;
  #lastLineMs: number;
  #ranMs = 0;

  constructor(
    device: XdpDevice,
    loads: ReadonlyMap<string, Load>,
    seconds: number,
    panel: Panel,
    nowMs: number,
  ) {
    this.#device = device;
    this.#loads = loads;
    this.#seconds = seconds;
    this.#panel = panel;
    this.#meter = new Meter(nowMs, totalsOf(device));
    this.#lineMeter = new Meter(nowMs, totalsOf(device));
    this.#lastLineMs = nowMs;
    console.log(
      `\n  ${bold("millrace")} on ${device.name} in ${device.namespace}: ${cyan(describeMode(device))}\n`,
    );
  }

  /** Shows the present state, `ranMs` after all traffic was flowing. */
  draw(nowMs: number, ranMs: number): void {
    this.#ranMs = ranMs;
    const rates = this.#meter.rates(nowMs, totalsOf(this.#device));
    this.#peakPps = Math.max(this.#peakPps, rates.rxPackets);
    this.#history.rx.push(rates.rxPackets);
    this.#history.tx.push(rates.txPackets);
    if (this.#panel.live) this.#panel.draw(this.#panelLines(rates));
    else if (nowMs - this.#lastLineMs >= MS_PER_S) this.#printLine(nowMs);
  }

  /** Prints what came of it; true if every load was answered and every chunk of the umem is accounted for. */
  summary(): boolean {
    this.#panel.draw([]);
    const device = this.#device;
    const { rxPackets, txPackets, program } = device.statistics();
    const { total, ...parts } = device.umem.accounts();
    const sum = Object.values(parts).reduce((all, part) => all + part, 0);
    const lost = this.#lost();
    console.log(
      `  ${bold(grouped(rxPackets))} frames in, ${bold(grouped(txPackets))} back out, peak ${bold(packetRate(this.#peakPps))}, ` +
        `${lost === 0 ? green("none lost") : red(`${grouped(lost)} lost`)}; ${grouped(program.passed)} left to the kernel`,
    );
    let good = sum === total;
    for (const [name, load] of this.#loads) {
      const { sent, answered, averageMs } = load.progress;
      const time = averageMs === undefined ? "" : `, ${averageMs} ms on average`;
      console.log(
        `  ${mark(answered > 0)} ${name.padEnd(NAME_WIDTH)} ${grouped(answered)} of ${grouped(sent)} answered${time}`,
      );
      if (answered > 0) continue;
      good = false;
      if (load.errors !== "") console.log(`      ${load.errors}`);
    }
    const accounts = Object.entries(parts).map(([name, part]) => `${name} ${part}`);
    console.log(
      `  ${mark(sum === total)} ${"every frame has one owner".padEnd(NAME_WIDTH)} ${accounts.join(" + ")} = ${total}`,
    );
    return good;
  }

  #lost(): number {
    const { rxDropped, txDropped, txFull } = this.#device.statistics();
    return rxDropped + txDropped + txFull;
  }

  #panelLines(rates: ReturnType<typeof totalsOf>): string[] {
    const { fill, tx, pool, total } = this.#device.umem.accounts();
    const half = total / 2;
    const flow = (name: string, history: readonly number[], pps: number, bytes: number): string =>
      `  ${label(name)} ${cyan(sparkline(history, SPARK_WIDTH))} ${bold(packetRate(pps).padStart(RATE_WIDTH))}  ${dim(bitRate(bytes))}`;
    const ring = (name: string, level: number, size: number): string =>
      `  ${label(name)} ${gauge(level, size, GAUGE_WIDTH)} ${dim(`${level} of ${size}`)}`;
    const loads = [...this.#loads].map(([name, load]) => {
      const { sent, answered } = load.progress;
      return `  ${mark(answered > 0)} ${name.padEnd(NAME_WIDTH)} ${grouped(answered).padStart(FIGURE_WIDTH)} ${dim(`of ${grouped(sent)} answered`)}`;
    });
    const lost = this.#lost();
    const done = Math.min(this.#ranMs / MS_PER_S, this.#seconds);
    return [
      flow("in", this.#history.rx, rates.rxPackets, rates.rxBytes),
      flow("back", this.#history.tx, rates.txPackets, rates.txBytes),
      "",
      ring("fill ring", fill, half),
      ring("tx ring", tx, half),
      ring("pool", pool, total),
      `  ${label("lost")} ${lost === 0 ? green("0") : red(grouped(lost))}`,
      "",
      ...loads,
      "",
      dim(`  ${done.toFixed(1)} of ${this.#seconds} s; Ctrl-C ends`),
    ];
  }

  #printLine(nowMs: number): void {
    const rates = this.#lineMeter.rates(nowMs, totalsOf(this.#device));
    this.#lastLineMs = nowMs;
    const answered = [...this.#loads.values()].map((load) => grouped(load.progress.answered)).join(" / ");
    console.log(
      `  in ${packetRate(rates.rxPackets).padStart(RATE_WIDTH)}   back ${packetRate(rates.txPackets).padStart(RATE_WIDTH)}   ` +
        `lost ${this.#lost()}   answered ${answered}`,
    );
  }
}

const mark = (good: boolean): string => (good ? green("✓") : dim("·"));

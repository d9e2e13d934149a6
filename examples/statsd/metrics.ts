/**
 * What StatsD lines add up to: counters, gauges, summaries and sets of bounded number, and their page for Prometheus.
 *
 * A name that is known costs no allocation: its bytes lead to a number, and the number to columns of values.
 */
import { build, type Histogram } from "hdr-histogram-js";
import { Names } from "./names.ts";
import { CONTENT_TYPE, family, labelsOf, metricName, type MetricType, type Sample } from "./prometheus.ts";
import { isSigned, KIND, type Kind, readNumber, type StatsdLines } from "./line.ts";

export { CONTENT_TYPE };

/** Spellings of names with tags, and their bytes: tags in another order are another spelling of the same series. */
const LIMITS = { names: 16_384, bytes: 2 ** 20, longest: 1024 } as const;
/** Series on the page: what a Prometheus takes from one target without a thought. */
const MAX_SERIES = 8192;
/** A histogram has some 35 KB, whatever is recorded: 1024 of them are 36 MB. */
const MAX_HISTOGRAMS = 1024;
const MAX_SETS = 256;
/** Different values of a set that are counted; further ones are not told apart from those. */
const MAX_SET_VALUES = 65_536;

/** Histograms hold whole numbers: thousandths, which are microseconds for timers. */
const SCALE = 1000;
const MS_PER_S = 1000;
/** A thousand million, and 11 days for timers; what is above counts as this. */
const HIGHEST = 1e12;
/** Quantiles are right to one percent. */
const SIGNIFICANT_DIGITS = 2;
const QUANTILES = [0.5, 0.9, 0.99] as const;
const WHOLE_PERCENT = 100;

/** A spelling whose series could not be made. */
const REFUSED = -1;
/** A spelling that is seen for the first time. */
const UNSEEN = -2;
/** What the page says of this program itself begins like this. */
const OWN_PREFIX = "millrace_statsd_";

const TYPES: Readonly<Record<Kind, MetricType>> = {
  [KIND.counter]: "counter",
  [KIND.gauge]: "gauge",
  [KIND.timer]: "summary",
  [KIND.histogram]: "summary",
  [KIND.set]: "gauge",
};
const HELP: Readonly<Record<Kind, string>> = {
  [KIND.counter]: "StatsD counter",
  [KIND.gauge]: "StatsD gauge",
  [KIND.timer]: "StatsD timer, in seconds, since the start",
  [KIND.histogram]: "StatsD histogram or distribution, since the start",
  [KIND.set]: "StatsD set: different values since the start",
};

/** FNV-1a twice, from two beginnings: 53 bits that tell values of a set apart. */
const FNV_PRIME = 0x01000193;
const FIRST_BASIS = 0x811c9dc5;
const SECOND_BASIS = 0x050c5d1f;
const LOW_BITS = 21;
const WORD_BITS = 32;

interface Series {
  readonly id: number;
  readonly labels: string;
}

/** A metric's name, and everything under it. */
interface Family {
  readonly kind: Kind;
  readonly series: Map<string, Series>;
}

/** What the program says of itself. */
export interface OwnMetric {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly value: number;
}

const text = new TextDecoder();

export class Metrics {
  /** Values that were taken, and those that made no sense. */
  accepted = 0;
  malformed = 0;
  /** Values whose series was refused: too many of them, or the name belongs to another type. */
  refused = 0;
  readonly #names = new Names(LIMITS);
  readonly #seriesOf = new Int32Array(LIMITS.names).fill(UNSEEN);
  readonly #families = new Map<string, Family>();
  /** Names that a summary has besides its own. */
  readonly #taken = new Set<string>();
  readonly #values = new Float64Array(MAX_SERIES);
  readonly #counts = new Float64Array(MAX_SERIES);
  readonly #histograms: (Histogram | undefined)[] = [];
  readonly #sets: (Set<number> | undefined)[] = [];
  #series = 0;
  #histogramCount = 0;
  #setCount = 0;

  get series(): number {
    return this.#series;
  }

  /** Takes the values of the line that was read last. */
  add(bytes: Uint8Array, line: StatsdLines): void {
    const { kind, nameAt, nameLength, tagsAt, tagsLength, valuesEnd } = line;
    const name = this.#names.intern(bytes, kind, nameAt, nameLength, tagsAt, tagsLength);
    let series = name < 0 ? REFUSED : this.#seriesOf[name]!;
    if (series === UNSEEN) {
      series = this.#open(bytes, line);
      this.#seriesOf[name] = series;
    }
    for (let at = line.valuesAt; at <= valuesEnd;) {
      const end = line.valueEnd(at);
      if (series < 0) this.refused += 1;
      else if (this.#take(series, kind, bytes, at, end, line.rate)) this.accepted += 1;
      else this.malformed += 1;
      at = end + 1;
    }
  }

  #take(series: number, kind: Kind, bytes: Uint8Array, at: number, end: number, rate: number): boolean {
    if (kind === KIND.set) return this.#takeMember(series, bytes, at, end);
    const value = readNumber(bytes, at, end);
    if (!Number.isFinite(value)) return false;
    if (kind === KIND.gauge) {
      this.#values[series] = isSigned(bytes, at) ? this.#values[series]! + value : value;
      return true;
    }
    // Neither may go down: Prometheus would take it for a restart.
    if (value < 0) return false;
    const weight = 1 / rate;
    this.#values[series]! += value * weight;
    if (kind === KIND.counter) return true;
    this.#counts[series]! += weight;
    const whole = Math.min(Math.round(value * SCALE), HIGHEST);
    this.#histograms[series]!.recordValueWithCount(whole, weight);
    return true;
  }

  #takeMember(series: number, bytes: Uint8Array, at: number, end: number): boolean {
    if (at === end) return false;
    let first = FIRST_BASIS;
    let second = SECOND_BASIS;
    for (let i = at; i < end; i++) {
      first = Math.imul(first ^ bytes[i]!, FNV_PRIME);
      second = Math.imul(second ^ bytes[i]!, FNV_PRIME);
    }
    const set = this.#sets[series]!;
    if (set.size < MAX_SET_VALUES)
      set.add((first >>> 0) * 2 ** LOW_BITS + (second >>> (WORD_BITS - LOW_BITS)));
    return true;
  }

  /** A spelling for the first time: the number of its series, a fresh one if need be. */
  #open(bytes: Uint8Array, line: StatsdLines): number {
    const { kind, nameAt, nameLength, tagsAt, tagsLength } = line;
    const name = metricName(text.decode(bytes.slice(nameAt, nameAt + nameLength)));
    const labels = tagsAt < 0 ? "" : labelsOf(text.decode(bytes.slice(tagsAt, tagsAt + tagsLength)));
    let found = this.#families.get(name);
    if (found === undefined) {
      if (!this.#mayName(name, kind)) return REFUSED;
      found = { kind, series: new Map() };
      this.#families.set(name, found);
      if (TYPES[kind] === "summary") this.#taken.add(`${name}_sum`).add(`${name}_count`);
    }
    if (found.kind !== kind) return REFUSED;
    const known = found.series.get(labels);
    if (known !== undefined) return known.id;
    const id = this.#fresh(kind);
    if (id >= 0) found.series.set(labels, { id, labels });
    return id;
  }

  #mayName(name: string, kind: Kind): boolean {
    if (name.startsWith(OWN_PREFIX) || this.#taken.has(name)) return false;
    if (TYPES[kind] !== "summary") return true;
    return !this.#families.has(`${name}_sum`) && !this.#families.has(`${name}_count`);
  }

  #fresh(kind: Kind): number {
    if (this.#series === MAX_SERIES) return REFUSED;
    if (TYPES[kind] === "summary" && this.#histogramCount === MAX_HISTOGRAMS) return REFUSED;
    if (kind === KIND.set && this.#setCount === MAX_SETS) return REFUSED;
    const id = this.#series++;
    if (kind === KIND.set) {
      this.#setCount += 1;
      this.#sets[id] = new Set();
    } else if (TYPES[kind] === "summary") {
      this.#histogramCount += 1;
      this.#histograms[id] = build({
        bitBucketSize: 64,
        autoResize: false,
        highestTrackableValue: HIGHEST,
        numberOfSignificantValueDigits: SIGNIFICANT_DIGITS,
      });
    }
    return id;
  }

  /** The page, with what this program says of itself at the end. */
  page(own: readonly OwnMetric[] = []): string {
    const families = [...this.#families].sort(([one], [other]) => (one < other ? -1 : 1));
    const parts = families.map(([name, { kind, series }]) =>
      family(name, TYPES[kind], HELP[kind], this.#samples(kind, series.values())),
    );
    for (const { name, type, help, value } of own)
      parts.push(family(OWN_PREFIX + name, type, help, [{ labels: "", value }]));
    return parts.join("");
  }

  *#samples(kind: Kind, all: Iterable<Series>): Iterable<Sample> {
    // Prometheus wants seconds.
    const unit = kind === KIND.timer ? MS_PER_S : 1;
    for (const { id, labels } of all) {
      if (kind === KIND.set) yield { labels, value: this.#sets[id]!.size };
      else if (TYPES[kind] !== "summary") yield { labels, value: this.#values[id]! };
      else {
        const histogram = this.#histograms[id]!;
        for (const quantile of QUANTILES) {
          const value = histogram.getValueAtPercentile(quantile * WHOLE_PERCENT) / SCALE / unit;
          yield { labels: `${labels === "" ? "" : `${labels},`}quantile="${quantile}"`, value };
        }
        yield { suffix: "_sum", labels, value: this.#values[id]! / unit };
        yield { suffix: "_count", labels, value: this.#counts[id]! };
      }
    }
  }
}

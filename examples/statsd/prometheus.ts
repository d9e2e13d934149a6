/**
 * The text format of Prometheus (version 0.0.4): names and labels that it takes, and the page.
 */

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Of labels as of names; names may have colons besides. */
const NOT_NAME = /[^a-zA-Z0-9_:]/g;
const NOT_LABEL = /[^a-zA-Z0-9_]/g;
/** What a summary says itself; as Prometheus does where a target's label is taken. */
const TAKEN = new Set(["quantile"]);
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", '"': '\\"', "\n": "\\n" };

const begun = (name: string): string => (/^[0-9]/.test(name) ? `_${name}` : name);

/** A metric's name with "_" for what it may not have. */
export const metricName = (text: string): string => begun(text.replace(NOT_NAME, "_"));

const labelName = (text: string): string => {
  // Two underscores in front are for Prometheus itself.
  const name = begun(text.replace(NOT_LABEL, "_")).replace(/^__+/, "_");
  return TAKEN.has(name) ? `exported_${name}` : name;
};

/** `a="1",b="2"` from "b:2,a:1": in order, the last of a name counts, a tag without a value is "true". */
export const labelsOf = (tags: string): string => {
  const labels = new Map<string, string>();
  for (const tag of tags.split(",")) {
    const colon = tag.indexOf(":");
    const name = labelName(colon < 0 ? tag : tag.slice(0, colon));
    if (name !== "") labels.set(name, colon < 0 ? "true" : tag.slice(colon + 1));
  }
  return [...labels]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (each) => ESCAPES[each] ?? each)}"`)
    .join(",");
};

export type MetricType = "counter" | "gauge" | "summary";

/** One line of the page: what stands behind the family's name, more labels, the value. */
export interface Sample {
  readonly suffix?: "_sum" | "_count";
  readonly labels: string;
  readonly value: number;
}

/** A family: its samples below its type. */
export const family = (name: string, type: MetricType, help: string, samples: Iterable<Sample>): string => {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
  for (const { suffix = "", labels, value } of samples)
    lines.push(`${name}${suffix}${labels === "" ? "" : `{${labels}}`} ${numberText(value)}`);
  return `${lines.join("\n")}\n`;
};

const numberText = (value: number): string => {
  if (Number.isNaN(value)) return "NaN";
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
};

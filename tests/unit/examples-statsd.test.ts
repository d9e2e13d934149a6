/**
 * The statsd example's parts: lines read in place, names made numbers, what they add up to, and the page.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Metrics } from "../../examples/statsd/metrics.ts";
import { Names } from "../../examples/statsd/names.ts";
import { labelsOf, metricName } from "../../examples/statsd/prometheus.ts";
import { readNumber, StatsdLines } from "../../examples/statsd/line.ts";

const AT = 7;
const encoder = new TextEncoder();

/** The text in the middle of other bytes, as it lies in a frame. */
const placed = (text: string): { bytes: Uint8Array; length: number } => {
  const own = encoder.encode(text);
  const bytes = new Uint8Array(AT + own.length + AT).fill(0x39);
  bytes.set(own, AT);
  return { bytes, length: own.length };
};

/** What the lines of one datagram add up to. */
const feed = (text: string, metrics = new Metrics(), lines = new StatsdLines()) => {
  const { bytes, length } = placed(text);
  lines.begin(bytes, AT, length);
  while (lines.next()) metrics.add(bytes, lines);
  const page = metrics.page().split("\n");
  return { metrics, lines, samples: page.filter((line) => line !== "" && !line.startsWith("#")) };
};

describe("numbers", () => {
  const read = (text: string): number => {
    const { bytes, length } = placed(text);
    return readNumber(bytes, AT, AT + length);
  };

  test("are those that JavaScript reads", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }), (value) => {
        // Below, the power of ten that it is divided by would be infinite.
        fc.pre(Math.abs(value) > 1e-290);
        const text = value.toPrecision(12);
        expect(Math.abs(read(text) - Number(text))).toBeLessThanOrEqual(Math.abs(value) * 1e-15);
      }),
    );
    for (const text of ["0", "1", "-1", "+17", "3.25", ".5", "5.", "1e3", "2.5E-3", "123456789012345"])
      expect(read(text)).toBe(Number(text));
  });

  test("all else is none", () => {
    for (const text of ["", "-", "+", ".", "e5", "1e", "1e+", "0x10", "1 ", "1,5", "NaN", "1.2.3", "--1"])
      expect(read(text)).toBeNaN();
  });
});

describe("lines", () => {
  test("of every type add up", () => {
    const { samples, lines, metrics } = feed(
      [
        "hits:1|c",
        "hits:4|c|@0.5",
        "depth:10|g",
        "depth:+5|g",
        "depth:-2.5|g",
        "who:ann|s",
        "who:bob|s",
        "who:ann|s",
        "wait:100|ms",
        "wait:300:200|ms|@0.1",
        "size:0.5|h",
        "size:2|d",
      ].join("\n"),
    );
    expect(lines.malformed + metrics.malformed + metrics.refused).toBe(0);
    expect(samples).toContain("hits 9");
    expect(samples).toContain("depth 12.5");
    expect(samples).toContain("who 2");
    expect(samples).toContain("wait_count 21");
    expect(samples).toContain("wait_sum 5.1");
    const median = Number(samples.find((line) => line.startsWith('wait{quantile="0.5"}'))?.split(" ")[1]);
    expect(median).toBeWithin(0.198, 0.303);
    // A histogram and a distribution of one name are one.
    expect(samples).toContain("size_count 2");
    expect(samples).toContain("size_sum 2.5");
  });

  test("tags are labels, in any order, and what else a line may carry is skipped", () => {
    const { samples, metrics } = feed(
      "a.b-c:1|c|#zone:eu,path:/x\na.b-c:2|c|@1|#path:/x,zone:eu|c:ci-17|T1700000000\r\na.b-c:3|c|#flag\n",
    );
    expect(samples).toContain('a_b_c{path="/x",zone="eu"} 3');
    expect(samples).toContain('a_b_c{flag="true"} 3');
    expect(metrics.series).toBe(2);
  });

  test("that make no sense are counted, and the others of the datagram are not lost", () => {
    const bad = [
      "nothing",
      "a:|c",
      ":1|c",
      "a:1",
      "a:1|",
      "a:1|x",
      "a:1|msx",
      "a:1|c|@0",
      "a:1|c|@2",
      "a:1|c|@x",
      "a:1|c|",
      "a:x|c",
      "a:-1|c",
      "a:-1|ms",
      "a:1e999|g",
    ];
    const { lines, metrics, samples } = feed(["a:1|c", ...bad, "a:1|c"].join("\n"));
    expect(lines.malformed + metrics.malformed + metrics.refused).toBe(bad.length);
    expect(samples).toContain("a 2");
  });

  test("of any bytes do not throw, and the page stays one that can be read", () => {
    const line = fc.string({ unit: fc.constantFrom(...'ab:|@#,.1-+cgms\n\r"\\é{} '), maxLength: 60 });
    const metrics = new Metrics();
    const lines = new StatsdLines();
    fc.assert(
      fc.property(line, (text) => {
        const { samples } = feed(text, metrics, lines);
        for (const sample of samples)
          expect(sample).toMatch(
            /^[a-zA-Z_:][\w:]*(\{([a-zA-Z_]\w*="([^"\\]|\\["\\n])*",?)+\})? [-+\d.eInfNa]+$/,
          );
      }),
      { numRuns: 2000 },
    );
  });
});

describe("limits", () => {
  test("a name belongs to the type that it had first, and to no summary's own names", () => {
    const { metrics, samples } = feed("a:1|c\na:5|g\nb:1|ms\nb_sum:1|c\nmillrace_statsd_series:1|g\na:1|c");
    expect(metrics.refused).toBe(3);
    expect(samples).toContain("a 2");
    expect(samples.filter((sample) => sample.startsWith("b_sum"))).toEqual(["b_sum 0.001"]);
  });

  test("series, summaries and sets beyond theirs are refused, and those that are there go on", () => {
    const metrics = new Metrics();
    const lines = new StatsdLines();
    for (let i = 0; i < 1100; i++) feed1(`t${i}:1|ms`, metrics, lines);
    expect(metrics.series).toBe(1024);
    for (let i = 0; i < 300; i++) feed1(`s${i}:x|s`, metrics, lines);
    expect(metrics.series).toBe(1024 + 256);
    for (let i = 0; i < 9000; i++) feed1(`c${i}:1|c`, metrics, lines);
    expect(metrics.series).toBe(8192);
    for (let i = 0; i < 9000; i++) feed1(`d${i}:1|c`, metrics, lines);
    const { refused } = metrics;
    expect(refused).toBe(1100 - 1024 + (300 - 256) + (9000 - (8192 - 1280)) + 9000);
    feed1("c0:5|c", metrics, lines);
    feed1("d8999:1|c", metrics, lines);
    expect(metrics.refused).toBe(refused + 1);
    expect(metrics.page()).toContain("\nc0 6\n");
  });

  const feed1 = (text: string, metrics: Metrics, lines: StatsdLines): void => {
    const { bytes, length } = placed(text);
    lines.begin(bytes, AT, length);
    while (lines.next()) metrics.add(bytes, lines);
  };
});

describe("names", () => {
  test("are told apart by their bytes and the border between the two", () => {
    const names = new Names({ names: 64, bytes: 1024, longest: 16 });
    const known = new Map<string, number>();
    fc.assert(
      fc.property(fc.nat(2), fc.string({ maxLength: 3 }), fc.string({ maxLength: 3 }), (salt, a, b) => {
        const bytes = encoder.encode(a + b);
        const middle = encoder.encode(a).length;
        const before = names.count;
        const number = names.intern(bytes, salt, 0, middle, middle, bytes.length - middle);
        const key = JSON.stringify([salt, a, b]);
        if (known.has(key)) expect(number).toBe(known.get(key)!);
        else if (number >= 0) {
          expect(number).toBe(before);
          known.set(key, number);
        } else expect(before).toBe(64);
      }),
      { numRuns: 3000 },
    );
    expect(names.count).toBe(64);
    expect(names.refused).toBeGreaterThan(0);
  });

  test("too long, or one for which no memory is left, is refused", () => {
    const names = new Names({ names: 64, bytes: 20, longest: 12 });
    const bytes = encoder.encode("abcdefghijklmnop");
    expect(names.intern(bytes, 0, 0, 13, 0, 0)).toBe(-1);
    expect(names.intern(bytes, 0, 0, 12, 0, 0)).toBe(0);
    expect(names.intern(bytes, 1, 0, 12, 0, 0)).toBe(-1);
    expect(names.intern(bytes, 0, 0, 12, 0, 0)).toBe(0);
    expect(names.refused).toBe(2);
  });
});

test("names and labels that Prometheus does not take are made such", () => {
  expect(metricName("9lives.of a-cat")).toBe("_9lives_of_a_cat");
  expect(labelsOf('b:x"y\\z,__a:1,quantile:0.5,b:2,:3')).toBe('_a="1",b="2",exported_quantile="0.5"');
  expect(labelsOf('c:say "hi"\\')).toBe('c="say \\"hi\\"\\\\"');
});

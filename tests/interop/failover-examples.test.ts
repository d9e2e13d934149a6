/** The failover examples as a person runs them: alone, to their end or until Ctrl-C, with nothing left behind. */
import { describe, expect, test } from "bun:test";
import { TwoPathLab } from "../../examples/two-path-lab.ts";
import { Example } from "../support/example.ts";
import { until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 240_000;
const PATIENCE_MS = 60_000;

describe.skipIf(skipWithoutLab(TwoPathLab.unavailable()))("examples", () => {
  test(
    "failover cuts its own path, tells who saw it and how, and goes on",
    async () => {
      const example = new Example("failover", []);
      const told = (what: string, pattern: RegExp): Promise<unknown> =>
        until(what, () => example.lines.some((line) => pattern.test(line)), PATIENCE_MS);
      await told("all paths to live", /^every path lives/);
      await told("answers", /^[1-9]\d* of \d+ answered, .*longest silence [\d.]+ ms$/);
      await told("a path to die", /^path v[ab]0 via \S+ is .*down.* \((link|bfd|route)/);
      const before = example.lines.length;
      await until(
        "answers after it",
        () => example.lines.slice(before).some((line) => /^[1-9]\d* of \d+ answered/.test(line)),
        PATIENCE_MS,
      );
      expect(await example.end()).toBe(0);
    },
    LIMIT_MS,
  );

  test("failover says what it needs", async () => {
    for (const [args, said] of [
      [["dance"], "takes serve or ask"],
      [["serve", "vb0,10.77.0.2/24,10.77.0.1"], "2 legs are needed"],
      [["ask", "a,b", "c,d"], "--own and --far are needed"],
      [["ask", "a", "b", "--own", "10.0.0.1", "--far", "10.0.0.2"], "a leg is IFACE,ADDRESS/LEN,GATEWAY"],
      [
        ["ask", "a,10.0.0.3", "b,10.0.0.4", "--own", "10.0.0.1", "--far", "10.0.0.2", "--bfd", "fast"],
        "--bfd is MSxN",
      ],
    ] as const) {
      const example = new Example("failover", args);
      expect(await example.ended()).toBe(2);
      expect(await example.stderr).toContain(said);
    }
  });

  test(
    "demo-failover plays five ways to die, and the conversation outlives each",
    async () => {
      // Slower than shown: a machine that runs other tests does not let every program run every 10 ms.
      const demo = new Example("demo-failover", ["--bfd", "150x3", "--json"]);
      expect(await demo.ended()).toBe(0);
      const acts = demo.lines.map((line) => JSON.parse(line) as { act: string; duplicated: number });
      expect(acts.map(({ act }) => act)).toEqual(["carrier", "questions", "answers", "route", "flapping"]);
      expect(acts.every(({ duplicated }) => duplicated === 0)).toBe(true);
    },
    LIMIT_MS,
  );
});

/** The failover examples as a person runs them: alone, to their end or until Ctrl-C, with nothing left behind. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TwoPathLab } from "../../examples/two-path-lab.ts";
import { Example } from "../support/example.ts";
import { OnTerminal } from "../support/on-terminal.ts";
import { until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

/** Columns that no panel fits in. */
const NARROW = 50;
const LIMIT_MS = 240_000;
const PATIENCE_MS = 60_000;

describe.skipIf(skipWithoutLab(TwoPathLab.unavailable()))("examples", () => {
  test(
    "failover cuts its own path, tells who saw it and how, and goes on",
    async () => {
      const example = new Example("failover", []);
      const told = (what: string, pattern: RegExp): Promise<unknown> =>
        until(what, () => example.lines.some((line) => pattern.test(line)), PATIENCE_MS);
      await told("all paths to live", /s {2}service {2}every path lives/);
      await told("answers", /s {2}client {3}[1-9]\d* of \d+ answered, .*longest silence [\d.]+ ms$/);
      await told("a cut", /s {2,}the carrier of path 1 goes$/);
      await told("a path to die", /s {2}(client|service) +path 1 is .*down.* \((link|bfd|route)/);
      const before = example.lines.length;
      await until(
        "answers after it",
        () => example.lines.slice(before).some((line) => /client {3}[1-9]\d* of \d+ answered/.test(line)),
        PATIENCE_MS,
      );
      expect(await example.end()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "failover --json is one thing a line, and says who said it",
    async () => {
      using example = new Example("failover", ["--json"]);
      await example.record("a cut", (each) => "did" in each);
      await example.record("a path to die", (each) => "did" in example.records[0]! || "path" in each);
      expect(await example.end()).toBe(0);
      const kinds = example.records.map((each) => ["did", "end"].filter((key) => key in each).join());
      expect(kinds.filter((kind) => kind !== "did" && kind !== "end")).toEqual([]);
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

  test(
    "demo-failover shows a picture with a lane for each path, and a table",
    async () => {
      const demo = new Example("demo-failover", ["--bfd", "150x3"]);
      expect(await demo.ended()).toBe(0);
      const { text } = demo;
      expect(text).toContain("The client asks a thousand times a second.");
      for (const words of [
        "1. the carrier goes",
        "2. every question is lost",
        "3. every answer",
        "4. the client's route",
      ])
        expect(text).toContain(words);
      const lanes = (name: string): RegExpMatchArray[] => [
        ...text.matchAll(new RegExp(`^ +${name} (.*)$`, "gm")),
      ];
      expect(lanes("path 1").filter(([, lane]) => /[█▆▄▂]/.test(lane!)).length).toBeGreaterThanOrEqual(5);
      expect(lanes("path 2").filter(([, lane]) => /[█▆▄▂]/.test(lane!)).length).toBeGreaterThanOrEqual(5);
      // What is lost silently is lost for as long as nobody can know.
      expect(lanes("lost").filter(([, lane]) => lane!.includes("×")).length).toBeGreaterThanOrEqual(2);
      expect(text.match(/^ +cut ▼/gm)).toHaveLength(5);
      expect(text).toMatch(/^ {2}questions lost +[\d.]+ ms +[\d,]+ .*BFD$/m);
      expect(text).toContain("Torn down");
    },
    LIMIT_MS,
  );

  test.each([
    ["demo-failover", "are made"],
    ["failover", "Ctrl-C ends"],
    ["anycast", "on 2 hosts"],
  ])(
    "Ctrl-C in a terminal again and again, while %s makes its laboratory and takes it down, is no error, and nothing is left",
    async (name, seen) => {
      using terminal = new OnTerminal(name);
      await until("its first words", () => terminal.text.includes(seen), PATIENCE_MS);
      await until("its end", () => {
        if (!terminal.over) terminal.interrupt();
        return terminal.over;
      });
      expect(await terminal.ended()).toBe(0);
      expect(terminal.text).not.toContain("millrace:");
      expect(terminal.cursor).toBe(true);
    },
    LIMIT_MS,
  );

  test.each(["demo-failover", "failover"])(
    "nothing of %s is left when its terminal goes away",
    async (name) => {
      using terminal = new OnTerminal(name);
      await until("its first words", () => /are made|every path lives/.test(terminal.text), PATIENCE_MS);
      terminal.hangUp();
      await terminal.ended();
    },
    LIMIT_MS,
  );

  test(
    "a panel in a narrow terminal is cut, not torn",
    async () => {
      using terminal = new OnTerminal("multicast-feed", [], NARROW, 20);
      const drawn = (): string[] => terminal.lines.filter((line) => line.includes("% first"));
      await until("some drawing", () => drawn().length > 10, PATIENCE_MS);
      terminal.interrupt();
      expect(await terminal.ended()).toBe(0);
      // The summary at its end is no panel.
      expect(
        drawn()
          .slice(0, 10)
          .map((line) => line.length),
      ).toEqual(Array(10).fill(NARROW));
    },
    LIMIT_MS,
  );

  test(
    "without nft both say which package has it",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-"));
      try {
        for (const tool of ["ip", "ethtool", "nsenter", "sh"])
          symlinkSync(Bun.which(tool)!, join(folder, tool));
        for (const name of ["failover", "demo-failover"]) {
          using example = new Example(name, [], { env: { PATH: folder } });
          expect(await example.ended()).toBe(1);
          expect(await example.stderr).toBe(
            "millrace: cannot make a lab of two paths: nft is not installed: apt-get install nftables\n",
          );
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    LIMIT_MS,
  );
});

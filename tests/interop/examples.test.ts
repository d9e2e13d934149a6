/**
 * Each example as a person runs it first: alone, in a lab of its own, ended by Ctrl-C, leaving nothing behind.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { descendants, Example } from "../support/example.ts";
import { Lab } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
/** Ten seconds are for people. */
const DEMO_SECONDS = "2";

describe.skipIf(skipWithoutLab(Lab.unavailable()))("alone", () => {
  test.each(["count", "reflect", "bridge", "capture", "generate"])(
    "%s --json counts packets, and Ctrl-C ends it without a trace",
    async (name) => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-"));
      try {
        const args = name === "capture" ? ["--file", join(folder, "a.pcapng")] : [];
        using example = new Example(name, ["--json", ...args]);
        const record = await example.record(
          "two records",
          (each) => example.records.indexOf(each) === 1 || example.records.length > 1,
        );
        expect(record.pps).toBeNumber();
        const busy = await example.record("packets", ({ pps }) => (pps ?? 0) > 0);
        expect(busy.pps).toBeGreaterThan(100);
        expect(descendants(example.child.pid).length).toBeGreaterThan(0);
        expect(await example.end()).toBe(0);
        expect(await example.stderr).toBe("");
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    LIMIT_MS,
  );

  test(
    "text for people, and SIGTERM ends it too",
    async () => {
      using example = new Example("count", []);
      await example.line("a talker", (line) => /10\.77\.0\.1 +[\d,]+ packets/.test(line));
      expect(example.lines[0]).toContain("counting on vb");
      expect(await example.end("SIGTERM")).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "generate --count ends by itself, with every packet sent",
    async () => {
      using example = new Example("generate", ["--json", "--count", "5000", "--rate", "max"]);
      expect(await example.ended()).toBe(0);
      expect(example.records.at(-1)).toMatchObject({ packets: 5000, done: true, dropped: 0 });
    },
    LIMIT_MS,
  );

  test(
    "a reader that has seen enough (| head) is a clean end",
    async () => {
      const path = join(import.meta.dir, "..", "..", "examples", "count.ts");
      const shell = Bun.spawn(
        ["bash", "-c", `"${process.execPath}" run "${path}" --json | head -n 1; exit \${PIPESTATUS[0]}`],
        { stdout: "pipe", stderr: "pipe" },
      );
      expect(await shell.exited).toBe(0);
      expect(await shell.stderr.text()).toBe("");
    },
    LIMIT_MS,
  );

  test(
    "doctor answers as a table and as JSON, and its code says whether attaching works",
    async () => {
      using json = new Example("doctor", ["--json"]);
      expect(await json.ended()).toBe(0);
      const [report] = json.records;
      expect(report).toMatchObject({ works: true, interface: "vb" });
      const trial = (report as unknown as { trial: { name: string; answer: string; detail: string }[] })
        .trial;
      expect(trial.find(({ name }) => name === "attach")?.answer).toBe("yes");
      // veth has no zero-copy, and the ladder says so.
      expect(trial.find(({ name }) => name === "native, zero-copy")?.detail).toContain("EOPNOTSUPP");
      expect(trial.some(({ name }) => name.includes("before it: zero-copy"))).toBe(true);
      using text = new Example("doctor", []);
      expect(await text.ended()).toBe(0);
      expect(text.text).toContain("✓ CAP_NET_RAW");
      expect(text.text).toContain("✗ complete checksums on arrival");
      expect(text.text).toContain("→ ethtool -K va tx off");
    },
    LIMIT_MS,
  );
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))("mistakes", () => {
  const cases: readonly [string, string, readonly string[], number, RegExp][] = [
    ["an unknown option", "count", ["--nonsense"], 2, /nonsense[\s\S]*usage: /],
    ["one interface for two", "bridge", ["va"], 2, /takes 2 interfaces/],
    ["an unknown claim", "reflect", ["--claim", "udp"], 2, /--claim does not know "udp"/],
    ["a rate that is none", "generate", ["--rate", "fast"], 2, /--rate is a whole number/],
    ["a ring without a size", "capture", ["--files", "3"], 2, /--files needs --size/],
    ["an interface that is not there", "count", ["mrnone0"], 1, /^millrace: .*"mrnone0".*\n$/],
    ["doctor on an interface that is not there", "doctor", ["mrnone0"], 1, /^millrace: .*"mrnone0".*\n$/],
    ["a frame above the MTU", "generate", ["--size", "1515"], 2, /--size is a whole number from 1 to 1514/],
  ];
  test.each(cases)(
    "%s is told in words, with a code",
    async (_, name, args, code, says) => {
      using example = new Example(name, args);
      expect(await example.ended()).toBe(code);
      const said = await example.stderr;
      expect(said).toMatch(says);
      expect(said).not.toMatch(/^\s+at /m);
    },
    LIMIT_MS,
  );

  test.each(["count", "reflect", "bridge", "capture", "generate", "doctor", "demo", "lab-up"])(
    "%s --help says how it is used",
    async (name) => {
      using example = new Example(name, ["--help"]);
      expect(await example.ended()).toBe(0);
      expect(example.lines[0]).toStartWith(`usage: bun run examples/${name}.ts`);
    },
    LIMIT_MS,
  );
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))("demo", () => {
  test(
    "runs to its end: four kinds of traffic answered, everything accounted for, nothing left",
    async () => {
      using demo = new Example("demo", ["--seconds", DEMO_SECONDS]);
      expect(await demo.ended()).toBe(0);
      const { text } = demo;
      expect(text).toMatch(/native copy, need_wakeup/);
      expect(text).toMatch(/✓ ping 10\.77\.0\.2, the kernel beside us +\d+ of \d+ answered, [\d.]+ ms/);
      expect(text).toMatch(/✓ ping 10\.77\.0\.200, this program +\d+ of \d+ answered, [\d.]+ ms/);
      expect(text).toMatch(/✓ kernel socket to UDP 9000 +[\d,]+ of [\d,]+ answered/);
      expect(text).toMatch(/✓ generate to 10\.77\.0\.200 +[\d,]+ of [\d,]+ answered/);
      expect(text).toMatch(/pool \d+ \+ fill \d+ \+ lent 0 \+ kept 0 \+ tx 0 = 16384/);
    },
    LIMIT_MS,
  );

  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s in the middle ends it with its summary, and nothing is left",
    async (signal) => {
      using demo = new Example("demo", ["--seconds", "60"]);
      await demo.line("all four to be answered", (line) => /answered( [1-9][\d,]* \/){3} [1-9]/.test(line));
      expect(await demo.end(signal)).toBe(0);
      expect(demo.text).toContain("Torn down");
    },
    LIMIT_MS,
  );

  test(
    "on a terminal it draws a panel in place, and gives the cursor back",
    async () => {
      const path = join(import.meta.dir, "..", "..", "examples", "demo.ts");
      const command = `${process.execPath} run ${path} --seconds ${DEMO_SECONDS}`;
      const terminal = Bun.spawn(["script", "-qec", command, "/dev/null"], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, TERM: "xterm-256color" },
      });
      const screen = await terminal.stdout.text();
      expect(await terminal.exited).toBe(0);
      expect(screen).toContain("fill ring");
      expect(screen.lastIndexOf("\u001b[?25h")).toBeGreaterThan(screen.lastIndexOf("\u001b[?25l"));
    },
    LIMIT_MS,
  );
});

const free = !existsSync("/run/netns/millrace-a") && !existsSync("/run/netns/millrace-b");
describe.skipIf(
  skipWithoutLab(Lab.unavailable()) ||
    skipUnless(free, "a person's lab stands (make lab-down)", { couldRun: true }),
)("the lab of make lab", () => {
  test(
    "stands until it is removed, and the commands that it prints work",
    async () => {
      try {
        using up = new Example("lab-up", ["up"]);
        expect(await up.ended()).toBe(0);
        const ping = up.lines.find((line) => line.includes(" ping "))?.trim();
        const doctor = up.lines.find((line) => line.includes("doctor.ts"))?.trim();
        for (const command of [`${ping} -c 1 -W 2`, `${doctor}`]) {
          const done = Bun.spawnSync(["sh", "-c", command], { cwd: join(import.meta.dir, "..", "..") });
          expect([command, done.exitCode]).toEqual([command, 0]);
        }
      } finally {
        using down = new Example("lab-up", ["down"]);
        expect(await down.ended()).toBe(0);
      }
      expect(existsSync("/run/netns/millrace-a") || existsSync("/run/netns/millrace-b")).toBe(false);
    },
    LIMIT_MS,
  );
});

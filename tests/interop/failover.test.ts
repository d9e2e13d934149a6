/**
 * A conversation over two paths, and every way in which one of them dies: both ends are programs of their own on AF_XDP, what is
 * between them is the kernel's bridging and nftables. Each case prints its figures and a histogram of the gaps.
 *
 * What is held against them is order and count, never speed: a conversation goes on over the path that is left, nothing is
 * answered twice, what was lost was lost in the gap, and every chunk has an owner at the end.
 */
import { describe, expect, test } from "bun:test";
import { GAP_BOUNDS_MS } from "../../examples/failover/ledger.ts";
import { Pair, type PairOptions, type ToldChange, type WindowFigures } from "../../examples/failover/pair.ts";
import { TwoPathLab } from "../../examples/two-path-lab.ts";
import { Example } from "../support/example.ts";
import { until } from "../support/lab.ts";
import { ping } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 180_000;
/** How long any of the conditions here may take on a machine that does other things too. */
const PATIENCE_MS = 45_000;
/** Slow enough that a program which has to wait for its core is not taken for dead. */
const BFD = ["--bfd", "100x3"];
const BFD_MS = 300;
const VERIFY = ["--verify", "200", "--undamped"];
/** A program that is not scheduled is as silent as a dead path. */
const NICE = ["nice", "-n", "-19"];
const PREFIX = { client: NICE, host: NICE } as const;
/** The host's numbers of its interfaces on the two paths: the loopback is the first. */
const HEARD_ON = [2, 3] as const;
/** A window in which a flow is looked at. */
const LOOK_MS = 200;
/** Below that a question may still get its answer. */
const SETTLE_MS = 700;
/** A cut every second for so long; five minutes where somebody has the time. */
const CUTTING_S = Number(process.env.MILLRACE_FAILOVER_SECONDS ?? "10");
const MS_PER_S = 1000;

const start = (options: PairOptions = {}): Promise<Pair> =>
  Pair.start({ ...options, both: [...VERIFY, ...(options.both ?? BFD)], prefix: PREFIX });

const look = async (pair: Pair, ms = LOOK_MS): Promise<WindowFigures> => {
  pair.begin();
  await Bun.sleep(ms);
  return pair.figures();
};

const on = (figures: WindowFigures, path: 0 | 1): number => figures.heardOn[HEARD_ON[path]] ?? 0;

/** Waits until the conversation goes over this path alone, with next to no question unanswered. */
const flowsOver = (pair: Pair, path: 0 | 1): Promise<WindowFigures> =>
  until(
    `answers over path ${path} alone`,
    async () => {
      const figures = await look(pair);
      const { answered, sent } = figures;
      return answered > 0 && on(figures, path) === answered && answered >= sent * 0.9 ? figures : undefined;
    },
    PATIENCE_MS,
  );

const histogram = ({ gaps }: WindowFigures): string =>
  GAP_BOUNDS_MS.map((bound, i) => ({ bound, count: gaps[i]! }))
    .filter(({ count }) => count > 0)
    .map(({ bound, count }) => `<=${bound === Infinity ? "more" : bound}:${count}`)
    .join(" ");

const report = (what: string, figures: WindowFigures, changes: readonly ToldChange[] = []): void => {
  const { sent, answered, lost, duplicated, reordered, gapMs } = figures;
  const seen = changes.find(({ state }) => state === "down");
  const by = seen === undefined ? "" : `; ${seen.end}: ${seen.reason} after ${seen.silentMs.toFixed(1)} ms`;
  console.log(
    `${what}: silence ${gapMs.toFixed(1)} ms, of ${sent} lost ${lost}, duplicated ${duplicated}, ` +
      `reordered ${reordered}, answered ${answered}${by}\n  gaps in ms ${histogram(figures)}`,
  );
};

/** Every chunk of both ends' devices has one owner, and none is with a handler. */
const expectEven = async (pair: Pair): Promise<void> => {
  const all = await pair.end();
  expect(all).toHaveLength(4);
  for (const { pool, fill, lent, kept, tx, total } of all) {
    expect(pool + fill + lent + kept + tx).toBe(total);
    expect(lent).toBe(0);
    expect(kept).toBe(0);
  }
};

/** A thousand a second: what was lost was asked while nothing was answered, and a gap has room for so many at most. */
const mostLost = ({ gaps, gapMs }: WindowFigures): number =>
  gaps.reduce((sum, count, i) => sum + count * (Math.min(GAP_BOUNDS_MS[i]!, gapMs) + 1), 0);

interface Cut {
  readonly name: string;
  readonly cut: (lab: TwoPathLab) => Promise<void>;
  /** What may be given as the reason first: where both see it, either. */
  readonly reasons: readonly string[];
  /** True where nobody can know but by the absence of packets. */
  readonly silent: boolean;
}

const LOUD = ["link", "route", "bfd", "health"];
const SILENT = ["bfd", "health"];
const CUTS: readonly Cut[] = [
  {
    name: "carrier, at both ends",
    cut: (lab) => lab.carrier(0, "both", false),
    reasons: LOUD,
    silent: false,
  },
  {
    name: "carrier, at the client",
    cut: (lab) => lab.carrier(0, "client", false),
    reasons: LOUD,
    silent: false,
  },
  { name: "carrier, at the host", cut: (lab) => lab.carrier(0, "host", false), reasons: LOUD, silent: false },
  { name: "silent, both ways", cut: (lab) => lab.drop(0, "both"), reasons: SILENT, silent: true },
  { name: "silent, to the host", cut: (lab) => lab.drop(0, "to-host"), reasons: SILENT, silent: true },
  { name: "silent, to the client", cut: (lab) => lab.drop(0, "to-client"), reasons: SILENT, silent: true },
];
const WITHDRAWN: Cut = {
  name: "route withdrawn",
  cut: (lab) => lab.withdraw(0, "client"),
  reasons: ["route"],
  silent: false,
};

/** Cuts the first path, and holds what is seen against what must be. */
const cutAndHeal = async (pair: Pair, { name, cut, reasons, silent }: Cut): Promise<void> => {
  await flowsOver(pair, 0);
  const before = pair.changes.length;
  pair.begin();
  await cut(pair.lab);
  const changes = await until(
    `a path to be seen dead: ${name}`,
    () => {
      const since = pair.changes.slice(before).filter(({ path }) => path.startsWith("va0 via 10."));
      return since.some(({ state }) => state === "down") ? since : undefined;
    },
    PATIENCE_MS,
  );
  await Bun.sleep(SETTLE_MS);
  const figures = await pair.figures();
  report(name, figures, changes);
  const [first] = changes.filter(({ state }) => state === "down");
  expect(reasons).toContain(first!.reason);
  // Told by the other end it may be at once; by oneself not before so many packets are missing.
  if (silent && first!.silentMs > BFD_MS / 2) expect(first!.silentMs).toBeGreaterThanOrEqual(BFD_MS * 0.8);
  expect(figures.duplicated).toBe(0);
  expect(figures.lost).toBeLessThanOrEqual(mostLost(figures));
  await flowsOver(pair, 1);
  await pair.lab.heal();
};

describe.skipIf(skipWithoutLab(TwoPathLab.unavailable()))("failover", () => {
  test(
    "each way in which a path dies, in each direction: the conversation goes on over the other, and comes back",
    async () => {
      using pair = await start();
      for (const cut of CUTS) await cutAndHeal(pair, cut);
      await flowsOver(pair, 0);
      await expectEven(pair);
    },
    LIMIT_MS,
  );

  test(
    "beside the kernel: the same, and its route withdrawn",
    async () => {
      using pair = await start({ lab: { client: "kernel" } });
      for (const cut of [...CUTS, WITHDRAWN]) await cutAndHeal(pair, cut);
      await flowsOver(pair, 0);
      await expectEven(pair);
    },
    LIMIT_MS,
  );

  test(
    "over routers: whatever dies on either side of them, for echoes go all the way",
    async () => {
      using pair = await start({ lab: { shape: "routed" }, both: ["--echo", "100x3"] });
      for (const cut of CUTS) await cutAndHeal(pair, cut);
      for (const direction of ["to-host", "to-client"] as const) {
        const name = `silent, ${direction}, at the client's cable`;
        const cutThere = (lab: TwoPathLab): Promise<void> => lab.drop(0, direction, { at: "client" });
        await cutAndHeal(pair, { name, cut: cutThere, reasons: LOUD, silent: true });
      }
      await cutAndHeal(pair, { ...WITHDRAWN, cut: (lab) => lab.withdraw(0, "router"), reasons: LOUD });
      await flowsOver(pair, 0);
      await expectEven(pair);
    },
    LIMIT_MS,
  );

  for (const [name, cut] of [
    ["its carrier", (lab: TwoPathLab) => lab.carrier(0, "host", false)],
    ["every frame silently", (lab: TwoPathLab) => lab.drop(0, "both")],
  ] as const) {
    test(
      `on one segment: the kernel of a client is told where the service is when one interface loses ${name}`,
      async () => {
        using lab = TwoPathLab.create({ shape: "segment", client: "kernel", host: "program" });
        const { service, caller, paths } = lab;
        const legs = paths.map(({ host }) => `${host.name},${host.ipv4}/24,${caller[4]}`);
        const addresses = ["--own", service[4], "--far", caller[4], "--probe", "100x3"];
        const words = ["serve", ...legs, ...addresses, ...VERIFY, "--json"];
        const host = new Example("failover", words, { prefix: [...lab.lab.enter("b"), ...NICE] });
        try {
          await host.record("the host to be ready", ({ ready }) => Boolean(ready));
          const here = { lab: lab.lab, side: "a" } as const;
          const answers = async (): Promise<boolean> =>
            (await ping(here, service[4], { count: 5, interval: 0.01, wait: 0.2 })).received === 5;
          const speaker = (): string => lab.lab.exec("a", ["ip", "neigh", "show", service[4]]).stdout;
          await until("answers", answers, PATIENCE_MS);
          expect(speaker()).toContain(paths[0].host.mac);
          await cut(lab);
          // Nothing asks meanwhile: it is the host that says where the address lives now.
          await until("the client to be told", () => speaker().includes(paths[1].host.mac), PATIENCE_MS);
          await until("answers from the other interface", answers, PATIENCE_MS);
          expect(lab.dropped(1)).toEqual({ "to-host": 0, "to-client": 0 });
          await lab.heal();
        } finally {
          await host.end();
        }
      },
      LIMIT_MS,
    );
  }

  test(
    "both paths lose 5 % of what goes either way: about a tenth is lost, nothing is answered twice, and no path dies",
    async () => {
      using pair = await start({ both: ["--bfd", "200x5"] });
      await flowsOver(pair, 0);
      await Promise.all([0, 1].map((path) => pair.lab.drop(path, "both", { share: 0.05 })));
      const before = pair.changes.length;
      await look(pair, SETTLE_MS);
      pair.begin();
      await Bun.sleep(3 * MS_PER_S);
      const figures = await pair.figures();
      report("5 % loss on both paths", figures);
      const { sent, answered, duplicated } = figures;
      expect(duplicated).toBe(0);
      expect(answered).toBeGreaterThan(0.8 * sent);
      expect(answered).toBeLessThan(0.95 * sent);
      const lost = [0, 1].map((path) => pair.lab.dropped(path));
      expect(lost[0]!["to-host"]).toBeGreaterThan(0);
      expect(lost[0]!["to-client"]).toBeGreaterThan(0);
      expect(pair.changes.slice(before).filter(({ state }) => state === "down")).toEqual([]);
      await pair.lab.heal();
      await flowsOver(pair, 0);
      await expectEven(pair);
    },
    LIMIT_MS,
  );

  test(
    "both paths cut: no answer; one healed: the conversation resumes over it, whichever it is",
    async () => {
      using pair = await start();
      for (const healed of [1, 0] as const) {
        await flowsOver(pair, 0);
        await Promise.all([0, 1].map((path) => pair.lab.drop(path, "both")));
        await until("silence", async () => (await look(pair)).answered === 0, PATIENCE_MS);
        await pair.lab.drop(healed, "both", { share: 0 });
        const figures = await flowsOver(pair, healed);
        expect(figures.duplicated).toBe(0);
        await pair.lab.heal();
      }
      await flowsOver(pair, 0);
      await expectEven(pair);
    },
    LIMIT_MS,
  );

  test(
    "a thousand flows spread over both paths: a cut moves those of the dead path, and none of them stays silent",
    async () => {
      const flows = 1000;
      using pair = await start({
        both: [...BFD, "--spread"],
        client: ["--flows", String(flows), "--rate", "2000"],
      });
      const all = await until(
        "all flows to be answered over both paths",
        async () => {
          const figures = await look(pair, MS_PER_S);
          return figures.flows === flows && on(figures, 0) > 0 && on(figures, 1) > 0 ? figures : undefined;
        },
        PATIENCE_MS,
      );
      // Drawn by a hash: a share of 40 to 60 % is six standard deviations of 1000 flows.
      expect(on(all, 0) / all.answered).toBeGreaterThan(0.4);
      expect(on(all, 0) / all.answered).toBeLessThan(0.6);
      pair.begin();
      await pair.lab.drop(0, "both");
      await until(
        "all flows to be answered over the path that is left",
        async () => {
          const figures = await look(pair, MS_PER_S);
          report("1000 flows, silent cut of one path", figures);
          return figures.flows === flows && on(figures, 0) === 0 && figures.duplicated === 0;
        },
        PATIENCE_MS,
      );
      await pair.lab.heal();
      await until("flows on both paths again", async () => on(await look(pair), 0) > 0, PATIENCE_MS);
      await expectEven(pair);
    },
    LIMIT_MS,
  );

  test(
    `a cut every second for ${CUTTING_S} s, of one path and then of the other, in every way`,
    async () => {
      using pair = await start({ both: ["--probe", "30x3"] });
      const totals = new Map<string, WindowFigures>();
      const end = performance.now() + CUTTING_S * MS_PER_S;
      for (let second = 0; performance.now() < end; second++) {
        const path = (second % 2) as 0 | 1;
        const begunMs = performance.now();
        const way = CUT_WAYS[(second >> 1) % CUT_WAYS.length]!;
        pair.begin();
        await way.cut(pair.lab, path);
        await until(
          `answers without path ${path}`,
          async () => {
            const { state } = lastOf(pair, `va${path} via 10.`);
            return state === "down" || state === undefined;
          },
          PATIENCE_MS,
        );
        await pair.lab.heal();
        await until(
          `path ${path} to be used again`,
          () => ["va", "vb"].every((name) => lastOf(pair, `${name}${path} via 10.`).state === "up"),
          PATIENCE_MS,
        );
        const left = begunMs + MS_PER_S - performance.now();
        if (left > 0) await Bun.sleep(left);
        const figures = await pair.figures();
        expect(figures.answered).toBeGreaterThan(0);
        const name = `${way.name}, path ${path}`;
        totals.set(name, sumOf(totals.get(name), figures));
      }
      for (const [name, figures] of totals) report(name, figures);
      const total = [...totals.values()].reduce(sumOf);
      report(`all cuts in ${CUTTING_S} s`, total);
      expect(total.duplicated).toBe(0);
      expect(total.sent).toBeGreaterThan(0);
      await flowsOver(pair, 0);
      await expectEven(pair);
    },
    (CUTTING_S + 2 * PATIENCE_MS) * MS_PER_S,
  );
});

const CUT_WAYS: readonly {
  readonly name: string;
  readonly cut: (lab: TwoPathLab, path: number) => Promise<void>;
}[] = [
  { name: "carrier, both ends", cut: (lab, path) => lab.carrier(path, "both", false) },
  { name: "silent, both ways", cut: (lab, path) => lab.drop(path, "both") },
  { name: "carrier, client", cut: (lab, path) => lab.carrier(path, "client", false) },
  { name: "silent, to the host", cut: (lab, path) => lab.drop(path, "to-host") },
  { name: "carrier, host", cut: (lab, path) => lab.carrier(path, "host", false) },
  { name: "silent, to the client", cut: (lab, path) => lab.drop(path, "to-client") },
];

const sumOf = (one: WindowFigures | undefined, other: WindowFigures): WindowFigures => {
  if (one === undefined) return other;
  const sum = {
    ...one,
    gapMs: Math.max(one.gapMs, other.gapMs),
    gaps: one.gaps.map((n, i) => n + other.gaps[i]!),
  };
  for (const key of ["sent", "answered", "lost", "duplicated", "reordered"] as const) sum[key] += other[key];
  return sum;
};

/** What was last said of a path. */
const lastOf = (pair: Pair, name: string): Partial<ToldChange> =>
  pair.changes.findLast(({ path }) => path.startsWith(name)) ?? {};

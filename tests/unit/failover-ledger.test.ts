/** What the failover example counts: each question answered, lost, answered twice or overtaken, and the gaps of each flow. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { GAP_BOUNDS_MS, Ledger, type Trace } from "../../examples/failover/ledger.ts";
import { picture } from "../../examples/failover/picture.ts";

const PATIENCE_MS = 500;

test("a question is answered once, and every further answer is a duplicate", () => {
  const ledger = new Ledger(1, 0);
  const number = ledger.ask(0, 0);
  ledger.answer(number, 0, 2, 1);
  ledger.answer(number, 0, 2, 2);
  ledger.answer(number, 0, 3, 3);
  expect(ledger.figures(3)).toMatchObject({
    sent: 1,
    answered: 1,
    lost: 0,
    duplicated: 2,
    heardOn: { 2: 1 },
  });
});

test("a question is lost when its time is up, and not before; a late answer finds it again", () => {
  const ledger = new Ledger(1, 0);
  const number = ledger.ask(0, 0);
  expect(ledger.figures(PATIENCE_MS).lost).toBe(0);
  expect(ledger.figures(PATIENCE_MS + 1)).toMatchObject({ lost: 1, answered: 0 });
  expect(ledger.trace(PATIENCE_MS).delaysMs).toEqual([]);
  expect(ledger.trace(PATIENCE_MS + 1)).toEqual({ askedMs: [0], delaysMs: [-1], heardOn: [0] });
  ledger.answer(number, 0, 3, PATIENCE_MS + 2);
  expect(ledger.figures(PATIENCE_MS + 2)).toMatchObject({ lost: 0, answered: 1 });
  expect(ledger.trace(PATIENCE_MS + 2)).toEqual({
    askedMs: [0],
    delaysMs: [PATIENCE_MS + 2],
    heardOn: [3],
  });
});

test("a trace ends where it is not known yet what becomes of a question", () => {
  const ledger = new Ledger(1, 0);
  const [a, , c] = [ledger.ask(0, 0), ledger.ask(0, 1), ledger.ask(0, 2)];
  ledger.answer(a, 0, 2, 1);
  ledger.answer(c, 0, 2, 3);
  expect(ledger.trace(PATIENCE_MS).delaysMs).toEqual([1]);
  expect(ledger.trace(PATIENCE_MS + 2).delaysMs).toEqual([1, -1, 1]);
});

test("order is a flow's own", () => {
  const ledger = new Ledger(2, 0);
  const [a, b, c, d] = [ledger.ask(0, 0), ledger.ask(1, 0), ledger.ask(0, 0), ledger.ask(1, 0)];
  ledger.answer(c, 0, 0, 1);
  ledger.answer(b, 1, 0, 1);
  ledger.answer(d, 1, 0, 1);
  expect(ledger.figures(1).reordered).toBe(0);
  ledger.answer(a, 0, 0, 2);
  expect(ledger.figures(2)).toMatchObject({ reordered: 1, answered: 4, flows: 2 });
});

test("what nobody asked is no answer, and neither is one of another flow", () => {
  const ledger = new Ledger(2, 0);
  const number = ledger.ask(0, 0);
  ledger.answer(number + 1, 0, 0, 1);
  ledger.answer(number, 1, 0, 1);
  expect(ledger.figures(1)).toMatchObject({ answered: 0, duplicated: 0, flows: 0 });
});

test("a gap is that of a flow, in the bar of its length, and one that has not ended counts as the longest", () => {
  const ledger = new Ledger(2, 0);
  for (const atMs of [1, 41, 42]) ledger.answer(ledger.ask(0, atMs), 0, 0, atMs);
  ledger.answer(ledger.ask(1, 42), 1, 0, 42);
  const figures = ledger.figures(43);
  const bar = (ms: number): number => figures.gaps[GAP_BOUNDS_MS.findIndex((bound) => ms <= bound)]!;
  expect([bar(1), bar(40), bar(42)]).toEqual([2, 1, 1]);
  expect(figures.gapMs).toBe(42);
  expect(ledger.figures(1000).gapMs).toBe(958);
});

test("a window begins with nothing", () => {
  const ledger = new Ledger(1, 0);
  const before = ledger.ask(0, 0);
  ledger.begin(10);
  ledger.answer(before, 0, 0, 11);
  expect(ledger.figures(12)).toMatchObject({ sent: 0, answered: 0, lost: 0, gapMs: 1, flows: 0 });
});

test("the counts add up, whatever is lost, and also when more is asked than remembered", () => {
  fc.assert(
    fc.property(
      fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
      fc.integer({ min: 1, max: 70_000 }),
      (fates, asked) => {
        const ledger = new Ledger(3, 0);
        let answered = 0;
        const seen = Array.from({ length: Math.min(asked, 100) }, () => fates.next().value);
        for (let i = 0; i < asked; i++) {
          const number = ledger.ask(i % 3, i);
          if (seen[i % seen.length] === 0) continue;
          ledger.answer(number, i % 3, 0, i);
          answered += 1;
        }
        const figures = ledger.figures(asked + PATIENCE_MS + 1);
        expect(figures).toMatchObject({
          sent: asked,
          answered,
          lost: asked - answered,
          duplicated: 0,
          reordered: 0,
        });
      },
    ),
    { numRuns: 20 },
  );
});

const PATHS = [
  { label: "path 1", heardOn: 2 },
  { label: "path 2", heardOn: 3 },
];
/** A question a ms; where `lost` holds there is no answer, and from `moved` on they go over the second path. */
const traceOf = (count: number, moved: number, lost: (i: number) => boolean, ms = 1): Trace => {
  const numbers = Array.from({ length: count }, (_, i) => i);
  return {
    askedMs: numbers,
    delaysMs: numbers.map((i) => (lost(i) ? -1 : ms)),
    heardOn: numbers.map((i) => (lost(i) ? 0 : i < moved ? 2 : 3)),
  };
};

test("a picture has a lane for each path and one for the lost, the cut, when it was seen, and a scale from the cut on", () => {
  const trace = traceOf(200, 105, (i) => i >= 100 && i < 105);
  const { lines, scale } = picture({ trace, lanes: PATHS, cutsMs: [99], seenMs: 105 }, 49);
  expect(scale).toBe(1);
  expect(lines).toEqual([
    "           cut ▼     ▼ seen",
    `  path 1 ${"█".repeat(7)}`,
    `  path 2 ${" ".repeat(12)}${"█".repeat(28)}`,
    `    lost ${" ".repeat(7)}×××××`,
    "               ╵0        ╵10       ╵20 ms",
  ]);
});

test("what lasts longer than a row is wide is told with several questions a sign, of which the worst is shown", () => {
  const slow = traceOf(1000, 700, (i) => i >= 300 && i < 700, 30);
  const { lines, scale } = picture({ trace: slow, lanes: PATHS, cutsMs: [300], seenMs: 690 }, 49);
  expect(scale).toBe(20);
  expect(lines[1]).toMatch(/^ {2}path 1 ▂+$/);
  expect(lines[2]).toMatch(/^ {2}path 2 +▂+$/);
  expect(lines[3]).toMatch(/^ {4}lost +×{20}$/);
  expect(lines[4]).toContain("╵0        ╵200");
});

test("no line of a picture is wider than it may be, whatever became of the questions and whenever it was cut", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 30, max: 120 }),
      fc.array(fc.integer({ min: -1, max: 50 }), { maxLength: 1500 }),
      fc.array(fc.integer({ min: 0, max: 1600 }), { minLength: 1, maxLength: 5 }),
      fc.option(fc.integer({ min: 0, max: 1600 }), { nil: undefined }),
      (width, delaysMs, cuts, seenMs) => {
        const trace = {
          askedMs: delaysMs.map((_, i) => i),
          delaysMs,
          heardOn: delaysMs.map((ms, i) => (ms < 0 ? 0 : 2 + (i % 2))),
        };
        const cutsMs = cuts.toSorted((a, b) => a - b);
        const { lines } = picture({ trace, lanes: PATHS, cutsMs, seenMs }, width);
        expect(lines.filter((line) => line.length > width)).toEqual([]);
      },
    ),
  );
});

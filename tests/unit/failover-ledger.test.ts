/** What the failover example counts: each question answered, lost, answered twice or overtaken, and the gaps of each flow. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { GAP_BOUNDS_MS, Ledger } from "../../examples/failover/ledger.ts";
import { rowOf } from "../../examples/failover/picture.ts";

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
  expect(ledger.trace(PATIENCE_MS)).toEqual([]);
  expect(ledger.trace(PATIENCE_MS + 1)).toEqual([-1]);
  ledger.answer(number, 0, 0, PATIENCE_MS + 2);
  expect(ledger.figures(PATIENCE_MS + 2)).toMatchObject({ lost: 0, answered: 1 });
  expect(ledger.trace(PATIENCE_MS + 2)).toEqual([PATIENCE_MS + 2]);
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

test("a row shows the worst of each column, around the trouble", () => {
  const plain = Array.from({ length: 1000 }, () => 1);
  expect(rowOf(plain, 20)).toEqual({ text: "█".repeat(20), scale: 1 });
  const hole = plain.map((ms, i) => (i >= 500 && i < 505 ? -1 : i === 505 ? 30 : ms));
  expect(rowOf(hole, 20)).toEqual({ text: "███×××××▂███████████", scale: 1 });
  const wide = plain.map((ms, i) => (i >= 300 && i < 700 ? -1 : ms));
  const { text, scale } = rowOf(wide, 20);
  expect(scale).toBeGreaterThan(1);
  expect(text).toMatch(/^█+×+█+$/);
});

/** The bench's search for the highest rate, against programs and senders whose bounds are known. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { highest, type Trial } from "../../bench/search.ts";

const LOSS = 0.02;

/** A program that answers `capacity` at most, under a sender that offers `most` at most; counts its trials. */
const model = (capacity: number, most = Infinity, collapse = 0) => {
  const asked: number[] = [];
  const attempt = (rate: number): Promise<Trial> => {
    asked.push(rate);
    const offered = Math.min(rate, most);
    // Overload may cost more than the surplus.
    const answered = Math.min(offered, capacity - Math.max(0, offered - capacity) * collapse);
    return Promise.resolve({ offered, answered: Math.max(0, answered) });
  };
  return { asked, attempt };
};

describe("the highest rate", () => {
  test("is found within 5 %, from any guess, with few trials", async () => {
    const rates = fc.integer({ min: 5_000, max: 5_000_000 });
    await fc.assert(
      fc.asyncProperty(
        rates,
        rates,
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (capacity, start, collapse) => {
          const { asked, attempt } = model(capacity, Infinity, collapse);
          const { answered } = await highest(attempt, { start, loss: LOSS });
          expect(answered).toBeGreaterThan(capacity * 0.94);
          expect(answered).toBeLessThanOrEqual(capacity);
          expect(asked.length).toBeLessThan(60);
        },
      ),
    );
  });

  test("is found again with very few trials", async () => {
    const { asked, attempt } = model(300_000, Infinity, 0.5);
    const { answered } = await highest(attempt, { start: 295_000, near: true, loss: LOSS });
    expect(answered).toBeGreaterThan(282_000);
    expect(asked.length).toBeLessThanOrEqual(5);
  });

  test("ends at what the sender can offer", async () => {
    const { asked, attempt } = model(1_000_000, 400_000);
    expect((await highest(attempt, { start: 100_000, loss: LOSS })).answered).toBe(400_000);
    expect(Math.max(...asked)).toBeLessThan(700_000);
  });

  test("is found below a guess that the sender cannot reach", async () => {
    const { attempt } = model(200_000, 400_000, 0.5);
    const { answered } = await highest(attempt, { start: 2_000_000, loss: LOSS });
    expect(answered).toBeGreaterThan(188_000);
  });

  test("does not fall for one bad trial", async () => {
    const { attempt } = model(300_000);
    let trials = 0;
    const flaky = (rate: number): Promise<Trial> =>
      trials++ === 0 ? Promise.resolve({ offered: rate, answered: 0 }) : attempt(rate);
    expect((await highest(flaky, { start: 250_000, loss: LOSS })).answered).toBeGreaterThan(282_000);
  });

  test("does not exist where nothing is answered", async () => {
    const { asked, attempt } = model(0);
    const found = highest(attempt, { start: 100_000, loss: LOSS });
    await expect(found).rejects.toThrow("answers no rate from 100000");
    expect(asked.length).toBeLessThan(60);
  });
});

/** What a client of the anycast example counts of its answers, against a count of all that was delivered. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Flow } from "../../examples/anycast/flow.ts";

test("answered, lost, late and duplicate answers add up, whatever the network did to them", () => {
  const arrivals = fc.array(fc.nat(39), { maxLength: 80 });
  fc.assert(
    fc.property(arrivals, (order) => {
      const flow = new Flow(0);
      flow.sent = 40;
      const seen = new Set<number>();
      let [latest, late, duplicates] = [-1, 0, 0];
      for (const sequence of order) {
        flow.take(sequence, 1, 0);
        if (seen.has(sequence)) duplicates += 1;
        else if (sequence < latest) late += 1;
        seen.add(sequence);
        latest = Math.max(latest, sequence);
      }
      expect(flow.answered).toBe(seen.size);
      expect(flow.lost).toBe(latest + 1 - seen.size);
      expect([flow.late, flow.duplicates]).toEqual([late, duplicates]);
    }),
  );
});

test("a move has the pause between the last answer of one host and the first of the other", () => {
  const flow = new Flow(7);
  flow.sent = 10;
  expect(flow.take(0, 1, 100)).toBeUndefined();
  expect(flow.take(1, 1, 120)).toBeUndefined();
  expect(flow.take(5, 2, 400)).toEqual({ flow: 7, from: 1, to: 2, gapMs: 280 });
  // One that was overtaken says nothing of where the flow goes now.
  expect(flow.take(2, 1, 410)).toBeUndefined();
  expect(flow.server).toBe(2);
  expect(flow.take(6, 2, 420)).toBeUndefined();
});

test("answers to what was not asked are nobody's", () => {
  const flow = new Flow(0);
  flow.sent = 3;
  flow.take(3, 1, 0);
  expect([flow.answered, flow.lost, flow.server]).toEqual([0, 0, 0]);
});

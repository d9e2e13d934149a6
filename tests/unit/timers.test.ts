/** Timers in virtual time: never early, in order, without drift, bounded. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Timers, TIMERS_PER_TURN, type Timer } from "../../stack/loop/timers.ts";

const setUp = (limit?: number) => {
  const state = { now: 0, failures: [] as string[] };
  const timers = new Timers(
    () => state.now,
    (error, kind) => void state.failures.push(`${kind}: ${String(error)}`),
    limit,
  );
  const at = (ms: number): number => timers.run((state.now = ms));
  return { state, timers, at };
};

describe("timers", () => {
  test("run in order of their due time, then of their setting, and never early", () => {
    const { timers, at } = setUp();
    const ran: string[] = [];
    timers.after(5, () => ran.push("5a"));
    timers.after(2, () => ran.push("2"));
    timers.after(5, () => ran.push("5b"));
    timers.after(0, () => ran.push("0"));
    at(0);
    at(4.999);
    expect(ran).toEqual(["0", "2"]);
    expect(timers.nextMs).toBe(5);
    at(5);
    expect(ran).toEqual(["0", "2", "5a", "5b"]);
    expect(timers.nextMs).toBe(Infinity);
  });

  test("what a timer adds for now runs in the next turn", () => {
    const { timers, at } = setUp();
    let ran = 0;
    const again = (): void => {
      ran += 1;
      timers.after(0, again);
    };
    timers.after(0, again);
    at(1);
    expect(ran).toBe(1);
    at(1);
    expect(ran).toBe(2);
  });

  test("every does not drift, and after a stall runs once, on the old grid", () => {
    const { timers, at, state } = setUp();
    const ran: number[] = [];
    timers.every(10, () => ran.push(state.now));
    for (const ms of [9, 10, 23, 30, 77, 78, 80, 90]) at(ms);
    expect(ran).toEqual([10, 23, 30, 77, 80, 90]);
  });

  test("cancel and restart, also from inside", () => {
    const { timers, at, state } = setUp();
    const ran: string[] = [];
    const never = timers.after(1, () => ran.push("never"));
    never.cancel();
    never.cancel();
    expect(never.active).toBe(false);
    const tick: Timer = timers.every(1, () => {
      ran.push(`tick ${state.now}`);
      if (state.now === 2) tick.cancel();
    });
    const later = timers.after(1, () => ran.push(`later ${state.now}`));
    later.restart(4);
    for (const ms of [1, 2, 3]) at(ms);
    expect(ran).toEqual(["tick 1", "tick 2"]);
    later.restart(0);
    at(3);
    expect(ran.at(-1)).toBe("later 3");
    later.restart(1);
    expect(later.active).toBe(true);
    at(4);
    expect(ran.at(-1)).toBe("later 4");
    expect(timers.size).toBe(0);
  });

  test("a thrower is reported, runs again if periodic, and stops nobody", () => {
    const { timers, at, state } = setUp();
    let ran = 0;
    timers.every(1, () => {
      throw new Error("no");
    });
    timers.every(1, () => void (ran += 1));
    at(1);
    at(2);
    expect(ran).toBe(2);
    expect(state.failures).toEqual(["every: Error: no", "every: Error: no"]);
  });

  test("work in a turn and the number of timers are bounded", () => {
    const { timers, at } = setUp(2000);
    let ran = 0;
    for (let i = 0; i < 2000; i++) timers.after(1, () => void (ran += 1));
    expect(() => timers.after(1, () => {})).toThrow("at most 2000 timers");
    at(1);
    expect(ran).toBe(TIMERS_PER_TURN);
    at(1);
    expect(ran).toBe(2000);
  });

  test("refuses times that are none", () => {
    const { timers } = setUp();
    for (const bad of [-1, Number.NaN, Infinity, 2 ** 46])
      expect(() => timers.after(bad, () => {})).toThrow(RangeError);
    for (const bad of [0, -1, Number.NaN, Infinity])
      expect(() => timers.every(bad, () => {})).toThrow(RangeError);
  });

  test("agrees with a list that is sorted anew each time", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("after" as const), ms: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ kind: fc.constantFrom("cancel" as const), which: fc.nat(30) }),
      fc.record({
        kind: fc.constant("restart" as const),
        which: fc.nat(30),
        ms: fc.integer({ min: 0, max: 20 }),
      }),
      fc.record({ kind: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 7 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const { state, timers, at } = setUp();
        const ran: number[] = [];
        const expected: number[] = [];
        const handles: Timer[] = [];
        const model = new Map<number, { due: number; sequence: number }>();
        let sequence = 0;
        for (const next of steps) {
          if (next.kind === "after") {
            const id = handles.length;
            handles.push(timers.after(next.ms, () => void ran.push(id)));
            model.set(id, { due: state.now + next.ms, sequence: ++sequence });
          } else if (next.kind === "advance") {
            at(state.now + next.ms);
            const due = [...model].filter(([, timer]) => timer.due <= state.now);
            due.sort(([, a], [, b]) => a.due - b.due || a.sequence - b.sequence);
            for (const [id] of due) {
              expected.push(id);
              model.delete(id);
            }
          } else if (handles.length > 0) {
            const id = next.which % handles.length;
            if (next.kind === "cancel") {
              handles[id]!.cancel();
              model.delete(id);
            } else {
              handles[id]!.restart(next.ms);
              model.set(id, { due: state.now + next.ms, sequence: ++sequence });
            }
          }
          expect(timers.size).toBe(model.size);
          expect(timers.nextMs).toBeLessThanOrEqual(
            Math.min(Infinity, ...[...model.values()].map((timer) => timer.due)),
          );
        }
        expect(ran).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});

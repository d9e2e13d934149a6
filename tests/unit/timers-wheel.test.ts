/** The timing wheel in front of the heap: far timers against a naive list, jumps, a million of them, bounded turns. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Timers, TIMERS_PER_TURN, type Timer } from "../../stack/loop/timers.ts";
import { MOVES_PER_TURN, TICK_MS, WHEEL_TICKS } from "../../stack/loop/wheel.ts";

const ROUND_MS = TICK_MS * WHEEL_TICKS;
const HOUR_MS = 3_600_000;

const setUp = (now = 0) => {
  const state = { now };
  const timers = new Timers(
    () => state.now,
    (error) => {
      throw error;
    },
  );
  const at = (ms: number): number => timers.run((state.now = ms));
  return { state, timers, at };
};

/** Numbers that repeat, from a seed: fast-check would take long for a million. */
const numbersFrom = (seed: number) => (): number =>
  ((seed = (Math.imul(seed, 1664525) + 1013904223) | 0) >>> 0) / 2 ** 32;

/** Times within ticks, over ticks, over rounds, and on the very borders of them. */
const anyMs = fc.oneof(
  fc.integer({ min: 0, max: 3 * TICK_MS }),
  fc.double({ min: 0, max: 100, noNaN: true }),
  fc.integer({ min: 0, max: 2000 }),
  fc.integer({ min: 0, max: 3 * ROUND_MS }),
  fc.integer({ min: 0, max: 20 }).map((ticks) => ticks * TICK_MS),
  fc.integer({ min: 0, max: 3 }).map((rounds) => rounds * ROUND_MS),
  fc.integer({ min: 0, max: 3 * HOUR_MS }),
);

describe("the timing wheel", () => {
  test("agrees with a list that is sorted anew each time, whatever is set, moved, repeated and jumped over", () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("after" as const), ms: anyMs }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant("every" as const), ms: anyMs.map((ms) => ms + 0.5) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), which: fc.nat(40) }) },
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant("restart" as const), which: fc.nat(40), ms: anyMs }),
      },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: anyMs }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("next" as const) }) },
    );
    type Entry = { due: number; sequence: number; period: number };
    fc.assert(
      fc.property(fc.nat(10 * HOUR_MS), fc.array(step, { maxLength: 120, size: "max" }), (start, steps) => {
        const { state, timers, at } = setUp(start);
        const ran: number[] = [];
        const expected: number[] = [];
        const handles: { timer: Timer; period: number }[] = [];
        const model = new Map<number, Entry>();
        let sequence = 0;
        const earliest = (): number => Math.min(Infinity, ...[...model.values()].map((entry) => entry.due));
        const advance = (ms: number): void => {
          at(ms);
          const due = [...model].filter(([, entry]) => entry.due <= ms);
          due.sort(([, a], [, b]) => a.due - b.due || a.sequence - b.sequence);
          for (const [id, { due: dueMs, period }] of due) {
            expected.push(id);
            if (period === 0) model.delete(id);
            else {
              let next = dueMs + (Math.floor((ms - dueMs) / period) + 1) * period;
              if (next <= ms) next += period;
              model.set(id, { due: next, sequence: ++sequence, period });
            }
          }
        };
        for (const next of steps) {
          if (next.kind === "after" || next.kind === "every") {
            const id = handles.length;
            const run = (): void => void ran.push(id);
            const period = next.kind === "every" ? next.ms : 0;
            const timer = period > 0 ? timers.every(next.ms, run) : timers.after(next.ms, run);
            handles.push({ timer, period });
            model.set(id, { due: state.now + next.ms, sequence: ++sequence, period });
          } else if (next.kind === "advance") advance(state.now + next.ms);
          else if (next.kind === "next") {
            // As a simulation jumps: to the next moment, however often, it comes to the next timer.
            for (let i = 0; i < 2 * handles.length && timers.nextMs < earliest(); i++) {
              const before = timers.nextMs;
              advance(Math.max(before, state.now));
              if (timers.nextMs <= before) throw new Error(`no way on from ${before}`);
            }
            if (earliest() < Infinity) expect(timers.nextMs).toBe(earliest());
          } else if (handles.length > 0) {
            const id = next.which % handles.length;
            const { timer, period } = handles[id]!;
            if (next.kind === "cancel") {
              timer.cancel();
              model.delete(id);
            } else {
              timer.restart(next.ms);
              model.set(id, { due: state.now + next.ms, sequence: ++sequence, period });
            }
          }
          expect(timers.size).toBe(model.size);
          expect(timers.nextMs).toBeLessThanOrEqual(earliest());
          handles.forEach(({ timer }, id) => expect(timer.active).toBe(model.has(id)));
        }
        expect(ran).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test("says the time of a far timer exactly, so that a simulation jumps there at once", () => {
    for (const ms of [TICK_MS, 100, 999.75, ROUND_MS, ROUND_MS + 1, HOUR_MS + 0.25, 30 * HOUR_MS]) {
      const { state, timers, at } = setUp(12_345.5);
      let ranAt = -1;
      timers.after(ms, () => (ranAt = state.now));
      let jumps = 0;
      while (timers.size > 0) {
        expect(timers.nextMs).toBe(12_345.5 + ms);
        at(timers.nextMs);
        jumps += 1;
      }
      expect(ranAt).toBe(12_345.5 + ms);
      expect(jumps).toBe(1);
    }
  });

  test("a million timers run in the order of their due times, none early, none late", () => {
    const { state, timers, at } = setUp(5000);
    const random = numbersFrom(7);
    const count = 1_000_000;
    let ran = 0;
    let last = -1;
    let trouble = 0;
    const handles: Timer[] = [];
    const dues = new Float64Array(count);
    const stepMs = 0.25;
    for (let i = 0; i < count; i++) {
      dues[i] = 5000 + Math.floor(random() * 1_200_000) / 4;
      handles.push(
        timers.after(dues[i]! - 5000, () => {
          ran += 1;
          const due = dues[i]!;
          if (due > state.now || due <= state.now - 2 * stepMs || due < last) trouble += 1;
          last = due;
        }),
      );
    }
    for (let i = 0; i < count; i += 2) handles[i]!.cancel();
    expect(timers.size).toBe(count / 2);
    let worst = 0;
    while (timers.size > 0) worst = Math.max(worst, at(state.now + stepMs));
    expect([ran, trouble]).toEqual([count / 2, 0]);
    expect(worst).toBeLessThan(TIMERS_PER_TURN);
    expect(state.now).toBeLessThanOrEqual(5000 + 300_000 + stepMs);
  });

  test("a hundred thousand in one tick neither hold up a turn nor lose their order, in time or after a jump", () => {
    for (const jumpMs of [0, HOUR_MS]) {
      const { state, timers, at } = setUp();
      const random = numbersFrom(3);
      const count = 100_000;
      const ran: number[] = [];
      const dues: number[] = [];
      for (let i = 0; i < count; i++) {
        dues.push(1000 + Math.floor(random() * 40) / 8);
        timers.after(dues[i]!, () => ran.push(i));
      }
      at(990);
      expect(ran).toHaveLength(0);
      const until = 1005 + jumpMs;
      let turns = 0;
      while (timers.size > 0) {
        expect(timers.nextMs).toBeLessThanOrEqual(until);
        expect(at(until)).toBeLessThanOrEqual(TIMERS_PER_TURN);
        turns += 1;
        if (turns > 1000) throw new Error("it does not get on");
      }
      expect(turns).toBeLessThanOrEqual(count / TIMERS_PER_TURN + count / MOVES_PER_TURN + 2);
      const sorted = [...dues.keys()].sort((a, b) => dues[a]! - dues[b]! || a - b);
      expect(ran).toEqual(sorted);
      expect(state.now).toBe(until);
    }
  });

  test("timers that are set while a sweep of many goes on keep the order, and none waits for a round", () => {
    const { state, timers, at } = setUp();
    const order: number[] = [];
    const crowd = 3 * MOVES_PER_TURN;
    for (let i = 0; i < crowd; i++) timers.after(1000, () => order.push(1000));
    for (let i = 0; i < crowd; i++) timers.after(20_000, () => order.push(20_000));
    // Far behind: the sweep goes over every list, and stops in the middle of the first crowd.
    at(HOUR_MS);
    for (const ms of [0, 1, TICK_MS, 2 * TICK_MS, 3 * TICK_MS, ROUND_MS - 1, ROUND_MS, 20_000])
      timers.after(ms, () => order.push(state.now));
    for (let now = HOUR_MS; timers.size > 0; now += 0.5) {
      if (now > HOUR_MS + 2 * ROUND_MS) throw new Error("a timer was lost");
      at(now);
    }
    expect(order).toHaveLength(2 * crowd + 8);
    const late = order.slice(2 * crowd).map((ms) => ms - HOUR_MS);
    expect(order.slice(0, 2 * crowd)).toEqual([...order.slice(0, 2 * crowd)].sort((a, b) => a - b));
    expect(late.slice(-5)).toEqual([2 * TICK_MS, 3 * TICK_MS, 20_000, ROUND_MS - 1, ROUND_MS]);
  });

  test("cancelling in the list that a sweep is in the middle of takes out that timer and no other", () => {
    const { timers, at } = setUp();
    let ran = 0;
    const handles = Array.from({ length: 2 * MOVES_PER_TURN }, () =>
      timers.after(1000, () => void (ran += 1)),
    );
    at(1000);
    // Those that are left in the wheel were set first: the list is gone through from its newest.
    for (let i = 0; i < 100; i++) handles[i]!.cancel();
    for (let i = MOVES_PER_TURN - 1; i > MOVES_PER_TURN - 100; i--) handles[i]!.cancel();
    handles[200]!.restart(5);
    handles[201]!.restart(0);
    const left = 2 * MOVES_PER_TURN - 199;
    expect(timers.size).toBe(left - ran);
    for (let i = 0; i < 20; i++) at(1000);
    expect([timers.size, ran]).toEqual([1, left - 1]);
    at(1005);
    expect([timers.size, ran]).toEqual([0, left]);
  });

  test("a sweep that has not come to the timer that is due says so, and nobody sleeps over it", () => {
    const { timers, at } = setUp();
    let ran = 0;
    timers.after(1000, () => void (ran += 1));
    // In the same list, before it.
    const far = 2 * MOVES_PER_TURN + 1;
    for (let i = 0; i < far; i++) timers.after(1000 + ROUND_MS, () => void (ran += 1000));
    for (let i = 0; i < 2; i++) {
      at(1000);
      expect(timers.nextMs).toBeLessThanOrEqual(1000);
    }
    at(1000);
    expect([ran, timers.size, timers.nextMs]).toEqual([1, far, 1000 + ROUND_MS]);
  });

  test("timers near by that were moved far away are moved in bounded turns", () => {
    const { timers, at } = setUp();
    const count = 2 * MOVES_PER_TURN + 1;
    for (let i = 0; i < count; i++) timers.after(1, () => {}).restart(5000);
    for (let i = 0; i < 2; i++) {
      expect(at(1)).toBe(0);
      expect(timers.nextMs).toBe(1);
    }
    at(1);
    expect([timers.size, timers.nextMs]).toEqual([count, 5000]);
  });

  test("sleeps of hours run what is due once, in order, and go on on the old grid", () => {
    const { state, timers, at } = setUp(777);
    const ran: string[] = [];
    timers.every(10_000, () => ran.push(`ten ${state.now}`));
    timers.every(HOUR_MS, () => ran.push(`hour ${state.now}`));
    timers.after(5000, () => ran.push("five"));
    const cancelled = timers.after(2 * HOUR_MS, () => ran.push("never"));
    at(777 + 3 * HOUR_MS - 1);
    expect(ran).toEqual(["five", `ten ${state.now}`, `hour ${state.now}`, "never"]);
    expect(cancelled.active).toBe(false);
    ran.length = 0;
    at(777 + 3 * HOUR_MS);
    expect(ran).toEqual([`ten ${state.now}`, `hour ${state.now}`]);
    const nextMs = 777 + 3 * HOUR_MS + 10_000;
    while (timers.nextMs < nextMs) at(timers.nextMs);
    expect(timers.nextMs).toBe(nextMs);
    expect(ran).toHaveLength(2);
  });

  test("clear empties wheel and heap, and leaves timers that may be set again", () => {
    const { timers, at } = setUp();
    let ran = 0;
    const handles = [1, 50, 5000, HOUR_MS].map((ms) => timers.after(ms, () => void (ran += 1)));
    expect(timers.size).toBe(4);
    timers.clear();
    expect([timers.size, timers.nextMs]).toEqual([0, Infinity]);
    expect(handles.map((timer) => timer.active)).toEqual([false, false, false, false]);
    handles[2]!.restart(100);
    at(100);
    expect(ran).toBe(1);
  });

  test("a timer that moved far away with each restart leaves no trace where it was", () => {
    const { timers, at } = setUp();
    let ran = 0;
    const timer = timers.after(200, () => void (ran += 1));
    for (let now = 0; now <= 100_000; now += 10) {
      at(now);
      timer.restart(200);
    }
    expect([ran, timers.size]).toEqual([0, 1]);
    at(100_199.9);
    expect(ran).toBe(0);
    at(100_200);
    expect([ran, timers.size, timers.nextMs]).toEqual([1, 0, Infinity]);
  });

  test("the limit counts both parts", () => {
    const timers = new Timers(
      () => 0,
      () => {},
      2,
    );
    timers.after(1, () => {});
    const far = timers.after(HOUR_MS, () => {});
    expect(() => timers.after(5, () => {})).toThrow("at most 2 timers");
    far.restart(2 * HOUR_MS);
    far.restart(3);
    far.cancel();
    expect(timers.after(HOUR_MS, () => {}).active).toBe(true);
  });
});

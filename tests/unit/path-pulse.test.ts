/** The pulse of the other end in virtual time: how long a silence is death, what is none, and how life is believed again. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Verdict } from "../../stack/ip/paths/path.ts";
import { Pulse } from "../../stack/ip/paths/pulse.ts";
import { COUNT, INTERVAL_MS, pulseSettings } from "../../stack/ip/paths/pulse-options.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

interface Said {
  readonly verdict: Verdict;
  readonly silentMs: number;
  readonly atMs: number;
}

/** An other end that answers each question after `delay(question)` ms, or not where that is undefined. */
class Bench {
  readonly time: VirtualTime;
  readonly said: Said[] = [];
  readonly askedMs: number[] = [];
  /** The highest number of a question. */
  highest = 0;
  readonly pulse: Pulse;
  delay: (question: number) => number | undefined = () => 1;
  /** False: no question can leave. */
  leaves = true;
  /** Answers say which question they are to. */
  numbered: boolean;

  constructor(
    intervalMs: number,
    count: number,
    retryMs = Math.max(intervalMs, 100),
    seed = 1,
    numbered = false,
  ) {
    this.time = new VirtualTime(seed);
    this.numbered = numbered;
    this.pulse = new Pulse(this.time, pulseSettings({ intervalMs, count, retryMs }), {
      ask: (question) => this.#ask(question),
      changed: (verdict, silentMs) => void this.said.push({ verdict, silentMs, atMs: this.time.now }),
    });
  }

  #ask(question: number): boolean {
    if (!this.leaves) return false;
    this.askedMs.push(this.time.now);
    this.highest = Math.max(this.highest, question);
    const ms = this.delay(question);
    if (ms !== undefined)
      this.time.timers.after(ms, () => this.pulse.heard(this.numbered ? question : undefined));
    return true;
  }

  verdicts(): Verdict[] {
    return this.said.map(({ verdict }) => verdict);
  }
}

describe("a pulse", () => {
  test("is unknown until somebody answers, then up, with the round trip", () => {
    const bench = new Bench(10, 3);
    bench.delay = () => 4;
    expect(bench.pulse.verdict).toBe("unknown");
    bench.time.advance(3);
    expect(bench.said).toEqual([]);
    bench.time.advance(2);
    expect(bench.said).toEqual([{ verdict: "up", silentMs: 0, atMs: 4 }]);
    expect(bench.pulse.rttMs).toBe(4);
  });

  test("asks every 75 to 90 % of the interval, not in step", () => {
    const bench = new Bench(100, 3);
    bench.time.advance(10_000);
    const gaps = bench.askedMs.slice(1).map((ms, i) => ms - bench.askedMs[i]!);
    expect(gaps.length).toBeGreaterThan(110);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(75);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(90.001);
    expect(new Set(gaps).size).toBeGreaterThan(100);
  });

  test("of whoever never answers is down after all the time, counted from the first question", () => {
    const bench = new Bench(10, 3);
    bench.delay = () => undefined;
    bench.time.advance(1000);
    expect(bench.said).toEqual([{ verdict: "down", silentMs: 30, atMs: 30 }]);
    expect(bench.pulse.statistics()).toMatchObject({ answered: 0, downs: 1 });
  });

  test("says nothing while no question could leave", () => {
    const bench = new Bench(10, 3);
    bench.leaves = false;
    bench.time.advance(5000);
    expect(bench.said).toEqual([]);
    expect(bench.pulse.statistics().unasked).toBeGreaterThan(500);
    bench.leaves = true;
    bench.time.advance(15);
    expect(bench.verdicts()).toEqual(["up"]);
    // What was alive and can't be asked any more is as good as dead.
    bench.leaves = false;
    bench.time.advance(35);
    expect(bench.verdicts()).toEqual(["up", "down"]);
  });

  test("is not lost with fewer questions than `count`, whichever they are", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 6 }),
        fc.integer({ min: 0, max: 1000 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 5, maxLength: 30 }),
        (count, seed, runs) => {
          const bench = new Bench(10, count, 100, seed);
          // Losses in runs of fewer than `count`, one answer between them.
          const lost = runs.flatMap((run) => [
            ...Array.from({ length: Math.min(run, count - 1) }, () => true),
            false,
          ]);
          bench.delay = (question) => (question > 0 && lost[(question - 1) % lost.length] ? undefined : 0.5);
          bench.time.advance(1000);
          expect(bench.verdicts()).toEqual(["up"]);
        },
      ),
    );
  });

  test("is down at exactly `count` intervals after the last answer, whenever the cut comes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 2, max: 50 }),
        fc.double({ min: 100, max: 400, noNaN: true }),
        fc.double({ min: 0, max: 0.9, noNaN: true }),
        fc.integer({ min: 0, max: 1000 }),
        (count, intervalMs, cutMs, rtts, seed) => {
          const bench = new Bench(intervalMs, count, 1000, seed);
          const rttMs = rtts * intervalMs;
          let last = -1;
          bench.delay = (question) => {
            if (bench.time.now >= cutMs) return undefined;
            last = question;
            return rttMs;
          };
          bench.time.advance(2000);
          expect(bench.verdicts()).toEqual(["up", "down"]);
          const { silentMs, atMs } = bench.said[1]!;
          const lastMs = bench.askedMs[last]! + rttMs;
          expect(silentMs).toBeCloseTo(count * intervalMs, 6);
          expect(atMs - lastMs).toBeCloseTo(count * intervalMs, 6);
          // From the cut on it is no longer than that, and the time that answers were under way then.
          expect(atMs - cutMs).toBeLessThanOrEqual(count * intervalMs + rttMs + 1e-6);
          const unanswered = bench.askedMs.slice(last + 1).filter((ms) => ms <= atMs);
          expect(unanswered.length).toBeGreaterThanOrEqual(count);
        },
      ),
    );
  });

  test("bears answers that are slower than the interval and overtake each other", () => {
    const patient = new Bench(10, 6, 100, 1, true);
    patient.delay = (question) => 30 + ((question * 7) % 11);
    patient.time.advance(2000);
    expect(patient.verdicts()).toEqual(["up"]);
    expect(patient.pulse.rttMs).toBeGreaterThanOrEqual(30);
    expect(patient.pulse.rttMs).toBeLessThanOrEqual(40);
  });

  test("measures no round trip by an answer that may be to either of two questions, unless it has a number", () => {
    for (const numbered of [false, true]) {
      const bench = new Bench(10, 5, 100, 1, numbered);
      const measured: (number | undefined)[] = [];
      bench.delay = (question) => {
        measured.push(bench.pulse.rttMs);
        return question === 2 ? 12 : 2;
      };
      bench.time.advance(35);
      // The answer to the fourth question overtakes that to the third.
      expect(measured).toEqual([undefined, 2, 2, 2, numbered ? 12 : 2]);
    }
  });

  test("is up again after `count` answers in a row, and asks quickly from the first on", () => {
    const bench = new Bench(10, 3, 500);
    bench.time.advance(100);
    bench.delay = () => undefined;
    bench.time.advance(5000);
    expect(bench.verdicts()).toEqual(["up", "down"]);
    const asked = bench.askedMs.length;
    // While it is down: every 375 to 450 ms.
    bench.time.advance(4500);
    expect(bench.askedMs.length - asked).toBeLessThanOrEqual(12);
    expect(bench.askedMs.length - asked).toBeGreaterThanOrEqual(10);
    const heal = bench.askedMs.length;
    bench.delay = () => 1;
    bench.time.advance(600);
    expect(bench.verdicts()).toEqual(["up", "down", "up"]);
    const [first, second, third] = bench.askedMs.slice(heal);
    expect(second! - first!).toBeLessThanOrEqual(1 + 9);
    expect(bench.said[2]).toEqual({ verdict: "up", silentMs: 0, atMs: third! + 1 });
  });

  test("begins to count anew with each question that is not answered", () => {
    const bench = new Bench(10, 3);
    bench.delay = () => undefined;
    bench.time.advance(200);
    const from = bench.askedMs.length;
    // Two of three, for ever.
    bench.delay = () => ((bench.askedMs.length - from) % 3 === 0 ? undefined : 1);
    bench.time.advance(5000);
    expect(bench.verdicts()).toEqual(["down"]);
    // Several answers to one question are one.
    bench.delay = () => {
      if ((bench.askedMs.length - from) % 3 === 0) return undefined;
      bench.time.timers.after(2, () => bench.pulse.heard());
      bench.time.timers.after(3, () => bench.pulse.heard());
      return 1;
    };
    bench.time.advance(5000);
    expect(bench.verdicts()).toEqual(["down"]);
  });

  test("does not blame the other end for a sleep of its own", () => {
    const bench = new Bench(10, 3);
    bench.time.advance(100);
    // Questions were not put, so nobody failed to answer them.
    bench.time.sleep(1000);
    bench.time.advance(100);
    expect(bench.verdicts()).toEqual(["up"]);
  });

  test("does not count answers to questions of long ago", () => {
    const bench = new Bench(10, 3, 10, 1, true);
    bench.time.advance(100);
    bench.delay = () => 1000;
    bench.time.advance(5000);
    expect(bench.verdicts()).toEqual(["up", "down"]);
    expect(bench.pulse.statistics().late).toBeGreaterThan(100);
  });

  test("numbers its questions with 16 bits, and goes round", () => {
    const bench = new Bench(1, 3, 1, 1, true);
    for (let i = 0; i < 6; i++) bench.time.advance(10_000);
    expect(bench.askedMs.length).toBeGreaterThan(70_000);
    expect(bench.highest).toBe(0xffff);
    expect(bench.verdicts()).toEqual(["up"]);
    expect(bench.pulse.statistics().late).toBe(0);
    expect(bench.pulse.rttMs).toBe(1);
  });

  test("ends at any moment, also from within what it tells, and leaves no timer", () => {
    for (const at of ["unknown", "up", "down", "recovering"]) {
      const bench = new Bench(10, 3, 20);
      if (at === "unknown") bench.delay = () => undefined;
      bench.time.advance(20);
      if (at === "down" || at === "recovering") {
        bench.delay = () => undefined;
        bench.time.advance(200);
      }
      if (at === "recovering") {
        bench.delay = () => 1;
        bench.time.advance(22);
      }
      const said = bench.said.length;
      bench.pulse.close();
      bench.pulse.close();
      bench.pulse.heard();
      bench.time.advance(1000);
      expect([at, bench.said.length, bench.time.idle]).toEqual([at, said, true]);
    }
    for (const end of ["up", "down"]) {
      const time = new VirtualTime();
      const said: Verdict[] = [];
      const pulse: Pulse = new Pulse(time, pulseSettings({ intervalMs: 10 }), {
        ask: () => {
          if (said.length === 0 && end === "up") time.timers.after(1, () => pulse.heard());
          return true;
        },
        changed: (verdict) => {
          said.push(verdict);
          if (verdict === end) pulse.close();
        },
      });
      time.advance(1000);
      expect([said, time.idle]).toEqual([[end as Verdict], true]);
    }
  });

  test("has defaults, and limits that are named", () => {
    expect(pulseSettings({})).toEqual({ intervalMs: INTERVAL_MS, count: COUNT, retryMs: INTERVAL_MS });
    expect(pulseSettings({ intervalMs: 10 }).retryMs).toBe(100);
    expect(() => pulseSettings({ intervalMs: 0 })).toThrow("intervalMs is 1 to 3600000 ms, not 0");
    expect(() => pulseSettings({ intervalMs: NaN })).toThrow(RangeError);
    expect(() => pulseSettings({ count: 1.5 })).toThrow("count is a whole number from 1 to 255, not 1.5");
    expect(() => pulseSettings({ retryMs: 1e9 })).toThrow("retryMs");
  });
});

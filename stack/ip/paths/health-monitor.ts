/**
 * Whether a path is good by the program's own judgement: a check that is called again and again, and says "alive" or "dead".
 *
 * One check runs at a time. One that says nothing within its time, throws, or whose promise fails, is dead; what it says
 * afterwards is late, and counted.
 */
import type { Timer } from "../../loop/timers.ts";
import type { PathMonitor } from "./monitor.ts";
import type { Path, Verdict } from "./path.ts";
import { checkCount, checkInterval, checkKeys, COUNT } from "./pulse-options.ts";
import { assertIdle, type Changed, type MonitorHost } from "./watched.ts";

/** Checks of applications cost more than a question to a neighbour. */
const CHECK_EVERY_MS = 1000;

/** How one check answers: the first word counts. */
export interface HealthAnswer {
  /** `rttMs`: a round trip that it measured. Default: the time from its call to this one. */
  alive(rttMs?: number): void;
  dead(): void;
}

/** Called with the path; may answer at once, later, or as an async function before or after its promise resolves. */
export type HealthCheck = (path: Path, answer: HealthAnswer) => void | Promise<void>;

export interface HealthMonitorOptions {
  /** From one check to the next, in ms; later where a check takes longer. Default: 1000. */
  readonly intervalMs?: number;
  /** How long a check may take, in ms. Default: `intervalMs`. */
  readonly timeoutMs?: number;
  /** Dead checks in a row that make the verdict "down"; as many that were alive make it "up" again. Default: 3. */
  readonly count?: number;
}

export interface HealthMonitorStatistics {
  readonly checks: number;
  readonly alive: number;
  /** Those that said so, threw, or failed. */
  readonly dead: number;
  /** Those that said nothing in time: dead too. */
  readonly timeouts: number;
  /** Answers after the first one, or after the time. */
  readonly late: number;
  /** How often the verdict became "down". */
  readonly downs: number;
}

export class HealthMonitor implements PathMonitor {
  readonly kind = "health";
  readonly #host: MonitorHost;
  readonly #check: HealthCheck;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #count: number;
  readonly #counts = { checks: 0, alive: 0, dead: 0, timeouts: 0, late: 0, downs: 0 };
  #course: Course | undefined;
  /** What a check threw, or its promise failed with, last. */
  lastError: unknown;

  /** Throws a TypeError or RangeError that names what is no good. */
  constructor(host: MonitorHost, check: HealthCheck, options: HealthMonitorOptions = {}) {
    checkKeys("a health monitor", options, ["intervalMs", "timeoutMs", "count"]);
    if (typeof check !== "function") throw new TypeError("a health monitor needs a function to check with");
    this.#host = host;
    this.#check = check;
    this.#intervalMs = checkInterval("intervalMs", options.intervalMs ?? CHECK_EVERY_MS);
    this.#timeoutMs = checkInterval("timeoutMs", options.timeoutMs ?? this.#intervalMs);
    this.#count = checkCount("count", options.count ?? COUNT);
  }

  get verdict(): Verdict {
    return this.#course?.verdict ?? "unknown";
  }

  get rttMs(): number | undefined {
    return this.#course?.rttMs;
  }

  /** Since the monitor was made. */
  statistics(): HealthMonitorStatistics {
    return { ...this.#counts };
  }

  start(path: Path, changed: Changed): void {
    assertIdle(this.kind, this.#course);
    const { loop } = this.#host;
    const course: Course = {
      path,
      changed,
      verdict: "unknown",
      rttMs: undefined,
      inRow: 0,
      lastMs: loop.now,
      begunMs: 0,
      attempt: undefined,
      next: loop.after(0, () => this.#begin(course)),
      limit: loop.after(0, () => this.#timeOut(course)),
    };
    course.limit.cancel();
    this.#course = course;
  }

  /** Judges nothing any more; may be started again. What a check still says is late. Idempotent. */
  close(): void {
    const course = this.#course;
    if (course === undefined) return;
    this.#course = undefined;
    course.attempt = undefined;
    course.next.cancel();
    course.limit.cancel();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #begin(course: Course): void {
    const attempt: HealthAnswer = {
      alive: (rttMs) => this.#answered(course, attempt, true, rttMs),
      dead: () => this.#answered(course, attempt, false),
    };
    course.attempt = attempt;
    course.begunMs = this.#host.loop.now;
    course.limit.restart(this.#timeoutMs);
    this.#counts.checks += 1;
    try {
      const running = this.#check(course.path, attempt);
      if (running instanceof Promise) running.catch((error: unknown) => this.#failed(course, attempt, error));
    } catch (error) {
      this.#failed(course, attempt, error);
    }
  }

  #failed(course: Course, attempt: HealthAnswer, error: unknown): void {
    this.lastError = error;
    this.#answered(course, attempt, false);
  }

  #timeOut(course: Course): void {
    this.#counts.timeouts += 1;
    this.#settle(course, false);
  }

  #answered(course: Course, attempt: HealthAnswer, isAlive: boolean, rttMs?: number): void {
    if (course.attempt !== attempt) {
      this.#counts.late += 1;
      return;
    }
    this.#counts[isAlive ? "alive" : "dead"] += 1;
    if (isAlive) course.rttMs = rttMs ?? this.#host.loop.now - course.begunMs;
    this.#settle(course, isAlive);
  }

  /** The check is over: when is the next, and what does this one change? */
  #settle(course: Course, isAlive: boolean): void {
    const { now } = this.#host.loop;
    course.attempt = undefined;
    course.limit.cancel();
    course.next.restart(Math.max(0, course.begunMs + this.#intervalMs - now));
    const silentMs = now - course.lastMs;
    if (isAlive) course.lastMs = now;
    const isAgainst = isAlive ? course.verdict !== "up" : course.verdict !== "down";
    course.inRow = isAgainst ? course.inRow + 1 : 0;
    // The first word of life is believed where nothing was known, not where it was dead.
    const needed = isAlive && course.verdict === "unknown" ? 1 : this.#count;
    if (course.inRow < needed) return;
    course.inRow = 0;
    course.verdict = isAlive ? "up" : "down";
    if (!isAlive) this.#counts.downs += 1;
    course.changed(course.verdict, isAlive ? 0 : silentMs);
  }
}

/** One path being judged. */
interface Course {
  readonly path: Path;
  readonly changed: Changed;
  verdict: Verdict;
  rttMs: number | undefined;
  /** Checks in a row that speak against the verdict. */
  inRow: number;
  /** When a check last was alive; before the first, when it began. */
  lastMs: number;
  begunMs: number;
  /** The check that runs now. */
  attempt: HealthAnswer | undefined;
  readonly next: Timer;
  readonly limit: Timer;
}

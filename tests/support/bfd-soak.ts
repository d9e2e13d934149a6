/**
 * Sessions with several daemons at once, kept up for minutes under load: a thousand echo requests a second through each queue. Every
 * change is noted, and every time that this process was away from its loop, so that whose fault it was can be told.
 */
import { BfdBed, type Starter } from "./bfd-bed.ts";
import { until } from "./lab.ts";
import { ServedBed } from "./served-bed.ts";

export interface SoakReport {
  readonly peer: string;
  /** Sessions that went down: whose, when (ms), why (`bfd.DIAGNOSTIC`), after which silence. */
  readonly downs: readonly string[];
  /** Packets of our sessions, both ways. */
  readonly sent: number;
  readonly received: number;
  /** Echo requests that the host answered meanwhile. */
  readonly load: number;
  /** When (ms), and for how long, the loop was later for a timer than half a detection time. */
  readonly stalls: readonly string[];
}

export interface SoakTimes {
  readonly intervalMs: number;
  readonly multiplier: number;
}

const TICK_MS = 5;
const MS_PER_MINUTE = 60_000;
/** A request each ms; ping waits for no answer before the next. */
const LOAD = ["-q", "-i", "0.001", "-s", "1000"];

/** Beds with a daemon each, all up before the time begins. */
export const soak = async (
  starters: readonly Starter[],
  minutes: number,
  times: SoakTimes,
): Promise<SoakReport[]> => {
  await using stack = new AsyncDisposableStack();
  const all: BfdBed[] = [];
  for (const start of starters) {
    const bed = stack.use(await ServedBed.start({ capture: false }));
    all.push(await BfdBed.start(bed, start, times, times));
  }
  for (const { bed } of all) {
    const { lab, host } = bed;
    lab.spawn("a", ["ping", ...LOAD, lab.b.ipv4], { stdout: "ignore" });
    await until("the load to begin", () => host.statistics().icmp4.echoRequests > 0);
  }
  for (const ends of all) await ends.up();
  const loads = all.map(({ bed }) => bed.host.statistics().icmp4.echoRequests);
  const begins = all.map(({ told }) => told.length);
  const stalls = await watch(all[0]!.bed, minutes * MS_PER_MINUTE, (times.intervalMs * times.multiplier) / 2);
  return all.map((ends, i) => reportOf(ends, begins[i]!, loads[i]!, stalls));
};

/** Lets the time pass, and notes each time that the loop was late by more than `mostMs`. */
const watch = async ({ loop }: ServedBed, forMs: number, mostMs: number): Promise<string[]> => {
  const stalls: string[] = [];
  let dueMs = performance.now() + TICK_MS;
  const tick = loop.every(TICK_MS, () => {
    const now = performance.now();
    if (now - dueMs > mostMs) stalls.push(`${now.toFixed(0)}: ${(now - dueMs).toFixed(0)} ms`);
    dueMs = now + TICK_MS;
  });
  await Bun.sleep(forMs);
  tick.cancel();
  return stalls;
};

const reportOf = (ends: BfdBed, from: number, load: number, stalls: readonly string[]): SoakReport => {
  const statistics = ends.sessions.map((session) => session.statistics());
  return {
    peer: ends.peer.name,
    downs: ends.told
      .slice(from)
      .filter(({ previous }) => previous === "up")
      .map(
        ({ peer, atMs, diagnostic, silentMs }) =>
          `${peer} at ${atMs.toFixed(0)}: ${diagnostic}, ${silentMs.toFixed(0)} ms`,
      ),
    sent: statistics.reduce((sum, { sent }) => sum + sent, 0),
    received: statistics.reduce((sum, { received }) => sum + received, 0),
    load: ends.bed.host.statistics().icmp4.echoRequests - load,
    stalls,
  };
};

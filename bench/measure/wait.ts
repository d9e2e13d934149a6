/**
 * `wait.*` and `attach.first`: what an idle adaptive loop costs, how fast it wakes up, and how soon a new device delivers.
 */
import { readdirSync, readFileSync } from "node:fs";
import { Lab } from "../../examples/lab.ts";
import { hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { peer, PROGRAM_CORE, SENDER_CORE, side, start } from "../stage.ts";
import { machine, MEASURED_S, pinning, timeArguments, timing, WARMUP_S } from "./conditions.ts";

/** Seconds that an idle program is watched: its CPU time comes in small pieces. */
const IDLE_S = 4;
/** Seconds before that: an idle loop turns so seldom that its code is compiled only in the first few of them. */
const IDLE_WARMUP_S = 4;
/** Room for a stamp behind the headers. */
const STAMPED_PACKET = 60;
const WAKE_INTERVAL_US = 1000;
const ATTACH_INTERVAL_US = 50;

/** Nanoseconds that all threads of a process have run: the first number of each thread's schedstat. */
const runNs = (pid: number): number => {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // A thread that ended between the listing and the look.
    }
  }
  return sum;
};

const idle = async (command: readonly string[]): Promise<Readings> => {
  using lab = Lab.create({ quiet: true });
  const program = await start(lab, "b", PROGRAM_CORE, [...command, lab.b.name]).ready();
  await Bun.sleep(IDLE_WARMUP_S * 1000);
  const before = runNs(program.pid);
  const began = performance.now();
  await Bun.sleep(IDLE_S * 1000);
  const spentNs = runNs(program.pid) - before;
  const tookNs = (performance.now() - began) * 1e6;
  await program.stop();
  return { percent: (spentNs / tookNs) * 100 };
};

export const measureIdle = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "percent", name: "wait.idle", unit: "% of a core" }],
      conditions: `${machine()}; adaptive loop with one device on veth and no traffic, against a C program in poll(); CPU time of all threads over ${IDLE_S} s after ${IDLE_WARMUP_S} s`,
      millrace: { name: "millrace", run: () => idle(side("wake")) },
      peers: [{ name: "c", run: () => idle(peer("poll_wake")) }],
    },
    pairs,
  );

const wake = async (command: readonly string[]): Promise<Readings> => {
  using lab = Lab.create({ quiet: true });
  const program = await start(lab, "b", PROGRAM_CORE, [...command, lab.b.name, ...timeArguments()]).ready();
  const pace = ["--interval", String(WAKE_INTERVAL_US), "--packet", String(STAMPED_PACKET)];
  await start(lab, "a", SENDER_CORE, [
    ...peer("stamp_send"),
    lab.a.name,
    ...pace,
    ...timeArguments(WARMUP_S + 1, 0),
  ]).ready();
  return await program.result(WARMUP_S + MEASURED_S);
};

export const measureWakeup = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [
        { metric: "medianUs", name: "wait.wakeup", unit: "us" },
        { metric: "p99Us", name: "wait.wakeup.p99", unit: "us" },
      ],
      conditions:
        `${machine()}; adaptive loop against a C program in poll(); from the sender's stamp before sendto() on a packet ` +
        `socket to the handler, one frame every ${WAKE_INTERVAL_US / 2}-${WAKE_INTERVAL_US * 1.5} us, veth, native XDP, copy mode; ${pinning}; ${timing}`,
      millrace: { name: "millrace", run: () => wake(side("wake")) },
      peers: [{ name: "c", run: () => wake(peer("poll_wake")) }],
    },
    pairs,
  );

const attachFirst = async (): Promise<Readings> => {
  using lab = Lab.create({ quiet: true });
  const pace = ["--interval", String(ATTACH_INTERVAL_US), "--packet", String(STAMPED_PACKET)];
  await start(lab, "a", SENDER_CORE, [
    ...peer("stamp_send"),
    lab.a.name,
    ...pace,
    ...timeArguments(10, 0),
  ]).ready();
  const program = await start(lab, "b", PROGRAM_CORE, [...side("attach_first"), lab.b.name]).ready();
  return await program.result(WARMUP_S);
};

export const measureAttach = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "ms", name: "attach.first", unit: "ms" }],
      conditions:
        `${machine()}; from the call of attach() to the first frame in a handler, the first attach of a fresh process, ` +
        `veth, native XDP, copy mode, umem 4096 x 2048 B, a frame every ${ATTACH_INTERVAL_US}-${ATTACH_INTERVAL_US * 2} us; ${pinning}; a fresh lab for every run`,
      millrace: { name: "millrace", run: attachFirst },
      peers: [],
    },
    pairs,
  );

/**
 * `udp.rtt.*`: round trips that sockperf measures, one datagram at a time, with both ends on cores of their own or anywhere.
 */
import { Lab } from "../../examples/lab.ts";
import { type Contender, hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { PROGRAM_CORE, script, SENDER_CORE, side, start } from "../stage.ts";
import { BURST, machine, MEASURED_S } from "./conditions.ts";

const PROGRAM = "sockperf";
const PORT = 9000;
/** Bytes of a message. */
const MESSAGE = 64;
/** A client that runs so long, again until it is answered, is the warm-up: a host looks first whether its address is free. */
const WARMUP_S = 1;
const START_LIMIT_MS = 15_000;
/** sockperf's own warm-up and end, some 2 s, beyond the seconds that it is told. */
const EXTRA_MS = 10_000;

const isInstalled = (): boolean => Bun.which(PROGRAM) !== null;

type Command = (lab: Lab) => readonly string[];

/** The output of a client that ran for so long; code and text. */
const ping = (lab: Lab, pinned: boolean, seconds: number) => {
  const core = pinned ? ["taskset", "-c", String(SENDER_CORE)] : [];
  const where = ["-i", lab.b.ipv4, "-p", String(PORT), "-m", String(MESSAGE)];
  return lab.exec("a", [...core, PROGRAM, "ping-pong", ...where, "-t", String(seconds), "--full-rtt"], {
    check: false,
    timeoutMs: seconds * 1000 + EXTRA_MS,
  });
};

const PERCENTILE = "percentile";

/** Microseconds of a percentile in what sockperf prints. */
export const percentileUs = (text: string, percentile: string): number => {
  const found = new RegExp(`${PERCENTILE} ${percentile}\\s*=\\s*([\\d.]+)`).exec(text)?.[1];
  if (found === undefined) throw new Error(`sockperf gave no percentile ${percentile}: ${text.trim()}`);
  return Number(found);
};

const run = async (command: Command, pinned: boolean): Promise<Readings> => {
  using lab = Lab.create({ quiet: true, neighbours: true });
  const server = start(lab, "b", pinned ? PROGRAM_CORE : undefined, command(lab));
  const end = performance.now() + START_LIMIT_MS;
  // It ends well also when it had no answer.
  while (!ping(lab, pinned, WARMUP_S).stdout.includes(PERCENTILE))
    if (performance.now() > end) throw new Error("sockperf's client gets no answer");
  const measured = ping(lab, pinned, MEASURED_S);
  await server.stop();
  const text = measured.stdout + measured.stderr;
  return { p50: percentileUs(text, "50.000"), p99: percentileUs(text, "99.000") };
};

const sockperf =
  (...options: string[]): Command =>
  (lab) => [PROGRAM, "server", "-i", lab.b.ipv4, "-p", String(PORT), ...options];

const COMMANDS: Readonly<Record<string, Command>> = {
  millrace: (lab) => [...side("sockperf_echo"), lab.b.name, "--burst", String(BURST)],
  c: sockperf(),
  // Spinning like millrace, so that the ratio to it leaves out what a sleep costs.
  "c-spin": sockperf("--nonblocked"),
  bun: (lab) => [...script(process.execPath, "bun_sockperf.ts"), lab.b.ipv4, String(PORT)],
};

const contender = (name: string, pinned: boolean): Contender => ({
  name,
  run: () => run(COMMANDS[name]!, pinned),
});

const contest = (pinned: boolean, pairs: number): Promise<Line[]> => {
  const prefix = pinned ? "udp.rtt" : "udp.rtt.unpinned";
  const placed = pinned
    ? `client on core ${SENDER_CORE}, server on core ${PROGRAM_CORE}`
    : "client and server wherever the scheduler puts them";
  return hold(
    {
      metrics: [
        { metric: "p50", name: `${prefix}.p50`, unit: "us" },
        { metric: "p99", name: `${prefix}.p99`, unit: "us" },
      ],
      everyPeerNamed: true,
      conditions:
        `${machine()}; sockperf ping-pong --full-rtt, ${MESSAGE} B messages, its client always on a kernel socket; servers: ` +
        `millrace in spin mode (native XDP, copy mode, everything claimed), c: sockperf server, which sleeps, c-spin: the same ` +
        `without sleeping, bun: Bun.udpSocket; veth with offloads on; ${placed}; ${WARMUP_S} s warm-up and ` +
        `${MEASURED_S} s measured, a fresh lab for every run`,
      millrace: contender("millrace", pinned),
      peers: (pinned ? ["c", "c-spin", "bun"] : ["c", "bun"]).map((name) => contender(name, pinned)),
    },
    pairs,
  );
};

export const measureRtt = async (pairs: number): Promise<Line[]> => {
  if (isInstalled()) return [...(await contest(true, pairs)), ...(await contest(false, pairs))];
  console.error(`${PROGRAM} is not installed: no lines of udp.rtt`);
  return [];
};

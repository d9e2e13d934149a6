/**
 * `udp.echo`: datagrams that a program answers a second, at the highest rate at which less than 2 % of them are lost.
 *
 * Between two programs on AF_XDP that rate may be the end of the sender, which is no faster than they are; `udp.echo.flood`
 * counts what they answer while more is offered than either can take.
 */
import { Lab } from "../../examples/lab.ts";
import { type Contender, hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { highest, type Trial } from "../search.ts";
import { type Actor, peer, PROGRAM_CORE, script, SENDER_CORE, side, start } from "../stage.ts";
import {
  BURST,
  machine,
  MEASURED_S,
  pinning,
  timeArguments,
  timing,
  TX_BUDGET,
  WARMUP_S,
} from "./conditions.ts";

/** 64 B on the wire with the FCS: 18 bytes of payload. */
const PACKET = 60;
/** Source ports that the datagrams come from. */
const FLOWS = 1000;
const LOSS = 0.02;
const PORT = 9000;
/** Rate of the warm-up. */
const WARMUP_PPS = 100_000;
/** A C program has nothing to warm up but caches. */
const C_WARMUP_S = 0.5;
const TRIAL_S = 0.5;
/** A flood begins before the window of the count and ends after it, also where the program takes its time to answer. */
const FLOOD_EXTRA_S = 20;
/** Before the first search of a program; later ones begin where the last one ended. */
const GUESS_PPS = 200_000;
/** A host looks whether its address is free before it answers: RFC 5227 section 2.1.1 takes up to 7 s. */
const ANSWER_LIMIT_MS = 15_000;
const PROBE_PPS = 1000;
const PROBE_S = 0.1;

const target = (lab: Lab): string[] => ["--to", lab.b.mac, "--target", lab.b.ipv4, "--port", String(PORT)];

/** A program under test at end b of a lab. */
type Command = (lab: Lab) => readonly string[];

const offer = async (load: Actor, rate: number, seconds: number): Promise<Trial> => {
  load.write(`${rate} ${seconds}\n`);
  const { sentPps = 0, answeredPps = 0, unfit = 0 } = await load.result(seconds);
  if (unfit > 0) throw new Error(`${unfit} answers with a wrong IPv4 header or length`);
  return { offered: sentPps, answered: answeredPps };
};

/** Waits until the program answers all of a little. */
const awaitAnswers = async (load: Actor): Promise<void> => {
  const end = performance.now() + ANSWER_LIMIT_MS;
  for (;;) {
    const { offered, answered } = await offer(load, PROBE_PPS, PROBE_S);
    if (answered >= offered) return;
    if (performance.now() > end) throw new Error(`${answered} of ${offered} datagrams a second are answered`);
  }
};

/** One search after another, each in a fresh lab and beginning where the last one ended. */
const searching = (command: Command, warmupS: number): (() => Promise<Readings>) => {
  let found: number | undefined;
  return async () => {
    using lab = Lab.create({ quiet: true, neighbours: true });
    const echo = await start(lab, "b", PROGRAM_CORE, command(lab)).ready();
    const shape = ["--packet", String(PACKET), "--flows", String(FLOWS), "--budget", String(TX_BUDGET)];
    const words = [...peer("udp_load"), lab.a.name, ...target(lab), ...shape];
    const load = await start(lab, "a", SENDER_CORE, words, "pipe").ready();
    await awaitAnswers(load);
    await offer(load, WARMUP_PPS, warmupS);
    const best = await highest((rate) => offer(load, rate, TRIAL_S), {
      start: found ?? GUESS_PPS,
      near: found !== undefined,
      loss: LOSS,
    });
    found = best.offered;
    await echo.stop();
    return { pps: best.answered };
  };
};

const burst = ["--burst", String(BURST)];
const millrace: Command = (lab) => [...side("udp_echo"), lab.b.name, ...burst];
const cXdp: Command = (lab) => {
  const options = ["--port", String(PORT), "--budget", String(TX_BUDGET), ...burst];
  return [...peer("udp_echo_xdp"), lab.b.name, ...options];
};
const cSocket: Command = (lab) => [...peer("udp_echo_socket"), lab.b.name, "--port", String(PORT)];
const javascript =
  (runtime: string, file: string): Command =>
  (lab) => [...script(runtime, file), lab.b.ipv4, String(PORT)];

const AF_XDP =
  `millrace and c-xdp: native XDP, copy mode, need_wakeup, rings of 2048, umem 4096 x 2048 B, burst ${BURST}, ` +
  `XDP_MAX_TX_SKB_BUDGET ${TX_BUDGET}, everything claimed, checksums verified`;

const node = (): Contender[] => {
  const runtime = Bun.which("node");
  if (runtime !== null)
    return [{ name: "node", run: searching(javascript(runtime, "node_echo.mjs"), WARMUP_S) }];
  console.error("node is not installed (apt-get install nodejs): no line against it");
  return [];
};

const nodeVersion = (): string => {
  const runtime = Bun.which("node");
  if (runtime === null) return "";
  return `, node ${Bun.spawnSync([runtime, "--version"]).stdout.toString().trim()} with node:dgram`;
};

export const measureEcho = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "pps", name: "udp.echo", unit: "pps" }],
      everyPeerNamed: true,
      conditions:
        `${machine()}; answers a second at the highest offered rate with less than ${LOSS * 100} % loss, found within 5 % by ` +
        `trials of ${TRIAL_S} s; ${PACKET} B frames (without FCS) from ${FLOWS} flows, sent by a C program on AF_XDP, answers ` +
        `counted by an XDP program at its end; veth with offloads on; ${AF_XDP}; c: recvmmsg and sendmmsg of 64, blocking; bun: Bun.udpSocket with sendMany of 64${nodeVersion()}; ${pinning}; ` +
        `${WARMUP_S} s warm-up (${C_WARMUP_S} s for C), a fresh lab for every search`,
      millrace: { name: "millrace", run: searching(millrace, WARMUP_S) },
      peers: [
        { name: "c-xdp", run: searching(cXdp, C_WARMUP_S) },
        { name: "bun", run: searching(javascript(process.execPath, "bun_echo.ts"), WARMUP_S) },
        ...node(),
        { name: "c", run: searching(cSocket, C_WARMUP_S) },
      ],
    },
    pairs,
  );

/** What is answered under a flood of one flow; the far end counts. */
const flooded = (command: Command) => async (): Promise<Readings> => {
  using lab = Lab.create({ quiet: true, neighbours: true });
  const time = timeArguments();
  const referee = start(lab, "a", SENDER_CORE, [
    ...peer("xdp_sink"),
    lab.a.name,
    "--mode",
    "answers",
    ...time,
  ]);
  await referee.ready();
  await start(lab, "b", PROGRAM_CORE, command(lab)).ready();
  const flood = [...peer("xsk_gen"), lab.a.name, ...target(lab), "--packet", String(PACKET)];
  await start(lab, "a", SENDER_CORE, [...flood, ...timeArguments(FLOOD_EXTRA_S, 0)]).ready();
  return await referee.result(WARMUP_S + MEASURED_S);
};

export const measureFlood = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "pps", name: "udp.echo.flood", unit: "pps" }],
      everyPeerNamed: true,
      conditions:
        `${machine()}; answers a second while BPF_PROG_TEST_RUN live frames offer more than either answers; ${PACKET} B frames ` +
        `(without FCS) of one flow, answers counted by an XDP program at the sender's end; ${AF_XDP}; ${pinning}; ${timing}`,
      millrace: { name: "millrace", run: flooded(millrace) },
      peers: [{ name: "c-xdp", run: flooded(cXdp) }],
    },
    pairs,
  );

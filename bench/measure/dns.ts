/**
 * `dns.answers`: queries that a name server answers a second, at the highest rate of kxdpgun at which less than 1 % are lost.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab } from "../../examples/lab.ts";
import { type Contender, hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { highest, type Trial } from "../search.ts";
import { PROGRAM_CORE, SENDER_CORE, start } from "../stage.ts";
import { machine, pinning } from "./conditions.ts";
import {
  KNOWN_NAME,
  knot,
  millrace,
  type NameServer,
  nsd,
  NXDOMAIN_SHARE,
  QUERIES_FILE,
} from "./name-servers.ts";

const PROGRAM = "kxdpgun";
const LOSS = 0.01;
/** Queries that kxdpgun sends together: the most that it has buffers for, and its fastest. */
const BATCH = 64;
const TRIAL_S = 1;
const WARMUP_PPS = 50_000;
/** What is compiled while it runs is compiled by then; programs in C have nothing to warm up. */
const WARMUP_S = 3;
/** Before the first search of a server; later ones begin where the last one ended. */
const GUESS_PPS = 100_000;
/** Zones are read, and a host looks whether its address is free, before the first answer. */
const START_LIMIT_MS = 15_000;
/** kxdpgun takes a second before and one after the load. */
const EXTRA_MS = 10_000;
/** The queue of kxdpgun's last run is held for a grace period of the kernel: it says so, and is asked again. */
const BUSY = "requested resource is busy";
const BUSY_TRIES = 10;
const BUSY_STEP_MS = 50;
/** The share of answers that say "no such name" shows that the server serves this zone; a cut-off round may shift it a little. */
const SHARE_SLACK = 0.01;

/** What kxdpgun says at its end. Throws, quoting it, where it says anything else. */
export const readKxdpgun = (text: string): Trial & { readonly codes: ReadonlyMap<string, number> } => {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`${PROGRAM} gave no result: ${text.trim()}`);
    return Number(found);
  };
  const codes = new Map(
    [...text.matchAll(/^responded (\w+):\s+(\d+)$/gm)].map((match) => [match[1]!, Number(match[2])]),
  );
  return {
    offered: number(/^total queries:\s+\d+ \((\d+) pps\)/m),
    answered: number(/^total replies:\s+\d+ \((\d+) pps\)/m),
    codes,
  };
};

/** Throws where the answers are not those that the zone has for the queries. */
const checkCodes = (codes: ReadonlyMap<string, number>): void => {
  const total = [...codes.values()].reduce((sum, count) => sum + count, 0);
  const others = [...codes.keys()].filter((code) => code !== "NOERROR" && code !== "NXDOMAIN");
  const share = (codes.get("NXDOMAIN") ?? 0) / total;
  if (others.length === 0 && (total === 0 || Math.abs(share - NXDOMAIN_SHARE) < SHARE_SLACK)) return;
  throw new Error(`wrong answers: ${JSON.stringify(Object.fromEntries(codes))}`);
};

const shoot = async (lab: Lab, rate: number, seconds: number): Promise<Trial> => {
  const { a, b } = lab;
  const where = ["-I", a.name, "-l", a.ipv4, "-L", a.mac, "-R", b.mac, b.ipv4];
  const load = [
    "-t",
    String(seconds),
    "-Q",
    String(Math.round(rate)),
    "-b",
    String(BATCH),
    "-i",
    QUERIES_FILE,
  ];
  const command = ["taskset", "-c", String(SENDER_CORE), PROGRAM, ...load, ...where];
  for (let tries = 1; ; tries++) {
    const done = lab.exec("a", command, { check: false, timeoutMs: seconds * 1000 + EXTRA_MS });
    if (done.stderr.includes(BUSY) && tries < BUSY_TRIES) {
      await Bun.sleep(BUSY_STEP_MS);
      continue;
    }
    const { codes, ...trial } = readKxdpgun(done.stdout + done.stderr);
    checkCodes(codes);
    return trial;
  }
};

const awaitAnswer = (lab: Lab): void => {
  const end = performance.now() + START_LIMIT_MS;
  const ask = ["kdig", "+short", "+timeout=1", "+retry=0", `@${lab.b.ipv4}`, KNOWN_NAME, "A"];
  while (!/^192\.0\.2\.80$/m.test(lab.exec("a", ask, { check: false }).stdout))
    if (performance.now() > end) throw new Error(`no answer for ${KNOWN_NAME}`);
};

/** A server in a lab of its own, told to end also where the work with it fails: nsd's children end with it only then. */
const serving = async <T>(server: NameServer, work: (lab: Lab) => Promise<T>): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-dns-"));
  using lab = Lab.create({ quiet: true, neighbours: true });
  const program = start(lab, "b", PROGRAM_CORE, server(lab, folder));
  try {
    awaitAnswer(lab);
    return await work(lab);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`${text}; the server said: ${await program.stop()}`, { cause: error });
  } finally {
    await program.stop();
    rmSync(folder, { recursive: true, force: true });
  }
};

/** One search after another, each with a fresh server, and beginning where the last one ended. */
const searching = (server: NameServer, warmupS: number): (() => Promise<Readings>) => {
  let found: number | undefined;
  return () =>
    serving(server, async (lab) => {
      if (warmupS > 0) await shoot(lab, WARMUP_PPS, warmupS);
      const best = await highest((rate) => shoot(lab, rate, TRIAL_S), {
        start: found ?? GUESS_PPS,
        near: found !== undefined,
        loss: LOSS,
      });
      found = best.offered;
      return { pps: best.answered };
    });
};

const peers = (): Contender[] =>
  [
    { name: "nsd", program: "nsd", server: nsd },
    { name: "knot", program: "knotd", server: knot },
  ].flatMap(({ name, program, server }) => {
    if (Bun.which(program) !== null) return [{ name, run: searching(server, 0) }];
    console.error(`${program} is not installed: no line against it`);
    return [];
  });

export const measureDns = (pairs: number): Promise<Line[]> => {
  const missing = [PROGRAM, "kdig"].find((tool) => Bun.which(tool) === null);
  if (missing !== undefined) {
    console.error(`${missing} is not installed (apt-get install knot-dnsutils): no lines of dns.answers`);
    return Promise.resolve([]);
  }
  return hold(
    {
      metrics: [{ metric: "pps", name: "dns.answers", unit: "pps" }],
      everyPeerNamed: true,
      conditions:
        `${machine()}; answers a second at the highest rate of kxdpgun (batches of ${BATCH}) with less than ${LOSS * 100} % loss, ` +
        `found within 5 % by trials of ${TRIAL_S} s; 10 kinds of queries for one small zone, the same file for all; millrace: ` +
        `examples/dns.ts beside the kernel; nsd: one server process, no rate limit; knot: its XDP mode, one worker; veth, native ` +
        `XDP, copy mode for kxdpgun and knot; ${pinning}; ${WARMUP_S} s warm-up for millrace, a fresh lab for every search`,
      millrace: { name: "millrace", run: searching(millrace, WARMUP_S) },
      peers: peers(),
    },
    pairs,
  );
};

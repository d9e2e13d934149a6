/**
 * `zc.*`: packets a second received, sent and forwarded in zero-copy mode over cables between cards, against the C programs.
 *
 * Both sides force XDP_ZEROCOPY and check in XDP_OPTIONS that they have it; all else is equal, too. The cards of the program
 * under test interrupt its core, so that it shares that core with the work of its driver; the other ends' interrupt the other.
 */
import { CABLES_VARIABLE, parseCables } from "../../examples/lab-cables.ts";
import { Lab, type Pair } from "../../examples/lab.ts";
import { hold, type Readings } from "../contest.ts";
import { pinInterrupts } from "../interrupts.ts";
import type { Line } from "../report.ts";
import { type Actor, peer, PROGRAM_CORE, SENDER_CORE, side, start } from "../stage.ts";
import { BURST, machine, pinning } from "./conditions.ts";

/** 64 B on the wire with the FCS. */
const PACKET = 60;
/**
 * On an emulated processor Bun's compiler threads take half of the program's core for some 25 s of traffic (14 s of processor
 * time were counted), during which half of the packets arrive; forwarding, where fewer come, was at 0.83 of C after 40 s and at
 * 0.90 after 100 s. So both programs live through all pairs of a measurement: they warm up once, and each sleeps (SIGSTOP) while
 * the other's turn lasts. Turns are short, because the machine changes.
 */
const WARMUP_MS = 100_000;
/** From the start of the load to the first count: rings, caches and queues on the way fill. */
const SETTLE_MS = 700;
const MEASURED_MS = 3000;
/** Programs and load end when they are told to. This ends them if nobody does. */
const LIFE_S = 3600;

/** The cables to measure over: those that the command line names, else the environment's. */
export const cablesOf = (argument: string | undefined): ReturnType<typeof parseCables> =>
  parseCables(argument ?? process.env[CABLES_VARIABLE] ?? "");

type Cables = ReturnType<typeof cablesOf>;

const COMMON = ["--zero-copy", "--packet", String(PACKET), "--burst", String(BURST)];
const LIFE = ["--seconds", String(LIFE_S), "--warmup", "0"];

/** Throws where the cards of a lab have not all one driver: two programs on different cards are not compared. */
const checkAlike = (lab: Lab): void => {
  const drivers = lab.pairs.flatMap(({ a, b }) =>
    [a, b].map(
      (end) => /^driver: (\S+)$/m.exec(lab.exec(end.side, ["ethtool", "-i", end.name]).stdout)?.[1] ?? "",
    ),
  );
  const kinds = [...new Set(drivers)];
  if (kinds.length > 1) throw new Error(`the cards are not of one kind: ${kinds.join(", ")}`);
};

/** A lab of these cables, its interrupts where the programs are; one queue a card, so that no packet misses it. */
const labOf = (cables: Cables): Lab => {
  const lab = Lab.create({ quiet: true, pairs: cables.length, devices: cables });
  try {
    checkAlike(lab);
    for (const { a, b } of lab.pairs) {
      pinInterrupts(lab, a, SENDER_CORE);
      pinInterrupts(lab, b, PROGRAM_CORE);
    }
  } catch (error) {
    lab.close();
    throw error;
  }
  return lab;
};

/** A program under test on its own cables of the lab; it sleeps but in its turns. */
class Runner {
  readonly #lab: Lab;
  readonly #pairs: readonly Pair[];
  readonly #offered: boolean;
  readonly #program: Actor;

  private constructor(lab: Lab, pairs: readonly Pair[], offered: boolean, program: Actor) {
    this.#lab = lab;
    this.#pairs = pairs;
    this.#offered = offered;
    this.#program = program;
  }

  static async start(
    lab: Lab,
    pairs: readonly Pair[],
    plan: Plan,
    command: readonly string[],
  ): Promise<Runner> {
    const names = pairs.map((pair) => pair.b.name);
    const words = [...command, ...names, ...COMMON, ...LIFE, "--report"];
    // What the last of its cards sends must be taken at the far end, for whichever address it is.
    const far = pairs.at(-1)!.a.name;
    if (plan.sends) {
      const sink = [...peer("xdp_sink"), far, "--promiscuous", ...LIFE];
      await start(lab, "a", SENDER_CORE, sink).ready();
    }
    const program = await start(lab, "b", PROGRAM_CORE, words).ready();
    program.pause();
    return new Runner(lab, pairs, plan.offered, program);
  }

  /** Lets it work for so long after it has settled, and returns how many frames a second it counted then. */
  async turn(lengthMs: number): Promise<Readings> {
    this.#program.resume();
    const load = this.#offered ? await this.#offer() : undefined;
    try {
      return await this.#count(lengthMs);
    } finally {
      this.#program.pause();
      await load?.stop();
    }
  }

  async #count(lengthMs: number): Promise<Readings> {
    const program = this.#program;
    // Reports from before the load lie in the pipe: reading them all this while leaves none.
    const settledMs = performance.now() + SETTLE_MS;
    let first = await program.report();
    while (performance.now() < settledMs) first = await program.report();
    let last = first;
    while (last.ms < first.ms + lengthMs) last = await program.report();
    return { pps: ((last.frames - first.frames) * 1000) / (last.ms - first.ms) };
  }

  /** As much as the cable takes: in zero-copy mode too, and asleep while its ring is full, so that others can work. */
  #offer(): Promise<Actor> {
    const { a, b } = this.#pairs[0]!;
    const words = [...peer("xsk_tx"), a.name, ...COMMON, ...LIFE, "--patient", "--to", b.mac];
    return start(this.#lab, "a", SENDER_CORE, words).ready();
  }
}

const LOAD =
  "offered by a C program in zero-copy mode that sleeps while its ring is full, as fast as the cable takes it";
const TAKEN = "taken by an XDP program at the far end";

const conditions = (cables: Cables, detail: string): string =>
  `${machine()}; cards ${cables.map(({ a, b }) => `${a}-${b}`).join(", ")}, one queue, native XDP, XDP_ZEROCOPY forced and ` +
  `read back from XDP_OPTIONS on both sides, need_wakeup, rings of 2048, umem 4096 x 2048 B, burst ${BURST}, ${PACKET} B ` +
  `frames (without FCS); ${detail}; ${pinning}, each with the interrupts of its cards; counted by ` +
  `the programs themselves, each on cables of its own and asleep in the other's turns, ${WARMUP_MS / 1000} s warm-up once and ` +
  `${MEASURED_MS / 1000} s a turn`;

/** One measurement: a program of each side, run in the same way. */
interface Plan {
  readonly name: string;
  /** Cables of each program. */
  readonly cables: number;
  readonly program: string;
  readonly peer: string;
  /** True where it is offered a load, and where it sends. */
  readonly offered: boolean;
  readonly sends: boolean;
  readonly detail: string;
}

const PLANS: readonly Plan[] = [
  { name: "zc.rx", cables: 1, program: "rx", peer: "xsk_rx", offered: true, sends: false, detail: LOAD },
  {
    name: "zc.tx",
    cables: 1,
    program: "tx",
    peer: "xsk_tx",
    offered: false,
    sends: true,
    detail: `prebuilt frames, ${TAKEN}`,
  },
  {
    name: "zc.forward",
    cables: 2,
    program: "forward",
    peer: "xsk_forward",
    offered: true,
    sends: true,
    detail: `${LOAD}; one umem, in place, ${TAKEN}`,
  },
];

const contest = async (plan: Plan, cables: Cables, pairs: number): Promise<Line[]> => {
  using lab = labOf(cables);
  const half = plan.cables;
  const millrace = await Runner.start(lab, lab.pairs.slice(0, half), plan, side(plan.program));
  const c = await Runner.start(lab, lab.pairs.slice(half), plan, peer(plan.peer));
  console.error(`${plan.name}: warm-up`);
  await millrace.turn(WARMUP_MS);
  return await hold(
    {
      metrics: [{ metric: "pps", name: plan.name, unit: "pps" }],
      conditions: conditions(cables, plan.detail),
      millrace: { name: "millrace", run: () => millrace.turn(MEASURED_MS) },
      peers: [{ name: "c", run: () => c.turn(MEASURED_MS) }],
    },
    pairs,
  );
};

const measure =
  (plan: Plan) =>
  async (pairs: number, all: Cables): Promise<Line[]> => {
    const needed = 2 * plan.cables;
    if (all.length >= needed) return await contest(plan, all.slice(0, needed), pairs);
    console.error(
      `${plan.name} is left out: it takes ${needed} cables between cards of one kind and there are ${all.length}; ` +
        `name them with --cables NAME-NAME,... or ${CABLES_VARIABLE}`,
    );
    return [];
  };

/** The measurements by name. Where too few cables are there, one says so on stderr and gives no line. */
export const ZERO_COPY: Readonly<Record<string, (pairs: number, cables: Cables) => Promise<Line[]>>> =
  Object.fromEntries(PLANS.map((plan) => [plan.name, measure(plan)]));

/**
 * `failover.link` and `failover.silent`: how long a flow of a thousand questions a second is without an answer when the path in
 * use dies, loudly and silently.
 *
 * The peers are what one would do without millrace: a program that binds its socket to the other interface when rtnetlink
 * says that the carrier is gone, and a routing daemon with BFD that changes the kernel's routes.
 */
import { endArguments } from "../../examples/failover/text.ts";
import { type PathSide, TwoPathLab } from "../../examples/two-path-lab.ts";
import { type Contender, hold, type Readings } from "../contest.ts";
import { type Line, median } from "../report.ts";
import { type Daemon, Routing, routingUnavailable } from "../routing.ts";
import { type Actor, peer, PROGRAM_CORE, SENDER_CORE, start } from "../stage.ts";
import { machine, pinning } from "./conditions.ts";

/** The shape of every lab here, in words. */
const LAB = "two paths over a bridge each, all veth";
const BFD = { intervalMs: 10, multiplier: 3 } as const;
/** A path that comes back is used again after so long: soon, so that the next cut finds it in use. */
const VERIFY_MS = 100;
/** A session that is down sends a packet a second (RFC 5880 section 6.8.3), and takes three to be up again. */
const BFD_BACK_MS = 3500;
/** A descheduled program is as silent as a dead path: what else runs on the machine waits. */
const NICE = ["nice", "-n", "-19"] as const;
const WARMUP_MS = 2000;
/** How a reading is taken. */
interface Course {
  /** Cuts of one kind in a lab; a reading is the median of their gaps. */
  readonly cuts: number;
  /** From the cut to the end of its window: longer than any gap that was seen, and no longer, for what else disturbs the flow counts too. */
  readonly afterMs: number;
}
const LINK: Course = { cuts: 5, afterMs: 150 };
/** Daemons take seconds to come back from a cut. */
const SILENT: Course = { cuts: 1, afterMs: 500 };
/** From the beginning of a window to its cut. */
const BEFORE_MS = 50;
/** The flow counts as steady where nothing was lost and no answer came later than this. */
const STEADY_MS = 15;
const STEADY_WINDOW_MS = 300;
const STEADY_LIMIT_MS = 30_000;
const SIDES = { client: "a", host: "b" } as const;
const CORES = { client: SENDER_CORE, host: PROGRAM_CORE } as const;

/** Starts one of the programs, on its core. */
const act = (lab: TwoPathLab, end: PathSide, command: readonly string[]): Promise<Actor> =>
  start(lab.lab, SIDES[end], CORES[end], [...NICE, ...command], "pipe").ready();

const failover = (lab: TwoPathLab, end: PathSide, role: string, more: readonly string[]): string[] => {
  const file = `${import.meta.dir}/../../examples/failover.ts`;
  const verify = ["--verify", String(VERIFY_MS), "--undamped"];
  return [process.execPath, "run", file, role, ...endArguments(lab, end), "--json", ...verify, ...more];
};

const kernelService = (lab: TwoPathLab): Promise<Actor> =>
  act(lab, "host", [...peer("udp_echo_socket"), "lo", "--source", lab.service[4]]);

const kernelAsker = (lab: TwoPathLab, mode: "rebind" | "routed"): Promise<Actor> => {
  const names = lab.paths.map(({ client }) => client.name);
  const where = ["--source", lab.caller[4], "--target", lab.service[4]];
  return act(lab, "client", [...peer("flow_ask"), ...names, ...where, "--mode", mode]);
};

interface Window {
  readonly sent: number;
  readonly answered: number;
  readonly gapMs: number;
}

/** What a flow saw between two moments. */
const windowOf = async (asker: Actor, ms: number, cut?: () => Promise<void>): Promise<Window> => {
  asker.write("begin\n");
  if (cut !== undefined) {
    await Bun.sleep(BEFORE_MS);
    await cut();
  }
  await Bun.sleep(ms);
  asker.write("end\n");
  return JSON.parse(await asker.until((line) => line.startsWith('{"sent"'), STEADY_LIMIT_MS)) as Window;
};

/** Waits until the flow runs smoothly: a cut is to be the only thing that disturbs it. */
const steady = async (asker: Actor): Promise<void> => {
  const limit = performance.now() + STEADY_LIMIT_MS;
  for (;;) {
    const { sent, answered, gapMs } = await windowOf(asker, STEADY_WINDOW_MS);
    // The last question may still be on its way.
    if (answered >= sent - 1 && gapMs < STEADY_MS) return;
    if (performance.now() > limit)
      throw new Error(`the flow is not steady: ${answered} of ${sent} answered, gap ${gapMs} ms`);
  }
};

/** The median gap of some cuts, each after the flow has come to rest on the path that is cut. */
const gapOf = async (
  asker: Actor,
  lab: TwoPathLab,
  { cuts, afterMs }: Course,
  cut: () => Promise<void>,
  settle: () => Promise<void>,
): Promise<number> => {
  const gaps: number[] = [];
  for (let round = 0; round < cuts; round++) {
    await settle();
    await steady(asker);
    const { gapMs } = await windowOf(asker, afterMs, cut);
    gaps.push(gapMs);
    await lab.heal();
  }
  return median(gaps);
};

const linkMillrace = async (): Promise<Readings> => {
  using lab = TwoPathLab.create({ client: "program", host: "kernel" });
  await kernelService(lab);
  const asker = await act(lab, "client", failover(lab, "client", "ask", ["--windows"]));
  await Bun.sleep(WARMUP_MS);
  const back = () => Bun.sleep(2 * VERIFY_MS);
  return { gap: await gapOf(asker, lab, LINK, () => lab.carrier(0, "both", false), back) };
};

const linkKernel = async (): Promise<Readings> => {
  using lab = TwoPathLab.create({ client: "kernel", host: "kernel" });
  await kernelService(lab);
  const asker = await kernelAsker(lab, "rebind");
  await Bun.sleep(WARMUP_MS);
  return {
    gap: await gapOf(
      asker,
      lab,
      LINK,
      () => lab.carrier(0, "both", false),
      async () => {},
    ),
  };
};

const KINDS = { both: "both", request: "to-host", answer: "to-client" } as const;

/** A gap for each kind of silent cut. */
const silentGaps = async (asker: Actor, lab: TwoPathLab, settle: () => Promise<void>): Promise<Readings> => {
  const readings: Record<string, number> = {};
  for (const [kind, direction] of Object.entries(KINDS))
    readings[kind] = await gapOf(asker, lab, SILENT, () => lab.drop(0, direction), settle);
  return readings;
};

const silentMillrace = async (): Promise<Readings> => {
  using lab = TwoPathLab.create({ client: "program", host: "program" });
  const bfd = ["--bfd", `${BFD.intervalMs}x${BFD.multiplier}`];
  const service = act(lab, "host", failover(lab, "host", "serve", bfd));
  const asker = await act(lab, "client", failover(lab, "client", "ask", [...bfd, "--windows"]));
  await service;
  await Bun.sleep(WARMUP_MS);
  return await silentGaps(asker, lab, () => Bun.sleep(BFD_BACK_MS));
};

const silentRouted = (daemon: Daemon) => async (): Promise<Readings> => {
  using lab = TwoPathLab.create({ client: "kernel", host: "kernel", routes: "none" });
  using routing = await Routing.start(lab, daemon, BFD, NICE);
  await kernelService(lab);
  const asker = await kernelAsker(lab, "routed");
  await Bun.sleep(WARMUP_MS);
  return await silentGaps(asker, lab, () => routing.settled());
};

export const measureLink = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "gap", name: "failover.link", unit: "ms" }],
      conditions:
        `${machine()}; longest silence of a flow of 1000 questions a second, median of ${LINK.cuts} cuts, when the carrier of the path ` +
        `in use goes at both ends; ${LAB}; the service is a C program on a kernel socket; millrace: examples/failover.ts ask, ` +
        `c: a program that binds its socket to the other interface when rtnetlink says so; ${pinning}, all at nice ${NICE[2]}`,
      millrace: { name: "millrace", run: linkMillrace },
      peers: [{ name: "c", run: linkKernel }],
    },
    pairs,
  );

const daemons = (): Contender[] =>
  (["frr", "bird"] as const).flatMap((daemon) => {
    const reason = routingUnavailable(daemon);
    if (reason === undefined) return [{ name: daemon, run: silentRouted(daemon) }];
    console.error(`${reason}: no line of failover.silent against it`);
    return [];
  });

export const measureSilent = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [
        { metric: "both", name: "failover.silent", unit: "ms" },
        { metric: "request", name: "failover.silent.request", unit: "ms" },
        { metric: "answer", name: "failover.silent.answer", unit: "ms" },
      ],
      conditions:
        `${machine()}; longest silence of a flow of 1000 questions a second, when nftables in the middle ` +
        `of the path in use loses every frame: both ways, of the questions, of the answers; BFD ${BFD.multiplier} x ` +
        `${BFD.intervalMs} ms at both ends; ${LAB}; millrace: examples/failover.ts serve and ask, frr: kernel sockets and routes, ` +
        `bfdd and bgpd, bird: the same with static routes of BIRD; ${pinning}, all at nice ${NICE[2]}`,
      millrace: { name: "millrace", run: silentMillrace },
      peers: daemons(),
    },
    pairs,
  );

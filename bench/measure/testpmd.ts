/**
 * dpdk-testpmd on its af_xdp driver as one more peer, run in the lab and read through its statistics.
 */
import { Lab, type LabOptions } from "../../examples/lab.ts";
import type { Readings } from "../contest.ts";
import { Actor, PROGRAM_CORE, SENDER_CORE } from "../stage.ts";
import { BURST, MEASURED_S } from "./conditions.ts";

const PROGRAM = "dpdk-testpmd";
/** Its threads choose their cores themselves: the first only prints, the second forwards. */
const CORES = `${SENDER_CORE},${PROGRAM_CORE}`;
/** MiB without huge pages, and the packet buffers that fit there. */
const MEMORY_MIB = 256;
const BUFFERS = 16_384;
/** It prints its statistics once a second. */
const STATISTICS_LIMIT_MS = 15_000;

export const isTestpmdInstalled = (): boolean => Bun.which(PROGRAM) !== null;

const launch = async (lab: Lab, interfaces: readonly string[], mode: string): Promise<Actor> => {
  const devices = interfaces.flatMap((name, i) => [
    "--vdev",
    `net_af_xdp${i},iface=${name},start_queue=0,queue_count=1`,
  ]);
  const memory = [
    "--no-huge",
    "--no-pci",
    "--no-telemetry",
    "-m",
    String(MEMORY_MIB),
    "--file-prefix",
    lab.a.namespace,
  ];
  const forward = [
    `--forward-mode=${mode}`,
    `--burst=${BURST}`,
    "--nb-cores=1",
    `--total-num-mbufs=${BUFFERS}`,
  ];
  const command = [PROGRAM, "-l", CORES, ...memory, ...devices, "--", ...forward, "--stats-period", "1"];
  // A pipe that stays open: it ends when its input does.
  const actor = new Actor(PROGRAM, lab.spawn("b", command, { stdin: "pipe" }));
  await actor.until((line) => line.includes("NIC statistics for port 0"), STATISTICS_LIMIT_MS);
  return actor;
};

export const testpmdSend = (lab: Lab, interfaces: readonly string[]): Promise<Actor> =>
  launch(lab, interfaces, "txonly");
export const testpmdForward = (lab: Lab, interfaces: readonly string[]): Promise<Actor> =>
  launch(lab, interfaces, "io");

const rate = async (actor: Actor): Promise<number> => {
  const line = await actor.until((each) => each.includes("Rx-pps:"), STATISTICS_LIMIT_MS);
  return Number(/Rx-pps:\s+(\d+)/.exec(line)?.[1] ?? NaN);
};

/** It has nothing to warm up, and under this load version 22.11 receives less by the second until it stands still. */
const RECEIVE_WARMUP_S = 1;

/** It counts itself, by the second: the seconds of warm-up and the one in which traffic began do not count. */
export const testpmdReceive = async (
  options: LabOptions,
  generate: (lab: Lab) => Promise<Actor>,
): Promise<Readings> => {
  using lab = Lab.create(options);
  const actor = await launch(lab, [lab.b.name], "rxonly");
  await generate(lab);
  while ((await rate(actor)) === 0);
  for (let second = 0; second < RECEIVE_WARMUP_S; second++) await rate(actor);
  let sum = 0;
  for (let second = 0; second < MEASURED_S; second++) sum += await rate(actor);
  return { pps: sum / MEASURED_S };
};

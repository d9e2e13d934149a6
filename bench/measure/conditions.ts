/**
 * Under which conditions a measurement was taken, in words: a number without them says nothing.
 */
import { cpus, loadavg, release } from "node:os";
import { PROGRAM_CORE, SENDER_CORE } from "../stage.ts";

/**
 * Seconds that every run warms up and then measures, both sides alike. In its first seconds a program under Bun shares
 * its one core with the JIT compiler, which cost it 5 % of `veth.tx` with a warm-up of one second.
 */
export const WARMUP_S = 3;
export const MEASURED_S = 2;
/** Chunks that a program asks for at a time. */
export const BURST = 64;
/** XDP_MAX_TX_SKB_BUDGET: millrace raises it to its tx ring, so the C programs do the same. */
export const TX_BUDGET = 2048;

/** The machine, and how busy it is as the measurement begins: what else runs takes its time from both sides. */
export const machine = (): string => {
  const [cpu] = cpus();
  const [load = 0] = loadavg();
  return `${cpus().length} cores (${cpu?.model.trim() ?? "unknown"}), Linux ${release()}, Bun ${Bun.version}, load average ${load.toFixed(1)} at the start`;
};

export const pinning = `sender on core ${SENDER_CORE}, program under test on core ${PROGRAM_CORE}`;

export const timing = `${WARMUP_S} s warm-up and ${MEASURED_S} s measured from the first frame on, a fresh lab for every run`;

/** The arguments that say the same to C and millrace programs. */
export const timeArguments = (extraSeconds = 0, warmup = WARMUP_S): string[] => [
  "--seconds",
  String(MEASURED_S + extraSeconds),
  "--warmup",
  String(warmup),
];

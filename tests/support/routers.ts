/**
 * radvd as a router's voice in a bed: configured by a file of its own and in the foreground.
 */
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Side } from "./lab.ts";
import type { ServedBed } from "./served-bed.ts";

let started = 0;

/** Starts radvd with these lines of configuration. */
export const radvd = (bed: ServedBed, side: Side, lines: readonly string[]): Promise<Daemon> => {
  const name = `radvd-${started++}`;
  const file = bed.file(`${name}.conf`, `${lines.join("\n")}\n`);
  const words = ["radvd", "-n", "-C", file, "-p", bed.file(`${name}.pid`), "-m", "stderr", "-d", "1"];
  return startDaemon(bed, side, words, (said) => said.includes("version"));
};

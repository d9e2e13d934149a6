/**
 * What a failed world tells: the seed, what was wrong, the last things that happened, and the command that repeats it.
 */
import { type HostsOutcome, simulate } from "./simulate.ts";

const SHOWN_LINES = 60;
const SHOWN_COMPLAINTS = 5;

/** Runs the seed again with the trace on; it goes the same way. */
export const explain = (seed: number): string => {
  const { plan, complaints, lines, ms } = simulate(seed, true);
  const { segments, stations } = plan;
  const where = segments.map(
    ({ net, kind, mtu, served }) => `10.${net}.0.0/24 is a ${kind} of MTU ${mtu}${served ? ", served" : ""}`,
  );
  const who = stations.map(
    (one) =>
      `s${one.index}${one.router ? " (a router)" : ""} on ${one.ports.map((port) => port.address4).join(", ")}`,
  );
  return [
    `seed ${seed} failed after ${ms.toFixed(0)} ms of virtual time: ${where.join("; ")}; ${who.join("; ")}`,
    ...lines.slice(-SHOWN_LINES).map((line) => `  ${line}`),
    ...complaints.slice(0, SHOWN_COMPLAINTS),
    `repeat it: make sim SEEDS=1 SEED=${seed}`,
  ].join("\n");
};

/** What many worlds came to. */
export class Tally {
  seeds = 0;
  frames = 0;
  datagrams = 0;
  collisions = 0;
  readonly failed: number[] = [];

  add({ seed, frames, datagrams, collisions, complaints }: HostsOutcome): void {
    this.seeds += 1;
    this.frames += frames;
    this.datagrams += datagrams;
    this.collisions += collisions;
    if (complaints.length > 0) this.failed.push(seed);
  }

  toString(): string {
    const { seeds, frames, datagrams, collisions, failed } = this;
    return `${seeds} seeds, ${frames} frames, ${datagrams} datagrams, ${collisions} checksum collisions, ${failed.length} failed`;
  }
}

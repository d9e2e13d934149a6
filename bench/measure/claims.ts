/**
 * `steer.claims`: what the steering program costs a packet with few and with many claims; its own peer.
 */
import { Lab } from "../../examples/lab.ts";
import type { Readings } from "../contest.ts";
import { type Line, lineOf } from "../report.ts";
import { PROGRAM_CORE, side, start } from "../stage.ts";
import { machine } from "./conditions.ts";

/** A few seconds at the most; 10 000 claims take one of them to set. */
const LIMIT_S = 10;

const run = async (): Promise<Readings> => {
  using lab = Lab.create({ quiet: true });
  const program = await start(lab, "b", PROGRAM_CORE, side("claims")).ready();
  return await program.result(LIMIT_S);
};

const LINES = [
  { name: "steer.claims", metric: "tenThousand", of: "10 000 claims, each a UDP port at an IPv4 host" },
  { name: "steer.claims.100", metric: "hundred", of: "100 claims, each a UDP port at an IPv4 host" },
  {
    name: "steer.claims.mixed",
    metric: "mixed",
    of: "10 000 claims of all kinds (ports, protocols, source and destination prefixes of 21 lengths, IPv4 and IPv6)",
  },
] as const;

/** Lines for many claims, all against a single claim in the same process. */
export const measureClaims = async (pairs: number): Promise<Line[]> => {
  const readings: Readings[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    console.error(`steer.claims: pair ${pair + 1} of ${pairs}`);
    readings.push(await run());
  }
  const column = (metric: string): number[] => readings.map((each) => each[metric] ?? NaN);
  return LINES.map(({ name, metric, of }) => {
    const conditions =
      `${machine()}; ${of}, of which one matches, against that one alone; BPF_PROG_TEST_RUN over one 60 B UDP frame, ` +
      `all in the caches; core ${PROGRAM_CORE}`;
    return lineOf({ name, unit: "ns/packet", conditions }, column(metric), "1 claim", column("one"));
  });
};

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

/** One line for 10 000 claims and one for 100, both against a single claim in the same process. */
export const measureClaims = async (pairs: number): Promise<Line[]> => {
  const readings: Readings[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    console.error(`steer.claims: pair ${pair + 1} of ${pairs}`);
    readings.push(await run());
  }
  const column = (claims: number): number[] => readings.map((each) => each[`ns${claims}`] ?? NaN);
  const line = (name: string, claims: number): Line =>
    lineOf(
      {
        name,
        unit: "ns/packet",
        conditions:
          `${machine()}; ${claims} claims of all kinds (ports, prefixes of 21 lengths, IPv4 and IPv6), of which one matches, against that one ` +
          `alone; BPF_PROG_TEST_RUN over one 60 B UDP frame, all in the caches; core ${PROGRAM_CORE}`,
      },
      column(claims),
      "1 claim",
      column(1),
    );
  return [line("steer.claims", 10_000), line("steer.claims.100", 100)];
};

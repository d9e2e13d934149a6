/**
 * `host.rx` and `host.rx.flows`: nanoseconds a datagram from a memory device to its handler, for one socket and for many.
 */
import { Lab } from "../../examples/lab.ts";
import { hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { PROGRAM_CORE, side, start } from "../stage.ts";
import { machine, MEASURED_S, timeArguments, WARMUP_S } from "./conditions.ts";

const MANY_FLOWS = 100_000;
/** Opening so many sockets comes before the warm-up. */
const OPENING_S = 10;

const run = async (flows: number): Promise<Readings> => {
  // Nothing is sent; the lab is there because it ends what was started, however this program ends.
  using lab = Lab.create({ quiet: true });
  const command = [...side("host_rx"), "--flows", String(flows), ...timeArguments()];
  const program = await start(lab, "b", PROGRAM_CORE, command).ready();
  return await program.result(OPENING_S + WARMUP_S + MEASURED_S);
};

const conditions =
  `${machine()}; two ends of a memory link over one umem, 60 B frames, both checksums verified, a handler that reads the length; ` +
  `256 datagrams a turn, sent by the same thread, not timed; connected sockets on one port, each with a sender of its own, in an order ` +
  `that has nothing to do with that of the sockets; core ${PROGRAM_CORE}, ${WARMUP_S} s warm-up, ${MEASURED_S} s`;

export const measureHost = async (pairs: number): Promise<Line[]> => {
  const one = { name: "one flow", run: () => run(1) };
  const many = { name: "millrace", run: () => run(MANY_FLOWS) };
  const metric = "nsPerPacket";
  return [
    ...(await hold(
      {
        metrics: [{ metric, name: "host.rx", unit: "ns/datagram" }],
        conditions,
        millrace: { ...one, name: "millrace" },
        peers: [],
      },
      pairs,
    )),
    ...(await hold(
      {
        metrics: [{ metric, name: "host.rx.flows", unit: "ns/datagram" }],
        conditions: `${MANY_FLOWS} flows against one; ${conditions}`,
        millrace: many,
        peers: [one],
      },
      pairs,
    )),
  ];
};

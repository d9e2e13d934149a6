/**
 * `ring.rx`: nanoseconds a packet for rings, handler and recycling, without a kernel.
 */
import { Lab } from "../../examples/lab.ts";
import { hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { peer, PROGRAM_CORE, side, start } from "../stage.ts";
import { BURST, machine, MEASURED_S, timeArguments, WARMUP_S } from "./conditions.ts";

const run = async (command: readonly string[]): Promise<Readings> => {
  // Nothing is sent; the lab is there because it ends what was started, however this program ends.
  using lab = Lab.create({ quiet: true });
  const program = await start(lab, "b", PROGRAM_CORE, [...command, ...timeArguments()]).ready();
  return await program.result(WARMUP_S + MEASURED_S);
};

export const measureRing = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "nsPerPacket", name: "ring.rx", unit: "ns/packet" }],
      conditions:
        `${machine()}; rings of 2048 in plain memory, umem 4096 x 2048 B, burst ${BURST}, 60 B frames, ` +
        `3 header fields read, chunk recycled; the same thread produces 1024 descriptors at a time, not timed; ` +
        `core ${PROGRAM_CORE}, ${WARMUP_S} s warm-up, ${MEASURED_S} s`,
      millrace: { name: "millrace", run: () => run(side("ring_rx")) },
      // The second one does in C what millrace does for safety: so much of the ratio is the language's.
      peers: [
        { name: "c", run: () => run(peer("ring_rx")) },
        { name: "c-checked", run: () => run([...peer("ring_rx"), "--checked"]) },
      ],
    },
    pairs,
  );

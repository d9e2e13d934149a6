/**
 * Asks a name server through a kernel socket and counts the answers: `load.ts ADDRESS PPS`.
 *
 * It knows nothing of millrace: it stands for the resolvers at the other end. Names of the demo zone take turns.
 */
import { UsageError, program, wholeNumber } from "../support/program.ts";

const PORT = 53;
/** Bursts of a millisecond: a socket timer is no finer. */
const BURST_MS = 1;
const MS_PER_S = 1000;
/** A sender that was held up does not send all at once what it missed. */
const MAX_BURST = 1000;
const MAX_PPS = 10_000_000;
const TYPES = { A: 1, CNAME: 5, MX: 15, TXT: 16, AAAA: 28 } as const;
const QUESTIONS: readonly (readonly [string, keyof typeof TYPES])[] = [
  ["www.millrace.test", "A"],
  ["www.millrace.test", "AAAA"],
  ["ftp.millrace.test", "A"],
  ["millrace.test", "MX"],
  ["about.millrace.test", "TXT"],
  ["host1.dyn.millrace.test", "A"],
  ["www.child.millrace.test", "A"],
  ["nothing.millrace.test", "A"],
];

/** A query as bytes: one question, no recursion, number 0. */
const query = (name: string, type: keyof typeof TYPES): Uint8Array => {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  const header = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  return Uint8Array.from([...header, ...labels, 0, 0, TYPES[type], 0, 1]);
};

await program("usage: bun run examples/dns/load.ts ADDRESS PPS", {}, async (_, [to, rate]) => {
  if (to === undefined || rate === undefined) throw new UsageError("an address and a rate are needed");
  const pps = wholeNumber("PPS", rate, 1, MAX_PPS);
  const queries = QUESTIONS.map(([name, type]) => query(name, type));
  const socket = await Bun.udpSocket({
    connect: { hostname: to, port: PORT },
    // Nobody is there yet, or any more: the load goes on.
    socket: { data() {}, error() {} },
  });
  let sent = 0;
  let startedMs = performance.now();
  const burst = setInterval(() => {
    const due = Math.floor(((performance.now() - startedMs) * pps) / MS_PER_S);
    if (due > MAX_BURST) startedMs = performance.now();
    else startedMs += (due * MS_PER_S) / pps;
    for (let left = Math.min(due, MAX_BURST); left > 0; left--, sent++) {
      try {
        socket.send(queries[sent % queries.length]!);
      } catch {
        return;
      }
    }
  }, BURST_MS);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
  });
  clearInterval(burst);
  socket.close();
  return 0;
});

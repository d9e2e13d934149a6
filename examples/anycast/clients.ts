/**
 * The clients of the anycast example: many flows, each a kernel socket with a port of its own, that ask at a steady rate.
 *
 *   bun run examples/anycast/clients.ts ADDRESS[,ADDRESS] PORT FLOWS PER_SECOND
 *
 * Flows go to the addresses in turn. They know nothing of millrace, nor of how many hosts there are: each answer says who gave it. Ten times a second a line of
 * JSON tells how it goes.
 */
import { print, program, UsageError, wholeNumber } from "../support/program.ts";
import { Flow } from "./flow.ts";
import { type ClientReport, MESSAGE_BYTES, type Move, SEQUENCE, SERVED_BY } from "./protocol.ts";

const USAGE = "usage: bun run examples/anycast/clients.ts ADDRESS[,ADDRESS] PORT FLOWS PER_SECOND";
const MAX_PORT = 65_535;
const MAX_FLOWS = 1024;
/** Of one flow. */
const MAX_PER_SECOND = 1000;
const TICK_MS = 2;
const MS_PER_S = 1000;
const REPORT_MS = 100;
/** One that was held up does not send all at once what it missed. */
const MOST_AT_ONCE = 256;

await program(USAGE, {}, async (_, [where, to, count, rate]) => {
  if (where === undefined || to === undefined || count === undefined || rate === undefined)
    throw new UsageError("an address, a port, a number of flows and a rate are needed");
  const port = wholeNumber("PORT", to, 1, MAX_PORT);
  const flows = Array.from(
    { length: wholeNumber("FLOWS", count, 1, MAX_FLOWS) },
    (__, number) => new Flow(number),
  );
  const pps = flows.length * wholeNumber("PER_SECOND", rate, 1, MAX_PER_SECOND);
  let moves: Move[] = [];
  const take = (flow: Flow, data: Buffer): void => {
    if (data.length !== MESSAGE_BYTES) return;
    const move = flow.take(data.readUInt32BE(SEQUENCE), data[SERVED_BY]!, performance.now());
    if (move !== undefined) moves.push(move);
  };
  const addresses = where.split(",");
  const sockets = await Promise.all(
    flows.map((flow) => {
      const hostname = addresses[flow.number % addresses.length]!;
      return Bun.udpSocket({
        // A socket is of one family, that of the address it is bound to.
        hostname: hostname.includes(":") ? "::" : "0.0.0.0",
        connect: { hostname, port },
        // That a router knows no way at the moment is no trouble here: the load goes on.
        socket: { data: (__, data) => take(flow, data as Buffer), error() {} },
      });
    }),
  );

  const message = new DataView(new ArrayBuffer(MESSAGE_BYTES));
  const ask = (n: number): void => {
    const flow = flows[n % flows.length]!;
    message.setUint32(SEQUENCE, flow.sent);
    // Counted before it is known whether the kernel took it: what it refuses is lost to the one who asks.
    flow.sent += 1;
    try {
      sockets[n % flows.length]!.send(message);
    } catch {
      // A refusal of the network that is told late, about one before.
    }
  };
  let asked = 0;
  let startedMs = performance.now();
  const asking = setInterval(() => {
    const due = Math.floor(((performance.now() - startedMs) * pps) / MS_PER_S);
    if (due > MOST_AT_ONCE) startedMs = performance.now();
    else startedMs += (due * MS_PER_S) / pps;
    for (let left = Math.min(due, MOST_AT_ONCE); left > 0; left--) ask(asked++);
  }, TICK_MS);

  const sum = (of: "sent" | "answered" | "lost" | "late" | "duplicates"): number =>
    flows.reduce((so, flow) => so + flow[of], 0);
  const reporting = setInterval(() => {
    const report: ClientReport = {
      sent: sum("sent"),
      answered: sum("answered"),
      lost: sum("lost"),
      late: sum("late"),
      duplicates: sum("duplicates"),
      servers: flows.map(({ server }) => server),
      moves,
    };
    moves = [];
    print(JSON.stringify(report));
  }, REPORT_MS);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
  });
  clearInterval(asking);
  clearInterval(reporting);
  for (const socket of sockets) socket.close();
  return 0;
});

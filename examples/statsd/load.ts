/**
 * Sends StatsD lines through a kernel socket, as a busy web server would: `load.ts ADDRESS PORT LINES_PER_SECOND`.
 */
import { program, UsageError, wholeNumber } from "../support/program.ts";

const MAX_PORT = 65_535;
const MAX_RATE = 1_000_000;
const LINES_PER_DATAGRAM = 10;
const EVERY_MS = 10;
const MS_PER_S = 1000;
const PATHS = ["/", "/cart", "/search"] as const;
const USERS = 500;
const SLOW_MS = 40;

/** Ten lines about one moment. */
const datagram = (n: number): string => {
  const path = PATHS[n % PATHS.length];
  const ms = (1 + SLOW_MS * Math.abs(Math.sin(n))).toFixed(1);
  const lines = [
    `shop.requests:1|c|#path:${path}`,
    `shop.latency:${ms}|ms|#path:${path}`,
    `shop.bytes:${n % 5000}|h|@0.5`,
    `shop.queue:${n % 2 === 0 ? "+1" : "-1"}|g`,
    `shop.users:u${n % USERS}|s`,
  ];
  return Array.from({ length: LINES_PER_DATAGRAM }, (_, i) => lines[i % lines.length]).join("\n");
};

const USAGE = "usage: bun run examples/statsd/load.ts ADDRESS PORT LINES_PER_SECOND";

await program(USAGE, {}, async (_, [hostname, to, rate]) => {
  if (hostname === undefined || to === undefined || rate === undefined)
    throw new UsageError("an address, a port and a rate are needed");
  const port = wholeNumber("PORT", to, 1, MAX_PORT);
  const perSecond = wholeNumber("LINES_PER_SECOND", rate, 1, MAX_RATE);
  const burst = Math.max(1, Math.round((perSecond * EVERY_MS) / MS_PER_S / LINES_PER_DATAGRAM));
  // A refused port is no trouble here: the load goes on.
  const socket = await Bun.udpSocket({ connect: { hostname, port }, socket: { error() {} } });
  let n = 0;
  const timer = setInterval(() => {
    try {
      for (let i = 0; i < burst; i++) socket.send(datagram(n++));
    } catch {
      // Nobody listens yet.
    }
  }, EVERY_MS);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
  });
  clearInterval(timer);
  socket.close();
  return 0;
});

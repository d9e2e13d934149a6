/**
 * Sends numbered datagrams through a kernel socket and counts those that come back: `udp-load.ts ADDRESS PPS [PORT]`.
 *
 * It knows nothing of millrace: it stands for the program at the other end. Five times a second it prints {sent, answered} as
 * JSON, and once more when it ends.
 */
import { program, UsageError, wholeNumber } from "./program.ts";

/** Where the examples listen. */
const PORT = "9000";
const MAX_PORT = 65_535;
const PAYLOAD_BYTES = 64;
/** Bursts of a millisecond: a socket timer is no finer. */
const BURST_MS = 1;
const MS_PER_S = 1000;
const REPORT_MS = 200;
/** More a second than one socket sends on any machine. */
const MAX_PPS = 10_000_000;
/** A sender that was held up goes on at its rate; it does not send all at once what it missed. */
const MAX_BURST = 1000;

const USAGE = "usage: bun run examples/support/udp-load.ts ADDRESS PPS [PORT]";

await program(USAGE, {}, async (_, [to, rate, at = PORT]) => {
  if (to === undefined || rate === undefined) throw new UsageError("an address and a rate are needed");
  const pps = wholeNumber("PPS", rate, 1, MAX_PPS);
  const port = wholeNumber("PORT", at, 1, MAX_PORT);
  let sent = 0;
  let answered = 0;
  const payload = new DataView(new ArrayBuffer(PAYLOAD_BYTES));
  const socket = await Bun.udpSocket({
    connect: { hostname: to, port },
    socket: {
      data(_socket, data) {
        // Only what carries a number that was sent counts as an answer.
        if (data.length === PAYLOAD_BYTES && data.readUInt32BE(0) < sent) answered += 1;
      },
      // A refused port is no trouble here: the load goes on.
      error() {},
    },
  });
  const send = (): boolean => {
    payload.setUint32(0, sent);
    try {
      if (!socket.send(payload)) return false;
    } catch {
      return false;
    }
    sent += 1;
    return true;
  };
  let startedMs = performance.now();
  const burst = setInterval(() => {
    let due = Math.floor(((performance.now() - startedMs) * pps) / MS_PER_S);
    if (due > MAX_BURST) startedMs = performance.now();
    else startedMs += (due * MS_PER_S) / pps;
    for (due = Math.min(due, MAX_BURST); due > 0 && send(); due--);
  }, BURST_MS);
  const print = (): void => console.log(JSON.stringify({ sent, answered }));
  const report = setInterval(print, REPORT_MS);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
  });
  clearInterval(burst);
  clearInterval(report);
  socket.close();
  print();
  return 0;
});

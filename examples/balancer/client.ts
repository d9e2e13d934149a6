/**
 * Clients of the laboratory: kernel sockets that ask a service again and again, and note who answers,
 * `client.ts ADDRESS PORT FLOWS PPS`.
 *
 * Five times a second it prints {sent, answered, moved, byName} as JSON: `moved` counts answers that came from another backend than
 * the answer before in the same flow, `byName` the flows whose last answer came from each backend.
 */
import { program, UsageError, wholeNumber } from "../support/program.ts";

const USAGE = "usage: bun run examples/balancer/client.ts ADDRESS PORT FLOWS PPS";
const MAX_PORT = 65_535;
const MAX_FLOWS = 10_000;
const MAX_PPS = 1_000_000;
const REPORT_MS = 200;
/** Bursts of a millisecond: a timer is no finer. */
const BURST_MS = 1;
const MS_PER_S = 1000;
/** Questions in one burst at most: after a pause the rate goes on, what was missed stays missed. */
const MAX_BURST = 500;

await program(USAGE, {}, async (_, [to, at = "", many = "", rate = ""]) => {
  if (to === undefined) throw new UsageError("an address is needed");
  const port = wholeNumber("PORT", at, 1, MAX_PORT);
  const flows = wholeNumber("FLOWS", many, 1, MAX_FLOWS);
  const pps = wholeNumber("PPS", rate, 1, MAX_PPS);
  let sent = 0;
  let answered = 0;
  let moved = 0;
  const names = Array.from({ length: flows }, () => "");
  const sockets = await Promise.all(
    names.map((_name, i) =>
      Bun.udpSocket({
        hostname: to.includes(":") ? "::" : "0.0.0.0",
        connect: { hostname: to, port },
        socket: {
          data(_socket, data) {
            const name = data.toString("latin1", 0, data.indexOf(" "));
            answered += 1;
            if (names[i] !== "" && names[i] !== name) moved += 1;
            names[i] = name;
          },
          // A refused port is no trouble here: the questions go on.
          error() {},
        },
      }),
    ),
  );
  const ask = (): void => {
    try {
      if (sockets[sent % flows]!.send("question")) sent += 1;
    } catch {
      sent += 1;
    }
  };
  let doneMs = performance.now();
  const burst = setInterval(() => {
    const due = Math.floor(((performance.now() - doneMs) * pps) / MS_PER_S);
    doneMs = due > MAX_BURST ? performance.now() : doneMs + (due * MS_PER_S) / pps;
    for (let i = Math.min(due, MAX_BURST); i > 0; i--) ask();
  }, BURST_MS);
  const print = (): void => {
    const byName: Record<string, number> = {};
    for (const name of names) if (name !== "") byName[name] = (byName[name] ?? 0) + 1;
    console.log(JSON.stringify({ sent, answered, moved, byName }));
  };
  const report = setInterval(print, REPORT_MS);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
  });
  clearInterval(burst);
  clearInterval(report);
  for (const socket of sockets) socket.close();
  print();
  return 0;
});

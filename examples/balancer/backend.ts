/**
 * A backend of the laboratory: kernel sockets that say who they are, `backend.ts NAME PORT ADDRESS...`.
 *
 * It answers each datagram with its name and the datagram, and HTTP on the same port: GET / with its name, GET /bytes/N with so
 * many bytes, POST with its name and how many bytes it got.
 */
import { program, UsageError, wholeNumber } from "../support/program.ts";

const USAGE = "usage: bun run examples/balancer/backend.ts NAME PORT ADDRESS ...";
const MAX_PORT = 65_535;
const MAX_BYTES = 1 << 30;
/** Above what flows send while this process stands still for a moment. */
const IDLE_S = 255;

const answer = (name: string, request: Request): Response | Promise<Response> => {
  const { pathname } = new URL(request.url);
  const bytes = /^\/bytes\/(\d+)$/.exec(pathname)?.[1];
  if (bytes !== undefined) return new Response(new Uint8Array(Math.min(Number(bytes), MAX_BYTES)).fill(7));
  if (request.method !== "POST") return new Response(`${name}\n`);
  return request.bytes().then(({ length }) => new Response(`${name} ${length}\n`));
};

await program(USAGE, {}, async (_, [name, at = "", ...addresses]) => {
  if (name === undefined || addresses.length === 0) throw new UsageError("a name and addresses are needed");
  const port = wholeNumber("PORT", at, 1, MAX_PORT);
  const prefix = Buffer.from(`${name} `);
  for (const hostname of addresses) {
    // One that is bound to an address answers from it; one for all would answer from whichever the route says.
    await Bun.udpSocket({
      hostname,
      port,
      socket: {
        data: (socket, data, fromPort, from) =>
          void socket.send(Buffer.concat([prefix, data]), fromPort, from),
        error: () => {},
      },
    });
    Bun.serve({ hostname, port, idleTimeout: IDLE_S, fetch: (request) => answer(name, request) });
  }
  console.log("ready");
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve());
  });
  return 0;
});

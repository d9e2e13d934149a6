/** A web server whose answer never ends and is known byte by byte: `bun run http-pattern.ts PORT`. */

/** Byte `i` of the answer, for whoever checks it: no period of packets or pages divides this one. */
const PERIOD = 65_521;
const CHUNK_REPEATS = 2;

const pattern = new Uint8Array(PERIOD * CHUNK_REPEATS);
for (let i = 0; i < pattern.length; i++) pattern[i] = (i % PERIOD) % 251;

Bun.serve({
  port: Number(process.argv[2]),
  hostname: "::",
  idleTimeout: 0,
  fetch: () =>
    new Response(
      new ReadableStream({
        // A stream asks for more when its reader has taken what there was.
        pull: (controller) => controller.enqueue(pattern),
      }),
    ),
});
console.log("listening");

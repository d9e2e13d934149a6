/**
 * Answers every datagram with its own payload through Bun.udpSocket: `bun_echo.ts ADDRESS PORT`.
 *
 * Answers are sent many in a call: as `sendMany` takes them, and when nothing more is there to be read. That was the fastest of
 * what was tried here (`send` in the handler, and `sendMany` from a microtask, answered a fifth less).
 */
import { argv } from "node:process";

/** Datagrams in a call, as in the C program. */
const BATCH = 64;
/** Payload, port and address of each. */
const VALUES = 3;

const [hostname = "127.0.0.1", port = "9000"] = argv.slice(2);
let answers: (Buffer | number | string)[] = [];
let awaited = false;

const socket = await Bun.udpSocket({
  hostname,
  port: Number(port),
  socket: {
    data(_, data, fromPort, fromAddress) {
      answers.push(data, fromPort, fromAddress);
      if (answers.length === BATCH * VALUES) flush();
      else if (!awaited) {
        awaited = true;
        setImmediate(flushRest);
      }
    },
  },
});

/** What the kernel has no room for is lost. */
const flush = (): void => {
  const full = answers;
  answers = [];
  socket.sendMany(full);
};

const flushRest = (): void => {
  awaited = false;
  if (answers.length > 0) flush();
};

process.on("SIGTERM", () => process.exit(0));
console.log('{"ready":true}');

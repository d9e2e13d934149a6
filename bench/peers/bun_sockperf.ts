/**
 * Answers sockperf's clients through Bun.udpSocket, each datagram at once: `bun_sockperf.ts ADDRESS PORT`.
 */
import { argv } from "node:process";

/** The low byte of the flags behind sockperf's number, and its bit that says that a client sent the message. */
const FLAGS_LOW_AT = 9;
const FROM_CLIENT = 1;

const [hostname = "127.0.0.1", port = "9000"] = argv.slice(2);
await Bun.udpSocket({
  hostname,
  port: Number(port),
  socket: {
    data(socket, data, fromPort, fromAddress) {
      data[FLAGS_LOW_AT] = data[FLAGS_LOW_AT]! & ~FROM_CLIENT;
      socket.send(data, fromPort, fromAddress);
    },
  },
});
process.on("SIGTERM", () => process.exit(0));
console.log('{"ready":true}');

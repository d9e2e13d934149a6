/**
 * Answers every datagram with its own payload through node:dgram: `node_echo.mjs ADDRESS PORT`. Node and Bun run it.
 */
import { createSocket } from "node:dgram";

/** Room for as many small datagrams as the C program asks for; the kernel gives net.core.rmem_max at the most. */
const BUFFER_BYTES = 4 << 20;

const [hostname = "127.0.0.1", port = "9000"] = process.argv.slice(2);
const socket = createSocket({ type: "udp4", recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
socket.on("message", (data, from) => socket.send(data, from.port, from.address));
// What the kernel has no room for is lost, and the others go on.
socket.on("error", () => {});
socket.bind(Number(port), hostname, () => console.log('{"ready":true}'));
process.on("SIGTERM", () => process.exit(0));

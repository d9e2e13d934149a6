/** A program as it would be written for Bun, but for two lines: it echoes on port 9000 until it is told to end. */
import { udpSocket, use } from "millrace/bun";

/** The interface, and what the program is to do about its life: "held", "loose", or to begin "unnamed". */
const [name, life] = process.argv.slice(2) as [string, string];
if (life !== "unnamed") use(name);

const socket = await udpSocket({
  port: 9000,
  socket: {
    data(self, data, port, address) {
      self.send(data, port, address);
      if (data.toString() === "throw") throw new Error("thrown at a datagram");
      if (data.toString() === "end") self.close();
    },
  },
});
if (life === "loose") {
  socket.unref();
  // Something else keeps the program alive, for as long as its input lasts.
  void Bun.stdin.text();
}
console.log("ready");

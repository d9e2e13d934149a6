/**
 * A program with a host beside the kernel, to be killed: `bun run beside-child.ts INTERFACE NAMESPACE PORT`.
 *
 * It answers on its port, and opens and closes others all the time, so that it dies at any point of that.
 */
import { attach, Host, Loop } from "../../index.ts";

const [name = "", namespace = "", port = ""] = process.argv.slice(2);
const OTHERS = 4;

const loop = new Loop();
const device = attach(name, { namespace, claim: [] });
const host = new Host({ loop });
host.beside(device);
host.udp(Number(port), (datagram) => void datagram.reply());
let round = 0;
loop.every(1, () => {
  round += 1;
  const others = Array.from({ length: OTHERS }, (_, i) => host.udp(20_000 + (round % 1000) + i, () => {}));
  for (const other of others) other.close();
});
console.log("ready");
await loop.run();

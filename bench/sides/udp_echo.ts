/**
 * A host that answers every datagram for its port with its own payload, in the frame that it came in.
 */
import { Host, Loop } from "../../index.ts";
import { attachSide, HOST_ADDRESS, readOptions, ready, UDP_PORT } from "./side.ts";

const options = readOptions();
const loop = new Loop({ mode: "spin", burst: options.burst });
using device = attachSide(options);
const host = new Host({ loop });
host.join(device, { addresses: [HOST_ADDRESS] });
host.udp(UDP_PORT, (datagram) => {
  datagram.reply();
});
loop.signal("SIGTERM", () => loop.stop());
ready();
await loop.run();
loop.close();

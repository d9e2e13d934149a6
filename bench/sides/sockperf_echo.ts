/**
 * A host that answers sockperf's clients: as `udp_echo.ts`, but a server says in the message that it is one.
 */
import { Host, Loop } from "../../index.ts";
import { attachSide, HOST_ADDRESS, readOptions, ready, UDP_PORT } from "./side.ts";

/** sockperf's message begins with a number of 8 bytes and 16 bits of flags, the lowest of which says that a client sent it. */
const FLAGS_AT = 8;
const FROM_CLIENT = 1;

const options = readOptions();
const loop = new Loop({ mode: "spin", burst: options.burst });
using device = attachSide(options);
const host = new Host({ loop });
host.join(device, { addresses: [HOST_ADDRESS] });
host.udp(UDP_PORT, (datagram) => {
  const flagsAt = datagram.at + FLAGS_AT;
  datagram.view.setUint16(flagsAt, datagram.view.getUint16(flagsAt) & ~FROM_CLIENT);
  datagram.reply();
});
loop.signal("SIGTERM", () => loop.stop());
ready();
await loop.run();
loop.close();

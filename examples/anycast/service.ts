/**
 * The service of the anycast example: answers each datagram with the number of its host written into it, in place.
 *
 *   bun run examples/anycast/service.ts IFACE --address A --port P --host N
 *
 * It lives beside the kernel: the interface keeps its addresses, and the kernel its BGP sessions; of all that arrives, what goes
 * to the service's address and port is taken. A line of JSON with each beat of its heart says that the loop turns.
 */
import { attach, Host, Loop } from "millrace";
import { readIpv4 } from "../support/address.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "../support/program.ts";
import { type Beat, SERVED_BY } from "./protocol.ts";

const USAGE = "usage: bun run examples/anycast/service.ts IFACE --address A --port P --host N";
/** Often enough to miss several before anybody notices. */
const BEAT_MS = 50;
const MAX_PORT = 65_535;
const MAX_HOST = 255;

await program(
  USAGE,
  { address: { type: "string" }, port: { type: "string" }, host: { type: "string" } },
  async (values, [name]) => {
    if (name === undefined) throw new UsageError("takes one interface");
    const address = readIpv4("--address", values.address ?? "").toString();
    const port = wholeNumber("--port", values.port ?? "", 1, MAX_PORT);
    const number = wholeNumber("--host", values.host ?? "", 1, MAX_HOST);

    using device = attach(name, { claim: [] });
    using loop = new Loop();
    stopOnSignals(loop);
    stopWhenGone(loop, device);
    using host = new Host({ loop });
    host.beside(device);
    host.addService(address);

    const socket = host.udp({ address, port }, (datagram) => {
      if (datagram.length <= SERVED_BY) return;
      datagram.bytes[datagram.at + SERVED_BY] = number;
      datagram.reply();
    });

    const beat = (): void => {
      const report: Beat = { beat: true, answered: socket.statistics().sent };
      print(JSON.stringify(report));
    };
    loop.every(BEAT_MS, beat);
    await loop.run();
    return device.open ? 0 : 1;
  },
);

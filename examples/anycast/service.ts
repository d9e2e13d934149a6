/**
 * The service of the anycast example: answers each datagram with the number of its host written into it, in place.
 *
 *   bun run examples/anycast/service.ts IFACE --address A ... --port P --host N
 *
 * It lives beside the kernel: the interface keeps its addresses, and the kernel its BGP sessions; of all that arrives, what goes
 * to the service's addresses and port is taken. A line of JSON with each beat of its heart says that the loop turns.
 */
import { attach, type Datagram, Host, Loop } from "millrace";
import { readIp } from "../support/address.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "../support/program.ts";
import { type Beat, SERVED_BY } from "./protocol.ts";

const USAGE = "usage: bun run examples/anycast/service.ts IFACE --address A ... --port P --host N";
/** Often enough to miss several before anybody notices. */
const BEAT_MS = 50;
const MAX_PORT = 65_535;
const MAX_HOST = 255;

await program(
  USAGE,
  {
    address: { type: "string", multiple: true, default: [] as string[] },
    port: { type: "string" },
    host: { type: "string" },
  },
  async (values, [name]) => {
    if (name === undefined) throw new UsageError("takes one interface");
    const addresses = values.address.map((text) => readIp("--address", text).toString());
    const port = wholeNumber("--port", values.port ?? "", 1, MAX_PORT);
    const number = wholeNumber("--host", values.host ?? "", 1, MAX_HOST);

    using device = attach(name, { claim: [] });
    using loop = new Loop();
    stopOnSignals(loop);
    stopWhenGone(loop, device);
    using host = new Host({ loop });
    host.beside(device);
    const answer = (datagram: Datagram): void => {
      if (datagram.length <= SERVED_BY) return;
      datagram.bytes[datagram.at + SERVED_BY] = number;
      datagram.reply();
    };
    const sockets = addresses.map((address) => {
      host.addService(address);
      return host.udp({ address, port }, answer);
    });

    const beat = (): void => {
      const answered = sockets.reduce((sum, socket) => sum + socket.statistics().sent, 0);
      const report: Beat = { beat: true, answered };
      print(JSON.stringify(report));
    };
    loop.every(BEAT_MS, beat);
    await loop.run();
    return device.open ? 0 : 1;
  },
);

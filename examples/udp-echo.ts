/**
 * udp-echo: sends each datagram back to its sender, in the very frame that it came in.
 *
 *   bun run examples/udp-echo.ts [IFACE] [--port P] [--address A/LEN ...] [--gateway G ...] [--json]
 *
 * You should see as many datagrams going out as coming in. It lives beside the kernel: the interface keeps its addresses, and
 * of their traffic one UDP port is taken while this runs; ping, SSH and all else stay the kernel's. With --address it answers
 * at addresses of its own instead, which the kernel does not know. In its own lab a kernel socket sends 10 000 datagrams a
 * second and counts what comes back.
 */
import { Host, Loop } from "millrace";
import { bitRate, grouped, Meter, packetRate } from "./support/meter.ts";
import { claimsOf, joinAt, readOwn } from "./support/own-address.ts";
import { openPlace, PAIR, udpLoad } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/udp-echo.ts [IFACE] [options]
  --port P      UDP port, 9000 unless given
  --address A   an address of its own with its length (10.0.0.9/24), repeatable; the kernel's unless given
  --gateway G   router of such an address, repeatable
  --json        one line of JSON a second`;
const EVERY_MS = 1000;
const MAX_PORT = 65_535;
const LAB_PPS = 10_000;

await program(
  USAGE,
  {
    port: { type: "string", default: "9000" },
    address: { type: "string", multiple: true, default: [] },
    gateway: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
  async (values, interfaces) => {
    const port = wholeNumber("--port", values.port, 1, MAX_PORT);
    const own = values.address.map((text) => readOwn("--address", text).address);
    using place = openPlace(interfaces, PAIR);
    using device = place.attach(place.interfaces[0]!, { claim: claimsOf(own) });
    using loop = new Loop();
    stopOnSignals(loop);
    using host = new Host({ loop });
    joinAt(host, device, values.address, values.gateway);

    const socket = host.udp(port, (datagram) => datagram.reply());

    stopWhenGone(loop, device);
    const totals = () => {
      const { received, receivedBytes, sent } = socket.statistics();
      return { pps: received, backPps: sent, bytes: receivedBytes };
    };
    const meter = new Meter(loop.now, totals());
    loop.every(EVERY_MS, () => {
      const { pps, backPps, bytes } = meter.rates(loop.now, totals());
      const { received, sent, refusedFull } = socket.statistics();
      const { rxDropped, txDropped } = device.statistics();
      const lost = { rxDropped, txDropped, refusedFull, malformed: host.statistics().udp.malformed };
      if (values.json) {
        const record = { pps, backPps, bytesPerSecond: bytes, received, answered: sent };
        print(JSON.stringify({ ...record, ...lost }));
        return;
      }
      print(
        `in ${packetRate(pps).padStart(10)}   back ${packetRate(backPps).padStart(10)}   ${bitRate(bytes).padStart(12)}   ` +
          `${grouped(sent)} of ${grouped(received)} answered, ${rxDropped + txDropped + refusedFull} lost`,
      );
    });
    if (place.lab !== undefined) {
      const to = own[0]?.toString() ?? place.lab.b.ipv4;
      place.lab.spawn("a", udpLoad(to, LAB_PPS, port), { stdout: "ignore", stderr: "ignore" });
    }
    const where = own.length === 0 ? "beside the kernel" : `at ${own.join(", ")}`;
    if (!values.json) print(`echoing UDP port ${port} on ${device.name}, ${where}; Ctrl-C ends`);
    await loop.run();
    return device.open ? 0 : 1;
  },
);

/**
 * reflect: every frame goes back to where it came from, turned around where it lies.
 *
 *   bun run examples/reflect.ts [IFACE] [--json] [--claim C ...]
 *
 * You should see as many packets going out as coming in. MAC addresses change places, and so do IP addresses and ports; the
 * checksums stay right under that. ARP and neighbour discovery go on to the kernel, so that others find this host. In its own
 * lab, `generate` sends 50 000 datagrams a second at the other end and counts what comes back.
 */
import { Loop } from "millrace";
import { completeChecksum } from "./support/checksum.ts";
import { CLAIM_USAGE, readClaims } from "./support/claims.ts";
import { bitRate, grouped, Meter, packetRate } from "./support/meter.ts";
import { Layers } from "./support/layers.ts";
import { example, openPlace, PAIR } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone } from "./support/program.ts";
import { reverse } from "./support/reverse.ts";

const USAGE = `usage: bun run examples/reflect.ts [IFACE] [options]
  --json        one line of JSON a second
${CLAIM_USAGE}`;
const EVERY_MS = 1000;
const LAB_PPS = "50000";

await program(
  USAGE,
  { json: { type: "boolean", default: false }, claim: { type: "string", multiple: true } },
  async (values, interfaces) => {
    const claim = readClaims(values.claim);
    using place = openPlace(interfaces, PAIR);
    using device = place.attach(place.interfaces[0]!, { claim });
    using loop = new Loop();
    stopOnSignals(loop);
    const layers = new Layers();
    loop.receive(device, (frame) => {
      const { view, at } = frame;
      layers.read(view, at, frame.head);
      if (layers.findsNeighbours(view)) {
        frame.pass();
        return;
      }
      completeChecksum(frame, layers);
      reverse(view, at, layers);
      frame.send();
    });
    stopWhenGone(loop, device);
    const totals = () => {
      const { rxPackets, rxBytes, txPackets } = device.statistics();
      return { pps: rxPackets, backPps: txPackets, bytes: rxBytes };
    };
    const meter = new Meter(loop.now, totals());
    loop.every(EVERY_MS, () => {
      const { pps, backPps, bytes } = meter.rates(loop.now, totals());
      const { rxPackets, txPackets, rxDropped, txFull, txDropped } = device.statistics();
      const lost = { rxDropped, txFull, txDropped };
      if (values.json) {
        const record = { pps, backPps, bytesPerSecond: bytes, packets: rxPackets, reflected: txPackets };
        print(JSON.stringify({ ...record, ...lost }));
        return;
      }
      print(
        `in ${packetRate(pps).padStart(10)}   back ${packetRate(backPps).padStart(10)}   ${bitRate(bytes).padStart(12)}   ` +
          `${grouped(txPackets)} of ${grouped(rxPackets)} reflected, ${rxDropped + txFull + txDropped} lost`,
      );
    });
    if (place.lab !== undefined) {
      const { lab } = place;
      const command = example("generate", lab.a.name, "--rate", LAB_PPS, "--to", lab.b.ipv4, "--answers");
      lab.spawn("a", command, { stdout: "ignore", stderr: "inherit" });
    }
    if (!values.json) print(`reflecting on ${device.name}; Ctrl-C ends`);
    await loop.run();
    return device.open ? 0 : 1;
  },
);

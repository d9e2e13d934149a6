/**
 * A balancer between two devices over one umem: datagrams to a virtual address on the first go to backends behind the second, in
 * the chunks that they came in. `--tunnel` sends them in other packets instead of under another Ethernet header.
 */
import { Balancer, Host, Loop, Umem } from "../../index.ts";
import {
  ATTACH,
  attachSide,
  CHUNKS,
  LOOK_EVERY_MS,
  readOptions,
  ready,
  result,
  UDP_PORT,
  Window,
} from "./side.ts";

/** Of the first network of the lab; its kernel does not know it. */
const VIP = "10.77.0.100";
const OWN = ["10.77.0.200/24", "10.77.1.200/24"] as const;
/** Nobody has these: whoever counts takes what comes. */
const BACKENDS = [1, 2, 3].map((i) => ({ address: `10.77.1.1${i}`, mac: `02:00:00:00:01:1${i}` }));

const mode = process.argv.includes("--tunnel") ? "tunnel" : "direct";
process.argv = process.argv.filter((word) => word !== "--tunnel");
const options = readOptions();
const { chunks: _, chunkBytes, ...shared } = ATTACH;
using umem = new Umem({ chunks: CHUNKS, chunkBytes });
using first = attachSide(options, 0, { ...shared, umem });
using second = attachSide(options, 1, { ...shared, umem });
const loop = new Loop({ mode: "spin", burst: options.burst });
const window = new Window(options);
using host = new Host({ loop });
for (const [i, device] of [first, second].entries())
  host.join(device, { addresses: [OWN[i]!], linkLocal: false });
host.addService(VIP, { dad: false });
using balancer = new Balancer(host);
const service = balancer.service({ address: VIP, protocol: "udp", port: UDP_PORT, mode });
for (const backend of BACKENDS) service.add(backend);
loop.every(LOOK_EVERY_MS, () => {
  if (!window.step(service.packets)) loop.stop();
});
loop.signal("SIGTERM", () => loop.stop());
ready();
await loop.run();
const { forwarded, full } = balancer.statistics();
result("balance", { packets: window.packets, pps: window.pps, forwarded, full });
loop.close();

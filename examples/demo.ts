/**
 * demo: ten seconds of real traffic between two namespaces, watched live. `make demo` runs it.
 *
 *   bun run examples/demo.ts [--seconds N] [--rate PPS]
 *
 * You should see two pings answered: one by the kernel, which keeps its address because only what is claimed leaves it, and
 * one by this program, for an address that the kernel does not know. Beside them a kernel socket and `generate` send UDP that
 * comes back from here, each frame turned around where the kernel put it. At the end there is a summary, and nothing is left
 * of it all. The exit code is 0 if every one of the four got answers.
 */
import { attach, Loop, MacAddress, type XdpDevice } from "millrace";
import { Lab } from "./lab.ts";
import { DemoView } from "./support/demo-view.ts";
import { generateLoad, type Load, pingLoad, socketLoad } from "./support/load.ts";
import { Layers } from "./support/layers.ts";
import { Panel } from "./support/panel.ts";
import { program, wholeNumber } from "./support/program.ts";
import { respond } from "./support/responder.ts";

const USAGE = `usage: bun run examples/demo.ts [options]
  --seconds N   how long, 10 unless given
  --rate PPS    packets a second from generate, 50000 unless given: two cores share five programs`;
const MS_PER_S = 1000;
const MAX_SECONDS = 3600;
const MAX_RATE = 10_000_000;
const PING_INTERVAL_S = 0.1;
const SOCKET_PPS = 10_000;
/** Claimed beside the kernel, on the kernel's own address. */
const SOCKET_PORT = 9000;
const GENERATE_PORT = 9001;
/** An address that no kernel has: all of it is ours. */
const OWN_ADDRESS = "10.77.0.200";
/** Redrawing five times a second is smooth, and costs nothing. */
const DRAW_EVERY_MS = 200;
/**
 * Five programs share what may be two cores: at 60 000 packets a second this holds what arrives while another has ours for
 * over 100 ms.
 */
const RING = 8192;
const rings = { rx: RING, tx: RING, fill: RING, completion: RING };
const chunks = 2 * RING;
/** Programs that do not start within this are reported by what they did not do. */
const START_LIMIT_MS = 5000;

const claim = [
  { udp: SOCKET_PORT },
  { destination: OWN_ADDRESS },
  { arp: true, destination: OWN_ADDRESS },
] as const;

/** The four that ask, in the order in which they are shown. */
const startLoads = (lab: Lab, pps: number): ReadonlyMap<string, Load> =>
  new Map([
    [`ping ${lab.b.ipv4}, the kernel beside us`, pingLoad(lab, lab.b.ipv4, PING_INTERVAL_S)],
    [`ping ${OWN_ADDRESS}, this program`, pingLoad(lab, OWN_ADDRESS, PING_INTERVAL_S)],
    [`kernel socket to UDP ${SOCKET_PORT}`, socketLoad(lab, lab.b.ipv4, SOCKET_PPS)],
    [`generate to ${OWN_ADDRESS}`, generateLoad(lab, OWN_ADDRESS, GENERATE_PORT, pps)],
  ]);

/** Runs until the time is up or somebody ends it, then lets the loads end in their own way. */
const watch = async (
  loop: Loop,
  device: XdpDevice,
  loads: ReadonlyMap<string, Load>,
  seconds: number,
  view: DemoView,
) => {
  const all = [...loads.values()];
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    for (const load of all) load.stop();
    void Promise.all(all.map((load) => load.ended)).then(() => loop.stop());
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) loop.signal(name, end);
  loop.link(device, (event) => {
    if (event.kind === "gone") end();
  });
  loop.after(START_LIMIT_MS + seconds * MS_PER_S, end);
  let startedMs = Infinity;
  loop.every(DRAW_EVERY_MS, () => {
    if (startedMs === Infinity && all.every((load) => load.progress.answered > 0)) startedMs = loop.now;
    if (!ending) view.draw(loop.now, Math.max(0, loop.now - startedMs));
    if (loop.now - startedMs >= seconds * MS_PER_S) end();
  });
  await loop.run();
};

await program(
  USAGE,
  { seconds: { type: "string", default: "10" }, rate: { type: "string", default: "50000" } },
  async (values) => {
    const seconds = wholeNumber("--seconds", values.seconds, 1, MAX_SECONDS);
    const rate = wholeNumber("--rate", values.rate, 1, MAX_RATE);
    using loop = new Loop();
    // Whole checksums: turned around, a frame keeps the one it came with.
    using lab = Lab.create({ offloads: false });
    using device = attach(lab.b.name, { namespace: lab.b.namespace, claim, rings, chunks });
    const layers = new Layers();
    const mac = MacAddress.fromBytes(device.mac);
    loop.receive(device, (frame) => void respond(frame, layers, mac));
    const loads = startLoads(lab, rate);
    using panel = new Panel();
    const view = new DemoView(device, loads, seconds, panel, loop.now);
    await watch(loop, device, loads, seconds, view);
    const good = view.summary();
    device.close();
    lab.close();
    console.log(`  Torn down: no program, no namespace and no process is left.`);
    return good ? 0 : 1;
  },
);

/**
 * balancer: spreads the packets for a virtual address over several servers, which answer their clients themselves.
 *
 *   bun run examples/balancer.ts [IFACE ...] --address A/LEN --vip VIP --service tcp/80 --backend B [--backend B ...]
 *
 * A packet goes on in the frame that it came in: to the server's Ethernet address (direct server return), or in another packet to
 * its own address (--mode tunnel, IP in IP). In the first case servers are on a link of the balancer's and have the virtual address
 * on their loopback, silently (on Linux: arp_ignore 1, arp_announce 2); in the second they take it out of the tunnel. Which server
 * a flow gets is a matter of Maglev hashing, and a flow keeps its server while that lives, whoever comes and goes. Servers are
 * given one by one, or as lines of a file that is read again when it changes:
 *
 *   10.0.0.11 weight=2      # twice the flows of the others
 *   10.0.0.12 drain         # no new ones
 *   10.0.0.13 mac=02:00:00:00:00:0d
 *
 * In its own lab there are three servers and a hundred flows; you should see each server get its third, and the flows of one
 * that you take from the file stay until they end. Addresses and virtual addresses are the balancer's own: the kernel of the
 * interface, which goes on beside, does not know them.
 */
import { readFileSync, statSync } from "node:fs";
import {
  attach,
  Balancer,
  type BalancedService,
  EchoProbe,
  Host,
  Loop,
  type Probe,
  UdpProbe,
  type XdpDevice,
} from "millrace";
import { demonstrate } from "./balancer/demonstrate.ts";
import { Pool } from "./balancer/pool.ts";
import { backendLines, type Seen, summaryLine, type Told } from "./balancer/view.ts";
import { TcpProbe } from "./balancer/tcp-probe.ts";
import {
  readBackend,
  readBackends,
  readCheck,
  readService,
  type Wanted,
  type WantedCheck,
} from "./balancer/words.ts";
import { readIp } from "./support/address.ts";
import { Meter } from "./support/meter.ts";
import { claimsOf, readOwn } from "./support/own-address.ts";
import { Panel } from "./support/panel.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/balancer.ts [IFACE ...] [options]
  --address A     an address of its own with its length (10.0.0.2/24), repeatable
  --gateway G     router of such an address, repeatable
  --vip V         a virtual address, repeatable
  --service S     udp/PORT or tcp/PORT of the virtual addresses, repeatable
  --backend B     a server: ADDRESS, and behind it weight=N, mac=M, drain, apart by commas; repeatable
  --backends FILE the same, a line each, apart by spaces; read again when it changes
  --mode M        direct or tunnel, direct unless given
  --check C       how to see that a server lives: ping, udp/PORT, tcp/PORT (through the kernel) or none; ping unless given
  --question TEXT what udp/PORT is asked, "?" unless given
  --interval MS   from one check to the next, 1000 unless given
  --idle S        seconds without a packet after which a flow is over
  --seed N        the same on balancers that are to agree about flows
  --json          one line of JSON a second`;
const EVERY_MS = 1000;
const LOOK_MS = 250;
const MIN_INTERVAL_MS = 10;
const MAX_INTERVAL_MS = 3_600_000;
const MAX_IDLE_S = 86_400;
const MAX_SEED = 0xffff_ffff;
const OPTIONS = {
  address: { type: "string", multiple: true, default: [] as string[] },
  gateway: { type: "string", multiple: true, default: [] as string[] },
  vip: { type: "string", multiple: true, default: [] as string[] },
  service: { type: "string", multiple: true, default: [] as string[] },
  backend: { type: "string", multiple: true, default: [] as string[] },
  backends: { type: "string" },
  mode: { type: "string", default: "direct" },
  check: { type: "string", default: "ping" },
  question: { type: "string", default: "?" },
  interval: { type: "string", default: "1000" },
  idle: { type: "string" },
  seed: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** Makes what asks a backend whether it lives. */
const probes = (
  host: Host,
  check: WantedCheck,
  question: string,
): ((address: string) => Probe) | undefined => {
  const asked = new TextEncoder().encode(question);
  if (check.kind === "none") return undefined;
  if (check.kind === "tcp") return (address) => new TcpProbe(address, check.port);
  if (check.kind === "ping") return (address) => new EchoProbe(host, readIp("--backend", address));
  return (address) => new UdpProbe(host, readIp("--backend", address), check.port, asked);
};

/** Reads the file of backends now, and again whenever it has changed. What is wrong with it then is told; what was stays. */
const follow = (loop: Loop, file: string, changed: (list: readonly Wanted[]) => void): void => {
  const version = (): string => {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  };
  let seen = version();
  changed(readBackends(readFileSync(file, "utf8")));
  loop.every(LOOK_MS, () => {
    try {
      const now = version();
      if (now === seen) return;
      seen = now;
      changed(readBackends(readFileSync(file, "utf8")));
    } catch (error) {
      console.error(`millrace: ${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
};

/** What is told once a second. */
class Teller {
  readonly #pool: Pool;
  readonly #statistics: () => Told;
  readonly #meter: Meter<"pps">;
  readonly #meters = new Map<string, Meter<"packets">>();

  constructor(nowMs: number, pool: Pool, statistics: () => Told) {
    this.#pool = pool;
    this.#statistics = statistics;
    this.#meter = new Meter(nowMs, { pps: 0 });
  }

  tell(nowMs: number, json: boolean, panel: Panel): void {
    const now = this.#statistics();
    const { pps } = this.#meter.rates(nowMs, { pps: now.forwarded });
    const backends = this.#pool.report().map((report): Seen => {
      const { address, packets } = report;
      const meter = this.#meters.get(address) ?? new Meter(nowMs - EVERY_MS, { packets: 0 });
      this.#meters.set(address, meter);
      return { ...report, pps: meter.rates(nowMs, { packets }).packets };
    });
    if (json) print(JSON.stringify({ pps, ...now, backends }));
    else if (panel.live) panel.draw([summaryLine(pps, now), ...backendLines(backends)]);
    else for (const line of [summaryLine(pps, now), ...backendLines(backends)]) print(line);
  }
}

await program(USAGE, OPTIONS, async (given, interfaces) => {
  using place = interfaces.length === 0 ? demonstrate(given) : undefined;
  const values = place === undefined ? given : { ...given, ...place.values };
  if (values.mode !== "direct" && values.mode !== "tunnel")
    throw new UsageError(`--mode is direct or tunnel, not ${JSON.stringify(values.mode)}`);
  for (const name of ["address", "vip", "service"] as const)
    if (values[name].length === 0) throw new UsageError(`--${name} is needed`);
  const own = values.address.map((text) => readOwn("--address", text).address);
  const vips = values.vip.map((text) => readIp("--vip", text));
  const wantedServices = values.service.map(readService);
  const intervalMs = wholeNumber("--interval", values.interval, MIN_INTERVAL_MS, MAX_INTERVAL_MS);
  const idle =
    values.idle === undefined ? {} : { idleSeconds: wholeNumber("--idle", values.idle, 1, MAX_IDLE_S) };
  const seed = values.seed === undefined ? {} : { seed: wholeNumber("--seed", values.seed, 0, MAX_SEED) };
  const check = readCheck(values.check);
  const { mode } = values;

  using loop = new Loop();
  stopOnSignals(loop);
  using devices = new DisposableStack();
  using host = new Host({ loop });
  const claim = claimsOf([...own, ...vips]);
  const opened = (place?.interfaces ?? interfaces).map((name): XdpDevice => {
    const device = devices.use(place?.attach(name, { claim }) ?? attach(name, { claim }));
    stopWhenGone(loop, device);
    host.join(device, { addresses: values.address, gateway: values.gateway, linkLocal: false });
    return device;
  });
  for (const vip of vips) host.addService(vip, { dad: false });
  using balancer = new Balancer(host, seed);
  const services = vips.flatMap((address): BalancedService[] =>
    wantedServices.map((service) => balancer.service({ ...service, ...idle, address, mode })),
  );
  using panel = new Panel();
  using pool = new Pool(loop, services, {
    intervalMs,
    probe: probes(host, check, values.question),
    changed: (address, healthy) => {
      if (!values.json && !panel.live) print(`${address} is ${healthy ? "up" : "down"}`);
    },
  });
  const fixed = values.backend.map(readBackend);
  if (values.backends === undefined) pool.set(fixed);
  else follow(loop, values.backends, (list) => pool.set([...fixed, ...list]));
  loop.every(LOOK_MS, () => pool.tidy());
  const teller = new Teller(loop.now, pool, () => ({
    ...balancer.statistics(),
    moved: services.reduce((sum, { moved }) => sum + moved, 0),
  }));
  loop.every(EVERY_MS, () => teller.tell(loop.now, values.json, panel));
  if (!values.json) print(`balancing ${values.service.join(", ")} of ${vips.join(", ")}; Ctrl-C ends`);
  place?.begin();
  await loop.run();
  return opened.every(({ open }) => open) ? 0 : 1;
});

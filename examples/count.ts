/**
 * count: who talks on an interface, and in which protocols.
 *
 *   bun run examples/count.ts [IFACE] [--json] [--top N] [--take] [--claim C ...]
 *
 * You should see, once a second, packets and bits per second, their share by protocol, and the busiest source addresses. In
 * its own lab that is a kernel that pings over IPv4 and IPv6 and sends 10 000 datagrams a second. Each frame is read where
 * the kernel put it and then given back to the kernel's stack, so that whoever is being talked to still answers; that costs
 * a system call a frame. With --take it is counted and dropped, which is far faster.
 */
import { type Frame, Loop } from "millrace";
import { ETHERTYPE, PROTOCOL } from "millrace/wire";
import { CLAIM_USAGE, readClaims } from "./support/claims.ts";
import { completeChecksum } from "./support/checksum.ts";
import { bitRate, grouped, Meter, packetRate } from "./support/meter.ts";
import { Layers } from "./support/layers.ts";
import { makeTraffic, openPlace, PAIR } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, wholeNumber } from "./support/program.ts";
import { Talkers } from "./support/talkers.ts";

const USAGE = `usage: bun run examples/count.ts [IFACE] [options]
  --json        one line of JSON a second
  --top N       talkers to show, 5 unless given
  --take        drop what was counted instead of giving it back to the kernel
${CLAIM_USAGE}`;
const MAX_TOP = 100;
const EVERY_MS = 1000;

const KINDS = ["icmp", "tcp", "udp", "icmp6", "sctp", "arp", "other"] as const;
type Kind = (typeof KINDS)[number];
const KIND_OF = new Map<number, Kind>([
  [PROTOCOL.ICMP, "icmp"],
  [PROTOCOL.TCP, "tcp"],
  [PROTOCOL.UDP, "udp"],
  [PROTOCOL.ICMPV6, "icmp6"],
  [PROTOCOL.SCTP, "sctp"],
]);

/** Counters of everything seen. */
class Census {
  readonly layers = new Layers();
  readonly talkers = new Talkers();
  readonly protocols: Record<Kind, number> = { icmp: 0, tcp: 0, udp: 0, icmp6: 0, sctp: 0, arp: 0, other: 0 };
  packets = 0;
  bytes = 0;

  /** The one function that runs per packet. */
  add(frame: Frame): void {
    const { view, at, length } = frame;
    const layers = this.layers.read(view, at, frame.head);
    const kind = layers.ethertype === ETHERTYPE.ARP ? "arp" : (KIND_OF.get(layers.protocol) ?? "other");
    this.protocols[kind] += 1;
    this.packets += 1;
    this.bytes += length;
    this.talkers.add(view, at, length, layers);
  }
}

await program(
  USAGE,
  {
    json: { type: "boolean", default: false },
    top: { type: "string", default: "5" },
    take: { type: "boolean", default: false },
    claim: { type: "string", multiple: true },
  },
  async (values, interfaces) => {
    const top = wholeNumber("--top", values.top, 0, MAX_TOP);
    const claim = readClaims(values.claim);
    using place = openPlace(interfaces, PAIR);
    using device = place.attach(place.interfaces[0]!, { claim });
    using loop = new Loop();
    stopOnSignals(loop);
    const census = new Census();
    loop.receive(device, (frame) => {
      census.add(frame);
      if (values.take) return;
      // The kernel checks what it gets back like a stranger's frame.
      completeChecksum(frame, census.layers);
      frame.pass();
    });
    stopWhenGone(loop, device);
    const totals = () => ({ pps: census.packets, bytes: census.bytes });
    const meter = new Meter(loop.now, totals());
    loop.every(EVERY_MS, () => {
      const rates = meter.rates(loop.now, totals());
      const { packets, bytes, protocols, talkers } = census;
      const dropped = device.statistics().rxDropped;
      if (values.json) {
        const record = { pps: rates.pps, bytesPerSecond: rates.bytes, packets, bytes, dropped, protocols };
        print(JSON.stringify({ ...record, sources: talkers.count, talkers: talkers.top(top) }));
        return;
      }
      const shares = KINDS.filter((kind) => protocols[kind] > 0)
        .map((kind) => `${kind} ${grouped(protocols[kind])}`)
        .join("  ");
      print(
        `${packetRate(rates.pps).padStart(10)}  ${bitRate(rates.bytes).padStart(12)}  ${shares}  dropped ${dropped}`,
      );
      for (const talker of talkers.top(top)) {
        print(`            ${talker.address.padEnd(24)} ${grouped(talker.packets).padStart(12)} packets`);
      }
    });
    if (place.lab !== undefined) makeTraffic(place.lab);
    if (!values.json) print(`counting on ${device.name}; Ctrl-C ends`);
    await loop.run();
    return device.open ? 0 : 1;
  },
);

/**
 * router: forwards IPv4 and IPv6 between networks, each packet in the frame that it came in.
 *
 *   bun run examples/router.ts [IFACE IFACE ... --address A/LEN[,A/LEN] ...] [--route PREFIX=GATEWAY ...] [--json]
 *
 * You should see packets per second and what each interface has received, forwarded and refused. The devices share one umem, so
 * that forwarding is a smaller TTL, a new Ethernet header, and a frame number handed to another ring. Routes, ARP, neighbour
 * discovery, ICMP errors and fragments are the host's. All that arrives on these interfaces is the router's, so their kernel
 * hears nothing. Checksums that a local kernel left to its device are completed on the way; TCP comes in packets of the MTU,
 * since a veth whose peer has a native program takes no longer ones from its kernel. In its own lab it joins two namespaces,
 * of which one pings the other and sends it 10 000 datagrams a second.
 */
import { Host, type Interface, Loop, Umem, type XdpDevice } from "millrace";
import { readIp, readPrefix } from "./support/address.ts";
import { bitRate, grouped, Meter, packetRate } from "./support/meter.ts";
import { readOwn } from "./support/own-address.ts";
import { makeTraffic, openPlace, type Place, ROUTED } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/router.ts [IFACE IFACE ...] [options]
  --address A     of the next interface: one or more addresses with their length (10.0.0.1/24,2001:db8::1/64)
  --route P=G     a network and the router to it (10.9.0.0/16=10.0.0.7), repeatable
  --chunks N      frames of 2048 bytes that all share, 4096 for each interface unless given
  --json          one line of JSON a second`;
const EVERY_MS = 1000;
const MAX_INTERFACES = 16;
/** A fill ring of 2048, and as many frames on their way out. */
const CHUNKS_EACH = 4096;
const MIN_CHUNKS = 64;
/** 2 GiB of 2048 bytes, what one umem can hold. */
const MAX_CHUNKS = 1_048_576;
/** Prefixes of a lab's networks. */
const LAB_BITS = { ipv4: 24, ipv6: 64 } as const;

/** The addresses of each interface, in their order. */
const addressesOf = ({ lab, interfaces }: Place, words: readonly string[]): string[][] => {
  if (lab !== undefined && words.length === 0)
    return [lab.a, lab.b].map(({ gateways }) =>
      gateways.map((address) => `${address}/${address.includes(":") ? LAB_BITS.ipv6 : LAB_BITS.ipv4}`),
    );
  if (words.length !== interfaces.length)
    throw new UsageError(
      `one --address for each interface is needed: ${interfaces.length}, not ${words.length}`,
    );
  const lists = words.map((word) => word.split(","));
  for (const address of lists.flat()) readOwn("--address", address);
  return lists;
};

/** Adds "PREFIX=GATEWAY" by way of the interface whose network the gateway is in. */
const addRoute = (host: Host, text: string): void => {
  const [network = "", through = ""] = text.split("=", 2);
  const prefix = readPrefix(`--route ${text}: the network`, network);
  const gateway = readIp(`--route ${text}: the gateway`, through);
  const by = host.interfaces.find((one) =>
    [...one.addresses.values()].some((entry) => entry.prefix.contains(gateway)),
  );
  if (by === undefined) throw new UsageError(`--route ${text}: no interface is in the network of ${gateway}`);
  host.addRoute({ prefix, gateway, interface: by.index, kind: "unicast", metric: 0 });
};

/** What an interface has done so far. */
const record = ({ name, link: { counters }, link }: Interface) => {
  const { received, receivedBytes, forwarded, forwardRefused, unresolved, malformed } = counters;
  const { rxDropped, txDropped, txFull } = (link.device as XdpDevice).statistics();
  const refused = forwardRefused + unresolved + malformed;
  return { name, received, receivedBytes, forwarded, refused, dropped: rxDropped + txDropped + txFull };
};

await program(
  USAGE,
  {
    address: { type: "string", multiple: true, default: [] },
    route: { type: "string", multiple: true, default: [] },
    chunks: { type: "string" },
    json: { type: "boolean", default: false },
  },
  async (values, given) => {
    using place = openPlace(given, ROUTED, 2, MAX_INTERFACES);
    const wanted = values.chunks ?? String(CHUNKS_EACH * place.interfaces.length);
    const chunks = wholeNumber("--chunks", wanted, MIN_CHUNKS, MAX_CHUNKS);
    const addresses = addressesOf(place, values.address);
    using umem = new Umem({ chunks });
    using devices = new DisposableStack();
    using loop = new Loop();
    stopOnSignals(loop);
    using host = new Host({ loop, forwarding: true });
    const opened = place.interfaces.map((name) => devices.use(place.attach(name, { umem })));
    for (const [i, device] of opened.entries()) {
      stopWhenGone(loop, device);
      // In a lab of its own nobody else can have them.
      host.join(device, { addresses: addresses[i]!, ...(place.lab === undefined ? {} : { dad: false }) });
    }
    for (const route of values.route) addRoute(host, route);

    const totals = () => {
      const all = host.interfaces.map(record);
      const sum = (key: "forwarded" | "receivedBytes"): number => all.reduce((so, one) => so + one[key], 0);
      return { pps: sum("forwarded"), bytes: sum("receivedBytes") };
    };
    const meter = new Meter(loop.now, totals());
    loop.every(EVERY_MS, () => {
      const now = totals();
      const { pps, bytes } = meter.rates(loop.now, now);
      const { icmp4, icmp6 } = host.statistics();
      const icmpErrors = icmp4.errorsSent + icmp6.errorsSent;
      const interfaces = host.interfaces.map(record);
      if (values.json) {
        print(JSON.stringify({ pps, bytesPerSecond: bytes, forwarded: now.pps, icmpErrors, interfaces }));
        return;
      }
      print(
        `${packetRate(pps).padStart(10)}   ${bitRate(bytes).padStart(12)}   ${grouped(now.pps)} forwarded, ${icmpErrors} ICMP errors`,
      );
      for (const { name, received, forwarded, refused, dropped } of interfaces)
        print(
          `            ${name.padEnd(12)} in ${grouped(received)}, out ${grouped(forwarded)}, refused ${refused}, dropped ${dropped}`,
        );
    });
    if (place.lab !== undefined) makeTraffic(place.lab);
    if (!values.json)
      print(`routing between ${host.interfaces.map(({ name }) => name).join(", ")}; Ctrl-C ends`);
    await loop.run();
    return opened.every(({ open }) => open) ? 0 : 1;
  },
);

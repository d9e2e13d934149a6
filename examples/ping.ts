/**
 * ping: a host of its own that pings, and answers who pings it.
 *
 *   bun run examples/ping.ts IFACE --to ADDRESS --address A/LEN [--gateway G] [--count N] [--interval MS] [--size B] ...
 *   bun run examples/ping.ts IFACE --respond --address A/LEN ...
 *
 * You should see a line for each answer with its round trip, also one for each ICMP error, once a second who has asked here,
 * and at the end the loss and the round trips' min/avg/max/mdev. The address is no kernel's: ARP, neighbour discovery, ICMP and
 * fragments are all this program's, and all other traffic of the interface stays the kernel's. In its own lab it pings the
 * kernel at the other end, which pings it back. The exit code is 0 if anything was answered.
 */
import { Host, Loop, type Packet } from "millrace";
import { readIp } from "./support/address.ts";
import { claimsOf, joinAt, readOwn } from "./support/own-address.ts";
import { openPlace, PAIR, type Place } from "./support/place.ts";
import { Pinger, type Tell } from "./support/pinger.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "./support/program.ts";
import type { RoundTripFigures } from "./support/round-trips.ts";
import { Talkers } from "./support/talkers.ts";

const USAGE = `usage: bun run examples/ping.ts [IFACE] [options]
  --to ADDRESS   whom to ping, IPv4 or IPv6
  --respond      ping nobody, only answer
  --address A    an address of its own with its length (10.0.0.9/24), one of the network, repeatable
  --gateway G    router to other networks, repeatable
  --count N      end after N requests; endless unless given
  --interval MS  from one request to the next, 1000 unless given
  --wait MS      how long the last answer may take, 1000 unless given
  --size B       bytes of data, 56 unless given; longer than the path's MTU goes in fragments
  --whole        never in fragments: too long is an error
  --ttl N        hops that a request may take, 64 unless given
  --json         one line of JSON for each answer and error, and one at the end`;
const EVERY_MS = 1000;
const MAX_MS = 3_600_000;
/** The longest IPv4 packet with its header and that of ICMP (RFC 791). */
const MAX_SIZE = 65_507;
const MAX_TTL = 255;
/** An address of a lab's own, where none is given. */
const LAB_ADDRESSES = ["10.77.0.200/24", "fd77::200/64"];
/** Those who have asked in a second, as many as are told. */
const TOP = 20;
const OPTIONS = {
  to: { type: "string" },
  respond: { type: "boolean", default: false },
  address: { type: "string", multiple: true, default: [] as string[] },
  gateway: { type: "string", multiple: true, default: [] as string[] },
  count: { type: "string" },
  interval: { type: "string", default: "1000" },
  wait: { type: "string", default: "1000" },
  size: { type: "string", default: "56" },
  whole: { type: "boolean", default: false },
  ttl: { type: "string", default: "64" },
  json: { type: "boolean", default: false },
} as const;

const DIGITS = 3;

/** In the words of ping. */
const summary = (
  to: string,
  { sent, received, duplicates, errors, lossPercent, ...times }: RoundTripFigures,
): string => {
  const more = `${duplicates > 0 ? `, ${duplicates} duplicates` : ""}${errors > 0 ? `, ${errors} errors` : ""}`;
  const { minMs, avgMs, maxMs, mdevMs } = times;
  const figures = [minMs, avgMs, maxMs, mdevMs].map((ms) => ms?.toFixed(DIGITS)).join("/");
  const rtt = minMs === undefined ? "" : `\nround trips min/avg/max/mdev = ${figures} ms`;
  return `${to}: ${sent} sent, ${received} received${more}, ${lossPercent} % loss${rtt}`;
};

/** Tells once a second who has asked since the last time. */
const tellAskers = (loop: Loop, asked: Talkers, tell: Tell): void => {
  loop.every(EVERY_MS, () => {
    for (const { address, packets, bytes } of asked.top(TOP))
      tell({ askedBy: address, packets, bytes }, `${address} asked ${packets} times, ${bytes} bytes`);
    asked.clear();
  });
};

/** The kernel at the other end of the lab pings this program, in both families. */
const answerTo = ({ lab }: Place, addresses: readonly string[]): void => {
  for (const address of addresses)
    lab?.spawn("a", ["ping", "-n", "-q", "-i", "0.5", address], { stdout: "ignore", stderr: "ignore" });
};

await program(USAGE, OPTIONS, async (values, interfaces) => {
  using place = openPlace(interfaces, PAIR);
  const { lab } = place;
  const addresses = values.address.length > 0 || lab === undefined ? values.address : LAB_ADDRESSES;
  if (addresses.length === 0) throw new UsageError("--address is needed: one of the network that nobody has");
  const own = addresses.map((text) => readOwn("--address", text).address);
  const to = values.to ?? lab?.a.ipv4;
  if (to === undefined && !values.respond) throw new UsageError("--to is needed, or --respond");
  const options = {
    to: readIp("--to", to ?? own[0]!.toString()).toString(),
    count:
      values.count === undefined
        ? Infinity
        : wholeNumber("--count", values.count, 1, Number.MAX_SAFE_INTEGER),
    intervalMs: wholeNumber("--interval", values.interval, 1, MAX_MS),
    waitMs: wholeNumber("--wait", values.wait, 1, MAX_MS),
    size: wholeNumber("--size", values.size, 0, MAX_SIZE),
    ttl: wholeNumber("--ttl", values.ttl, 1, MAX_TTL),
    fragmentation: values.whole ? ("refuse" as const) : ("allow" as const),
  };
  const tell: Tell = (record, words) => print(values.json ? JSON.stringify(record) : words);

  using device = place.attach(place.interfaces[0]!, { claim: claimsOf(own) });
  using loop = new Loop();
  stopOnSignals(loop);
  stopWhenGone(loop, device);
  const asked = new Talkers();
  const answer = (request: Packet): boolean => {
    asked.addIp(request.s0, request.s1, request.s2, request.s3, request.length);
    return true;
  };
  using host = new Host({ loop, echo: answer });
  const joined = joinAt(host, device, addresses, values.gateway);
  tellAskers(loop, asked, tell);
  const what = values.respond ? "answering" : `pinging ${options.to} from`;
  if (!values.json) print(`${what} ${own.join(", ")} on ${device.name}; Ctrl-C ends`);
  const pinger = values.respond ? undefined : new Pinger(host, joined, options, tell);
  answerTo(
    place,
    own.map((address) => address.toString()),
  );
  await loop.run();
  if (pinger === undefined) return device.open ? 0 : 1;
  const figures = pinger.trips.figures();
  tell({ done: true, to: options.to, ...figures }, summary(options.to, figures));
  return figures.received > 0 ? 0 : 1;
});

/**
 * Our router discovery and autoconfiguration against radvd and the kernel as router: what is advertised is what the host
 * does, for as long as it was said to be good; and redirects of a kernel that knows a better way.
 */
import { describe, expect, test } from "bun:test";
import { type Interface, IpAddress, type Route, stableIdentifiers } from "../../index.ts";
import { end } from "../support/daemon.ts";
import { Lab, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { radvd } from "../support/routers.ts";
import { eventOf, PATIENCE_MS, ServedBed, type ServedBedOptions } from "../support/served-bed.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 120_000;
/** The identifier that side b's Ethernet address 02:00:00:00:00:a2 gives (RFC 4291 appendix A). */
const OUR_ID = "ff:fe00:a2";
const ROUTER = "fe80::ff:fe00:c2";
const FAR = "2001:db8:a::1";
const ON_LINK = "2001:db8:b::1";
/** The time between probes a tenth of the RFC's, so that many conflicts cost little. */
const QUICK_PROBES = { delayMs: 50, probes: 1, minGapMs: 100, maxGapMs: 100, waitMs: 300 };

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need("tcpdump", "tshark", ...names);

const FORWARDING = [
  "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
  "echo 1 > /proc/sys/net/ipv4/conf/all/forwarding",
];

/** a, the far end - m, the kernel that forwards - b, ours. */
const ROUTED: ServedBedOptions = {
  lab: { middle: true },
  prepare: {
    m: [
      ...FORWARDING,
      "ip addr add 2001:db8:a::ff/64 dev ma nodad",
      `ip addr add ${ON_LINK}/64 dev mb nodad`,
    ],
    a: [`ip addr add ${FAR}/64 dev va nodad`, "ip route add default via 2001:db8:a::ff dev va mtu 1400"],
  },
};

const PACE = "AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;";
const LONG = "AdvPreferredLifetime 600; AdvValidLifetime 1200;";

const addressesOf = (eth: Interface): string[] =>
  [...eth.addresses.values()].map(({ address, state }) => `${address} ${state}`).sort();

const routesOf = (bed: ServedBed): string[] =>
  bed.host.routes
    .all()
    .filter(({ origin }) => origin === "ra")
    .map(({ prefix, gateway }: Route) => `${prefix} via ${gateway ?? "link"}`)
    .sort();

const hasState = (bed: ServedBed, eth: Interface, address: string, state: string): Promise<true> =>
  until(
    `${address} to be ${state}`,
    () => addressesOf(eth).includes(`${address} ${state}`) || undefined,
    PATIENCE_MS,
  );

const isAddress = (address: string, change: string) =>
  eventOf("address", (event) => event.address.address.toString() === address && event.change === change);

describe("x", () => { for (let k = 0; k < 8; k++)
  test.concurrent(
    `${k} has no address that the kernel has, and keeps its own from the kernel`,
    async () => {
      const settings = ["accept_dad", "dad_transmits"].map(
        (name) => `echo 1 > /proc/sys/net/ipv6/conf/va/${name}`,
      );
      await using bed = await ServedBed.start({ prepare: { a: settings } });
      bed.sh("a", ["ip addr add 2001:db8:b::7/64 dev va nodad"]);
      const eth = bed.join({ addresses: ["2001:db8:b::7/64", "2001:db8:b::8/64"], dadTimes6: QUICK_PROBES });
      await bed.event("the conflict", isAddress("2001:db8:b::7", "duplicated"), 0, 8000).catch(async (e) => {
        console.log(addressesOf(eth), (eth.protocols as any).statistics(), bed.loop.statistics(), performance.now(), bed.events.map(e => `${e.kind} ${(e as any).change} ${e.atMs}`), bed.device.statistics(), bed.sh("a", ["ip -s addr show dev va"]));
        const f = await bed.finish().catch((e) => String(e)); console.log(f, await Bun.$`tcpdump -env -r ${f}`.quiet().text().catch(String));
        throw e; });
      await hasState(bed, eth, "2001:db8:b::8", "preferred");
      bed.sh("a", ["ip addr add 2001:db8:b::8/64 dev va"]);
      await until(
        "the kernel to see the conflict",
        () => /::8\/64 .*dadfailed/.test(bed.sh("a", ["ip -o addr show dev va"])),
        PATIENCE_MS,
      );
      await bed.finish();
    },
    LIMIT_MS,
  );
});
/** Asks a destination until a redirect about it was believed: the kernel sends six at once, and then one in a second. */
const redirected = (bed: ServedBed, destination: string): Promise<Route> =>
  until(
    `a redirect about ${destination}`,
    async () => {
      await bed.reach(destination);
      await Bun.sleep(20);
      return bed.host.routes
        .all()
        .find(({ origin, prefix }) => origin === "redirect" && prefix.address.toString() === destination);
    },
    PATIENCE_MS,
  );

/** The address that a program of the kernel's sees us send from. */
const whoAsks = async (bed: ServedBed, address: string): Promise<string> => {
  const program = bed.lab.spawn("a", [
    "socat",
    "UDP6-RECVFROM:7000,fork",
    "SYSTEM:read x; echo $SOCAT_PEERADDR",
  ]);
  let seen: string | undefined;
  const socket = bed.host.udp({}, (datagram) => void (seen = datagram.text()));
  try {
    const question = new TextEncoder().encode("who\n");
    const answer = await until(
      "an answer of socat's",
      async () => {
        socket.send({ address, port: 7000 }, question);
        await Bun.sleep(50);
        return seen;
      },
      PATIENCE_MS,
    );
    return IpAddress.parse(/[0-9a-f:]+/.exec(answer)![0]).toString();
  } finally {
    socket.close();
    program.kill("SIGKILL");
  }
};

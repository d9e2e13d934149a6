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
/** The RFC's, but begun at once; a second for the answer, which a busy kernel needs now and then. */
const QUICK_PROBES = { delayMs: 50, probes: 1, minGapMs: 100, maxGapMs: 100, waitMs: 1000 };

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

describe.skipIf(without("radvd", "ping", "socat"))("a host that believes routers", () => {
  test.concurrent(
    "lives by what radvd advertises, until it stops",
    async () => {
      await using bed = await ServedBed.start(ROUTED);
      const daemon = await radvd(bed, "m", [
        "interface mb {",
        `  ${PACE} AdvDefaultLifetime 60; AdvLinkMTU 1400; AdvCurHopLimit 77; AdvReachableTime 20000; AdvRetransTimer 500;`,
        `  prefix 2001:db8:b::/64 { ${LONG} };`,
        `  prefix 2001:db8:c::/64 { ${LONG} };`,
        "  prefix 2001:db8:d::/64 { AdvAutonomous off; };",
        "  route 2001:db8:99::/48 { AdvRoutePreference high; AdvRouteLifetime 600; };",
        "  RDNSS 2001:db8:b::53 2001:db8:b::54 { AdvRDNSSLifetime 300; };",
        "  DNSSL one.test two.test { AdvDNSSLLifetime 300; };",
        "};",
      ]);
      const eth = bed.join({ slaac: true });
      for (const prefix of ["2001:db8:b", "2001:db8:c", "fe80"])
        await hasState(bed, eth, `${prefix}::${OUR_ID}`, "preferred");
      expect(addressesOf(eth)).toEqual([
        `2001:db8:b::${OUR_ID} preferred`,
        `2001:db8:c::${OUR_ID} preferred`,
        `fe80::${OUR_ID} preferred`,
      ]);
      expect(routesOf(bed)).toEqual([
        "2001:db8:99::/48 via " + ROUTER,
        "2001:db8:b::/64 via link",
        "2001:db8:c::/64 via link",
        "2001:db8:d::/64 via link",
        "::/0 via " + ROUTER,
      ]);
      const { resolvers } = await bed.event(
        "resolvers",
        eventOf("resolvers", ({ resolvers }) => resolvers.domains.length > 0),
      );
      expect(resolvers.servers.map(String)).toEqual(["2001:db8:b::53", "2001:db8:b::54"]);
      expect(resolvers.domains).toEqual(["one.test", "two.test"]);

      // Through the router, both ways, and larger than the MTU that it said.
      await bed.reach(FAR);
      for (const size of [56, 1452, 20_000])
        expect(await bed.answers(`2001:db8:b::${OUR_ID}`, size)).toBe(true);

      let from = bed.events.length;
      await end(daemon);
      await bed.event("the resolvers to be taken back", eventOf("resolvers"), from);
      await until(
        "the router to be gone",
        () => routesOf(bed).every((route) => !route.includes(" via fe80")),
        PATIENCE_MS,
      );
      expect(addressesOf(eth)).toHaveLength(3);
      const echo = bed.host.ping(FAR, { onReply: () => {} });
      expect(echo.send(1, new Uint8Array(8))).not.toBe(0);

      const file = await bed.finish();
      const lengths = await bed.fields(file, "ipv6", ["frame.len"]);
      // 1352 bytes in a fragment: the multiple of eight that fits 1400 with 48 of headers.
      expect(Math.max(...lengths.map(Number))).toBe(14 + 48 + 1352);
      const hops = await bed.fields(file, "icmpv6.type == 129", ["ipv6.hlim"]);
      expect(new Set(hops)).toEqual(new Set(["77"]));
    },
    LIMIT_MS,
  );

  test.concurrent(
    "lets addresses, routes and resolvers age when the router has gone without a word",
    async () => {
      await using bed = await ServedBed.start(ROUTED);
      const daemon = await radvd(bed, "m", [
        "interface mb {",
        `  ${PACE} AdvDefaultLifetime 8;`,
        `  prefix 2001:db8:b::/64 { ${LONG} };`,
        "  prefix 2001:db8:c::/64 { AdvPreferredLifetime 5; AdvValidLifetime 8; };",
        "  RDNSS 2001:db8:b::53 { AdvRDNSSLifetime 6; };",
        "};",
      ]);
      bed.sh("m", ["ip addr add 2001:db8:c::1/64 dev mb nodad"]);
      const eth = bed.join({ slaac: true, dadTimes6: QUICK_PROBES });
      const [lasting, fleeting] = [`2001:db8:b::${OUR_ID}`, `2001:db8:c::${OUR_ID}`];
      for (const address of [lasting, fleeting]) await hasState(bed, eth, address, "preferred");
      const from = bed.events.length;
      // Each further advertisement would have begun the lifetimes anew.
      await end(daemon, "SIGKILL");
      await bed.event("the address to be deprecated", isAddress(fleeting, "deprecated"), from);
      // A deprecated address answers still, but nothing new begins from it, not even to its own network's like.
      expect(await bed.answers(fleeting)).toBe(true);
      expect(await whoAsks(bed, FAR)).toBe(lasting);
      await bed.event(
        "the resolver to expire",
        eventOf("resolvers", ({ resolvers }) => resolvers.servers.length === 0),
        from,
      );
      await bed.event("the address to expire", isAddress(fleeting, "expired"), from);
      await until(
        "the routes to expire",
        () => routesOf(bed).join() === "2001:db8:b::/64 via link",
        PATIENCE_MS,
      );
      expect(addressesOf(eth)).toEqual([`${lasting} preferred`, `fe80::${OUR_ID} preferred`]);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "sends to no router that has become a host, and follows one to another Ethernet address",
    async () => {
      await using bed = await ServedBed.start({
        ...ROUTED,
        prepare: {
          ...ROUTED.prepare,
          m: [...ROUTED.prepare!.m!, "echo 1 > /proc/sys/net/ipv6/conf/mb/ndisc_notify"],
        },
      });
      const daemon = await radvd(bed, "m", [
        `interface mb { ${PACE} AdvDefaultLifetime 600; prefix 2001:db8:b::/64 { ${LONG} }; };`,
      ]);
      const eth = bed.join({ slaac: true, dadTimes6: QUICK_PROBES });
      await hasState(bed, eth, `2001:db8:b::${OUR_ID}`, "preferred");
      await bed.reach(FAR);
      await end(daemon, "SIGKILL");
      const moved = "02:00:00:00:77:01";
      bed.sh("m", [`ip link set dev mb address ${moved}`]);
      await bed.event(
        "its new Ethernet address",
        eventOf("neighbour", ({ mac }) => mac?.toString() === moved),
      );
      await bed.reach(FAR);
      bed.sh("m", [
        "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
        "ip link set dev mb address 02:00:00:00:77:02",
      ]);
      await until(
        "the default route to go",
        () => routesOf(bed).join() === "2001:db8:b::/64 via link",
        PATIENCE_MS,
      );
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "has stable identifiers that differ from network to network, and others after a conflict",
    async () => {
      const secret = new Uint8Array(16).fill(7);
      const identifiers = stableIdentifiers({ secret, interface: "vb" });
      const options = { slaac: true, identifiers, dadTimes6: QUICK_PROBES } as const;
      await using bed = await ServedBed.start(ROUTED);
      bed.sh("m", ["ip addr add 2001:db8:c::1/64 dev mb nodad"]);
      await radvd(bed, "m", [
        `interface mb { ${PACE} prefix 2001:db8:b::/64 { ${LONG} }; prefix 2001:db8:c::/64 { ${LONG} }; };`,
      ]);
      const formed = async (eth: Interface): Promise<string[]> => {
        await until(
          "three addresses",
          () => addressesOf(eth).filter((text) => text.endsWith(" preferred")).length === 3,
          PATIENCE_MS,
        );
        return addressesOf(eth)
          .filter((text) => text.endsWith(" preferred"))
          .map((text) => text.split(" ")[0]!);
      };
      const first = bed.join(options);
      const addresses = await formed(first);
      const halves = addresses.map((address) => IpAddress.parse(address)).map(({ w2, w3 }) => `${w2} ${w3}`);
      expect(new Set(halves).size).toBe(3);
      expect(addresses.some((address) => address.endsWith(OUR_ID))).toBe(false);
      bed.host.leave(first);
      const again = bed.join(options);
      expect(await formed(again)).toEqual(addresses);
      bed.host.leave(again);
      // The kernel takes one of them, and the link-local one.
      for (const taken of addresses.filter((address) => !address.startsWith("2001:db8:c")))
        bed.sh("m", [`ip addr add ${taken}/64 dev mb nodad`]);
      const eth = bed.join(options);
      const others = await formed(eth);
      expect(others.filter((address) => addresses.includes(address))).toEqual(
        addresses.filter((address) => address.startsWith("2001:db8:c")),
      );
      for (const address of others.filter((each) => !each.startsWith("fe80")))
        expect(await bed.answers(address)).toBe(true);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "has no address that the kernel has, and keeps its own from the kernel",
    async () => {
      const settings = ["accept_dad", "dad_transmits"].map(
        (name) => `echo 1 > /proc/sys/net/ipv6/conf/va/${name}`,
      );
      await using bed = await ServedBed.start({ prepare: { a: settings } });
      bed.sh("a", ["ip addr add 2001:db8:b::7/64 dev va nodad"]);
      const eth = bed.join({ addresses: ["2001:db8:b::7/64", "2001:db8:b::8/64"], dadTimes6: QUICK_PROBES });
      await bed.event("the conflict", isAddress("2001:db8:b::7", "duplicated"));
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

/** Two routers on one link, both kernels: m, whom we ask, and a, whose the better way is. */
const SHARED: ServedBedOptions = {
  lab: { middle: true },
  prepare: {
    m: [
      ...FORWARDING,
      "ip link add br0 address 02:00:00:00:00:b0 type bridge mcast_snooping 0",
      "ip link set dev ma master br0",
      "ip link set dev mb master br0",
      "ip link set dev br0 up",
      "ip addr add 10.77.0.3/24 dev br0",
      "ip addr add fd77::3/64 dev br0 nodad",
    ],
    a: [...FORWARDING, "ip addr add 198.51.100.1/32 dev lo", "ip addr add 2001:db8:99::1/128 dev lo"],
  },
};
const FIRST_ROUTER_MAC = "02:00:00:00:00:b0";

describe.skipIf(without())("a host that is told of a better way", () => {
  test.concurrent(
    "takes it: to another router, and to a neighbour that it took for remote",
    async () => {
      await using bed = await ServedBed.start(SHARED);
      const { mac } = bed.lab.a;
      const second = /inet6 (fe80::[0-9a-f:]+)/.exec(bed.sh("a", ["ip -6 addr show dev va"]))![1]!;
      bed.sh("m", [
        `ip route add 2001:db8:99::/64 via ${second} dev br0`,
        "ip addr add 2001:db8:e::1/64 dev br0 nodad",
        "ip addr add 2001:db8:f::1/64 dev br0 nodad",
        "ip route add 198.51.100.0/24 via 10.77.0.1 dev br0",
      ]);
      bed.sh("a", ["ip addr add 2001:db8:e::2/64 dev va nodad", "ip route add 2001:db8:f::/64 dev va"]);
      const eth = bed.join({ addresses: ["fd77::2/64", "2001:db8:f::2/64"], gateway: "fd77::3", dad: false });
      // Nothing is believed that does not come from the very address that is the gateway.
      await bed.reach("2001:db8:99::1");
      expect(bed.host.routes.all().some(({ origin }) => origin === "redirect")).toBe(false);
      const first = /inet6 (fe80::[0-9a-f:]+)/.exec(bed.sh("m", ["ip -6 addr show dev br0"]))![1]!;
      bed.host.leave(eth);
      const addresses = ["10.77.0.2/24", "fd77::2/64", "2001:db8:f::2/64"];
      bed.join({ addresses, gateway: [first, "10.77.0.3"], dad: false });
      for (const [destination, gateway] of [
        ["2001:db8:99::1", second],
        ["2001:db8:e::2", undefined],
        ["198.51.100.1", "10.77.0.1"],
      ] as const) {
        const { gateway: told } = await redirected(bed, destination);
        expect(told?.toString()).toBe(gateway);
        await bed.reach(destination);
      }
      const file = await bed.finish();
      for (const filter of [
        "ipv6.dst == 2001:db8:99::1 && icmpv6.type == 128",
        "ipv6.dst == 2001:db8:e::2 && icmpv6.type == 128",
        "ip.dst == 198.51.100.1 && icmp.type == 8",
      ]) {
        const to = await bed.fields(file, filter, ["eth.dst"]);
        expect(to[0]).toBe(FIRST_ROUTER_MAC);
        expect(to.slice(-3)).toEqual([mac, mac, mac]);
      }
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

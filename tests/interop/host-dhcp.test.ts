/**
 * Our DHCP client against dnsmasq and ISC dhcpd: what they say is what the host does, for as long as they say it.
 */
import { describe, expect, test } from "bun:test";
import type { HostEvent } from "../../index.ts";
import { dhcpd, dhcpdLease, dnsmasq, type DhcpServer } from "../support/dhcp-servers.ts";
import { end } from "../support/daemon.ts";
import { Lab, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { eventOf, PATIENCE_MS, ServedBed } from "../support/served-bed.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { dissect } from "../support/wire-capture.ts";

const LIMIT_MS = 120_000;
/** Probes that tell in little more than a second whether an address is taken; RFC 5227's own take seven. */
const QUICK_PROBES = { delayMs: 100, probes: 2, minGapMs: 100, maxGapMs: 200, waitMs: 1000 };
const QUIET = { lab: { quiet: true } } as const;
const ONLY_DHCP = { dhcp: true, linkLocal: false } as const;

type HostLeaseEvent = Extract<HostEvent, { kind: "lease" }>;

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need("tcpdump", "tshark", ...names);

/** The next lease of the bed, or its loss. */
const next = (
  bed: ServedBed,
  what: string,
  test: (event: HostLeaseEvent) => boolean,
): Promise<HostLeaseEvent> => bed.event(what, eventOf("lease", test), bed.events.length);

const firstLease = async (bed: ServedBed) => (await bed.event("a lease", eventOf("lease"))).lease!;

/** What a lease says, in words. */
const told = ({ lease }: HostLeaseEvent) => ({
  address: `${lease!.address}/${lease!.prefixLength}`,
  server: String(lease!.server),
  routes: lease!.routes.map(({ prefix, gateway }) => `${prefix} via ${gateway ?? "link"}`),
  nameServers: lease!.nameServers.map(String),
  timeServers: lease!.timeServers.map(String),
  domainName: lease!.domainName,
  searchDomains: lease!.searchDomains,
  mtu: lease!.mtu,
  broadcast: String(lease!.broadcast),
});

const TOLD = {
  address: "10.77.0.50/24",
  server: "10.77.0.1",
  // RFC 3442: with classless routes the router option says nothing.
  routes: ["198.51.100.0/24 via 10.77.0.1", "0.0.0.0/0 via 10.77.0.1"],
  nameServers: ["10.77.0.1", "192.0.2.53"],
  timeServers: ["192.0.2.123", "192.0.2.124"],
  domainName: "millrace.test",
  searchDomains: ["one.test", "two.test"],
  mtu: 1400,
  broadcast: "10.77.0.255",
};

const DNSMASQ_OPTIONS = [
  "interface=va",
  "bind-interfaces",
  "dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,120",
  "dhcp-option=option:router,10.77.0.9",
  "dhcp-option=option:dns-server,10.77.0.1,192.0.2.53",
  "dhcp-option=option:ntp-server,192.0.2.123,192.0.2.124",
  "dhcp-option=option:mtu,1400",
  "dhcp-option=option:domain-name,millrace.test",
  "dhcp-option=option:domain-search,one.test,two.test",
  "dhcp-option=option:classless-static-route,198.51.100.0/24,10.77.0.1,0.0.0.0/0,10.77.0.1",
];

const DHCPD_OPTIONS = [
  "option classless code 121 = array of unsigned integer 8;",
  "subnet 10.77.0.0 netmask 255.255.255.0 {",
  "  range 10.77.0.50 10.77.0.60;",
  "  option routers 10.77.0.9;",
  "  option domain-name-servers 10.77.0.1, 192.0.2.53;",
  "  option ntp-servers 192.0.2.123, 192.0.2.124;",
  "  option interface-mtu 1400;",
  '  option domain-name "millrace.test";',
  '  option domain-search "one.test", "two.test";',
  "  option broadcast-address 10.77.0.255;",
  "  option classless 24, 198, 51, 100, 10, 77, 0, 1, 0, 10, 77, 0, 1;",
  "}",
];

/** A network behind the server, which only the routes of the lease lead to. */
const BEHIND = "198.51.100.1";

const pool = (range: string, ...more: string[]): string[] => [
  ...more,
  `subnet 10.77.0.0 netmask 255.255.255.0 { range ${range}; }`,
];

/** `seconds` of lease, renewed from T1 and rebound from T2 on. */
const times = (lease: number, renew: number, rebind: number): string[] => [
  `default-lease-time ${lease};`,
  `max-lease-time ${lease};`,
  `option dhcp-renewal-time ${renew};`,
  `option dhcp-rebinding-time ${rebind};`,
];

/**
 * What both servers are asked to show: everything configured and used, and the lease given back in the end. `halfSums`: the
 * server's own packets carry what the kernel leaves of a sum to the device.
 */
const wholeLife = async (
  offloads: boolean,
  halfSums: boolean,
  serve: (bed: ServedBed) => Promise<DhcpServer>,
  held: (server: DhcpServer) => boolean,
): Promise<void> => {
  await using bed = await ServedBed.start({
    lab: { quiet: true, offloads },
    prepare: { a: [`ip addr add ${BEHIND}/32 dev lo`] },
  });
  const server = await serve(bed);
  const eth = bed.join(ONLY_DHCP);
  const event = await bed.event("a lease", eventOf("lease"));
  expect(event.reason).toBe("new");
  expect(told(event)).toEqual(TOLD);
  expect(held(server)).toBe(true);
  const [entry] = [...eth.addresses.values()];
  expect(entry).toMatchObject({ origin: "dhcp", state: "preferred", prefixLength: 24 });
  // Also larger than the MTU of the lease, so that our answers are cut to it.
  for (const size of [56, 1472, 20_000]) expect(await bed.answers("10.77.0.50", size)).toBe(true);
  await bed.reach(BEHIND);
  bed.host.leave(eth);
  await until("the server to have the lease back", () => !held(server), PATIENCE_MS);
  expect(bed.events.findLast(eventOf("lease"))).toMatchObject({ lease: undefined, reason: "released" });
  const file = await bed.finish();
  const largest = Math.max(...(await bed.fields(file, "frame", ["frame.len"])).map(Number));
  // Fragments carry multiples of eight bytes: 1376 behind a header of 20.
  expect(largest).toBe(14 + 20 + 1376);
  const { findings } = await dissect(file, { mac: bed.lab.a.mac });
  const unfinished = findings.some(({ message, info }) => /Bad checksum/.test(message) && /dhcp/.test(info));
  expect(unfinished).toBe(halfSums);
};

describe.skipIf(without("dnsmasq", "dhcpd", "ping"))("a host that asks for its address", () => {
  for (const offloads of [true, false]) {
    const sums = offloads ? "with sums left to the device" : "with whole sums";
    test.concurrent(
      `lives by what dnsmasq says, ${sums}`,
      async () => {
        await wholeLife(
          offloads,
          offloads,
          (bed) => dnsmasq(bed, DNSMASQ_OPTIONS),
          (server) => server.leases().includes(" 10.77.0.50 "),
        );
      },
      LIMIT_MS,
    );

    test.concurrent(
      `lives by what dhcpd says, ${sums}`,
      async () => {
        // It makes its packets itself, up to their sums.
        await wholeLife(
          offloads,
          false,
          (bed) => dhcpd(bed, "va", [...times(600, 300, 500), ...DHCPD_OPTIONS]),
          (server) => dhcpdLease(server, "10.77.0.50").includes("binding state active"),
        );
      },
      LIMIT_MS,
    );
  }

  test.concurrent(
    "extends its lease with the server that gave it, again and again",
    async () => {
      await using bed = await ServedBed.start(QUIET);
      const server = await dhcpd(bed, "va", [
        ...times(30, 1, 20),
        "dhcp-cache-threshold 0;",
        ...pool("10.77.0.50 10.77.0.60"),
      ]);
      bed.join(ONLY_DHCP);
      let { expiresAtMs } = await firstLease(bed);
      for (let i = 0; i < 3; i++) {
        const { lease, reason } = await next(bed, "a renewal", () => true);
        expect(reason).toBe("renewed");
        expect(lease!.expiresAtMs).toBeGreaterThan(expiresAtMs + 500);
        ({ expiresAtMs } = lease!);
      }
      // Asked at T1 and answered at once: an unanswered request is repeated at T2 alone.
      expect(server.said().match(/DHCPACK on 10\.77\.0\.50/g)!.length).toBeGreaterThanOrEqual(4);
      expect(bed.events.some(eventOf("address", ({ change }) => change === "removed"))).toBe(false);
      expect(bed.host.statistics().icmp4).toMatchObject({ errorsSent: 0 });
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "turns to another server when its own has died, and keeps the address",
    async () => {
      await using bed = await ServedBed.start(QUIET);
      const first = await dhcpd(bed, "va", [...times(20, 2, 4), ...pool("10.77.0.50 10.77.0.60")]);
      bed.join(ONLY_DHCP);
      await firstLease(bed);
      await end(first, "SIGKILL");
      bed.sh("a", ["ip addr del 10.77.0.1/24 dev va", "ip addr add 10.77.0.3/24 dev va"]);
      const range = "dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,120";
      await dnsmasq(bed, ["interface=va", "bind-interfaces", range]);
      const { lease } = await next(bed, "the other server", ({ reason }) => reason === "renewed");
      expect([String(lease!.address), String(lease!.server)]).toEqual(["10.77.0.50", "10.77.0.3"]);
      expect(await bed.answers("10.77.0.50")).toBe(true);
      expect(bed.events.some(eventOf("address", ({ change }) => change === "removed"))).toBe(false);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "gives up an address when nobody extends it, and asks until somebody answers",
    async () => {
      await using bed = await ServedBed.start(QUIET);
      const first = await dhcpd(bed, "va", [...times(3, 1, 2), ...pool("10.77.0.50 10.77.0.50")]);
      const eth = bed.join(ONLY_DHCP);
      await firstLease(bed);
      await end(first, "SIGKILL");
      await next(bed, "the end of the lease", ({ reason }) => reason === "expired");
      expect([...eth.addresses.values()]).toEqual([]);
      expect(bed.host.routes.all().filter((route) => route.interface === eth.index)).toEqual([]);
      await dhcpd(bed, "va", [...times(600, 300, 500), ...pool("10.77.0.70 10.77.0.80")]);
      const { lease } = await next(bed, "a lease of the new server", ({ reason }) => reason === "new");
      expect(String(lease!.address)).toMatch(/^10\.77\.0\.(7\d|80)$/);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "takes a refusal at renewal, and an address of the new pool",
    async () => {
      await using bed = await ServedBed.start(QUIET);
      const first = await dhcpd(bed, "va", [...times(20, 2, 15), ...pool("10.77.0.50 10.77.0.60")]);
      bed.join(ONLY_DHCP);
      await firstLease(bed);
      await end(first, "SIGKILL");
      const range = "dhcp-range=10.77.0.70,10.77.0.80,255.255.255.0,120";
      const second = await dnsmasq(bed, ["interface=va", "bind-interfaces", range]);
      const refusal = await next(bed, "the refusal", () => true);
      expect(refusal).toMatchObject({ lease: undefined, reason: "refused" });
      expect(second.said()).toContain("DHCPNAK(va) 10.77.0.50");
      const { lease } = await next(bed, "an address of the new pool", ({ reason }) => reason === "new");
      expect(String(lease!.address)).toBe("10.77.0.70");
      expect(await bed.answers(String(lease!.address))).toBe(true);
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "asks whether its lease still holds when the link was away",
    async () => {
      await using bed = await ServedBed.start(QUIET);
      const common = ["interface=va", "bind-dynamic"];
      const first = await dnsmasq(bed, [...common, "dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,120"]);
      bed.join(ONLY_DHCP);
      await firstLease(bed);
      const cycle = async (): Promise<void> => {
        const before = bed.events.length;
        bed.sh("a", ["ip link set va down"]);
        await bed.event(
          "the link to be down",
          eventOf("link", ({ change }) => change.kind === "down"),
          before,
        );
        bed.sh("a", ["ip link set va up"]);
      };
      let from = bed.events.length;
      await cycle();
      const kept = await bed.event("the lease to be confirmed", eventOf("lease"), from);
      expect(kept).toMatchObject({ reason: "renewed" });
      expect(first.said().match(/DHCPDISCOVER/g)).toHaveLength(1);
      await end(first);
      const second = await dnsmasq(bed, [...common, "dhcp-range=10.77.0.70,10.77.0.80,255.255.255.0,120"]);
      from = bed.events.length;
      await cycle();
      await bed.event(
        "the refusal",
        eventOf("lease", ({ reason }) => reason === "refused"),
        from,
      );
      expect(second.said()).toContain("DHCPNAK(va) 10.77.0.50");
      const renewed = await bed.event(
        "another address",
        eventOf("lease", ({ reason }) => reason === "new"),
        from,
      );
      expect(String(renewed.lease!.address)).toBe("10.77.0.70");
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "declines an address that another has, and takes the next",
    async () => {
      // Server and squatter on one bridge: no server gives away an address that is its own.
      await using bed = await ServedBed.start({
        lab: { quiet: true, middle: true },
        prepare: {
          m: [
            "ip link add br0 type bridge",
            "ip link set dev ma master br0",
            "ip link set dev mb master br0",
            "ip addr add 10.77.0.3/24 dev br0",
            "ip link set br0 up",
          ],
          a: ["ip addr add 10.77.0.50/24 dev va"],
        },
      });
      const range = "dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,120";
      const server = await dnsmasq(bed, ["interface=br0", "bind-interfaces", range], { side: "m" });
      bed.join({ ...ONLY_DHCP, dad: true, dadTimes4: QUICK_PROBES });
      const lease = await firstLease(bed);
      expect(server.said()).toContain("DHCPDECLINE(br0) 10.77.0.50");
      expect(String(lease.address)).toBe("10.77.0.51");
      expect(await bed.answers("10.77.0.51")).toBe(true);
      expect(bed.events.filter(eventOf("lease"))).toHaveLength(1);
      await bed.finish();
    },
    LIMIT_MS,
  );
});

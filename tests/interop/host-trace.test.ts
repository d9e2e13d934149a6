/**
 * Ways and what they carry: traceroute, mtr and tracepath to a host of ours, directly and behind the kernel as a router,
 * and what the host learns from that router about its own packets.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  type EchoError,
  type EchoHandlers,
  type HostEvent,
  IpAddress,
  Prefix,
  REFUSED,
  type SoftError,
} from "../../index.ts";
import { HostBed, type HostBedOptions } from "../support/host-bed.ts";
import { Lab, until } from "../support/lab.ts";
import { mtr, need, ping, runTool, tracepath, traceroute } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const FAMILIES = [4, 6] as const;
const ECHO_HEADERS = { 4: 28, 6: 48 } as const;
const UDP_HEADERS = ECHO_HEADERS;
const MTU = 1500;
const NARROW = 1400;
const ECHO_PORT = 7;

const HOST = { 4: "10.88.0.2", 6: "fd88::2" } as const;
const ROUTER = { 4: "10.77.0.254", 6: "fd77::fe" } as const;
const NEAR_ROUTER = { 4: "10.88.0.254", 6: "fd88::fe" } as const;

const TOOLS = ["ping", "traceroute", "mtr", "tracepath", "socat", "tcpdump", "tshark"];
const runs = !skipWithoutLab(Lab.unavailable()) && !need(...TOOLS);

/** The tools ask quickly; what is limited is looked at elsewhere. */
const UNLIMITED: HostBedOptions = {
  host: {
    icmpRate: { peer: { perSecond: 10_000, burst: 1000 }, global: { perSecond: 10_000, burst: 1000 } },
  },
};

/** How the probes look, and which of the tools' families they are for. */
const PROBES: readonly (readonly string[])[] = [["-U"], ["-I"], ["-T", "-p", "80"], ["-U", "-p", "9"]];

describe.skipIf(!runs).each([
  ["offloads on", true],
  ["offloads off", false],
] as const)("one hop, %s", (_name, offloads) => {
  let bed: HostBed;
  beforeAll(async () => void (bed = await HostBed.start({ lab: { offloads }, ...UNLIMITED })), LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  test.each(FAMILIES)(
    "traceroute, mtr and tracepath find us (IPv%d)",
    async (family) => {
      const address = bed.address(family);
      await Promise.all([
        ...PROBES.map(async (more) =>
          expect({ more, hops: await traceroute(bed.here, address, more) }).toEqual({
            more,
            hops: [{ ttl: 1, address }],
          }),
        ),
        ...[[], ["--udp"]].map(async (more) =>
          expect(await mtr(bed.here, address, 2, more)).toEqual([{ ttl: 1, address, lossPercent: 0 }]),
        ),
      ]);
      expect(await tracepath(bed.here, address)).toEqual({ pmtu: MTU, hops: 1, reached: true });
    },
    LIMIT_MS,
  );
});

/** The kernel as a router in the middle; one of its two cables is narrow, and everybody on it knows. */
const routed = (narrow: "a" | "b"): HostBedOptions => ({
  ...UNLIMITED,
  dataPorts: [ECHO_PORT],
  join: {
    addresses: [`${HOST[4]}/24`, `${HOST[6]}/64`],
    gateway: [NEAR_ROUTER[4], NEAR_ROUTER[6]],
  },
  prepare: (lab) => {
    const { a, b } = lab.middle!;
    const forward = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map(
      (key) => `echo 1 > /proc/sys/net/${key}`,
    );
    // Who does not answer is given up sooner than after three seconds.
    const sooner = ["ipv4", "ipv6"].map(
      (family) => `echo 100 > /proc/sys/net/${family}/neigh/${b.name}/retrans_time_ms`,
    );
    // By itself it reports to nobody more than once a second. A limit of zero over IPv4 would empty the bucket that those
    // errors share which no setting reaches (net/ipv4/route.c, ip_error).
    const quicker = ["ipv4/icmp_ratemask", "ipv6/icmp/ratelimit"].map(
      (key) => `echo 0 > /proc/sys/net/${key}`,
    );
    const router = [
      ...forward,
      ...quicker,
      ...sooner,
      `ip addr add ${ROUTER[4]}/24 dev ${a.name}`,
      `ip addr add ${ROUTER[6]}/64 dev ${a.name} nodad`,
      `ip addr add ${NEAR_ROUTER[4]}/24 dev ${b.name}`,
      `ip addr add ${NEAR_ROUTER[6]}/64 dev ${b.name} nodad`,
      `ip link set dev ${lab.middle![narrow].name} mtu ${NARROW}`,
      "ip route add unreachable 10.99.1.0/24",
      "ip route add prohibit 10.99.2.0/24",
      "ip -6 route add unreachable fd99:1::/64",
      "ip -6 route add prohibit fd99:2::/64",
      `ip -6 route add fd89::/64 dev ${b.name}`,
    ];
    lab.exec("m", ["sh", "-ec", router.join("; ")]);
    lab.exec(narrow, ["ip", "link", "set", "dev", lab[narrow].name, "mtu", String(NARROW)]);
    lab.exec("a", ["ip", "route", "add", "default", "via", ROUTER[4]]);
    lab.exec("a", ["ip", "-6", "route", "add", "default", "via", ROUTER[6]]);
  },
});

const data = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => (size + i * 31) & 0xff);

describe.skipIf(!runs).each([
  ["offloads on", true],
  ["offloads off", false],
] as const)("behind a router whose far link is narrow, %s", (_name, offloads) => {
  let bed: HostBed;
  const events: HostEvent[] = [];
  beforeAll(async () => {
    bed = await HostBed.start({ ...routed("a"), lab: { middle: true, offloads } });
    bed.host.on((event) => void events.push(event));
  }, LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  const kernel = (family: 4 | 6): IpAddress =>
    IpAddress.parse(family === 4 ? bed.lab.a.ipv4 : bed.lab.a.ipv6);

  test.each(FAMILIES)(
    "traceroute and mtr show both hops (IPv%d)",
    async (family) => {
      const [first, second] = [
        { ttl: 1, address: ROUTER[family] },
        { ttl: 2, address: HOST[family] },
      ];
      // What waits for a neighbour is bounded, and the tools ask a lot at once: let the router be known.
      let answers = 0;
      using echo = bed.host.ping(NEAR_ROUTER[family], { onReply: () => void (answers += 1) });
      expect(echo.send(0, data(8))).toBe(0);
      await until("the router's answer", () => answers === 1);
      await Promise.all([
        ...PROBES.map(async (more) =>
          expect({ more, hops: await traceroute(bed.here, HOST[family], more) }).toEqual({
            more,
            hops: [first, second],
          }),
        ),
        ...[[], ["--udp"]].map(async (more) =>
          expect(await mtr(bed.here, HOST[family], 2, more)).toEqual([
            { ...first, lossPercent: 0 },
            { ...second, lossPercent: 0 },
          ]),
        ),
      ]);
      expect(await tracepath(bed.here, HOST[family])).toEqual({ pmtu: NARROW, hops: 2, reached: true });
    },
    LIMIT_MS,
  );

  test.each(FAMILIES)(
    "the router's report is heard and obeyed: our echoes arrive in fragments (IPv%d)",
    async (family) => {
      const to = kernel(family);
      const payload = data(MTU - ECHO_HEADERS[family]);
      const answers: number[] = [];
      const errors: EchoError[] = [];
      const hear: EchoHandlers = {
        onReply: ({ sequence, packet, at, lengthBytes }) => {
          expect(packet.bytes.slice(at, at + lengthBytes)).toEqual(payload.slice(0, lengthBytes));
          answers.push(sequence);
        },
        onError: (error) => void errors.push(error),
      };
      using echo = bed.host.ping(to, hear);
      using whole = bed.host.ping(to, hear, { fragmentation: "refuse" });
      expect(whole.send(1, payload)).toBe(0);
      await until("the report", () => errors.length === 1);
      expect(errors[0]).toMatchObject({ kind: "too-big", mtu: NARROW });
      expect(errors[0]!.reporter!.toString()).toBe(NEAR_ROUTER[family]);
      expect(bed.host.pathMtu.of(to.w0, to.w1, to.w2, to.w3)).toBe(NARROW);
      expect(events.filter(({ kind }) => kind === "path-mtu").at(-1)).toMatchObject({ mtu: NARROW });
      expect(whole.send(2, payload)).toBe(REFUSED.tooLong);
      expect(echo.send(3, payload)).toBe(0);
      await until("an answer", () => answers.length === 1);
      expect(whole.send(4, payload.subarray(0, NARROW - ECHO_HEADERS[family]))).toBe(0);
      await until("what fits to be answered", () => answers.length === 2);
      expect({ answers, errors: errors.length }).toEqual({ answers: [3, 4], errors: 1 });
    },
  );

  test.each(FAMILIES)(
    "a datagram that is too big is a soft error; the next goes in fragments (IPv%d)",
    async (family) => {
      const to = kernel(family);
      bed.host.pathMtu.forget(to);
      const server = bed.lab.spawn("a", ["socat", `UDP${family}-LISTEN:${ECHO_PORT},fork,reuseaddr`, "PIPE"]);
      await until("socat", () => bed.kernel("ss", `-Huln${family}`, `sport = ${ECHO_PORT}`) !== "");
      const errors: SoftError[] = [];
      const came: Uint8Array[] = [];
      using socket = bed.host.udp(
        { onError: (error) => void errors.push(error) },
        (datagram) => void came.push(datagram.copy()),
      );
      const remote = socket.to(to, ECHO_PORT);
      const payload = data(MTU - UDP_HEADERS[family]);
      expect(socket.send(remote, payload)).toBe(true);
      await until("the report", () => errors.length > 0);
      expect(errors).toMatchObject([
        { kind: "too-big", mtu: NARROW, remotePort: ECHO_PORT, localPort: socket.localPort },
      ]);
      for (const wanted of [payload, data(8000)]) {
        came.length = 0;
        expect(socket.send(remote, wanted)).toBe(true);
        await until("the echo", () => came.length > 0);
        expect(came).toEqual([wanted]);
      }
      expect(errors.length).toBe(1);
      server.kill("SIGKILL");
      await server.exited;
    },
  );

  test.each(FAMILIES)("what a router refuses comes to the socket with its name (IPv%d)", async (family) => {
    const cases: readonly (readonly [SoftError["kind"], string, number | undefined])[] = [
      ["time-exceeded", kernel(family).toString(), 1],
      ["prohibited", family === 4 ? "10.99.2.1" : "fd99:2::1", undefined],
      [
        family === 4 ? "host-unreachable" : "network-unreachable",
        family === 4 ? "10.99.1.1" : "fd99:1::1",
        undefined,
      ],
      ["network-unreachable", family === 4 ? "192.0.2.1" : "fd66::1", undefined],
      ["port-unreachable", kernel(family).toString(), undefined],
    ];
    for (const [kind, address, ttl] of cases) {
      const errors: SoftError[] = [];
      const options = {
        ...(ttl === undefined ? {} : { ttl }),
        onError: (error: SoftError) => void errors.push(error),
      };
      using socket = bed.host.udp(options, () => undefined);
      expect(socket.send({ address, port: 9 }, data(8))).toBe(true);
      await until(`${kind} about ${address}`, () => errors.length > 0);
      expect(errors[0]).toMatchObject({ kind, localPort: socket.localPort, remotePort: 9 });
      expect(errors[0]!.remote.toString()).toBe(address);
    }
  });
});

describe.skipIf(!runs).each([
  ["offloads on", true],
  ["offloads off", false],
] as const)("behind a router whose near link is narrow, %s", (_name, offloads) => {
  let bed: HostBed;
  beforeAll(async () => {
    bed = await HostBed.start({ ...routed("b"), lab: { middle: true, offloads } });
  }, LIMIT_MS);
  afterAll(async () => expect(await bed?.end()).toBeGreaterThan(0), LIMIT_MS);

  test.each(FAMILIES)(
    "tracepath finds what the way carries, up to us (IPv%d)",
    async (family) => {
      expect(await tracepath(bed.here, HOST[family])).toEqual({ pmtu: NARROW, hops: 2, reached: true });
    },
    LIMIT_MS,
  );

  test.each(FAMILIES)(
    "fragments of the kernel's, cut again by the router, are put together (IPv%d)",
    async (family) => {
      const { ip } = bed.host.statistics();
      // What tracepath found out is forgotten, so that the router has something to cut; over IPv6 it never does.
      if (family === 4) bed.kernel("ip", "route", "flush", "cache");
      for (const size of [NARROW, 3000, 20_000, 65_507]) {
        const { received, text } = await ping(bed.here, HOST[family], {
          count: 1,
          size,
          more: ["-M", "dont"],
        });
        if (received !== 1) throw new Error(`${size} bytes: ${text}`);
      }
      expect(bed.host.statistics().ip.fragments).toBeGreaterThan(ip.fragments + 60);
      expect(bed.host.statistics().reassembly).toMatchObject({ pending: 0, freeSlots: 64, handedOut: 0 });
    },
  );

  test("a redirect of the router's is believed where it is our first hop (IPv6)", async () => {
    const own = [...bed.eth.addresses.values()].find(({ address }) => address.linkLocal)!.address;
    expect(own.linkLocal).toBe(true);
    const linkLocal = bed.lab.exec("m", [
      "ip",
      "-6",
      "-o",
      "addr",
      "show",
      "dev",
      bed.lab.middle!.b.name,
      "scope",
      "link",
    ]).stdout;
    const [, router] = / (fe80::[0-9a-f:]+)\//.exec(linkLocal)!;
    bed.host.addRoute({
      prefix: Prefix.parse("fd89::/64"),
      gateway: IpAddress.parse(router!),
      interface: bed.eth.index,
      metric: 1,
      kind: "unicast",
    });
    using socket = bed.host.udp({}, () => undefined);
    expect(socket.send({ address: "fd89::5", port: 9 }, data(8))).toBe(true);
    const found = (): string | undefined => {
      const { w0, w1, w2, w3 } = IpAddress.parse("fd89::5");
      return bed.host.routes.lookup(w0, w1, w2, w3)?.origin;
    };
    await until("the redirect", () => found() === "redirect");
  });
});

/** A mirror of the kernel's tables tells every difference that `ip` makes, and ends where `ip` prints, whatever was lost on the way. */
import { describe, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { KernelMirror, type KernelMirrorOptions } from "../../ffi/net/kernel-mirror.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import { SystemError } from "../../ffi/sys/errno.ts";
import type { RouteSource, SystemChange } from "../../stack/device/routesource.ts";
import { addressOfText, addressText, ipLines, Told } from "../support/kernel-state.ts";
import { Lab, openFds, until, untilSync } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

/** Above what the kernel needs to end what it has begun, below the limit of a test. */
const SAME_LIMIT_MS = 3000;

const here = (): string => readlinkSync("/proc/thread-self/ns/net");

const ip = (lab: Lab, ...commands: string[]): void => {
  for (const command of commands) lab.exec("b", ["ip", ...command.split(" ")]);
};

const batch = (lab: Lab, lines: readonly string[]): void =>
  void lab.exec("b", ["ip", "-batch", "-"], { stdin: lines.join("\n") });

/** A mirror of side b, with all that it had to tell at first taken. */
const mirror = (lab: Lab, options: KernelMirrorOptions = {}): Told => {
  const told = new Told(new KernelMirror({ namespace: lab.namespace("b"), ...options }));
  told.drain();
  return told;
};

const names = (lab: Lab): ((index: number) => string) => {
  const links = JSON.parse(lab.exec("b", ["ip", "-j", "link"]).stdout) as {
    ifindex: number;
    ifname: string;
  }[];
  return (index) => links.find((link) => link.ifindex === index)?.ifname ?? `#${index}`;
};

/** Waits until all that was told is all that `ip` prints: neighbours go through their states by themselves. */
const expectSame = (told: Told, lab: Lab): void => {
  const nameOf = names(lab);
  const look = (): { ours: string[]; theirs: string[] } => {
    told.drain();
    return { ours: told.lines(nameOf), theirs: ipLines(lab) };
  };
  const end = performance.now() + SAME_LIMIT_MS;
  for (let { ours, theirs } = look(); ; { ours, theirs } = look()) {
    if (ours.join("\n") === theirs.join("\n")) return;
    if (performance.now() > end) return expect(ours).toEqual(theirs);
    Bun.sleepSync(10);
  }
};

const about = (changes: readonly SystemChange[], address: string): SystemChange[] =>
  changes.filter(
    (change) => addressText(change.kind === "route" ? change.destination : change.address) === address,
  );

/** Labs come without duplicate address detection. */
const DETECTION = [
  "sysctl",
  "-qw",
  "net.ipv6.conf.vb.accept_dad=1",
  "net.ipv6.conf.vb.dad_transmits=1",
] as const;

/** Waits for a change that is about this address. */
const next = (told: Told, address: string, fits: (change: SystemChange) => boolean): Promise<SystemChange> =>
  until(`a change of ${address}`, () => about(told.drain(), address).find(fits));

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a mirror of the kernel", () => {
  test("fits the seam, and begins with what is there", () => {
    using lab = Lab.create();
    ip(
      lab,
      "route add default via 10.77.0.1",
      "neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev vb nud permanent",
    );
    const mirrored = new KernelMirror({ namespace: lab.namespace("b") });
    const source: RouteSource = mirrored;
    expect(source.fds).toHaveLength(2);
    const told = new Told(mirrored);
    const kinds = told.drain().map((change) => change.kind);
    expect(kinds).toEqual([...kinds].sort((a, b) => "arn".indexOf(a[0]!) - "arn".indexOf(b[0]!)));
    expect(told.drain()).toEqual([]);
    expectSame(told, lab);
    expect(told.get("neighbour")).toHaveLength(1);
    source.close();
    expect(source.fds).toEqual([]);
    expect(source.next()).toBeUndefined();
  });

  test("addresses: added, changed, removed; IPv6 tentative first, then usable", async () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    ip(lab, "address add 10.5.0.1/16 dev vb");
    expect(about(told.drain(), "10.5.0.1")[0]).toEqual({
      kind: "address",
      present: true,
      interface: lab.b.index,
      address: addressOfText("10.5.0.1"),
      prefixLength: 16,
      tentative: false,
      deprecated: false,
      temporary: false,
    });
    ip(lab, "address change 10.5.0.1/16 dev vb valid_lft 1000 preferred_lft 0");
    expect(about(told.drain(), "10.5.0.1")).toMatchObject([{ kind: "address", deprecated: true }]);
    ip(lab, "address del 10.5.0.1/16 dev vb");
    expect(about(told.drain(), "10.5.0.1")).toMatchObject([
      { kind: "address", present: false },
      { kind: "route", present: false },
    ]);
    lab.exec("b", [...DETECTION]);
    ip(lab, "address add fd00:5::1/64 dev vb");
    expect(about(told.drain(), "fd00:5::1")[0]).toMatchObject({ present: true, tentative: true });
    expect(await next(told, "fd00:5::1", (change) => change.kind === "address")).toMatchObject({
      present: true,
      tentative: false,
    });
    expectSame(told, lab);
  });

  test("a duplicate stays tentative for good", async () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    lab.exec("a", ["ip", "address", "add", "fd00:5::1/64", "dev", "va", "nodad"]);
    lab.exec("b", [...DETECTION]);
    ip(lab, "address add fd00:5::1/64 dev vb");
    const failed = (): boolean =>
      lab.exec("b", ["ip", "-j", "address", "show", "dev", "vb"]).stdout.includes("dadfailed");
    await until("the duplicate found", failed);
    told.drain();
    expect(about(told.get("address"), "fd00:5::1")).toMatchObject([{ tentative: true }]);
    expectSame(told, lab);
  });

  test("one address with two prefixes is told once, and gone with the last; one with a peer has no network", () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    ip(lab, "address add 10.5.0.1/16 dev vb", "address add 10.5.0.1/24 dev vb");
    const first = about(told.drain(), "10.5.0.1").filter((change) => change.kind === "address");
    expect(first).toMatchObject([{ present: true, prefixLength: 16 }]);
    ip(lab, "address del 10.5.0.1/16 dev vb");
    const second = about(told.drain(), "10.5.0.1").filter((change) => change.kind === "address");
    expect(second).toMatchObject([{ present: true, prefixLength: 24 }]);
    ip(lab, "address del 10.5.0.1/24 dev vb");
    const third = about(told.drain(), "10.5.0.1").filter((change) => change.kind === "address");
    expect(third).toMatchObject([{ present: false }]);
    ip(
      lab,
      "address add 10.6.0.1 peer 10.7.0.0/16 dev vb",
      "address add fd00:6::1 peer fd00:7::1/64 dev vb nodad",
    );
    // The kernel tells of an IPv6 address from a worker of its own, a moment later.
    expectSame(told, lab);
    expect(about(told.get("address"), "10.6.0.1")).toMatchObject([{ prefixLength: 32 }]);
    expect(about(told.get("address"), "fd00:6::1")).toMatchObject([{ prefixLength: 128 }]);
  });

  test("routes of the tables local, main and default, and of no other", () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    ip(
      lab,
      "route add 10.1.0.0/16 via 10.77.0.1 mtu 1400 src 10.77.0.2 metric 7",
      "route add 10.1.0.0/16 via 10.77.0.1 metric 8",
      "route add 10.2.0.0/16 dev vb table default",
      "route add local 10.3.0.0/16 dev lo table local",
      "route add blackhole 10.4.0.0/16",
      "route add unreachable 10.5.0.0/16",
      "route add prohibit 10.6.0.0/16",
      "route add 10.8.0.0/16 via inet6 fe80::1 dev vb",
      "route add blackhole fd00:1::/64",
      "route add unreachable fd00:2::/64",
      "route add fd00:3::/64 via fe80::1 dev vb mtu 1300",
      "route add local fd00:4::/64 dev lo table local",
    );
    const changes = told.drain();
    expect(changes).toHaveLength(12);
    expect(about(changes, "10.1.0.0")[0]).toEqual({
      kind: "route",
      present: true,
      destination: addressOfText("10.1.0.0"),
      prefixLength: 16,
      type: "unicast",
      metric: 7,
      source: addressOfText("10.77.0.2"),
      mtu: 1400,
      hops: [{ gateway: addressOfText("10.77.0.1"), interface: lab.b.index, weight: 1 }],
    });
    expect(about(changes, "10.8.0.0")).toMatchObject([{ hops: [{ gateway: addressOfText("fe80::1") }] }]);
    expectSame(told, lab);
    ip(
      lab,
      "route add 10.9.0.0/16 dev vb table 100",
      "route add 10.9.0.0/16 dev vb tos 0x10",
      "route add fd00:9::/64 dev vb table 100",
      "rule add from 10.77.0.2 lookup 100",
    );
    expect(told.drain()).toEqual([]);
    ip(lab, "route add throw 10.10.0.0/16");
    expect(told.drain()).toMatchObject([{ type: "unreachable", hops: [] }]);
  });

  test("several IPv4 routes of one metric: the first counts, replaced and removed one by one", () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    const used = (): string[] => {
      told.drain();
      return about(told.get("route"), "10.1.0.0").flatMap((change) =>
        change.kind === "route" ? change.hops.map((hop) => addressText(hop.gateway!)) : [],
      );
    };
    /** The first that `ip` lists is the first that the kernel finds. */
    const kernels = (): string[] =>
      (
        JSON.parse(lab.exec("b", ["ip", "-j", "route", "show", "10.1.0.0/16"]).stdout) as {
          gateway: string;
        }[]
      )
        .map((route) => route.gateway)
        .slice(0, 1);
    for (const [command, now] of [
      ["add 10.1.0.0/16 via 10.77.0.11", "10.77.0.11"],
      ["append 10.1.0.0/16 via 10.77.0.12", "10.77.0.11"],
      ["prepend 10.1.0.0/16 via 10.77.0.13", "10.77.0.13"],
      ["replace 10.1.0.0/16 via 10.77.0.14", "10.77.0.14"],
      ["del 10.1.0.0/16 via 10.77.0.14", "10.77.0.11"],
      ["del 10.1.0.0/16 via 10.77.0.11", "10.77.0.12"],
      ["change 10.1.0.0/16 via 10.77.0.15", "10.77.0.15"],
    ] as const) {
      ip(lab, `route ${command}`);
      expect([command, ...used()]).toEqual([command, now]);
      expect(kernels()).toEqual([now]);
    }
    ip(lab, "route del 10.1.0.0/16");
    expect(used()).toEqual([]);
    expect(told.mirror.statistics().tables["IPv4 routes"]!.dumps).toBe(1);
  });

  test("multipath routes: hops with weights, single hops that come and go, replaced as a whole", () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    for (const command of [
      "route add 10.1.0.0/16 nexthop via 10.77.0.11 dev vb weight 3 nexthop via 10.77.0.12 dev vb weight 1",
      "route replace 10.1.0.0/16 nexthop via 10.77.0.11 dev vb nexthop via inet6 fe80::7 dev vb weight 9",
      "-6 route add fd00:1::/64 nexthop via fe80::11 dev vb weight 4 nexthop via fe80::12 dev vb",
      "-6 route append fd00:1::/64 via fe80::13 dev vb",
      "-6 route del fd00:1::/64 via fe80::11 dev vb",
      "-6 route append fd00:1::/64 nexthop via fe80::14 dev vb nexthop via fe80::15 dev vb weight 7",
      "-6 route replace fd00:1::/64 nexthop via fe80::16 dev vb nexthop via fe80::17 dev vb",
      "-6 route replace fd00:1::/64 via fe80::18 dev vb",
      "-6 route add fd00:2::/64 dev vb",
      "-6 route append fd00:2::/64 via fe80::19 dev vb",
      "-6 route replace fd00:2::/64 via fe80::20 dev vb",
      "route del 10.1.0.0/16",
      "-6 route del fd00:1::/64",
    ]) {
      ip(lab, command);
      told.drain();
      expect([command, ...told.lines(names(lab))]).toEqual([command, ...ipLines(lab)]);
    }
  });

  test("nexthop objects: routes follow them, also to their end, which the kernel does not tell", () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    for (const command of [
      "nexthop add id 1 via 10.77.0.11 dev vb",
      "nexthop add id 2 via 10.77.0.12 dev vb",
      "nexthop add id 10 group 1,5/2,3",
      "route add 10.1.0.0/16 nhid 10",
      "route add 10.2.0.0/16 nhid 1",
      "nexthop replace id 1 via 10.77.0.21 dev vb",
      "nexthop replace id 10 group 1",
      "nexthop add id 3 via fe80::3 dev vb",
      "-6 route add fd00:1::/64 nhid 3",
      "nexthop replace id 3 via fe80::4 dev vb",
      "nexthop del id 3",
      "nexthop del id 1",
    ]) {
      ip(lab, command);
      told.drain();
      expect([command, ...told.lines(names(lab))]).toEqual([command, ...ipLines(lab)]);
    }
    expect(about(told.get("route"), "10.2.0.0")).toEqual([]);
  });

  test("what the kernel drops in silence: routes of a link that goes down, of an address that goes, of a link that is deleted", () => {
    using lab = Lab.create({ pairs: 2 });
    const told = mirror(lab);
    using _ = told.mirror;
    const [one, two] = lab.pairs as [(typeof lab.pairs)[0], (typeof lab.pairs)[0]];
    ip(
      lab,
      `route add 10.1.0.0/16 via ${one.a.ipv4}`,
      `route add 10.2.0.0/16 nexthop via ${one.a.ipv4} nexthop via ${two.a.ipv4}`,
      `-6 route add fd00:2::/64 nexthop via ${one.a.ipv6} dev vb0 nexthop via ${two.a.ipv6} dev vb1`,
      "address add 10.9.0.1/32 dev lo",
      `route add 10.3.0.0/16 via ${two.a.ipv4} src 10.9.0.1`,
    );
    expectSame(told, lab);
    expect(about(told.get("route"), "10.2.0.0")).toMatchObject([{ hops: [{}, {}] }]);
    ip(lab, "link set dev vb0 down");
    expect(about(told.drain(), "10.1.0.0")).toMatchObject([{ present: false }]);
    expect(about(told.get("route"), "10.2.0.0")).toMatchObject([{ hops: [{ interface: two.b.index }] }]);
    expect(about(told.get("route"), "fd00:2::")).toMatchObject([{ hops: [{ interface: two.b.index }] }]);
    expectSame(told, lab);
    ip(lab, "link set dev vb0 up");
    expectSame(told, lab);
    expect(about(told.get("route"), "10.2.0.0")).toMatchObject([{ hops: [{}, {}] }]);
    ip(lab, "address del 10.9.0.1/32 dev lo");
    expect(about(told.drain(), "10.3.0.0")).toMatchObject([{ present: false }]);
    // An IPv6 route stays, and loses its source without a word.
    ip(
      lab,
      "address add fd00:9::1/128 dev lo nodad",
      `route add fd00:3::/64 via ${two.a.ipv6} src fd00:9::1`,
    );
    told.drain();
    expect(about(told.get("route"), "fd00:3::")).toMatchObject([{ source: addressOfText("fd00:9::1") }]);
    ip(lab, "address del fd00:9::1/128 dev lo");
    told.drain();
    expect(about(told.get("route"), "fd00:3::")).toMatchObject([{ source: undefined }]);
    ip(lab, "link del dev vb1");
    expectSame(told, lab);
    // With a hop's link an IPv4 multipath route goes as a whole; an IPv6 one keeps the others.
    expect(about(told.get("route"), "10.2.0.0")).toEqual([]);
    expect(about(told.get("route"), "fd00:2::")).toMatchObject([{ hops: [{ interface: one.b.index }] }]);
  });

  test("link-local networks of several interfaces are one prefix with a hop on each", () => {
    using lab = Lab.create({ pairs: 2 });
    const told = mirror(lab);
    using _ = told.mirror;
    const on = (): (number | undefined)[] =>
      about(told.get("route"), "fe80::")
        .flatMap((change) => (change.kind === "route" && change.prefixLength === 64 ? change.hops : []))
        .map((hop) => hop.interface)
        .sort();
    expect(on()).toEqual(lab.pairs.map((pair) => pair.b.index).sort());
    ip(lab, "link set dev vb1 down");
    told.drain();
    expect(on()).toEqual([lab.pairs[0]!.b.index]);
    expectSame(told, lab);
  });
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))("neighbours in the mirror", () => {
  const state = (change: SystemChange | undefined): string | undefined =>
    change?.kind === "neighbour" ? change.state : undefined;

  test("added, changed, removed", () => {
    using lab = Lab.create();
    const told = mirror(lab);
    using _ = told.mirror;
    ip(lab, "neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev vb nud permanent");
    expect(told.drain()).toEqual([
      {
        kind: "neighbour",
        present: true,
        interface: lab.b.index,
        address: addressOfText("10.77.0.9"),
        mac: Uint8Array.of(2, 0, 0, 0, 0, 9),
        state: "permanent",
        router: false,
      },
    ]);
    ip(lab, "neigh change 10.77.0.9 lladdr 02:00:00:00:00:08 dev vb nud stale");
    expect(told.drain()).toMatchObject([{ mac: Uint8Array.of(2, 0, 0, 0, 0, 8), state: "stale" }]);
    ip(lab, "neigh add fe80::9 lladdr 02:00:00:00:00:09 dev vb nud noarp router");
    expect(told.drain()).toMatchObject([{ interface: lab.b.index, state: "permanent", router: true }]);
    ip(lab, "neigh add proxy 10.77.0.50 dev vb", "neigh del fe80::9 dev vb", "neigh del 10.77.0.9 dev vb");
    expect(told.drain().filter((change) => !change.present)).toHaveLength(2);
    expect(told.get("neighbour")).toEqual([]);
  });

  test.each(["ipv4", "ipv6"] as const)(
    "resolve makes the kernel ask, and confirm what is stale: %s",
    async (family) => {
      using lab = Lab.create();
      const delay = `net.${family}.neigh.vb.delay_first_probe_time=1`;
      lab.exec("b", ["sysctl", "-qw", delay, `net.${family}.neigh.vb.retrans_time_ms=100`], { check: false });
      // The lab's own duplicate address detection may have made the ends known to each other.
      ip(lab, "neigh flush all");
      const told = mirror(lab);
      using _ = told.mirror;
      const peer = addressOfText(lab.a[family]);
      told.mirror.resolve(lab.b.index, peer);
      const found = await next(told, lab.a[family], (change) => state(change) === "reachable");
      expect(found).toMatchObject({ present: true, interface: lab.b.index });
      ip(lab, `neigh change ${lab.a[family]} lladdr ${lab.a.mac} dev vb nud stale`);
      expect(state(about(told.drain(), lab.a[family])[0])).toBe("stale");
      told.mirror.resolve(lab.b.index, peer);
      await next(told, lab.a[family], (change) => state(change) === "reachable");
      const nobody = `${lab.a[family].slice(0, -1)}77`;
      told.mirror.resolve(lab.b.index, addressOfText(nobody));
      await next(told, nobody, (change) => state(change) === "failed");
      // Who asks again is answered again.
      told.mirror.resolve(lab.b.index, addressOfText(nobody));
      expect(about(told.drain(), nobody).map(state)).toEqual(["incomplete"]);
      expectSame(told, lab);
      await next(told, nobody, (change) => state(change) === "failed");
      expect(told.mirror.statistics().unresolved).toBe(0);
    },
  );

  test("a link-local neighbour is asked for on its own interface", async () => {
    using lab = Lab.create({ pairs: 2 });
    const told = mirror(lab);
    using _ = told.mirror;
    const [, linkLocal = ""] = /inet6 (fe80\S+)\/64/.exec(
      lab.exec("a", ["ip", "-6", "address", "show", "dev", "va1"]).stdout,
    )!;
    const [one, two] = lab.pairs.map((pair) => pair.b.index) as [number, number];
    told.mirror.resolve(two, addressOfText(linkLocal));
    const found = await next(told, linkLocal, (change) => state(change) === "reachable");
    expect(found).toMatchObject({ interface: two });
    told.mirror.resolve(one, addressOfText(linkLocal));
    expect(await next(told, linkLocal, (change) => state(change) === "failed")).toMatchObject({
      interface: one,
    });
  });

  test("a permanent neighbour stays so; what cannot be asked for is counted; nonsense is refused", () => {
    using lab = Lab.create();
    ip(lab, "neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev vb nud permanent");
    const told = mirror(lab);
    using _ = told.mirror;
    told.mirror.resolve(lab.b.index, addressOfText("10.77.0.9"));
    expectSame(told, lab);
    expect(told.get("neighbour").map(state)).toEqual(["permanent"]);
    told.mirror.resolve(9999, addressOfText("10.77.0.10"));
    expect(told.mirror.statistics().unresolved).toBe(1);
    expect(() => told.mirror.resolve(0, addressOfText("10.77.0.10"))).toThrow(RangeError);
    expect(() => told.mirror.resolve(lab.b.index, new Uint8Array(5))).toThrow(TypeError);
  });

  test.each(["ipv4", "ipv6"] as const)(
    "probe makes the kernel ask a neighbour that it is sure of, and finds it there or gone: %s",
    async (family) => {
      using lab = Lab.create();
      lab.exec("b", ["sysctl", "-qw", `net.${family}.neigh.vb.retrans_time_ms=100`]);
      const peer = lab.a[family];
      const nobody = `${peer.slice(0, -1)}77`;
      ip(
        lab,
        "neigh flush all",
        `neigh add ${peer} lladdr ${lab.a.mac} dev vb nud reachable`,
        `neigh add ${nobody} lladdr ${lab.a.mac} dev vb nud reachable router`,
      );
      const told = mirror(lab);
      using _ = told.mirror;
      expect(told.mirror.probe(lab.b.index, addressOfText(peer))).toBe(true);
      await next(told, peer, (change) => state(change) === "reachable");
      // So late that question and answer are over: it is told all the same.
      expect(told.mirror.probe(lab.b.index, addressOfText(peer))).toBe(true);
      const shown = (): string => lab.exec("b", ["ip", "neigh", "show", peer, "dev", "vb"]).stdout;
      untilSync("the answer", () => shown().includes("REACHABLE"));
      expect(about(told.drain(), peer).map(state).at(-1)).toBe("reachable");
      expect(told.mirror.probe(lab.b.index, addressOfText(nobody))).toBe(true);
      // What is told of a router stays.
      expect(await next(told, nobody, (change) => state(change) === "probe")).toMatchObject({ router: true });
      await next(told, nobody, (change) => state(change) === "failed");
      expect(told.mirror.probe(lab.b.index, addressOfText(nobody))).toBe(false);
      expectSame(told, lab);
      expect(told.mirror.statistics().unresolved).toBe(0);
    },
  );

  test("probe asks nobody for what is permanent or not known, and counts what the kernel refuses", () => {
    using lab = Lab.create();
    ip(lab, "neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev vb nud permanent");
    const told = mirror(lab);
    const { mirror: source } = told;
    using _ = source;
    expect(source.probe(lab.b.index, addressOfText("10.77.0.9"))).toBe(false);
    expect(source.probe(lab.b.index, addressOfText("10.77.0.10"))).toBe(false);
    ip(lab, "neigh add 10.77.0.11 lladdr 02:00:00:00:00:11 dev vb nud stale");
    told.drain();
    ip(lab, "neigh del 10.77.0.11 dev vb");
    // It went, and we have not heard of that.
    expect([source.probe(lab.b.index, addressOfText("10.77.0.11")), source.statistics().unresolved]).toEqual([
      false,
      1,
    ]);
    expect(() => source.probe(0, addressOfText("10.77.0.10"))).toThrow(RangeError);
    expect(() => source.probe(lab.b.index, new Uint8Array(5))).toThrow(TypeError);
    source.close();
    expect(source.probe(lab.b.index, addressOfText("10.77.0.9"))).toBe(false);
  });
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a mirror that lost notifications", () => {
  /** So small that the kernel rounds it up to its minimum, which holds one or two notifications. */
  const TINY = { receiveBufferBytes: 1 };
  const COUNT = 3000;
  const host = (i: number): string => `${(i >> 8) & 0xff}.${i & 0xff}`;

  const flood = (verb: "add" | "del"): string[] =>
    Array.from({ length: COUNT }, (_, i) => [
      `route ${verb} 10.100.${host(i)}/32 via 10.77.0.1`,
      `route ${verb} fd00:100::${i.toString(16)}/128 via fe80::1 dev vb`,
      `neigh ${verb} 10.77.${host(i + 256)} lladdr 02:00:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 0xff).toString(16).padStart(2, "0")} dev vb${verb === "add" ? " nud permanent" : ""}`,
    ]).flat();

  test("ends where `ip` prints, told in bounded calls", () => {
    using lab = Lab.create();
    const told = mirror(lab, TINY);
    using _ = told.mirror;
    batch(lab, flood("add"));
    expectSame(told, lab);
    expect(told.get("neighbour")).toHaveLength(COUNT);
    const { overruns, tables } = told.mirror.statistics();
    expect(overruns).toBeGreaterThan(0);
    expect(tables["IPv4 routes"]!.held).toBeGreaterThan(COUNT);
    expect(Object.values(tables).map((table) => table.malformed)).toEqual([0, 0, 0, 0, 0, 0]);
    batch(lab, [
      ...flood("del").slice(0, 3 * (COUNT - 10)),
      "route add blackhole 10.101.0.0/16",
      "address add 10.9.9.9/24 dev vb",
    ]);
    expectSame(told, lab);
    expect(told.get("neighbour")).toHaveLength(10);
  });

  test("while it happens: the mirror reads all along, and is right when it ends", async () => {
    using lab = Lab.create();
    const told = mirror(lab, TINY);
    using _ = told.mirror;
    const writer = lab.spawn("b", ["ip", "-batch", "-"], { stdin: "pipe" });
    const input = writer.stdin as unknown as { write(text: string): void; end(): void };
    input.write([...flood("add"), ...flood("del").slice(0, 4000)].join("\n"));
    input.end();
    let ended = false;
    void writer.exited.then(() => (ended = true));
    await until("the flood's end", () => (told.drain(1000), ended), 60_000);
    expect(writer.exitCode).toBe(0);
    expectSame(told, lab);
    expect(told.mirror.statistics().overruns).toBeGreaterThan(0);
  }, 90_000);

  test("a descriptor is readable for as long as there is something to find out", () => {
    using lab = Lab.create();
    const told = mirror(lab, TINY);
    using _ = told.mirror;
    batch(lab, flood("add"));
    const { fds } = told.mirror;
    let silent = 0;
    untilSync("all told", () => {
      if (told.drain().length === 0) silent += 1;
      return !readable(fds);
    });
    expect(told.lines(names(lab))).toEqual(ipLines(lab));
    expect(silent).toBeGreaterThan(0);
  });

  test("a full table leaves out and counts, and takes the rest when there is room", () => {
    using lab = Lab.create();
    const told = mirror(lab, { limits: { neighbours: 16 } });
    using _ = told.mirror;
    const line = (verb: string, i: number): string =>
      `neigh ${verb} 10.77.0.${i} lladdr 02:00:00:00:00:09 dev vb${verb === "add" ? " nud permanent" : ""}`;
    const all = Array.from({ length: 20 }, (_, i) => 100 + i);
    batch(
      lab,
      all.map((i) => line("add", i)),
    );
    told.drain();
    expect(told.get("neighbour")).toHaveLength(16);
    expect(told.mirror.statistics().tables["IPv4 neighbours"]!.refused).toBe(4);
    batch(
      lab,
      all.slice(0, 4).map((i) => line("del", i)),
    );
    expectSame(told, lab);
    expect(told.get("neighbour")).toHaveLength(16);
    expect(() => new KernelMirror({ limits: { routes: 0 } })).toThrow(/limits\.routes/);
  });
});

/** True where poll(2) says so; through a program, so that nothing of this process is asked. */
const readable = (fds: readonly number[]): boolean => {
  const script = "import select,sys;print(len(select.select([int(a) for a in sys.argv[1:]],[],[],0)[0]))";
  // The shell's copies of our descriptors stand for them.
  const stdio = [null, "pipe", "inherit", ...fds] as const;
  const { stdout } = Bun.spawnSync(["python3", "-c", script, ...fds.map((_, i) => `${3 + i}`)], {
    stdio: [...stdio] as [null, "pipe", "inherit"],
  });
  return Number(stdout.toString()) > 0;
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a mirror's place", () => {
  test("of a namespace by name, while the process is in another, which it does not leave", () => {
    using lab = Lab.create();
    const before = here();
    const told = mirror(lab);
    using _ = told.mirror;
    expect(here()).toBe(before);
    expect(told.get("address").length).toBeGreaterThan(2);
    ip(lab, "route add 10.1.0.0/16 via 10.77.0.1");
    expect(about(told.drain(), "10.1.0.0")).toHaveLength(1);
    using inside = inNamespace(lab.namespace("b"), () => new KernelMirror());
    expect(inside.next()).toMatchObject({ kind: "address" });
    expect(here()).toBe(before);
    expect(() => new KernelMirror({ namespace: "mr-no-such" })).toThrow(
      /cannot open network namespace "mr-no-such": ENOENT/,
    );
  });

  test("no descriptors are left after 1000 openings, with a dump under way and groups joined", () => {
    using lab = Lab.create();
    const namespace = lab.namespace("b");
    new KernelMirror({ namespace }).close();
    const before = openFds();
    for (let i = 0; i < 1000; i++) {
      const one = new KernelMirror({ namespace });
      if (i % 10 === 1) one.joinGroup(lab.b.index, addressOfText("239.1.2.3"));
      one.close();
      one.close();
    }
    expect(openFds()).toBeLessThanOrEqual(before);
  }, 30_000);

  test("groups are joined on the interface, once, and left by the last line of `close`", () => {
    using lab = Lab.create();
    const { mirror: source } = mirror(lab);
    const groups = (): string[] =>
      lab
        .exec("b", ["ip", "maddr", "show", "dev", "vb"])
        .stdout.split("\n")
        .flatMap((line) => /inet6?\s+(239\.\S+|ff05:\S+)/.exec(line)?.[1] ?? []);
    for (const group of ["239.1.2.3", "239.1.2.3", "239.1.2.4", "ff05::7"])
      source.joinGroup(lab.b.index, addressOfText(group));
    expect(groups().sort()).toEqual(["239.1.2.3", "239.1.2.4", "ff05::7"]);
    source.leaveGroup(lab.b.index, addressOfText("239.1.2.3"));
    source.leaveGroup(lab.b.index, addressOfText("239.1.2.3"));
    expect(groups().sort()).toEqual(["239.1.2.4", "ff05::7"]);
    expect(() => source.joinGroup(9999, addressOfText("239.1.2.3"))).toThrow(SystemError);
    expect(() => source.joinGroup(-1, addressOfText("239.1.2.3"))).toThrow(RangeError);
    source.close();
    expect(groups()).toEqual([]);
    expect(() => source.joinGroup(lab.b.index, addressOfText("239.1.2.3"))).toThrow(/closed/);
  });
});

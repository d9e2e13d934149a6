/** Stateless configuration by scripted routers, in virtual time: discovery, routes, prefixes, addresses, name servers. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { fromMac, IDENTIFIER_RETRIES, stable } from "../../stack/ip/addresses/interface-identifier.ts";
import { MAX_DOMAINS, MAX_SERVERS } from "../../stack/ip/slaac/resolvers.ts";
import { MAX_ROUTES } from "../../stack/ip/slaac/router-list.ts";
import { siphash } from "../../stack/ip/addresses/siphash.ts";
import { MAX_ADDRESSES } from "../../stack/ip/slaac/slaac-addresses.ts";
import { Slaac, type SlaacOptions } from "../../stack/ip/slaac/slaac.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { VirtualLink } from "../support/virtual-link.ts";

const ip = (text: string): IpAddress => IpAddress.parse(text);
const R1 = ip("fe80::1");
const R2 = ip("fe80::2");
const HOUR_S = 3_600;

const advertisement = (fields: Partial<ndp.RouterAdvertisement> = {}): ndp.RouterAdvertisement => ({
  kind: "router-advertisement",
  hopLimit: 0,
  managed: false,
  otherConfiguration: false,
  preference: "medium",
  lifetimeSeconds: 1_800,
  reachableMs: 0,
  retransMs: 0,
  options: [],
  ...fields,
});

const prefix = (
  text: string,
  validSeconds: number,
  preferredSeconds = validSeconds,
  fields: Partial<ndp.PrefixInformation> = {},
): ndp.PrefixInformation => ({
  kind: "prefix-information",
  prefix: ip(text.split("/")[0]!),
  prefixLength: Number(text.split("/")[1]),
  onLink: true,
  autonomous: true,
  validSeconds,
  preferredSeconds,
  ...fields,
});

const route = (
  text: string,
  lifetimeSeconds: number,
  preference: ndp.Preference = "medium",
): ndp.RouteInformation => ({
  kind: "route-information",
  prefix: ip(text.split("/")[0]!),
  prefixLength: Number(text.split("/")[1]),
  preference,
  lifetimeSeconds,
});

const setUp = (options: SlaacOptions = {}, link = new VirtualLink()) => {
  const said: string[] = [];
  const state = { canSolicit: true };
  const start = link.now;
  const after = (ms: number): string => (ms === Infinity ? "ever" : `${(ms - start) / 1_000}s`);
  const slaac = new Slaac(
    link.environment,
    {
      outlet: link.outlet,
      solicit: () => {
        said.push(`solicit @${(link.now - start) / 1_000}`);
        return state.canSolicit;
      },
      addAddress: (address, length, { preferredUntilMs, validUntilMs }) =>
        void said.push(`+${address}/${length} ${after(preferredUntilMs)} ${after(validUntilMs)}`),
      setLifetimes: (address, { preferredUntilMs, validUntilMs }) =>
        void said.push(`=${address} ${after(preferredUntilMs)} ${after(validUntilMs)}`),
      removeAddress: (address) => void said.push(`-${address}`),
      addRoute: (r) =>
        void said.push(`+${r.prefix} via ${r.gateway ?? "link"} ${r.metric} ${after(r.expiresMs)}`),
      removeRoute: (r) => void said.push(`-${r.prefix} via ${r.gateway ?? "link"} ${r.metric}`),
      setMtu: (bytes) => void said.push(`mtu ${bytes}`),
      setHopLimit: (hops) => void said.push(`hops ${hops}`),
      setNeighbourTimes: ({ reachableMs, retransMs }) => void said.push(`times ${reachableMs} ${retransMs}`),
      dns: ({ servers, domains }) => void said.push(`dns ${servers.join(",")} ${domains.join(",")}`),
      dhcpFlags: (managed, other) => void said.push(`dhcp ${managed} ${other}`),
    },
    options,
  );
  return { link, slaac, state, take: (): string[] => said.splice(0) };
};

const A = "2001:db8:1::ff:fe00:1";

describe("router discovery", () => {
  test("solicits after a while, ever more seldom, and does not give up", () => {
    const { link, slaac, take } = setUp();
    slaac.start();
    expect(take()).toEqual([]);
    link.advance(60_000);
    expect(take()).toEqual(["solicit @0.5", "solicit @4.5", "solicit @12.5", "solicit @28.5"]);
    link.advance(24 * HOUR_S * 1_000);
    const times = take().map((text) => Number(text.split("@")[1]));
    expect(times.length).toBeGreaterThan(24);
    // The last ones are an hour apart, which is the most.
    expect(times.at(-1)! - times.at(-2)!).toBe(HOUR_S);
    expect(slaac.statistics().solicitations).toBe(4 + times.length);
  });

  test("the pauses vary by a tenth", () => {
    const link = new VirtualLink();
    const { slaac, take } = setUp({}, link);
    link.fraction = 0;
    slaac.start();
    link.advance(0);
    expect(take()).toEqual(["solicit @0"]);
    link.advance(3_600);
    expect(take()).toEqual(["solicit @3.6"]);
    link.advance(3_600 * 1.9);
    expect(take()).toHaveLength(1);
  });

  test("ends with a default route and not without; begins anew when the last one is gone", () => {
    const { link, slaac, take, state } = setUp();
    state.canSolicit = false;
    slaac.start();
    link.advance(500);
    expect(slaac.statistics()).toMatchObject({ solicitations: 0, unsent: 1 });
    state.canSolicit = true;
    slaac.receive(R1, advertisement({ lifetimeSeconds: 0 }));
    link.advance(4_000);
    expect(take()).toEqual(["solicit @0.5", "solicit @4.5"]);
    slaac.receive(R1, advertisement({ lifetimeSeconds: 30 }));
    expect(take()).toEqual(["+::/0 via fe80::1 1024 34.5s"]);
    slaac.receive(R2, advertisement({ lifetimeSeconds: 60 }));
    link.advance(30_000);
    expect(take()).toEqual(["+::/0 via fe80::2 1024 64.5s", "-::/0 via fe80::1 1024"]);
    slaac.receive(R2, advertisement({ lifetimeSeconds: 0 }));
    link.advance(500);
    expect(take()).toEqual(["-::/0 via fe80::2 1024", "solicit @35"]);
    slaac.stop();
    link.advance(1e7);
    expect(take()).toEqual([]);
    // With the link down nobody is asked, not even when a router goes.
    slaac.receive(R1, advertisement({ lifetimeSeconds: 1 }));
    link.advance(1e7);
    expect(take()).toEqual(["+::/0 via fe80::1 1024 10036s", "-::/0 via fe80::1 1024"]);
  });

  test("parameters of the link: told once, nonsense not at all", () => {
    const { slaac, take, link } = setUp();
    link.mtu = 1500;
    const mtu = (bytes: number): ndp.NdpOption => ({ kind: "mtu", mtu: bytes });
    const none = { lifetimeSeconds: 0 };
    slaac.receive(
      R1,
      advertisement({ ...none, hopLimit: 64, reachableMs: 30_000, retransMs: 1_000, options: [mtu(1400)] }),
    );
    expect(take()).toEqual(["hops 64", "times 30000 1000", "mtu 1400"]);
    slaac.receive(
      R1,
      advertisement({ ...none, hopLimit: 64, reachableMs: 30_000, retransMs: 1_000, options: [mtu(1400)] }),
    );
    slaac.receive(R1, advertisement(none));
    expect(take()).toEqual([]);
    slaac.receive(
      R1,
      advertisement({ ...none, reachableMs: 3_600_001, options: [mtu(1279), mtu(1501), mtu(0)] }),
    );
    expect(take()).toEqual([]);
    slaac.receive(R1, advertisement({ ...none, retransMs: 1, options: [mtu(1280)] }));
    expect(take()).toEqual(["times 30000 100", "mtu 1280"]);
    slaac.receive(R1, advertisement({ ...none, managed: true, otherConfiguration: true }));
    slaac.receive(R1, advertisement({ ...none, managed: true, otherConfiguration: true }));
    expect(take()).toEqual(["dhcp true true"]);
  });
});

describe("routes", () => {
  test("preference, reachability and the order of default routers", () => {
    const { slaac, take } = setUp();
    const R3 = ip("fe80::3");
    slaac.receive(R1, advertisement({ preference: "low" }));
    slaac.receive(R2, advertisement({ preference: "high" }));
    slaac.receive(R3, advertisement());
    expect(slaac.defaultRouters().map(String)).toEqual(["fe80::2", "fe80::3", "fe80::1"]);
    take();
    slaac.routerReachable(R2, false);
    slaac.routerReachable(R2, false);
    expect(take()).toEqual(["+::/0 via fe80::2 4608 1800s", "-::/0 via fe80::2 512"]);
    expect(slaac.defaultRouters().map(String)).toEqual(["fe80::3", "fe80::1", "fe80::2"]);
    // It is still unreachable when it speaks again, since an advertisement confirms nothing.
    slaac.receive(R2, advertisement({ preference: "medium" }));
    expect(take()).toEqual(["+::/0 via fe80::2 5120 1800s", "-::/0 via fe80::2 4608"]);
    slaac.routerReachable(R2, true);
    expect(take()).toEqual(["+::/0 via fe80::2 1024 1800s", "-::/0 via fe80::2 5120"]);
    slaac.routerReachable(ip("fe80::99"), false);
    expect(take()).toEqual([]);
    slaac.noRouter(R2);
    expect(take()).toEqual(["-::/0 via fe80::2 1024"]);
    expect(slaac.defaultRouters().map(String)).toEqual(["fe80::3", "fe80::1"]);
  });

  test("route information, on-link prefixes, and their ends", () => {
    const { link, slaac, take } = setUp({ autonomous: false });
    const options = [
      route("2001:db8:8::/48", 100, "high"),
      route("2001:db8:9::/48", ndp.INFINITE_SECONDS),
      prefix("2001:db8:1::/64", 50),
      prefix("2001:db8:2::/64", 60, 60, { onLink: false }),
      prefix("fe80::/64", 60),
      prefix("ff15::/64", 60),
      route("fe80::/10", 60),
    ];
    slaac.receive(R1, advertisement({ lifetimeSeconds: 0, options }));
    expect(take()).toEqual([
      "+2001:db8:8::/48 via fe80::1 512 100s",
      "+2001:db8:9::/48 via fe80::1 1024 ever",
      "+2001:db8:1::/64 via link 256 50s",
    ]);
    link.advance(50_000);
    expect(take()).toEqual(["-2001:db8:1::/64 via link 256"]);
    slaac.receive(R1, advertisement({ lifetimeSeconds: 0, options: [route("2001:db8:9::/48", 0)] }));
    expect(take()).toEqual(["-2001:db8:9::/48 via fe80::1 1024"]);
    slaac.receive(
      R1,
      advertisement({ lifetimeSeconds: 0, options: [route("2001:db8:8::/48", 100, "high")] }),
    );
    link.advance(99_000);
    expect(take()).toEqual(["+2001:db8:8::/48 via fe80::1 512 150s"]);
    link.advance(1_000);
    expect(take()).toEqual(["-2001:db8:8::/48 via fe80::1 512"]);
    expect(link.timers).toBe(0);
  });

  test("a default route among the options counts in place of the header's", () => {
    const { slaac, take } = setUp();
    slaac.receive(R1, advertisement({ lifetimeSeconds: 0, options: [route("::/0", 90, "high")] }));
    slaac.receive(R1, advertisement({ lifetimeSeconds: 0, options: [route("::/0", 91, "high")] }));
    expect(take()).toEqual(["+::/0 via fe80::1 512 90s", "+::/0 via fe80::1 512 91s"]);
    slaac.receive(R1, advertisement({ lifetimeSeconds: 1_800, options: [route("::/0", 0)] }));
    expect(take()).toEqual(["-::/0 via fe80::1 512"]);
  });

  test("a flood of routers and prefixes ends at the limits", () => {
    const { slaac, link } = setUp();
    for (let i = 0; i < 1_000; i++) {
      const options = [
        prefix(`2001:db8:${i.toString(16)}::/64`, HOUR_S),
        route(`2001:db8:${i.toString(16)}::/48`, HOUR_S),
        {
          kind: "rdnss" as const,
          lifetimeSeconds: HOUR_S + i,
          servers: [IpAddress.words(0x20010db8, 0, 0, i + 1)],
        },
        { kind: "dnssl" as const, lifetimeSeconds: HOUR_S + i, domains: [`d${i}.example`] },
      ];
      slaac.receive(IpAddress.words(0xfe800000 | 0, 0, 0, i + 1), advertisement({ options }));
    }
    expect(slaac.statistics()).toMatchObject({ routes: MAX_ROUTES, addresses: MAX_ADDRESSES });
    expect(slaac.statistics().refused).toBe(3_000 - MAX_ROUTES + 1_000 - MAX_ADDRESSES);
    // Of name servers those that last longest stay.
    expect(slaac.resolvers.servers).toHaveLength(MAX_SERVERS);
    expect(slaac.resolvers.domains).toHaveLength(MAX_DOMAINS);
    expect(slaac.resolvers.domains.at(-1)).toBe("d999.example");
    expect(link.timers).toBeLessThan(10);
  });
});

describe("addresses", () => {
  const tell = (slaac: Slaac, ...options: ndp.NdpOption[]): void =>
    slaac.receive(R1, advertisement({ lifetimeSeconds: 0, options }));
  const P = "2001:db8:1::/64";
  const own = (validSeconds: number, preferredSeconds?: number): ndp.PrefixInformation =>
    prefix(P, validSeconds, preferredSeconds, { onLink: false });

  test("are formed of a prefix of 64 bits, renewed, and removed at their end", () => {
    const { link, slaac, take } = setUp();
    tell(slaac, own(100, 50));
    expect(take()).toEqual([`+${A}/64 50s 100s`]);
    link.advance(40_000);
    tell(slaac, own(100, 50));
    expect(take()).toEqual([`=${A} 90s 140s`]);
    expect(slaac.addresses().map(String)).toEqual([A]);
    link.advance(100_000);
    expect(take()).toEqual([`-${A}`]);
    expect(link.timers).toBe(0);
    tell(slaac, own(ndp.INFINITE_SECONDS));
    expect(take()).toEqual([`+${A}/64 ever ever`]);
    expect(link.timers).toBe(0);
  });

  test("prefixes that make none", () => {
    const { slaac, take } = setUp();
    tell(slaac, own(50, 100));
    tell(slaac, own(0, 0));
    tell(slaac, prefix("2001:db8::/63", 100, 100, { onLink: false }));
    tell(slaac, prefix("2001:db8::/96", 100, 100, { onLink: false }));
    tell(slaac, prefix(P, 100, 100, { onLink: false, autonomous: false }));
    tell(slaac, prefix("fe80::/64", 100, 100));
    expect(take()).toEqual([]);
  });

  test("the two-hour rule of RFC 4862 section 5.5.3 e", () => {
    const { link, slaac, take } = setUp();
    tell(slaac, own(10 * HOUR_S));
    take();
    // Less than two hours, and more was left: two hours stay.
    tell(slaac, own(1, 1));
    expect(take()).toEqual([`=${A} 1s ${2 * HOUR_S}s`]);
    // Not more than two hours are left: a shorter time is not believed, but the preferred one is.
    link.advance(HOUR_S * 1_000);
    tell(slaac, own(0, 0));
    expect(take()).toEqual([`=${A} ${HOUR_S}s ${2 * HOUR_S}s`]);
    // More than what is left is believed.
    tell(slaac, own(HOUR_S + 1, 5));
    expect(take()).toEqual([`=${A} ${HOUR_S + 5}s ${2 * HOUR_S + 1}s`]);
    // More than two hours always.
    tell(slaac, own(10 * HOUR_S, 0));
    tell(slaac, own(3 * HOUR_S, 0));
    expect(take()).toEqual([`=${A} ${HOUR_S}s ${11 * HOUR_S}s`, `=${A} ${HOUR_S}s ${4 * HOUR_S}s`]);
    // An infinite life can be cut to two hours too.
    tell(slaac, own(ndp.INFINITE_SECONDS));
    tell(slaac, own(60));
    expect(take().at(-1)).toBe(`=${A} ${HOUR_S + 60}s ${3 * HOUR_S}s`);
  });

  test("a duplicate from the Ethernet address ends there, a stable one is tried again with another identifier", () => {
    const { link, slaac, take } = setUp();
    tell(slaac, own(HOUR_S));
    take();
    expect(slaac.duplicate(ip("2001:db8::99"))).toBe(false);
    expect(slaac.duplicate(ip(A))).toBe(true);
    link.advance(10_000);
    tell(slaac, own(HOUR_S));
    expect(take()).toEqual([`-${A}`]);
    expect(slaac.linkLocal(0)?.toString()).toBe("fe80::ff:fe00:1");
    expect(slaac.linkLocal(1)).toBeUndefined();

    const opaque = setUp({ identifiers: stable({ secret: new Uint8Array(16).fill(7), interface: "eth0" }) });
    tell(opaque.slaac, own(HOUR_S));
    const seen = new Set<string>();
    for (let i = 0; i <= IDENTIFIER_RETRIES; i++) {
      const [address] = opaque.slaac.addresses();
      expect(opaque.take().at(-1)).toStartWith(`+${address}/64 `);
      seen.add(address!.toString());
      expect(opaque.slaac.duplicate(address!)).toBe(true);
      expect(opaque.take()).toEqual([`-${address}`]);
      opaque.link.advance(500);
      // Advertisements in between neither hurry nor stop it.
      tell(opaque.slaac, own(HOUR_S));
      expect(opaque.take()).toEqual([]);
      opaque.link.advance(500);
    }
    expect(seen.size).toBe(IDENTIFIER_RETRIES + 1);
    expect(opaque.slaac.addresses()).toEqual([]);
    expect(opaque.slaac.statistics().duplicates).toBe(4);
  });

  test("flush takes everything back, close says nothing, and neither leaves a timer", () => {
    for (const how of ["flush", "close"] as const) {
      const { link, slaac, take } = setUp({
        identifiers: stable({ secret: new Uint8Array(16), interface: "e" }),
      });
      slaac.start();
      const options = [
        prefix(P, 60),
        prefix("2001:db8:2::/64", 60),
        { kind: "rdnss", lifetimeSeconds: 60, servers: [R1] } as const,
      ];
      slaac.receive(R1, advertisement({ options }));
      slaac.duplicate(slaac.addresses()[0]!);
      take();
      slaac.stop();
      slaac[how]();
      expect(link.timers).toBe(0);
      expect(take().length).toBe(how === "flush" ? 5 : 0);
      if (how === "close") slaac.receive(R1, advertisement({ options }));
      if (how === "close") slaac.start();
      link.advance(1e8);
      expect(take()).toEqual([]);
    }
  });
});

describe("name servers", () => {
  test("come, stay as long as they are said to, and go", () => {
    const { link, slaac, take } = setUp();
    const tell = (lifetimeSeconds: number, ...servers: string[]): void =>
      slaac.receive(
        R1,
        advertisement({
          lifetimeSeconds: 0,
          options: [{ kind: "rdnss", lifetimeSeconds, servers: servers.map(ip) }],
        }),
      );
    tell(60, "2001:db8::53", "fe80::53", "ff02::1", "::1");
    tell(60, "2001:db8::53");
    expect(take()).toEqual(["dns 2001:db8::53,fe80::53 "]);
    link.advance(30_000);
    tell(60, "2001:db8::53");
    link.advance(30_000);
    expect(take()).toEqual(["dns 2001:db8::53 "]);
    slaac.receive(
      R1,
      advertisement({
        lifetimeSeconds: 0,
        options: [{ kind: "dnssl", lifetimeSeconds: 90, domains: ["a.example"] }],
      }),
    );
    expect(take()).toEqual(["dns 2001:db8::53 a.example"]);
    tell(0, "2001:db8::53", "2001:db8::54");
    expect(take()).toEqual(["dns  a.example"]);
    link.advance(90_000);
    expect(take()).toEqual(["dns  "]);
  });
});

describe("identifiers", () => {
  test("SipHash-2-4 gives the values of its paper and of its authors' list", () => {
    const key = Uint8Array.from({ length: 16 }, (_, i) => i);
    const hash = (length: number): string => {
      const [high, low] = siphash(
        key,
        Uint8Array.from({ length }, (_, i) => i),
      );
      return ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16);
    };
    expect([0, 15].map(hash)).toEqual(["726fdb47dd0e0e31", "a129ca6149be45e5"]);
    expect(() => siphash(new Uint8Array(15), key)).toThrow(RangeError);
  });

  test("stable ones depend on everything that RFC 7217 names, and on nothing else", () => {
    const secret = new Uint8Array(16).fill(1);
    const of = (input: Partial<Parameters<typeof stable>[0]>, where = "2001:db8::", attempt = 0): string =>
      String(stable({ secret, interface: "eth0", ...input })(ip(where), attempt));
    const all = [
      of({}),
      of({ secret: new Uint8Array(16).fill(2) }),
      of({ interface: "eth1" }),
      of({ network: "home" }),
      of({ network: "home2" }),
      of({}, "2001:db8:0:1::"),
      of({}, "2001:db8::", 1),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(of({})).toBe(all[0]!);
    expect(stable({ secret, interface: "eth0" })(ip("2001:db8::"), IDENTIFIER_RETRIES + 1)).toBeUndefined();
    expect(() => stable({ secret: new Uint8Array(8), interface: "e" })).toThrow(RangeError);
    expect(fromMac(MacAddress.parse("02:00:00:00:00:01"))(ip("fe80::"), 0)).toEqual([0xff, 0xfe000001 | 0]);
  });
});

describe("properties", () => {
  test("any bytes as an advertisement: no throw, everything within its limits, nothing left after close", () => {
    const optionBytes = fc
      .record({
        type: fc.constantFrom(1, 3, 5, 24, 25, 31, 99),
        units: fc.integer({ min: 1, max: 5 }),
        data: fc.uint8Array({ minLength: 40, maxLength: 40 }),
      })
      .map(({ type, units, data }) => Uint8Array.from([type, units, ...data.subarray(0, units * 8 - 2)]));
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.array(optionBytes, { maxLength: 6 })),
          {
            maxLength: 8,
          },
        ),
        fc.integer(),
        (messages, seed) => {
          const link = new VirtualLink(seededRandom(seed));
          link.fraction = undefined;
          const { slaac } = setUp({}, link);
          slaac.start();
          for (const [header, options] of messages) {
            const bytes = Uint8Array.from([
              134,
              0,
              0,
              0,
              ...header,
              ...options.flatMap((option) => [...option]),
            ]);
            const parsed = ndp.parse(new DataView(bytes.buffer), 0, bytes.length);
            if (parsed?.kind === "router-advertisement")
              slaac.receive(header[0]! % 2 === 0 ? R1 : R2, parsed);
            link.advance(header[1]! * 1_000);
          }
          const { routes, addresses } = slaac.statistics();
          expect(routes).toBeLessThanOrEqual(MAX_ROUTES);
          expect(addresses).toBeLessThanOrEqual(MAX_ADDRESSES);
          slaac.close();
          expect(link.timers).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("what was added and not removed is what holds, whatever came in which order", () => {
    const word = fc.record({
      router: fc.constantFrom(R1, R2),
      seconds: fc.constantFrom(0, 10, 100, 10_000),
      preference: fc.constantFrom("low" as const, "medium" as const, "high" as const),
      what: fc.constantFrom("default", "route", "prefix", "unreachable", "reachable", "gone"),
      waitMs: fc.constantFrom(0, 5_000, 50_000),
    });
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        const { slaac, link, take } = setUp();
        for (const { router, seconds, preference, what, waitMs } of words) {
          const options =
            what === "route"
              ? [route("2001:db8:8::/48", seconds, preference)]
              : what === "prefix"
                ? [prefix("2001:db8:1::/64", seconds)]
                : [];
          if (what === "unreachable" || what === "reachable")
            slaac.routerReachable(router, what === "reachable");
          else if (what === "gone") slaac.noRouter(router);
          else slaac.receive(router, advertisement({ preference, lifetimeSeconds: seconds, options }));
          link.advance(waitMs);
        }
        const held = new Set<string>();
        const log = take().filter((text) => text.includes("via"));
        for (const text of log) {
          const name = text.slice(1).split(" ").slice(0, 4).join(" ");
          if (text.startsWith("+")) held.add(name);
          else expect(held.delete(name)).toBe(true);
        }
        expect(held.size).toBe(slaac.statistics().routes);
        slaac.flush();
        for (const text of take().filter((each) => each.includes("via"))) {
          expect(held.delete(text.slice(1))).toBe(true);
        }
        expect([...held]).toEqual([]);
      }),
    );
  });
});

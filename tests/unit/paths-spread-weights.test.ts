/** Spreading by weight: shares that follow it, and a weight that changes moves flows to that way or from it alone. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { RouteSpread } from "../../stack/ip/routes/route-spread.ts";
import { type Route, RouteTable } from "../../stack/ip/routes/routes.ts";
import { hashAddress, IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { HostLab } from "../support/host-lab.ts";
import { introduce, SERVICES, twoLinks } from "../support/two-links.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const FLOWS = 2000;
const PREFIX = { 4: Prefix.parse("10.9.0.0/24"), 6: Prefix.parse("2001:db8:9::/64") } as const;
const TO = { 4: IpAddress.parse("10.9.0.9"), 6: IpAddress.parse("2001:db8:9::9") } as const;

const weightedRoute = (way: number, weight: number | undefined, family: 4 | 6 = 4): Route => ({
  prefix: PREFIX[family],
  gateway: IpAddress.parse(family === 4 ? `10.0.${way}.1` : `fe80::${way + 1}`),
  interface: way + 1,
  metric: 5,
  kind: "unicast",
  origin: "manual",
  weight,
});

/** A way to one network for each of these weights. */
const weighted = (seed: number, weights: readonly (number | undefined)[], family: 4 | 6 = 4) => {
  const routes = new RouteTable({ timers: new VirtualTime().timers, random: seededRandom(seed) });
  const spread = new RouteSpread(routes);
  const setWeight = (way: number, weight: number | undefined): void =>
    void routes.add(weightedRoute(way, weight, family));
  weights.forEach((weight, way) => setWeight(way, weight));
  const { w0, w1, w2, w3 } = TO[family];
  /** The way that each flow takes. */
  const choices = (): number[] =>
    Array.from({ length: FLOWS }, (_, flow) => {
      const equal = routes.lookupAll(w0, w1, w2, w3);
      return spread.choose(equal, TO[family], Math.imul(flow, 0x9e37))!.interface - 1;
    });
  return { routes, choices, setWeight };
};

/**
 * By how much a count of so many draws, of which this part hits, is wrong once in a billion at most, however small the part
 * (Bernstein's inequality).
 */
const slack = (draws: number, part: number): number => {
  const third = ONCE_IN_A_BILLION / 3;
  return third + Math.sqrt(third ** 2 + 2 * ONCE_IN_A_BILLION * draws * part * (1 - part));
};
const ONCE_IN_A_BILLION = Math.log(2e9);

const expectShares = (chosen: readonly number[], weights: readonly number[]): void => {
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  weights.forEach((weight, way) => {
    const share = chosen.filter((one) => one === way).length;
    const part = weight / all;
    expect(Math.abs(share - chosen.length * part)).toBeLessThan(slack(chosen.length, part));
  });
};

const seeds = fc.integer({ min: 1, max: 0x7fff_ffff });
const aWeight = fc.integer({ min: 1, max: 256 });
const someWeights = fc.array(aWeight, { minLength: 2, maxLength: 8 });

describe("spreading by weight", () => {
  test.each([[[1, 3]], [[3, 1]], [[1, 2, 5]], [[1, 256]], [[7, 7, 14, 28]]])("shares of %j", (weights) => {
    fc.assert(
      fc.property(seeds, fc.constantFrom(4 as const, 6 as const), (seed, family) => {
        expectShares(weighted(seed, weights, family).choices(), weights);
      }),
      { numRuns: 30 },
    );
  });

  test("shares of any weights, in any order", () => {
    fc.assert(
      fc.property(seeds, someWeights, (seed, weights) =>
        expectShares(weighted(seed, weights).choices(), weights),
      ),
      { numRuns: 50 },
    );
  });

  test("of equal weights it is the highest hash that counts, whatever they are, and 1 is what is not said", () => {
    fc.assert(
      fc.property(seeds, aWeight, fc.integer({ min: 2, max: 8 }), (seed, weight, ways) => {
        const same = weighted(seed, Array<number>(ways).fill(weight));
        const { w0, w1, w2, w3 } = TO[4];
        const salts = same.routes.lookupAll(w0, w1, w2, w3).map((route) => same.routes.hopOf(route)!.salt);
        const highest = Array.from({ length: FLOWS }, (_, flow) => {
          const hashes = salts.map(
            (salt) =>
              hashAddress(0, 0, Math.imul(flow, 0x9e37) | 0, hashAddress(w0, w1, w2, w3, salt), salt) >>> 0,
          );
          return hashes.indexOf(Math.max(...hashes));
        });
        const chosen = same.choices();
        expect(chosen).toEqual(highest);
        expect(weighted(seed, Array<undefined>(ways).fill(undefined)).choices()).toEqual(chosen);
      }),
      { numRuns: 30 },
    );
  });

  test("a way that goes moves its own flows alone, to the others by their weights, and gets them back", () => {
    fc.assert(
      fc.property(seeds, someWeights, fc.nat(), (seed, weights, which) => {
        const { routes, choices, setWeight } = weighted(seed, weights);
        const gone = which % weights.length;
        const before = choices();
        routes.remove({ prefix: PREFIX[4], interface: gone + 1 });
        const during = choices();
        for (let flow = 0; flow < FLOWS; flow++)
          if (before[flow] !== gone) expect(during[flow]).toBe(before[flow]!);
        const moved = during.filter((_, flow) => before[flow] === gone);
        const left = weights.with(gone, 0);
        expectShares(moved, left);
        // The order of adding is another now.
        setWeight(gone, weights[gone]);
        expect(choices()).toEqual(before);
      }),
      { numRuns: 50 },
    );
  });

  test("a weight that grows takes from all others, one that shrinks gives to them, and between those nothing moves", () => {
    fc.assert(
      fc.property(seeds, someWeights, fc.nat(), aWeight, (seed, weights, which, now) => {
        const { choices, setWeight } = weighted(seed, weights);
        const changed = which % weights.length;
        const before = choices();
        setWeight(changed, now);
        const after = choices();
        const grows = now > weights[changed]!;
        for (let flow = 0; flow < FLOWS; flow++) {
          if (before[flow] === after[flow]) continue;
          expect((grows ? after : before)[flow]).toBe(changed);
        }
        expectShares(after, weights.with(changed, now));
        setWeight(changed, weights[changed]);
        expect(choices()).toEqual(before);
      }),
      { numRuns: 50 },
    );
  });

  test("a weight is a whole number from 1 to 256", () => {
    for (const bad of [0, -1, 257, 1.5, NaN, "2" as unknown as number])
      expect(() => weighted(1, [bad])).toThrow("weight must be an integer from 1 to 256");
    for (const good of [undefined, 1, 256]) expect(weighted(1, [good]).routes.all()).toHaveLength(1);
  });
});

test("sockets that spread follow the weights of the host's routes, and those that hand over do not", () => {
  using lab = new HostLab();
  const { near, far } = twoLinks(lab, { equal: true });
  introduce(lab, near);
  const ways = new Map<number, string>();
  far.host.udp(7, (datagram) => void ways.set(datagram.remotePort, datagram.interface.name));
  const sockets = Array.from({ length: 400 }, () => near.host.udp({ multipath: "spread" }, () => {}));
  const round = (): Map<number, string> => {
    ways.clear();
    for (const socket of sockets) {
      socket.send({ address: SERVICES.far, port: 7 }, Uint8Array.of(1));
      lab.run(0);
    }
    return new Map(ways);
  };
  const over = (found: ReadonlyMap<number, string>): number[] =>
    [...found.values()].map((name) => (name === "eth0" ? 0 : 1));
  const route = near.host.routes.all().find(({ gateway }) => String(gateway) === "10.1.0.2")!;
  const even = round();
  expectShares(over(even), [1, 1]);
  expect(near.host.addRoute({ ...route, weight: 4 })).toBe(true);
  const uneven = round();
  expectShares(over(uneven), [4, 1]);
  for (const [port, name] of even) if (name === "eth0") expect(uneven.get(port)).toBe("eth0");
  near.host.addRoute(route);
  expect(round()).toEqual(even);
  const other = near.host.routes.all().find(({ gateway }) => String(gateway) === "10.2.0.2");
  near.host.addRoute({ ...other!, weight: 256 });
  const plain = near.host.udp({}, () => {});
  ways.clear();
  plain.send({ address: SERVICES.far, port: 7 }, Uint8Array.of(1));
  lab.run(0);
  expect(ways.get(plain.localPort)).toBe("eth0");
  expect(() => near.host.addRoute({ ...route, weight: 0 })).toThrow(RangeError);
});

/** Spreading over equal paths: even, steady, and a path that dies moves nobody's flows but its own. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RouteSpread } from "../../stack/ip/routes/route-spread.ts";
import { type NextHop, RouteTable } from "../../stack/ip/routes/routes.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { HostLab } from "../support/host-lab.ts";
import { introduce, Oracle, SERVICES, twoLinks } from "../support/two-links.ts";

const PREFIX = Prefix.parse("10.9.0.0/24");
const FLOWS = 1000;

/** A table with so many equal ways to one network. */
const table = (seed: number, ways: number) => {
  const timers = { now: 0, after: () => never, every: () => never };
  const routes = new RouteTable({ timers, random: seededRandom(seed) });
  for (let i = 0; i < ways; i++) addWay(routes, i);
  const spread = new RouteSpread(routes);
  /** The interface that each flow to an address takes. */
  const choices = (to: IpAddress): number[] =>
    Array.from({ length: FLOWS }, (_, flow) => {
      const equal = routes.lookupAll(to.w0, to.w1, to.w2, to.w3);
      return spread.choose(equal, to, Math.imul(flow, 0x9e37))?.interface ?? 0;
    });
  const hop = (i: number): NextHop => routes.hop(i + 1, 4, gatewayOf(i))!;
  return { routes, spread, choices, hop };
};
const gatewayOf = (i: number): IpAddress => IpAddress.parse(`10.${i + 1}.0.1`);
const addWay = (routes: RouteTable, i: number): void =>
  void routes.add({
    prefix: PREFIX,
    gateway: gatewayOf(i),
    interface: i + 1,
    metric: 5,
    kind: "unicast",
    origin: "manual",
  });
const never = { active: false, cancel: () => {}, restart: () => {}, [Symbol.dispose]: () => {} };

const TO = IpAddress.parse("10.9.0.9");
const seeds = fc.integer({ min: 1, max: 0x7fff_ffff });

describe("spreading", () => {
  test("gives each way its share, to one address and to many", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 8 }), (seed, ways) => {
        const { choices, routes, spread } = table(seed, ways);
        const many = Array.from({ length: FLOWS }, (_, i) => {
          const to = IpAddress.v4(0x0a09_0000 + i);
          return spread.choose(routes.lookupAll(TO.w0, TO.w1, TO.w2, TO.w3), to, 0)!.interface;
        });
        for (const chosen of [choices(TO), many]) {
          for (let way = 1; way <= ways; way++) {
            const share = chosen.filter((one) => one === way).length;
            // Six standard deviations of a fair draw.
            const spread6 = 6 * Math.sqrt((FLOWS * (ways - 1)) / ways ** 2);
            expect(Math.abs(share - FLOWS / ways)).toBeLessThan(spread6);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test("moves nobody but the flows of a way that dies, and gives them back when it lives again", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 8 }), fc.nat(), (seed, ways, which) => {
        const { choices, routes, hop } = table(seed, ways);
        const dead = which % ways;
        const before = choices(TO);
        routes.setHopUse(hop(dead), "down");
        const during = choices(TO);
        for (let flow = 0; flow < FLOWS; flow++) {
          expect(during[flow]).not.toBe(dead + 1);
          if (before[flow] !== dead + 1) expect(during[flow]).toBe(before[flow]!);
        }
        routes.setHopUse(hop(dead), "last-resort");
        expect(choices(TO)).toEqual(during);
        routes.setHopUse(hop(dead), "up");
        expect(choices(TO)).toEqual(before);
        // The same where the route itself goes, and others stand in another order.
        routes.remove({ prefix: PREFIX, interface: dead + 1 });
        expect(choices(TO)).toEqual(during);
        addWay(routes, dead);
        expect(choices(TO)).toEqual(before);
      }),
      { numRuns: 30 },
    );
  });

  test("goes on among ways on trial where no other is left", () => {
    const { choices, routes, hop } = table(1, 4);
    for (let i = 0; i < 4; i++) routes.setHopUse(hop(i), i < 2 ? "down" : "last-resort");
    expect(new Set(choices(TO))).toEqual(new Set([3, 4]));
    routes.setHopUse(hop(0), "up");
    expect(new Set(choices(TO))).toEqual(new Set([1]));
    for (let i = 0; i < 4; i++) routes.setHopUse(hop(i), "down");
    expect(new Set(choices(TO))).toEqual(new Set([0]));
  });
});

describe("a socket that spreads", () => {
  test("keeps each flow on one path, and all of them going when one dies", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab, { equal: true });
    introduce(lab, near);
    const ways = new Map<number, string>();
    far.host.udp(7, (datagram) => {
      ways.set(datagram.remotePort, datagram.interface.name);
      datagram.reply();
    });
    let answers = 0;
    const sockets = Array.from({ length: 64 }, () =>
      near.host.udp({ multipath: "spread" }, () => void (answers += 1)),
    );
    const round = (): Map<number, string> => {
      ways.clear();
      for (let i = 0; i < 3; i++)
        for (const socket of sockets) socket.send({ address: SERVICES.far, port: 7 }, Uint8Array.of(i));
      lab.run(0);
      return new Map(ways);
    };
    const before = round();
    expect([before.size, answers]).toEqual([64, 192]);
    const first = [...before.values()].filter((name) => name === "eth0").length;
    expect(Math.min(first, 64 - first)).toBeGreaterThan(10);
    expect(round()).toEqual(before);
    const oracle = new Oracle("bfd", "up");
    near.host.paths.watch(near.paths[0], oracle);
    oracle.say("down", 30);
    expect(new Set(round().values())).toEqual(new Set(["eth1"]));
    oracle.say("up");
    lab.run(1000);
    expect(round()).toEqual(before);
    // Handover takes the first of equals.
    const plain = near.host.udp({}, () => {});
    plain.send({ address: SERVICES.far, port: 7 }, Uint8Array.of(1));
    lab.run(0);
    expect(ways.get(plain.localPort)).toBe("eth0");
  });

  test("may say what its flow is, and one of its remotes may say otherwise", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab, { equal: true });
    introduce(lab, near);
    const ways: string[] = [];
    far.host.udp(7, (datagram) => void ways.push(datagram.interface.name));
    const together = Array.from({ length: 32 }, () =>
      near.host.udp({ multipath: "spread", flow: 0xffff_ffff }, () => {}),
    );
    for (const socket of together) socket.send({ address: SERVICES.far, port: 7 }, Uint8Array.of(1));
    lab.run(0);
    expect([ways.length, new Set(ways).size]).toEqual([32, 1]);
    ways.length = 0;
    for (let flow = 0; flow < 32; flow++) {
      const to = together[0]!.to(SERVICES.far, 7, { flow });
      together[0]!.send(to, Uint8Array.of(1));
    }
    lab.run(0);
    expect(new Set(ways)).toEqual(new Set(["eth0", "eth1"]));
    ways.length = 0;
    for (let flow = 0; flow < 32; flow++)
      together[0]!.send(together[0]!.to(SERVICES.far, 7, { flow, multipath: "handover" }), Uint8Array.of(1));
    lab.run(0);
    expect(new Set(ways)).toEqual(new Set(["eth0"]));
    expect(() => near.host.udp({ flow: -1 }, () => {})).toThrow("flow");
    expect(() => near.host.udp({ multipath: "both" as "spread" }, () => {})).toThrow("multipath");
  });
});

/** Next hops in the routing table: shared by routes, up, a last resort or down, against a plain model. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_NEXT_HOPS } from "../../stack/ip/routes/next-hops.ts";
import { type HopUse, type NextHop, type Route, RouteTable } from "../../stack/ip/routes/routes.ts";
import { refuses } from "../../stack/ip/routes/route.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const setUp = () => {
  const told: string[] = [];
  const name = ({ interface: index, gateway }: NextHop): string =>
    `${index} ${gateway?.toString() ?? "link"}`;
  const table = new RouteTable(new VirtualTime(), {
    changed: ({ prefix }, what) => void told.push(`${what} ${prefix.toString()}`),
    hops: {
      added: (hop) => void told.push(`hop ${name(hop)}`),
      removed: (hop) => void told.push(`no hop ${name(hop)}`),
    },
  });
  return { table, told };
};

const route = (prefix: string, gateway: number, more: Partial<Route> = {}): Route => ({
  prefix: Prefix.parse(prefix),
  ...(gateway === 0 ? {} : { gateway: IpAddress.v4(GATEWAYS + gateway) }),
  interface: 1,
  metric: 0,
  kind: "unicast",
  origin: "manual",
  ...more,
});
const GATEWAYS = 0x0a00_0000;

describe("a next hop", () => {
  test("comes with its first route and goes with its last", () => {
    const { table, told } = setUp();
    const [one, two, six] = [route("10.1.0.0/16", 1), route("10.2.0.0/16", 1), route("2001:db8::/64", 0)];
    table.add(one);
    table.add(two);
    table.add(six);
    table.add({ ...one, mtu: 1400 });
    expect(told.splice(0)).toEqual([
      "hop 1 10.0.0.1",
      "added 10.1.0.0/16",
      "added 10.2.0.0/16",
      "hop 1 link",
      "added 2001:db8::/64",
      "added 10.1.0.0/16",
    ]);
    const hop = table.hop(1, 4, one.gateway)!;
    expect(hop).toMatchObject({ routes: 2, use: "up", family: 4 });
    expect(table.hop(1, 6, undefined)).toMatchObject({ routes: 1, family: 6 });
    expect(table.hop(1, 4, undefined)).toBeUndefined();
    expect(table.statistics()).toMatchObject({ nextHops: 2, unwatched: 0 });
    table.remove(two);
    table.remove(one);
    expect(told.splice(0)).toEqual(["removed 10.2.0.0/16", "no hop 1 10.0.0.1", "removed 10.1.0.0/16"]);
    table.close();
    expect([told, table.statistics().nextHops]).toEqual([[], 0]);
  });

  test("is none of routes that refuse, nor of our own addresses", () => {
    const { table, told } = setUp();
    table.add(route("10.1.0.0/16", 0, { kind: "blackhole", interface: 0 }));
    table.add(route("10.1.0.1/32", 0, { kind: "local" }));
    expect(told.filter((text) => text.startsWith("hop"))).toEqual([]);
  });

  test("that is one too many is not watched, and its routes count", () => {
    const { table } = setUp();
    for (let i = 1; i <= MAX_NEXT_HOPS + 2; i++) table.add(route(`10.${i >> 8}.${i & 0xff}.0/24`, i));
    expect(table.statistics()).toMatchObject({ nextHops: MAX_NEXT_HOPS, unwatched: 2 });
    const last = IpAddress.parse(`10.${(MAX_NEXT_HOPS + 1) >> 8}.${(MAX_NEXT_HOPS + 1) & 0xff}.1`);
    const found = table.lookup(last.w0, last.w1, last.w2, last.w3)!;
    expect([table.hopOf(found), table.useOf(found)]).toEqual([undefined, "up"]);
    expect(table.remove(found)).toBe(1);
    expect(table.statistics().nextHops).toBe(MAX_NEXT_HOPS);
  });

  test("changes the generation when its use changes, and only then", () => {
    const { table } = setUp();
    table.add(route("10.1.0.0/16", 1));
    const hop = table.hop(1, 4, IpAddress.v4(GATEWAYS + 1))!;
    const { generation } = table;
    table.setHopUse(hop, "up");
    expect(table.generation).toBe(generation);
    table.setHopUse(hop, "down");
    expect(table.generation).toBeGreaterThan(generation);
  });
});

describe("a lookup", () => {
  const LENGTHS = [0, 8, 16, 24] as const;
  const USES = ["up", "last-resort", "down"] as const;
  const entry = fc.record({
    length: fc.constantFrom(...LENGTHS),
    gateway: fc.integer({ min: 0, max: 3 }),
    interface: fc.integer({ min: 1, max: 3 }),
    metric: fc.integer({ min: 0, max: 2 }),
    kind: fc.constantFrom("unicast", "unicast", "unicast", "unreachable" as const),
  });

  test("prefers what is up, then the last resort, and never takes what is down", () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 12 }),
        fc.array(fc.constantFrom(...USES), { minLength: 12, maxLength: 12 }),
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 0, max: 3 }),
        (entries, uses, off, wanted) => {
          const { table } = setUp();
          for (const { length, gateway, interface: index, metric, kind } of entries) {
            const refusing = kind === "unreachable";
            table.add(
              route(`10.0.0.0/${length}`.replace("10.0.0.0/0", "0.0.0.0/0"), refusing ? 0 : gateway, {
                metric,
                kind,
                interface: refusing ? 0 : index,
              }),
            );
          }
          for (let index = 1; index <= 3; index++) {
            for (let gateway = 0; gateway <= 3; gateway++) {
              const hop = table.hop(index, 4, gateway === 0 ? undefined : IpAddress.v4(GATEWAYS + gateway));
              if (hop !== undefined) table.setHopUse(hop, uses[(index - 1) * 4 + gateway]!);
            }
          }
          if (off > 0) table.setUsable(off, false);
          const { w0, w1, w2, w3 } = IpAddress.parse("10.0.0.77");
          const found = table.lookup(w0, w1, w2, w3, wanted);
          expect(found).toBe(model(table, wanted));
          const all = table.lookupAll(w0, w1, w2, w3, wanted);
          if (found === undefined) expect(all).toEqual([]);
          else {
            expect(all).toContain(found);
            expect(table.useOf(found)).not.toBe("down");
            for (const other of all)
              expect([other.metric, table.useOf(other)]).toEqual([found.metric, table.useOf(found)]);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  /** In words: all routes in their order; the first that is up, unless it refuses and one on trial stands before it. */
  const model = (table: RouteTable, wanted: number): Route | undefined => {
    const order = [...LENGTHS]
      .reverse()
      .flatMap((length) => table.of(Prefix.parse(length === 0 ? "0.0.0.0/0" : `10.0.0.0/${length}`)))
      .filter((one) => wanted === 0 || one.interface === wanted || one.interface === 0);
    const use = (one: Route): HopUse => table.useOf(one);
    const firstUp = order.findIndex((one) => use(one) === "up");
    const before = firstUp < 0 ? order : order.slice(0, firstUp);
    const trial = before.find((one) => use(one) === "last-resort");
    const up = order[firstUp];
    return up === undefined || (refuses(up) && trial !== undefined) ? trial : up;
  };
});

/** The routing table: lookups against a plain model, paths, metrics, interfaces that go down, ends of routes, limits. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_ROUTES_PER_PREFIX, type Route, RouteTable } from "../../stack/ip/routes/routes.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const route = (prefix: string, more: Partial<Route> = {}): Route => ({
  prefix: Prefix.parse(prefix),
  interface: 1,
  metric: 0,
  kind: "unicast",
  origin: "manual",
  ...more,
});

const via = (gateway: string): Partial<Route> => ({ gateway: IpAddress.parse(gateway) });

const find = (table: RouteTable, address: string, interfaceIndex?: number): Route | undefined => {
  const { w0, w1, w2, w3 } = IpAddress.parse(address);
  return table.lookup(w0, w1, w2, w3, interfaceIndex);
};

const findAll = (table: RouteTable, address: string, interfaceIndex?: number): readonly Route[] => {
  const { w0, w1, w2, w3 } = IpAddress.parse(address);
  return table.lookupAll(w0, w1, w2, w3, interfaceIndex);
};

const setUp = (limit?: number) => {
  const time = new VirtualTime();
  const heard: string[] = [];
  const table = new RouteTable(time, {
    ...(limit === undefined ? {} : { limit }),
    changed: (changed, what) => void heard.push(`${what} ${changed.prefix.toString()} ${changed.metric}`),
  });
  return { time, table, heard };
};

describe("a lookup", () => {
  test("takes the longest prefix, then the lowest metric, then the first", () => {
    const { table } = setUp();
    const fallback = route("0.0.0.0/0", via("10.0.0.1"));
    const wide = route("10.0.0.0/8");
    const dear = route("10.1.0.0/16", { metric: 20 });
    const cheap = route("10.1.0.0/16", { metric: 10, ...via("10.0.0.2") });
    const same = route("10.1.0.0/16", { metric: 10, ...via("10.0.0.3") });
    const six = route("::/0", via("fe80::1"));
    for (const each of [fallback, wide, dear, cheap, same, six]) expect(table.add(each)).toBe(true);
    expect(find(table, "10.1.2.3")).toBe(cheap);
    expect(find(table, "10.2.2.3")).toBe(wide);
    expect(find(table, "192.0.2.1")).toBe(fallback);
    expect(find(table, "2001:db8::1")).toBe(six);
    expect(findAll(table, "10.1.2.3")).toEqual([cheap, same]);
    expect(table.statistics()).toMatchObject({ routes: 6, prefixes: 4, refused: 0, expired: 0 });
  });

  test("knows the address family: neither default route serves the other", () => {
    const { table } = setUp();
    table.add(route("::/0"));
    expect(find(table, "192.0.2.1")).toBeUndefined();
    expect(findAll(table, "192.0.2.1")).toEqual([]);
  });

  test("keeps to an interface, and falls back to wider prefixes there", () => {
    const { table } = setUp();
    const first = route("10.0.0.0/24", { interface: 1 });
    const second = route("10.0.0.0/24", { interface: 2, metric: 5 });
    const third = route("0.0.0.0/0", { interface: 3, ...via("192.0.2.1") });
    for (const each of [first, second, third]) table.add(each);
    expect(find(table, "10.0.0.9")).toBe(first);
    expect(find(table, "10.0.0.9", 2)).toBe(second);
    expect(find(table, "10.0.0.9", 3)).toBe(third);
    expect(find(table, "10.0.0.9", 4)).toBeUndefined();
    expect(findAll(table, "10.0.0.9", 2)).toEqual([second]);
  });

  test("sees prefixes that come and go between two others", () => {
    const { table } = setUp();
    const wide = route("10.0.0.0/8", { interface: 2 });
    const middle = route("10.1.0.0/16", { interface: 2 });
    table.add(route("10.1.1.0/24"));
    table.add(wide);
    table.setUsable(1, false);
    expect(find(table, "10.1.1.1")).toBe(wide);
    table.add(middle);
    expect(find(table, "10.1.1.1")).toBe(middle);
    table.remove(middle);
    expect(find(table, "10.1.1.1")).toBe(wide);
    table.remove(wide);
    expect(find(table, "10.1.1.1")).toBeUndefined();
  });

  test("gives refusals as routes, on every interface", () => {
    const { table } = setUp();
    table.add(route("0.0.0.0/0", via("192.0.2.1")));
    for (const [kind, prefix] of [
      ["blackhole", "10.1.0.0/16"],
      ["unreachable", "10.2.0.0/16"],
      ["prohibit", "10.3.0.0/16"],
    ] as const) {
      const refusing = route(prefix, { kind, interface: 0 });
      table.add(refusing);
      expect(find(table, prefix.replace("0.0/16", "0.7"))).toBe(refusing);
      expect(find(table, prefix.replace("0.0/16", "0.7"), 1)).toBe(refusing);
    }
  });

  test("is as a model that compares all routes", () => {
    const addresses = fc.integer({ min: 0, max: 0xff }).map((low) => IpAddress.v4(0x0a00_0000 | low));
    const routes = fc.record({
      address: addresses,
      length: fc.integer({ min: 22, max: 32 }),
      interface: fc.integer({ min: 1, max: 3 }),
      metric: fc.integer({ min: 0, max: 2 }),
    });
    const steps = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: routes.map((fields) => ({ do: "add" as const, fields })) },
        { weight: 2, arbitrary: routes.map((fields) => ({ do: "remove" as const, fields })) },
        {
          weight: 1,
          arbitrary: fc.record({
            do: fc.constant("usable" as const),
            interface: fc.integer({ min: 1, max: 3 }),
            usable: fc.boolean(),
          }),
        },
        {
          weight: 4,
          arbitrary: fc.record({
            do: fc.constant("lookup" as const),
            address: addresses,
            interface: fc.integer({ min: 0, max: 3 }),
          }),
        },
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const { table } = setUp();
        let model: Route[] = [];
        const down = new Set<number>();
        for (const step of list) {
          const before = table.generation;
          if (step.do === "usable") {
            table.setUsable(step.interface, step.usable);
            if (step.usable) down.delete(step.interface);
            else down.add(step.interface);
          } else if (step.do === "lookup") {
            const { w0, w1, w2, w3 } = step.address;
            const fits = model.filter(
              (each) =>
                each.prefix.contains(step.address) &&
                !down.has(each.interface) &&
                (step.interface === 0 || step.interface === each.interface),
            );
            const length = Math.max(...fits.map((each) => each.prefix.length));
            const longest = fits.filter((each) => each.prefix.length === length);
            const metric = Math.min(...longest.map((each) => each.metric));
            const best = longest.filter((each) => each.metric === metric);
            expect(table.lookup(w0, w1, w2, w3, step.interface)).toBe(best[0] as Route);
            expect(table.lookupAll(w0, w1, w2, w3, step.interface)).toEqual(best);
            expect(table.generation).toBe(before);
          } else {
            const { address, length, ...rest } = step.fields;
            const made = route(`${address.toString()}/${length}`, rest);
            const same = (each: Route): boolean =>
              each.prefix.equals(made.prefix) &&
              each.interface === made.interface &&
              each.metric === made.metric;
            const place = model.findIndex(same);
            if (step.do === "remove") {
              expect(table.remove(made)).toBe(place < 0 ? 0 : 1);
              model = model.filter((each) => !same(each));
            } else {
              expect(table.add(made)).toBe(true);
              if (place < 0) model.push(made);
              else model[place] = made;
              expect(table.generation).toBeGreaterThan(before);
            }
          }
          expect(table.statistics().routes).toBe(model.length);
        }
      }),
    );
  });
});

describe("changes", () => {
  test("of an interface's state move its routes out and back in", () => {
    const { table } = setUp();
    const main = route("0.0.0.0/0", { interface: 1, ...via("10.0.0.1") });
    const spare = route("0.0.0.0/0", { interface: 2, metric: 100, ...via("10.0.1.1") });
    table.add(main);
    table.add(spare);
    const before = table.generation;
    table.setUsable(1, false);
    expect(table.generation).toBe(before + 1);
    table.setUsable(1, false);
    expect(table.generation).toBe(before + 1);
    expect(find(table, "192.0.2.1")).toBe(spare);
    expect(find(table, "192.0.2.1", 1)).toBeUndefined();
    table.setUsable(2, false);
    expect(find(table, "192.0.2.1")).toBeUndefined();
    table.setUsable(1, true);
    expect(find(table, "192.0.2.1")).toBe(main);
    expect(() => table.setUsable(0, false)).toThrow(RangeError);
  });

  test("renew the same route and replace those of the same metric and origin", () => {
    const { table, heard } = setUp();
    table.add(route("0.0.0.0/0", { ...via("10.0.0.1"), mtu: 1500 }));
    const narrower = route("0.0.0.0/0", { ...via("10.0.0.1"), mtu: 1400 });
    table.add(narrower);
    expect(table.all()).toEqual([narrower]);
    const advertised = route("0.0.0.0/0", { ...via("10.0.0.7"), origin: "dhcp" });
    table.add(advertised);
    const next = route("0.0.0.0/0", via("10.0.0.2"));
    expect(table.replace(next)).toBe(true);
    expect(new Set(table.all())).toEqual(new Set([advertised, next]));
    expect(table.replace(next)).toBe(true);
    expect(table.all()).toHaveLength(2);
    expect(heard.filter((text) => text.startsWith("removed"))).toEqual(["removed 0.0.0.0/0 0"]);
  });

  test("remove by what is given, and by a test", () => {
    const { table } = setUp();
    const prefix = Prefix.parse("10.0.0.0/8");
    table.add(route("10.0.0.0/8", { metric: 1, ...via("192.0.2.1") }));
    table.add(route("10.0.0.0/8", { metric: 1, ...via("192.0.2.2") }));
    table.add(route("10.0.0.0/8", { metric: 2, interface: 2, origin: "ra" }));
    table.add(route("10.0.0.0/9", { interface: 2 }));
    expect(table.remove({ prefix, gateway: IpAddress.parse("192.0.2.9") })).toBe(0);
    expect(table.remove({ prefix, gateway: IpAddress.parse("192.0.2.2") })).toBe(1);
    expect(table.remove({ prefix, metric: 1, kind: "local" })).toBe(0);
    expect(table.remove({ prefix, origin: "ra", interface: 2, metric: 2 })).toBe(1);
    expect(table.removeWhere((each) => each.interface === 2)).toBe(1);
    expect(table.remove({ prefix })).toBe(1);
    expect(table.statistics()).toMatchObject({ routes: 0, prefixes: 0 });
    expect(find(table, "10.0.0.1")).toBeUndefined();
  });

  test("come by themselves when a route ends, which renewing puts off", () => {
    const { table, time, heard } = setUp();
    const lease = (expiresMs: number): Route => route("0.0.0.0/0", { ...via("10.0.0.1"), expiresMs });
    table.add(lease(1000));
    time.advance(999);
    expect(find(table, "192.0.2.1")).toBeDefined();
    table.add(lease(5000));
    time.advance(3000);
    expect(find(table, "192.0.2.1")).toBeDefined();
    const before = table.generation;
    time.advance(1001);
    expect(find(table, "192.0.2.1")).toBeUndefined();
    expect(table.generation).toBeGreaterThan(before);
    expect(heard.at(-1)).toBe("expired 0.0.0.0/0 0");
    expect(table.statistics()).toMatchObject({ routes: 0, prefixes: 0, refused: 0, expired: 1 });
    expect(time.idle).toBe(true);
    expect(table.add(lease(1))).toBe(false);
    expect(table.add(route("0.0.0.0/0", { expiresMs: Infinity }))).toBe(true);
    expect(table.add(route("0.0.0.0/0", { expiresMs: 1 }))).toBe(false);
    expect(table.statistics()).toMatchObject({ routes: 0, refused: 1 });
  });

  test("may be made by those who hear of them", () => {
    const time = new VirtualTime();
    const table: RouteTable = new RouteTable(time, {
      changed: (_, what) => void (what === "removed" && table.removeWhere(() => true)),
    });
    table.add(route("10.0.0.0/8"));
    table.add(route("10.0.0.0/8", { metric: 1, expiresMs: 10 }));
    table.add(route("10.1.0.0/16"));
    table.remove({ prefix: Prefix.parse("10.0.0.0/8") });
    expect(table.statistics()).toMatchObject({ routes: 0, prefixes: 0, refused: 0, expired: 0 });
    expect(time.idle).toBe(true);
  });

  test("end with close, timers too", () => {
    const { table, time } = setUp();
    table.add(route("10.0.0.0/8", { expiresMs: 10 }));
    table.close();
    table.close();
    expect(find(table, "10.0.0.1")).toBeUndefined();
    expect(time.idle).toBe(true);
  });
});

describe("limits", () => {
  test("of the table and of a prefix are counted", () => {
    const { table } = setUp(MAX_ROUTES_PER_PREFIX + 2);
    for (let metric = 0; metric < MAX_ROUTES_PER_PREFIX; metric++)
      expect(table.add(route("10.0.0.0/8", { metric }))).toBe(true);
    expect(table.add(route("10.0.0.0/8", { metric: 1000 }))).toBe(false);
    expect(table.add(route("10.1.0.0/16"))).toBe(true);
    expect(table.add(route("10.2.0.0/16"))).toBe(true);
    expect(table.add(route("10.3.0.0/16"))).toBe(false);
    expect(table.add(route("10.2.0.0/16", { mtu: 1400 }))).toBe(true);
    expect(table.statistics().refused).toBe(2);
  });

  test("of fields are errors that name them", () => {
    const { table } = setUp();
    const bad: readonly (readonly [Partial<Route>, string])[] = [
      [{ interface: 0 }, "interface"],
      [{ interface: -1 }, "interface"],
      [{ metric: 0.5 }, "metric"],
      [{ metric: 2 ** 32 }, "metric"],
      [{ kind: "blackhole", ...via("10.0.0.1") }, "gateway"],
      [{ source: IpAddress.parse("::1") }, "source"],
      [{ expiresMs: NaN }, "expiresMs"],
    ];
    for (const [fields, name] of bad) expect(() => table.add(route("10.0.0.0/8", fields))).toThrow(name);
    expect(() => new RouteTable(new VirtualTime(), { limit: 0 })).toThrow("limit");
  });
});

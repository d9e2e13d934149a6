/** Whose datagram it is: by flow, by address, by port; and the table of flows against a model. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { FlowTable } from "../../stack/udp/flow-table.ts";
import { type Listener, MAX_SHARING, Ports } from "../../stack/udp/ports.ts";
import { IpAddress } from "../../stack/wire/address.ts";

interface Seat extends Listener {
  readonly name: string;
}

const seat = (
  name: string,
  localPort: number,
  more: { local?: string; remote?: string; remotePort?: number; reuse?: boolean } = {},
): Seat => {
  const remote = more.remote === undefined ? undefined : IpAddress.parse(more.remote);
  return {
    name,
    localPort,
    localAddress: more.local === undefined ? undefined : IpAddress.parse(more.local),
    connected: remote !== undefined,
    reuse: more.reuse ?? false,
    r0: remote?.w0 ?? 0,
    r1: remote?.w1 ?? 0,
    r2: remote?.w2 ?? 0,
    r3: remote?.w3 ?? 0,
    remotePort: more.remotePort ?? 0,
  };
};

const find = (ports: Ports<Seat>, from: string, fromPort: number, to: string, port: number) => {
  const s = IpAddress.parse(from);
  const d = IpAddress.parse(to);
  const ends = { s0: s.w0, s1: s.w1, s2: s.w2, s3: s.w3, d0: d.w0, d1: d.w1, d2: d.w2, d3: d.w3 };
  return ports.find(ends, fromPort, port)?.name;
};

describe("ports", () => {
  test("the flow comes first, then the address, then anybody", () => {
    const ports = new Ports<Seat>(7);
    for (const one of [
      seat("any", 53),
      seat("bound", 53, { local: "10.0.0.2" }),
      seat("bound6", 53, { local: "2001:db8::2" }),
      seat("flow", 53, { remote: "10.0.0.9", remotePort: 9 }),
      seat("flow of an address", 53, { local: "10.0.0.2", remote: "10.0.0.8", remotePort: 9 }),
    ])
      expect(ports.add(one)).toBe(true);
    expect(ports.size).toBe(5);
    expect(find(ports, "10.0.0.9", 9, "10.0.0.2", 53)).toBe("flow");
    expect(find(ports, "10.0.0.9", 9, "10.0.0.3", 53)).toBe("flow");
    expect(find(ports, "10.0.0.9", 10, "10.0.0.2", 53)).toBe("bound");
    expect(find(ports, "10.0.0.8", 9, "10.0.0.2", 53)).toBe("flow of an address");
    expect(find(ports, "10.0.0.8", 9, "10.0.0.3", 53)).toBe("any");
    expect(find(ports, "2001:db8::9", 9, "2001:db8::2", 53)).toBe("bound6");
    expect(find(ports, "2001:db8::9", 9, "2001:db8::3", 53)).toBe("any");
    expect(find(ports, "10.0.0.9", 9, "10.0.0.2", 54)).toBeUndefined();
  });

  test("a place has one holder, unless all of them share it", () => {
    const ports = new Ports<Seat>(7);
    expect(ports.add(seat("a", 5))).toBe(true);
    expect(ports.add(seat("b", 5))).toBe(false);
    expect(ports.add(seat("c", 5, { reuse: true }))).toBe(false);
    expect(ports.add(seat("d", 6, { reuse: true }))).toBe(true);
    expect(ports.add(seat("e", 6, { reuse: true }))).toBe(true);
    expect(ports.add(seat("f", 6))).toBe(false);
    for (let i = 2; i < MAX_SHARING; i++) expect(ports.add(seat(`${i}`, 6, { reuse: true }))).toBe(true);
    expect(ports.add(seat("too many", 6, { reuse: true }))).toBe(false);
    expect(ports.listeners(6)).toHaveLength(MAX_SHARING);
    const flow = { remote: "10.0.0.9", remotePort: 9 };
    expect(ports.add(seat("g", 7, flow))).toBe(true);
    expect(ports.add(seat("h", 7, { ...flow, reuse: true }))).toBe(false);
  });

  test("a port is free again when the last one has gone", () => {
    const ports = new Ports<Seat>(7);
    const all = [
      seat("a", 5),
      seat("b", 5, { local: "10.0.0.2" }),
      seat("c", 5, { remote: "1.2.3.4", remotePort: 1 }),
    ];
    for (const one of all) ports.add(one);
    expect([...ports.all()].map((one) => one.name).sort()).toEqual(["a", "b", "c"]);
    for (const one of all) {
      expect(ports.isFree(5)).toBe(false);
      ports.delete(one);
      // Once more changes nothing.
      ports.delete(one);
    }
    expect([ports.isFree(5), ports.size, [...ports.all()].length]).toEqual([true, 0, 0]);
    expect(ports.listeners(5)).toEqual([]);
  });

  test("a listener that goes while somebody walks over them is still in his list", () => {
    const ports = new Ports<Seat>(7);
    const [a, b] = [seat("a", 5, { reuse: true }), seat("b", 5, { reuse: true })];
    ports.add(a);
    ports.add(b);
    const seen: string[] = [];
    for (const one of ports.listeners(5)) {
      ports.delete(b);
      seen.push(one.name);
    }
    expect(seen).toEqual(["a", "b"]);
  });
});

describe("a table of flows", () => {
  test("100 000 flows come, are found and go as in a plain map", () => {
    const FLOWS = 100_000;
    const random = seededRandom(5);
    const ports = new Ports<Seat>(3);
    const model = new Map<string, Seat>();
    const keyOf = (one: Seat): string => `${one.r0} ${one.r1} ${one.r2} ${one.r3} ${one.remotePort}`;
    const draw = (): Seat => ({
      ...seat("", 53),
      connected: true,
      r0: random.next() & 1 ? 0x2001_0db8 : 0,
      r3: random.next() | 0,
      remotePort: random.next() & 0xffff,
    });
    while (model.size < FLOWS) {
      const one = draw();
      expect(ports.add(one)).toBe(!model.has(keyOf(one)));
      if (!model.has(keyOf(one))) model.set(keyOf(one), one);
    }
    const look = (one: Seat): Seat | undefined =>
      ports.flow(53, one.r0, one.r1, one.r2, one.r3, one.remotePort);
    for (const one of model.values()) if (look(one) !== one) throw new Error(`lost ${keyOf(one)}`);
    let gone = 0;
    for (const [key, one] of model) {
      if ((random.next() & 3) === 0) continue;
      ports.delete(one);
      model.delete(key);
      gone += 1;
      if (look(one) !== undefined) throw new Error(`${key} is still there`);
    }
    expect(gone).toBeGreaterThan(FLOWS / 2);
    for (const one of model.values()) if (look(one) !== one) throw new Error(`lost ${keyOf(one)}`);
    expect(ports.size).toBe(model.size);
    for (let i = 0; i < 1000; i++) expect(look(draw())).toBeUndefined();
  });

  test("any order of coming and going is that of a map", () => {
    const key = fc.record({ w: fc.nat(7), port: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), key), { maxLength: 200 }), fc.integer(), (steps, seed) => {
        const table = new FlowTable<Seat>(seed);
        const model = new Map<string, Seat>();
        for (const [add, { w, port }] of steps) {
          const name = `${w} ${port}`;
          const one = { ...seat(name, 1), r3: w, remotePort: port };
          if (add) {
            expect(table.add(one)).toBe(!model.has(name));
            if (!model.has(name)) model.set(name, one);
          } else {
            // Another object with the same key is not the one.
            expect(table.delete(one)).toBe(false);
            const held = model.get(name);
            if (held !== undefined) expect(table.delete(held)).toBe(true);
            model.delete(name);
          }
          expect(table.size).toBe(model.size);
        }
        for (let w = 0; w < 8; w++)
          for (let port = 0; port < 4; port++)
            expect(table.find(0, 0, 0, w, port)).toBe(model.get(`${w} ${port}`));
        expect(new Set(table.values())).toEqual(new Set(model.values()));
      }),
    );
  });
});

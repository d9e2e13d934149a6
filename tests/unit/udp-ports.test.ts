/** Whose datagram it is: by flow, by address, by port; and the table of flows against a model. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { FlowTable, MAX_TAG, portsOf } from "../../stack/udp/flow-table.ts";
import { HandlerNumbers, NO_HANDLER } from "../../stack/udp/handler-numbers.ts";
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
    receivedDatagrams: 0,
    receivedBytes: 0,
  };
};

const find = (ports: Ports<Seat>, from: string, fromPort: number, to: string, port: number) => {
  const s = IpAddress.parse(from);
  const d = IpAddress.parse(to);
  const ends = { s0: s.w0, s1: s.w1, s2: s.w2, s3: s.w3, d0: d.w0, d1: d.w1, d2: d.w2, d3: d.w3 };
  return ports.find(ends, portsOf(fromPort, port))?.name;
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
      ports.flows.find(one.r0, one.r1, one.r2, one.r3, portsOf(one.remotePort, 53));
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

  test("any order of coming and going is that of a map, with tags, numbers and counts", () => {
    const key = fc.record({ w: fc.nat(7), port: fc.nat(3), tag: fc.constantFrom(0, 1, MAX_TAG) });
    const step = fc.tuple(fc.constantFrom("add", "delete", "count", "collect"), key);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer(), (steps, seed) => {
        const table = new FlowTable<Seat>(seed);
        const model = new Map<string, { seat: Seat; tag: number; number: number; datagrams: number }>();
        const locate = (w: number, port: number): number => table.locate(0, 0, 0, w, portsOf(port, 1));
        for (const [what, { w, port, tag }] of steps) {
          const name = `${w} ${port}`;
          const held = model.get(name);
          const one = { ...seat(name, 1), r3: w, remotePort: port };
          if (what === "add") {
            expect(table.add(one, tag)).toBe(held === undefined);
            const number = table.numberAt(locate(w, port));
            if (held === undefined) model.set(name, { seat: one, tag, number, datagrams: 0 });
          } else if (held === undefined) expect(locate(w, port)).toBe(-1);
          else if (what === "delete") {
            // Another object with the same key is not the one.
            expect(table.delete(one)).toBe(false);
            expect(table.delete(held.seat)).toBe(true);
            expect([held.seat.receivedDatagrams, held.seat.receivedBytes]).toEqual([
              held.datagrams,
              held.datagrams * 10,
            ]);
            model.delete(name);
          } else if (what === "count") {
            table.count(locate(w, port), 10);
            held.datagrams += 1;
          } else {
            table.collect(held.seat);
            expect(held.seat.receivedDatagrams).toBe(held.datagrams);
          }
          expect(table.size).toBe(model.size);
          expect(table.hears(1)).toBe(model.size > 0);
        }
        for (let w = 0; w < 8; w++) {
          for (let port = 0; port < 4; port++) {
            const held = model.get(`${w} ${port}`);
            const at = locate(w, port);
            expect(table.find(0, 0, 0, w, portsOf(port, 1))).toBe(held?.seat);
            if (held === undefined) expect(at).toBe(-1);
            else expect([table.tagAt(at), table.numberAt(at)]).toEqual([held.tag, held.number]);
            if (held !== undefined) expect(table.flowOf(held.number)).toBe(held.seat);
          }
        }
        expect(new Set(table.values())).toEqual(new Set([...model.values()].map((held) => held.seat)));
      }),
    );
  });

  test("counts go on beyond the words of a slot", () => {
    const table = new FlowTable<Seat>(1);
    const one = { ...seat("one", 53), r3: 9, remotePort: 9 };
    table.add(one, 0);
    const at = table.locate(0, 0, 0, 9, portsOf(9, 53));
    const LONGEST = 65_507;
    const TIMES = 200_000;
    for (let i = 0; i < TIMES; i++) table.count(at, LONGEST);
    table.collect(one);
    expect([one.receivedDatagrams, one.receivedBytes]).toEqual([TIMES, TIMES * LONGEST]);
    expect(one.receivedBytes).toBeGreaterThan(2 ** 33);
  });

  test("reaching for any number of flows disturbs none", () => {
    const table = new FlowTable<Seat>(1);
    const FLOWS = 20_000;
    const flows = Array.from({ length: FLOWS }, (_, i) => ({ ...seat("", 53), r0: i, r3: i, remotePort: 9 }));
    for (const one of flows) table.add(one, 0);
    expect(table.large).toBe(true);
    for (const noted of [0, 1, 64, 65, 1001]) {
      for (let i = 0; i < noted; i++) table.note(i, 0, 0, i, portsOf(9, 53));
      table.reach();
    }
    for (const [i, one] of flows.entries()) expect(table.find(i, 0, 0, i, portsOf(9, 53))).toBe(one);
    expect(flows.every(({ receivedDatagrams }) => receivedDatagrams === 0)).toBe(true);
  });
});

describe("numbers for handlers", () => {
  const handlers = Array.from({ length: 4 }, () => () => {});

  test("one for each handler, for as long as anybody uses it", () => {
    const numbers = new HandlerNumbers(3);
    const [a, b, c, d] = handlers;
    const first = numbers.take(a!);
    expect(first).not.toBe(NO_HANDLER);
    expect(numbers.take(a!)).toBe(first);
    const second = numbers.take(b!);
    expect(new Set([NO_HANDLER, first, second]).size).toBe(3);
    expect([numbers.handlers[first], numbers.handlers[second]]).toEqual([a, b]);
    const third = numbers.take(c!);
    // None is left for a fourth, and giving back nothing changes nothing.
    expect(numbers.take(d!)).toBe(NO_HANDLER);
    numbers.give(NO_HANDLER);
    numbers.give(first);
    expect(numbers.handlers[first]).toBe(a);
    numbers.give(first);
    expect(numbers.handlers[first]).toBeUndefined();
    expect(numbers.take(d!)).toBe(first);
    expect(numbers.handlers[third]).toBe(c);
  });
});

/** The flow table of a balancer: against a model, over its limits, in time. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { hashFlow } from "../../stack/balance/flow-hash.ts";
import { FlowTable, MAX_FLOWS } from "../../stack/balance/flow-table.ts";

const IDLE = 300;
const CLOSING = 20;
const RULES = {
  choose: () => -1,
  idleSeconds: (_service: number, closing: boolean) => (closing ? CLOSING : IDLE),
};

/** A flow from a number. */
const flow = (i: number, service = 1) => {
  const [r0, r1, r2, r3] = i % 2 === 0 ? [0, 0, 0xffff, i * 31] : [0x2001_0db8, 0, 0, i];
  const ports = (i << 16) | 80;
  return { r0, r1, r2, r3, ports, service, hash: hashFlow(r0, r1, r2, r3, ports, 5) } as const;
};
type Flow = ReturnType<typeof flow>;

const find = (table: FlowTable, { r0, r1, r2, r3, ports, service, hash }: Flow): number =>
  table.find(r0, r1, r2, r3, ports, service, hash);
const add = (table: FlowTable, { r0, r1, r2, r3, ports, service, hash }: Flow, backend: number): void =>
  table.add(r0, r1, r2, r3, ports, service, hash, backend);
/** The backend of a flow, -1 where it is not there. */
const backendOf = (table: FlowTable, one: Flow): number => {
  const at = find(table, one);
  return at < 0 ? -1 : table.backendAt(at);
};

describe("the table", () => {
  test.each([0, 8, 100, 65_535, MAX_FLOWS * 2, NaN])("of %d flows is refused", (capacity) => {
    expect(() => new FlowTable(capacity, RULES)).toThrow(RangeError);
  });

  test("does what a map does, while it is not full", () => {
    const step = fc.record({
      verb: fc.constantFrom("add", "add", "move", "forget", "forgetService"),
      i: fc.nat(40),
      service: fc.nat(2),
      backend: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new FlowTable(4096, RULES);
        const model = new Map<string, { one: Flow; backend: number }>();
        for (const { verb, i, service, backend } of steps) {
          const one = flow(i, service);
          const key = `${i} ${service}`;
          const at = find(table, one);
          expect(at >= 0).toBe(model.has(key));
          if (verb === "add" && at < 0) {
            add(table, one, backend);
            model.set(key, { one, backend });
          } else if (verb === "move" && at >= 0) {
            table.move(at, backend);
            model.set(key, { one, backend });
          } else if (verb === "forget") {
            table.forget("backend", backend);
            for (const [name, entry] of model) if (entry.backend === backend) model.delete(name);
          } else if (verb === "forgetService") {
            table.forget("service", service);
            for (const [name, entry] of model) if (entry.one.service === service) model.delete(name);
          }
          expect(table.size).toBe(model.size);
          for (const entry of model.values()) expect(backendOf(table, entry.one)).toBe(entry.backend);
          for (let number = 0; number <= 5; number++) {
            const expected = [...model.values()].filter((entry) => entry.backend === number).length;
            expect(table.flowsOf(number)).toBe(expected);
          }
        }
      }),
    );
  });

  test("keeps all of half as many flows as it has places, but for one in a hundred", () => {
    const table = new FlowTable(1 << 16, RULES);
    for (let i = 0; i < 1 << 15; i++) add(table, flow(i), i % 7);
    const lost = Array.from({ length: 1 << 15 }, (_, i) => backendOf(table, flow(i)) !== i % 7).filter(
      Boolean,
    );
    expect(lost.length).toBeLessThan((1 << 15) / 100);
    const { evicted, evictedAway, flows } = table.statistics();
    expect(evicted + evictedAway).toBe(lost.length);
    expect(flows).toBe((1 << 15) - lost.length);
  });

  test("is never fuller than full", () => {
    const table = new FlowTable(64, RULES);
    for (let i = 0; i < 1000; i++) add(table, flow(i), 1);
    expect(table.size).toBeLessThanOrEqual(64);
    expect(table.flowsOf(1)).toBe(table.size);
    expect(backendOf(table, flow(999))).toBe(1);
    const { added, evicted, evictedAway } = table.statistics();
    expect(added - evicted - evictedAway).toBe(table.size);
  });

  test("forgets first what hashing finds again", () => {
    // Hashing says backend 2 by now; flows of backend 1 began before that.
    const table = new FlowTable(64, { ...RULES, choose: () => 2 });
    const old = Array.from({ length: 8 }, (_, i) => flow(i));
    for (const one of old) add(table, one, 1);
    for (let i = 100; i < 10_000; i++) add(table, flow(i), 2);
    expect(old.map((one) => backendOf(table, one))).toEqual(old.map(() => 1));
    expect(table.statistics().evictedAway).toBe(0);
  });
});

describe("in time", () => {
  test("a flow is over when nothing came for so long, and not before", () => {
    const table = new FlowTable(64, RULES);
    add(table, flow(1), 3);
    table.sweep(IDLE, 64);
    expect(backendOf(table, flow(1))).toBe(3);
    table.touch(find(table, flow(1)), false);
    table.sweep(2 * IDLE, 0);
    expect(backendOf(table, flow(1))).toBe(3);
    table.sweep(2 * IDLE + 1, 0);
    expect(find(table, flow(1))).toBe(-1);
    expect(table.flowsOf(3)).toBe(0);
    expect(table.statistics()).toMatchObject({ flows: 0, expired: 1 });
  });

  test("one whose end was announced is over sooner, and a move is a new beginning", () => {
    const table = new FlowTable(64, RULES);
    for (const i of [1, 2]) {
      add(table, flow(i), 3);
      table.touch(find(table, flow(i)), true);
      table.touch(find(table, flow(i)), false);
    }
    table.move(find(table, flow(2)), 4);
    table.sweep(CLOSING + 1, 64);
    expect([backendOf(table, flow(1)), backendOf(table, flow(2))]).toEqual([-1, 4]);
  });

  test("what is over goes without being asked for, a part at a time", () => {
    const table = new FlowTable(64, RULES);
    for (let i = 0; i < 20; i++) add(table, flow(i), 1);
    const { flows } = table.statistics();
    table.sweep(IDLE + 1, 16);
    expect(table.size).toBeLessThan(flows);
    expect(table.size).toBeGreaterThan(0);
    for (let part = 0; part < 3; part++) table.sweep(IDLE + 1, 16);
    expect(table.size).toBe(0);
    expect(table.flowsOf(1)).toBe(0);
  });

  test("a flow takes the place of one that is over before it evicts any", () => {
    const table = new FlowTable(64, RULES);
    for (let i = 0; i < 1000; i++) add(table, flow(i), 1);
    const { evicted, evictedAway } = table.statistics();
    table.sweep(IDLE + 1, 0);
    for (let i = 1000; i < 1016; i++) add(table, flow(i), 1);
    expect(table.statistics()).toMatchObject({ evicted, evictedAway });
  });
});

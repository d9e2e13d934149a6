/** The memory link: the contract of a device, its rings when full, its link events, its accounts. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createBurst } from "../../stack/device/frame.ts";
import { createLink, MAX_LINK_EVENTS, type MemoryDevice } from "../../stack/device/memory.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { deviceContract, expectWhole } from "../support/device-contract.ts";

const pairOf = (options: Parameters<typeof createLink>[0]) => () => {
  const [left, right] = createLink({ chunkCount: 512, txRing: 128, rxRing: 128, mtu: 9000, ...options });
  return { left, right };
};
deviceContract("memory, a umem each", { create: pairOf({}), longPacketBytes: 9000 });
deviceContract("memory, one umem", { create: pairOf({ shared: true }), longPacketBytes: 9000 });
deviceContract("memory, small chunks, many queues", {
  create: pairOf({ chunkBytes: 1024, headroomBytes: 0, chunkCount: 2048, queues: 4 }),
  longPacketBytes: 5000,
});
deviceContract("memory, chunks of two sizes", {
  create: () => {
    const umems = [
      new MemoryUmem({ chunkBytes: 2048, chunkCount: 512 }),
      new MemoryUmem({ chunkBytes: 1024, chunkCount: 1024 }),
    ] as const;
    const [left, right] = createLink({ umems, txRing: 128, rxRing: 128, mtu: 9000 });
    return { left, right };
  },
  longPacketBytes: 6000,
});

const events = (device: MemoryDevice): string[] => {
  const kinds: string[] = [];
  for (let event = device.takeLinkEvent(); event !== undefined; event = device.takeLinkEvent())
    kinds.push(event.kind);
  return kinds;
};

describe("a memory link", () => {
  test("loses what the receive ring has no room for, and counts it", () => {
    for (const shared of [false, true]) {
      const [left, right] = createLink({ shared, rxRing: 4, fillRing: 64, chunkCount: 256 });
      const transmitter = new Transmitter(left.queues[0]!);
      for (let i = 0; i < 10; i++) transmitter.sendBytes(Uint8Array.of(i, 1, 2, 3));
      left.queues[0]!.flush();
      expect(right.statistics()).toMatchObject({ rxDropped: 6, rxRingFull: 6, rxFillEmpty: 0 });
      const burst = createBurst(18);
      expect(right.queues[0]!.receive(burst)).toBe(4);
      expect([0, 1, 2, 3].map((i) => right.umem.bytes[burst.address[i]!])).toEqual([0, 1, 2, 3]);
      right.queues[0]!.settle(burst, 4);
      for (const device of [left, right]) expect(expectWhole(device.umem)).toMatchObject({ lent: 0, tx: 0 });
    }
  });

  test("loses what the fill ring has no chunk for, and recovers when it is refilled", () => {
    const [left, right] = createLink({ fillRing: 2, chunkCount: 16 });
    const transmitter = new Transmitter(left.queues[0]!);
    for (let i = 0; i < 3; i++) transmitter.sendBytes(Uint8Array.of(i));
    left.queues[0]!.flush();
    expect(right.statistics()).toMatchObject({ rxDropped: 1, rxFillEmpty: 1 });
    right.queues[0]!.flush();
    transmitter.sendBytes(Uint8Array.of(9));
    left.queues[0]!.flush();
    const burst = createBurst(18);
    expect(right.queues[0]!.receive(burst)).toBe(3);
  });

  test("moves a packet in place where both ends share a umem", () => {
    const [left, right] = createLink({ shared: true });
    const at = left.umem.take();
    left.umem.bytes[at] = 42;
    left.queues[0]!.send(at, 60, false);
    left.queues[0]!.flush();
    const burst = createBurst(18);
    expect(right.queues[0]!.receive(burst)).toBe(1);
    expect(burst.address[0]).toBe(at);
    right.queues[0]!.settle(burst, 1);
  });

  test("hands over whole packets only, and never one that no burst can hold", () => {
    const [left, right] = createLink({ chunkBytes: 1024, headroomBytes: 0, mtu: 20000, chunkCount: 256 });
    const transmitter = new Transmitter(left.queues[0]!);
    for (const length of [3000, 3000, 9000, 100])
      expect(transmitter.sendBytes(new Uint8Array(length))).toBe(true);
    left.queues[0]!.flush();
    const burst = createBurst(4);
    expect(right.queues[0]!.receive(burst)).toBe(3);
    expect([...burst.more.subarray(0, 3)]).toEqual([1, 1, 0]);
    right.queues[0]!.settle(burst, 3);
    expect(right.queues[0]!.receive(burst)).toBe(3);
    right.queues[0]!.settle(burst, 3);
    expect(right.queues[0]!.receive(burst)).toBe(1);
    right.queues[0]!.settle(burst, 1);
    expect(right.statistics().rxDropped).toBe(1);
    expectWhole(right.umem);
  });

  test("drops what is above the MTU and what is sent while the link is down", () => {
    const [left, right] = createLink({ mtu: 1500 });
    const transmitter = new Transmitter(left.queues[0]!);
    transmitter.sendBytes(new Uint8Array(1518));
    transmitter.sendBytes(new Uint8Array(1519));
    left.queues[0]!.flush();
    expect(left.statistics()).toMatchObject({ txPackets: 1, txDropped: 1 });
    right.setUp(false);
    transmitter.sendBytes(new Uint8Array(60));
    left.queues[0]!.flush();
    expect(left.statistics()).toMatchObject({ txPackets: 1, txDropped: 2 });
    right.setUp(true);
    transmitter.sendBytes(new Uint8Array(60));
    left.queues[0]!.flush();
    expect(left.statistics()).toMatchObject({ txPackets: 2, txDropped: 2 });
    expect(expectWhole(left.umem)).toMatchObject({ tx: 0, lent: 0 });
  });

  test("tells of its link at both ends", () => {
    const [left, right] = createLink();
    left.setUp(false);
    left.setUp(false);
    expect([events(left), events(right)]).toEqual([["down"], ["down"]]);
    right.setUp(false);
    left.setUp(true);
    expect([events(left), events(right)]).toEqual([[], []]);
    right.setUp(true);
    left.setMtu(9000);
    left.setMac(Uint8Array.of(2, 0, 0, 0, 0, 9));
    left.rename("eth7");
    expect(events(left)).toEqual(["up", "mtu", "address", "renamed"]);
    expect(events(right)).toEqual(["up"]);
    expect([left.name, left.mtu, left.mac[5]]).toEqual(["eth7", 9000, 9]);
    right.close();
    expect(events(left)).toEqual(["down"]);
  });

  test("a link that is gone is gone at both ends, after it said so", () => {
    const [left, right] = createLink();
    left.vanish("deleted");
    for (const device of [left, right]) {
      expect(device.open).toBe(false);
      expect(device.takeLinkEvent()).toEqual({ kind: "gone", reason: "deleted" });
      expect(device.takeLinkEvent()).toBeUndefined();
    }
  });

  test("holds a bounded number of link events", () => {
    const [left, right] = createLink();
    for (let i = 0; i < 500; i++) right.setUp(i % 2 === 1);
    expect(events(left).length).toBeLessThanOrEqual(MAX_LINK_EVENTS);
  });

  test("closing gives back every chunk but those that are held", () => {
    for (const shared of [false, true]) {
      const [left, right] = createLink({ shared, chunkCount: 64, rxRing: 16 });
      const transmitter = new Transmitter(left.queues[0]!);
      const held = left.umem.take();
      for (let i = 0; i < 8; i++) transmitter.sendBytes(Uint8Array.of(i));
      left.queues[0]!.flush();
      transmitter.sendBytes(Uint8Array.of(9));
      left.close();
      right.close();
      expect(expectWhole(left.umem)).toMatchObject({ pool: 63, lent: 1, tx: 0, fill: 0 });
      left.umem.release(held);
      expect(right.umem.accounts().pool).toBe(64);
    }
  });

  test("accounts throw where a ring counts otherwise than the owners do", () => {
    const umem = new MemoryUmem({ chunkCount: 4 });
    const off = umem.register({ fillChunks: 1, txChunks: 0 });
    expect(() => umem.accounts()).toThrow("0 chunks are owned by fill, which holds 1");
    off();
    expect(umem.accounts()).toMatchObject({ pool: 4, total: 4 });
    const at = umem.take();
    expect(() => umem.move(at, 1, 0)).toThrow("its owner is lent, not fill");
    for (const length of [0, -1, Number.NaN, umem.roomBytes + 1])
      expect(() => umem.accept(at, length)).toThrow(RangeError);
    umem.accept(at, umem.roomBytes);
    expect(() => umem.accounts()).toThrow("1 chunks are owned by tx, which holds 0");
  });

  test("refuses options out of range", () => {
    const bad = [
      { chunkBytes: 1000 },
      { chunkBytes: 64 },
      { chunkCount: 0 },
      { chunkCount: 2 ** 20, chunkBytes: 65536 },
      { headroomBytes: 2048 },
      { queues: 0 },
      { queues: 1.5 },
      { rxRing: 3 },
      { txRing: 0 },
      { fillRing: -1 },
      { mtu: 67 },
      { mtu: Number.NaN },
    ];
    for (const options of bad) expect(() => createLink(options)).toThrow(RangeError);
    expect(() => createLink({ macs: [new Uint8Array(5), new Uint8Array(6)] })).toThrow(TypeError);
  });

  test("whatever is done to it, no chunk is lost or doubled", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("send" as const), length: fc.integer({ min: 1, max: 4000 }) }),
      fc.record({ kind: fc.constantFrom("flush", "receive", "keep", "release", "up", "down") }),
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 80 }), (shared, steps) => {
        const [left, right] = createLink({ shared, chunkCount: 64, rxRing: 16, txRing: 8, mtu: 4000 });
        const transmitter = new Transmitter(left.queues[0]!);
        const burst = createBurst(18);
        const kept: number[] = [];
        for (const next of steps) {
          if ("length" in next) transmitter.sendBytes(new Uint8Array(next.length));
          else if (next.kind === "flush") left.queues[0]!.flush();
          else if (next.kind === "release") for (const at of kept.splice(0)) right.umem.release(at);
          else if (next.kind === "up" || next.kind === "down") left.setUp(next.kind === "up");
          else {
            const count = right.queues[0]!.receive(burst);
            for (let i = 0; i < count && next.kind === "keep"; i++) {
              right.umem.keep(burst.address[i]!);
              kept.push(burst.address[i]!);
            }
            right.queues[0]!.settle(burst, count);
            right.queues[0]!.flush();
          }
          expectWhole(left.umem);
          expect(expectWhole(right.umem)).toMatchObject({ lent: 0, kept: kept.length });
        }
        const { txPackets } = left.statistics();
        const { rxPackets, rxDropped } = right.statistics();
        expect(txPackets).toBeGreaterThanOrEqual(rxPackets + rxDropped);
        left.close();
        right.close();
        for (const at of kept) right.umem.release(at);
        expect(left.umem.accounts().pool).toBe(64);
        expect(right.umem.accounts().pool).toBe(64);
      }),
    );
  });
});

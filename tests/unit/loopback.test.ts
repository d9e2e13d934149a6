/** The loopback device: the contract of a device with itself, its bounds, and its turns in a loop. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createBurst, type Lease } from "../../stack/device/frame.ts";
import { LoopbackDevice } from "../../stack/device/loopback.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Loop } from "../../stack/loop/loop.ts";
import { BURSTS_PER_TURN } from "../../stack/loop/receiver.ts";
import { deviceContract, expectWhole } from "../support/device-contract.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const pairOf = (options: ConstructorParameters<typeof LoopbackDevice>[0]) => () => {
  const device = new LoopbackDevice({ chunkCount: 512, txRing: 128, rxRing: 128, ...options });
  return { left: device, right: device };
};
deviceContract("loopback", { create: pairOf({}), longPacketBytes: 30000 });
deviceContract("loopback, small chunks", {
  create: pairOf({ chunkBytes: 256, headroomBytes: 0, chunkCount: 2048 }),
  longPacketBytes: 4000,
});

const setUp = (options: ConstructorParameters<typeof LoopbackDevice>[0] = {}) => {
  const clock = new VirtualClock(1000);
  const waiter = new ManualWaiter(clock);
  const errors: unknown[] = [];
  const loop = new Loop({ clock, waiter, mode: "sleep", onError: (error) => void errors.push(error) });
  const device = new LoopbackDevice(options);
  const [queue] = device.queues;
  const transmitter = new Transmitter(queue);
  const send = (count: number, first = 0): void => {
    for (let i = 0; i < count; i++) transmitter.sendBytes(Uint8Array.of(first + i, 2, 3, 4));
  };
  return { loop, waiter, errors, device, queue, send, transmitter };
};

describe("a loopback device", () => {
  test("is what it says by default", () => {
    const device = new LoopbackDevice();
    expect(device).toMatchObject({ name: "lo", mtu: 65535, fds: [], open: true, waiting: false });
    expect([...device.mac]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(device.umem).toMatchObject({ chunkBytes: 2048, chunkCount: 1024 });
    expect(device.queues).toHaveLength(1);
    expect(device.takeLinkEvent()).toBeUndefined();
  });

  test("turns frames round in place: the chunk that was sent is the chunk that arrives", () => {
    const { device, queue } = setUp();
    const at = device.umem.take();
    queue.send(at, 60, false);
    expect(device.waiting).toBe(false);
    queue.flush();
    expect(device.waiting).toBe(true);
    const burst = createBurst(18);
    expect([queue.receive(burst), burst.address[0], burst.length[0]]).toEqual([1, at, 60]);
    queue.settle(burst, 1);
    expect(expectWhole(device.umem).pool).toBe(1024);
    expect(device.statistics()).toMatchObject({ rxPackets: 1, txPackets: 1, rxBytes: 60, txBytes: 60 });
  });

  test("frames sent during a burst arrive in the next turn, so that an echo does not hold a turn", () => {
    const { loop, device, send } = setUp();
    const perTurn: number[] = [];
    let seen = 0;
    loop.receive(device, (frame) => {
      seen += 1;
      frame.send();
    });
    send(3);
    for (let i = 0; i < 5; i++) {
      seen = 0;
      expect(loop.turn()).toBe(true);
      perTurn.push(seen);
    }
    // What was sent outside a turn leaves with the first one's flush.
    expect(perTurn).toEqual([0, 3, 3, 3, 3]);
  });

  test("so too where a turn ends because its bursts are used up", () => {
    const { loop, device, send } = setUp();
    const order: number[] = [];
    const perTurn: number[] = [];
    loop.receive(device, (frame) => {
      order.push(frame.bytes[frame.at]!);
      if (frame.bytes[frame.at]! < 200) {
        frame.bytes[frame.at] = 200;
        frame.send();
      }
    });
    const all = 64 * BURSTS_PER_TURN;
    for (let i = 0; i < 2; i++) send(all / 2, 0);
    device.queues[0].flush();
    for (let i = 0; i < 4; i++) {
      const before = order.length;
      loop.turn();
      perTurn.push(order.length - before);
    }
    expect(perTurn).toEqual([all, all, 0, 0]);
    expect(order.slice(0, all).every((mark) => mark < 200)).toBe(true);
    expect(order.slice(all).every((mark) => mark === 200)).toBe(true);
    expect(expectWhole(device.umem)).toMatchObject({ lent: 0, tx: 0, fill: 0 });
  });

  test("a loop does not sleep while frames wait in it, and does once they are gone", () => {
    const { loop, waiter, device, queue, send } = setUp();
    let seen = 0;
    loop.receive(device, () => void (seen += 1));
    void loop.run();
    send(2);
    waiter.step();
    expect([waiter.sleeps.length, seen]).toEqual([0, 0]);
    waiter.step();
    expect([waiter.sleeps.length, seen]).toEqual([0, 2]);
    waiter.step();
    expect(waiter.sleeps).toHaveLength(1);
    queue.flush();
    expect(device.waiting).toBe(false);
  });

  test("frames that nobody receives do not keep a loop awake", () => {
    const { loop, waiter, device, send } = setUp();
    loop.add(device);
    void loop.run();
    send(2);
    waiter.step(3);
    expect(waiter.sleeps).toHaveLength(3);
    expect(device.waiting).toBe(true);
  });

  test("a burst that was never followed by another look does not hold what is sent later", () => {
    const { device, queue, send } = setUp();
    send(1);
    queue.flush();
    const burst = createBurst(18);
    expect(queue.receive(burst)).toBe(1);
    queue.settle(burst, 1);
    send(1);
    queue.flush();
    expect(device.waiting).toBe(false);
    queue.flush();
    expect(device.waiting).toBe(true);
  });

  test("rings are bounded and count what they refuse or lose", () => {
    const { device, queue, send } = setUp({ rxRing: 4, txRing: 8 });
    send(10);
    expect(device.statistics()).toMatchObject({ txFull: 2 });
    queue.flush();
    expect(device.statistics()).toMatchObject({ txPackets: 8, rxRingFull: 4, rxDropped: 4 });
    expect(queue.pass()).toBe(false);
    expect(device.statistics().passRefused).toBe(1);
    expect(expectWhole(device.umem)).toMatchObject({ fill: 4, tx: 0, pool: 1020 });
  });

  test("a packet above the MTU is dropped and counted", () => {
    const { device, queue, transmitter } = setUp({ mtu: 1500 });
    transmitter.sendBytes(new Uint8Array(1518));
    transmitter.sendBytes(new Uint8Array(1519));
    queue.flush();
    expect(device.statistics()).toMatchObject({ txPackets: 1, txDropped: 1 });
  });

  test("refuses options out of range", () => {
    for (const options of [{ mtu: 67 }, { mtu: 65536 }, { rxRing: 3 }, { txRing: 0 }, { chunkBytes: 1000 }])
      expect(() => new LoopbackDevice(options)).toThrow(RangeError);
  });

  test("closing gives back every chunk but those that are held", () => {
    const { loop, device, queue, send } = setUp({ chunkCount: 64 });
    const leases: Lease[] = [];
    loop.receive(device, (frame) => void (leases.length === 0 && leases.push(frame.keep())));
    send(3);
    queue.flush();
    loop.turn();
    send(3);
    queue.flush();
    send(3);
    device.close();
    device.close();
    expect(device.waiting).toBe(false);
    expect(expectWhole(device.umem)).toMatchObject({ pool: 63, kept: 1 });
    leases[0]!.release();
    loop.turn();
    expect(loop.statistics().devices).toBe(0);
  });

  test("whatever is done to it, order holds and no chunk is lost or doubled", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("send" as const), length: fc.integer({ min: 8, max: 4000 }) }),
      fc.record({ kind: fc.constantFrom("flush", "receive", "keep", "release") }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const device = new LoopbackDevice({ chunkCount: 64, rxRing: 16, txRing: 8, chunkBytes: 1024 });
        const [queue] = device.queues;
        const transmitter = new Transmitter(queue);
        const burst = createBurst(18);
        const kept: number[] = [];
        let sent = 0;
        let last = 0;
        for (const next of steps) {
          if ("length" in next) {
            transmitter.send(next.length, (frame) => frame.view.setUint32(frame.at, ++sent));
          } else if (next.kind === "flush") queue.flush();
          else if (next.kind === "release") for (const at of kept.splice(0)) device.umem.release(at);
          else {
            const count = queue.receive(burst);
            for (let i = 0; i < count; i++) {
              if (i === 0 || burst.more[i - 1] === 0) {
                const number = device.umem.view.getUint32(burst.address[i]!);
                expect(number).toBeGreaterThan(last);
                last = number;
              }
              if (next.kind !== "keep") continue;
              device.umem.keep(burst.address[i]!);
              kept.push(burst.address[i]!);
            }
            queue.settle(burst, count);
            queue.flush();
          }
          expect(expectWhole(device.umem)).toMatchObject({ lent: 0, kept: kept.length });
        }
        device.close();
        for (const at of kept) device.umem.release(at);
        expect(device.umem.accounts().pool).toBe(64);
      }),
    );
  });
});

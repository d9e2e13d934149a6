/** Web Streams of packets: what goes through them, what is lost and counted, how they end. */
import { describe, expect, test } from "bun:test";
import { createLink, type LinkOptions } from "../../stack/device/memory.ts";
import type { Device } from "../../stack/device/device.ts";
import { LoopbackDevice } from "../../stack/device/loopback.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { LINK_EVERY_MS, Loop } from "../../stack/loop/loop.ts";
import { MAX_QUEUE_PACKETS, readableFrames, writableFrames } from "../../stack/streams.ts";
import { expectWhole } from "../support/device-contract.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const setUp = (options: LinkOptions = {}) => {
  const clock = new VirtualClock(1000);
  const errors: unknown[] = [];
  const waiter = new ManualWaiter(clock);
  const loop = new Loop({ clock, waiter, onError: (error) => void errors.push(error) });
  const [left, right] = createLink({ chunkCount: 256, ...options });
  const transmitter = new Transmitter(left.queues[0]!);
  const send = (count: number, first = 0): void => {
    for (let i = 0; i < count; i++) transmitter.sendBytes(Uint8Array.of(first + i, 2, 3));
    left.queues[0]!.flush();
  };
  return { loop, clock, errors, left, right, send };
};

const microtasks = async (): Promise<void> => {
  for (let i = 0; i < 30; i++) await Promise.resolve();
};

const settled = (...devices: Device[]): void => {
  for (const { umem } of devices) expect(expectWhole(umem)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
};

/** What became of `promise` so far. */
const outcomeOf = (promise: Promise<unknown>): { text: string } => {
  const outcome = { text: "pending" };
  promise.then(
    (value) => (outcome.text = value === undefined ? "done" : JSON.stringify(value)),
    (error) => (outcome.text = String(error)),
  );
  return outcome;
};

describe("a readable stream of frames", () => {
  test("gives copies of the packets, of several chunks too, in order", async () => {
    const { loop, left, right, send } = setUp({ mtu: 9000 });
    const reader = readableFrames(loop, right).getReader();
    const long = Uint8Array.from({ length: 9000 }, (_, i) => i * 7);
    send(2);
    new Transmitter(left.queues[0]!).sendBytes(long);
    left.queues[0]!.flush();
    loop.turn();
    settled(left, right);
    for (const packet of [Uint8Array.of(0, 2, 3), Uint8Array.of(1, 2, 3), long])
      expect(await reader.read()).toEqual({ done: false, value: packet });
    await reader.cancel();
  });

  test("holds a bounded number of packets and counts what is lost", async () => {
    const { loop, right, send } = setUp();
    const stream = readableFrames(loop, right, { queuePackets: 4 });
    const reader = stream.getReader();
    send(10);
    loop.turn();
    expect(stream.dropped).toBe(6);
    for (let i = 0; i < 4; i++) expect((await reader.read()).value![0]).toBe(i);
    send(1, 50);
    loop.turn();
    expect((await reader.read()).value![0]).toBe(50);
    expect(stream.dropped).toBe(6);
    settled(right);
    await reader.cancel();
  });

  test("cancel ends the receiving and makes room for another receiver", async () => {
    const { loop, right, send, errors } = setUp();
    const stream = readableFrames(loop, right);
    expect(() => readableFrames(loop, right)).toThrow("has a receiver");
    expect(() => loop.receive(right, () => {})).toThrow("has a receiver");
    send(1);
    loop.turn();
    await stream.cancel("enough");
    expect(loop.statistics().devices).toBe(0);
    let seen = 0;
    loop.receive(right, () => void (seen += 1));
    send(2);
    loop.turn();
    expect([seen, errors]).toEqual([2, []]);
  });

  test("closes when the device or the loop closes, after what was queued; fails when the device is gone", async () => {
    const ends: [(context: ReturnType<typeof setUp>) => void, string][] = [
      [({ right }) => right.close(), '{"done":true}'],
      [({ loop }) => loop.close(), '{"done":true}'],
      [({ left }) => left.vanish("deleted"), 'Error: device "right" is gone: deleted'],
    ];
    for (const [end, text] of ends) {
      const context = setUp();
      const { loop, right, clock, send, errors } = context;
      const reader = readableFrames(loop, right).getReader();
      send(1);
      loop.turn();
      expect((await reader.read()).value![0]).toBe(0);
      const outcome = outcomeOf(reader.read());
      end(context);
      clock.advance(LINK_EVERY_MS);
      if (end !== ends[1]![0]) loop.turn();
      await microtasks();
      expect([outcome.text, errors]).toEqual([text, []]);
      expect(loop.statistics().devices).toBe(0);
      settled(right);
    }
  });
});

describe("a writable stream of frames", () => {
  test("sends what is written, flushed with the turn, and close flushes the rest", async () => {
    const { loop, left, right } = setUp();
    const writer = writableFrames(loop, left).getWriter();
    await writer.write(Uint8Array.of(1, 2));
    expect(left.statistics().txPackets).toBe(0);
    loop.turn();
    expect(left.statistics().txPackets).toBe(1);
    void writer.write(Uint8Array.of(3));
    await writer.close();
    expect(left.statistics().txPackets).toBe(2);
    expect(loop.statistics().devices).toBe(0);
    settled(left, right);
  });

  test("waits where ring or pool have no room, loses nothing, and slows its source down", async () => {
    const { loop, clock, left, right } = setUp({ txRing: 4, rxRing: 128 });
    const seen: number[] = [];
    loop.receive(right, (frame) => void seen.push(frame.bytes[frame.at]!));
    const stream = writableFrames(loop, left, { queuePackets: 2 });
    let pulled = 0;
    const source = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (pulled === 60) controller.close();
          else controller.enqueue(Uint8Array.of(pulled++));
        },
      },
      { highWaterMark: 0 },
    );
    const piped = outcomeOf(source.pipeTo(stream));
    await microtasks();
    expect(pulled).toBeLessThanOrEqual(4 + 1 + 2 + 1);
    for (let i = 0; i < 200 && piped.text === "pending"; i++) {
      loop.turn();
      clock.advance(0.5);
      await microtasks();
    }
    loop.turn();
    expect(piped.text).toBe("done");
    expect(seen).toEqual(Array.from({ length: 60 }, (_, i) => i));
    settled(left, right);
  });

  test("tries again seldom where nothing moves", async () => {
    const { loop, clock, left, right } = setUp({ txRing: 1 });
    const lease = left.umem.take();
    left.queues[0]!.send(lease, 60, true);
    const outcome = outcomeOf(writableFrames(loop, left).getWriter().write(Uint8Array.of(1)));
    for (let i = 0; i < 1000; i++) {
      loop.turn();
      clock.advance(0.01);
      await Promise.resolve();
    }
    expect(outcome.text).toBe("pending");
    const { timers } = loop.statistics();
    expect(timers).toBeGreaterThan(8);
    expect(timers).toBeLessThan(20);
    left.close();
    right.close();
  });

  test("abort gives a waiting packet up at once", async () => {
    const { loop, left, right } = setUp({ txRing: 1 });
    const writer = writableFrames(loop, left).getWriter();
    await writer.write(Uint8Array.of(1));
    const waiting = outcomeOf(writer.write(Uint8Array.of(2)));
    const queued = outcomeOf(writer.write(Uint8Array.of(3)));
    await microtasks();
    expect(waiting.text).toBe("pending");
    const aborted = outcomeOf(writer.abort(new Error("why")));
    void writer.closed.catch(() => {});
    await microtasks();
    expect([waiting.text, queued.text, aborted.text]).toEqual(["Error: why", "Error: why", "done"]);
    expect([loop.nextTimerMs, loop.statistics().devices]).toEqual([Infinity, 0]);
    expect(left.statistics().txPackets).toBe(1);
    settled(left, right);
  });

  test("fails when the device or the loop closes, also with a packet waiting", async () => {
    const ends: ((context: ReturnType<typeof setUp>) => void)[] = [
      ({ left }) => left.close(),
      ({ left }) => left.vanish("deleted"),
      ({ loop }) => loop.close(),
    ];
    for (const end of ends) {
      const context = setUp({ txRing: 1 });
      const { loop, clock, left } = context;
      const writer = writableFrames(loop, left).getWriter();
      const closed = outcomeOf(writer.closed);
      await writer.write(Uint8Array.of(1));
      const waiting = outcomeOf(writer.write(Uint8Array.of(2)));
      await microtasks();
      end(context);
      clock.advance(LINK_EVERY_MS);
      if (end !== ends[2]) loop.turn();
      await microtasks();
      const text = 'Error: device "left" has left the loop';
      expect([waiting.text, closed.text]).toEqual([text, text]);
      expect(loop.statistics().devices).toBe(0);
    }
  });

  test("fails when the device closes, also with nothing to send", async () => {
    const { loop, clock, left } = setUp();
    const closed = outcomeOf(writableFrames(loop, left).getWriter().closed);
    left.close();
    clock.advance(LINK_EVERY_MS);
    loop.turn();
    await microtasks();
    expect(closed.text).toBe('Error: device "left" has left the loop');
  });

  test("fails for what is no packet, and gives the device back", async () => {
    for (const [packet, text] of [
      ["text", /Uint8Array/],
      [new Uint8Array(0), /1 to/],
      [new Uint8Array(1 << 20), /1 to/],
    ] as const) {
      const { loop, left } = setUp();
      const writer = writableFrames(loop, left).getWriter();
      void writer.closed.catch(() => {});
      expect(writer.write(packet as Uint8Array)).rejects.toThrow(text);
      await microtasks();
      expect(loop.statistics().devices).toBe(0);
      settled(left);
    }
  });

  test("refuses options out of range, with nothing left in the loop", () => {
    const { loop, left } = setUp();
    for (const queuePackets of [0, 1.5, MAX_QUEUE_PACKETS + 1, "5"]) {
      expect(() => writableFrames(loop, left, { queuePackets: queuePackets as number })).toThrow(RangeError);
      expect(() => readableFrames(loop, left, { queuePackets: queuePackets as number })).toThrow(RangeError);
    }
    expect(() => writableFrames(loop, left, { queue: 1 })).toThrow('device "left" has no queue 1');
    expect(loop.statistics().devices).toBe(0);
  });
});

test("both ends of a loopback device as one pipe through a transform", async () => {
  const clock = new VirtualClock(0);
  const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
  const device = new LoopbackDevice();
  const writer = writableFrames(loop, device).getWriter();
  const doubled = readableFrames(loop, device).pipeThrough(
    new TransformStream<Uint8Array, number>({ transform: (packet, to) => to.enqueue(2 * packet[0]!) }),
  );
  const reader = doubled.getReader();
  for (let i = 0; i < 5; i++) void writer.write(Uint8Array.of(i));
  await microtasks();
  for (let i = 0; i < 3; i++) loop.turn();
  for (let i = 0; i < 5; i++) expect(await reader.read()).toEqual({ done: false, value: 2 * i });
  await writer.close();
  await reader.cancel();
  expect(loop.statistics().devices).toBe(0);
  settled(device);
});

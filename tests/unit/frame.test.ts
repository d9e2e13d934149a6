/** The lent frame: what it may do while it lives, and that every use after each of its ends throws by name. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createBurst, END, Frame, FrameEndedError, Lease } from "../../stack/device/frame.ts";
import { createLink, type LinkOptions } from "../../stack/device/memory.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { expectWhole } from "../support/device-contract.ts";

/** A frame as a loop lends it, holding `packet`, and the two ends of its link. */
const lend = (packet: Uint8Array, options: LinkOptions = {}) => {
  const [left, right] = createLink({ mtu: 9000, chunkCount: 256, ...options });
  new Transmitter(left.queues[0]!).sendBytes(packet);
  left.queues[0]!.flush();
  const queue = right.queues[0]!;
  const burst = createBurst(64);
  const count = queue.receive(burst);
  const frame = new Frame(queue, burst);
  frame.begin(burst.address[0]!, burst.length[0]!, packet.length, 0, count);
  const settle = (): void => {
    frame.end();
    queue.settle(burst, count);
    queue.flush();
  };
  return { left, right, frame, settle };
};

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 13) & 0xff);

const receiveOne = (device: ReturnType<typeof createLink>[0]): Uint8Array | undefined => {
  const queue = device.queues[0]!;
  const burst = createBurst(64);
  const count = queue.receive(burst);
  if (count === 0) return undefined;
  const frame = new Frame(queue, burst);
  let total = 0;
  for (let i = 0; i < count; i++) total += burst.length[i]!;
  frame.begin(burst.address[0]!, burst.length[0]!, total, 0, count);
  const packet = frame.copy();
  queue.settle(burst, count);
  return packet;
};

describe("a use after the end", () => {
  const ends: readonly (readonly [
    name: string,
    text: string,
    end: (frame: Frame, other: () => void) => void,
  ])[] = [
    ["returning", "its handler has returned", (frame) => frame.end()],
    ["send", "it was sent", (frame) => expect(frame.send()).toBe(true)],
    ["keep", "it was kept", (frame) => frame.keep().release()],
    ["drop", "it was dropped or released", (frame) => frame.drop()],
    ["forward", "it was forwarded", (frame) => expect(frame.forward(createLink()[0])).toBe(true)],
  ];
  const uses: readonly (readonly [name: string, use: (frame: Frame) => unknown])[] = [
    ["at", (frame) => frame.at],
    ["length", (frame) => frame.length],
    ["head", (frame) => frame.head],
    ["chunks", (frame) => frame.chunks],
    ["chunkAt", (frame) => frame.chunkAt(0)],
    ["chunkLength", (frame) => frame.chunkLength(0)],
    ["copy", (frame) => frame.copy()],
    ["adjustHead", (frame) => frame.adjustHead(0)],
    ["adjustTail", (frame) => frame.adjustTail(0)],
    ["send", (frame) => frame.send()],
    ["forward", (frame) => frame.forward(createLink()[0])],
    ["pass", (frame) => frame.pass()],
    ["keep", (frame) => frame.keep()],
    ["drop", (frame) => frame.drop()],
  ];
  for (const [end, text, finish] of ends) {
    for (const [use, call] of uses) {
      test(`${use} after ${end} throws`, () => {
        const { frame } = lend(bytesOf(60));
        finish(frame, () => {});
        expect(frame.live).toBe(false);
        expect(() => call(frame)).toThrow(FrameEndedError);
        expect(() => call(frame)).toThrow(text);
      });
    }
  }

  test("a frame that was never lent, and one that was passed, say so", () => {
    const [left] = createLink();
    const frame = new Frame(left.queues[0]!, createBurst(1));
    expect(() => frame.at).toThrow("it was never lent");
    frame.begin(END.passed, 0, 0, 0, 1);
    expect(() => frame.at).toThrow("it was passed to the kernel");
  });

  test("a released lease throws too", () => {
    const { frame } = lend(bytesOf(60));
    const lease = frame.keep();
    lease.release();
    expect(() => lease.release()).toThrow(FrameEndedError);
    expect(() => lease.at).toThrow("it was dropped or released");
  });
});

describe("reading", () => {
  test("one chunk and several", () => {
    for (const length of [1, 60, 1792, 1793, 4000, 9000]) {
      const packet = bytesOf(length);
      const { frame, settle, right } = lend(packet);
      expect(frame.length).toBe(length);
      expect(frame.chunks).toBe(Math.ceil(length / right.umem.roomBytes));
      expect(frame.head).toBe(Math.min(length, right.umem.roomBytes));
      expect(frame.copy()).toEqual(packet);
      expect(() => frame.chunkAt(frame.chunks)).toThrow(RangeError);
      expect(() => frame.chunkAt(-1)).toThrow(RangeError);
      expect(() => frame.chunkLength(Number.NaN)).toThrow(RangeError);
      settle();
      expect(expectWhole(right.umem)).toMatchObject({ lent: 0 });
    }
  });
});

describe("adjusting", () => {
  test("the head: into the headroom and no further, off the packet but never all of it", () => {
    const { frame, right } = lend(bytesOf(60));
    expect(frame.adjustHead(-(right.umem.headroomBytes + 1))).toBe(false);
    expect(frame.adjustHead(-right.umem.headroomBytes)).toBe(true);
    expect(frame.length).toBe(60 + right.umem.headroomBytes);
    expect(frame.adjustHead(right.umem.headroomBytes)).toBe(true);
    expect(frame.copy()).toEqual(bytesOf(60));
    expect(frame.adjustHead(60)).toBe(false);
    expect(frame.adjustHead(59)).toBe(true);
    expect([frame.length, frame.bytes[frame.at]]).toEqual([1, (59 * 13) & 0xff]);
    expect(() => frame.adjustHead(0.5)).toThrow(TypeError);
    expect(() => frame.adjustHead(Number.NaN)).toThrow(TypeError);
  });

  test("the tail: to the chunk's end and no further, never to nothing", () => {
    const { frame, right } = lend(bytesOf(60));
    expect(frame.adjustTail(right.umem.roomBytes - 60 + 1)).toBe(false);
    expect(frame.adjustTail(right.umem.roomBytes - 60)).toBe(true);
    expect(frame.length).toBe(right.umem.roomBytes);
    expect(frame.adjustTail(-right.umem.roomBytes)).toBe(false);
    expect(frame.adjustTail(1 - right.umem.roomBytes)).toBe(true);
    expect(frame.length).toBe(1);
    expect(() => frame.adjustTail(Infinity)).toThrow(TypeError);
  });

  test("a packet of several chunks grows in front and shrinks in its last chunk", () => {
    const { frame, left } = lend(bytesOf(4000));
    expect(frame.adjustHead(-4)).toBe(true);
    frame.bytes.set([1, 2, 3, 4], frame.at);
    expect(frame.adjustTail(-10)).toBe(true);
    expect(frame.length).toBe(3994);
    expect(frame.adjustTail(-1000)).toBe(false);
    expect(frame.send()).toBe(true);
    frame.queue.flush();
    expect(receiveOne(left)).toEqual(Uint8Array.of(1, 2, 3, 4, ...bytesOf(3990)));
  });

  test("any row of adjustments leaves the bytes that it left alone", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: -300, max: 300 })), { maxLength: 20 }),
        (steps) => {
          const { frame, right, settle } = lend(bytesOf(200));
          const model = { at: frame.at, length: 200 };
          const start = model.at - right.umem.headroomBytes;
          for (const [head, delta] of steps) {
            const at = head ? model.at + delta : model.at;
            const length = head ? model.length - delta : model.length + delta;
            const fits = length >= 1 && at >= start && at + length <= start + right.umem.chunkBytes;
            expect(head ? frame.adjustHead(delta) : frame.adjustTail(delta)).toBe(fits);
            if (fits) Object.assign(model, { at, length });
            expect([frame.at, frame.length, frame.head]).toEqual([model.at, model.length, model.length]);
          }
          settle();
          expect(expectWhole(right.umem)).toMatchObject({ lent: 0 });
        },
      ),
    );
  });
});

describe("keeping", () => {
  test("the lease outlives the handler and is sent, with its chunks", () => {
    for (const length of [60, 5000]) {
      const packet = bytesOf(length);
      const { frame, settle, left, right } = lend(packet);
      const lease = frame.keep();
      settle();
      expect(expectWhole(right.umem).kept).toBe(lease.chunks);
      expect(lease.copy()).toEqual(packet);
      expect(lease.send()).toBe(true);
      lease.queue.flush();
      expect(receiveOne(left)).toEqual(packet);
      expect(expectWhole(right.umem)).toMatchObject({ kept: 0, lent: 0 });
    }
  });

  test("using releases a lease, and does nothing to one that has ended", () => {
    const { frame, settle, right } = lend(bytesOf(60));
    {
      using lease = frame.keep();
      expect(lease).toBeInstanceOf(Lease);
    }
    settle();
    expect(expectWhole(right.umem)).toMatchObject({ kept: 0, lent: 0 });
    const second = lend(bytesOf(60));
    {
      using lease = second.frame.keep();
      lease.release();
    }
    second.settle();
  });
});

describe("sending and forwarding", () => {
  test("a full ring says no and leaves the frame alive", () => {
    const { frame, settle, right } = lend(bytesOf(60), { txRing: 1 });
    expect(new Transmitter(right.queues[0]!).sendBytes(bytesOf(10))).toBe(true);
    expect(frame.send()).toBe(false);
    expect(frame.live).toBe(true);
    right.queues[0]!.flush();
    expect(frame.send()).toBe(true);
    settle();
    expect(expectWhole(right.umem)).toMatchObject({ tx: 0, lent: 0 });
  });

  test("of a packet of several chunks all are queued or none", () => {
    const { frame, settle, right } = lend(bytesOf(5000), { txRing: 4 });
    const transmitter = new Transmitter(right.queues[0]!);
    for (let i = 0; i < 2; i++) transmitter.sendBytes(bytesOf(10));
    expect(frame.send()).toBe(false);
    expect(right.queues[0]!.txChunks).toBe(2);
    expect(frame.live).toBe(true);
    settle();
    expect(expectWhole(right.umem)).toMatchObject({ tx: 0, lent: 0 });
    expect(right.statistics().txFull).toBe(1);
  });

  test("to a device with the same umem in place, to another as a copy, of one chunk and several", () => {
    for (const length of [60, 1792, 1793, 5000, 9000]) {
      for (const chunkBytes of [0, 1024, 2048, 4096]) {
        const packet = bytesOf(length);
        const { frame, settle, right } = lend(packet);
        const umem = chunkBytes === 0 ? right.umem : new MemoryUmem({ chunkBytes, chunkCount: 256 });
        const [near, far] = createLink({ umems: [umem, new MemoryUmem()], mtu: 9000 });
        const { at } = frame;
        const { pool } = umem.accounts();
        expect(frame.forward(near)).toBe(true);
        if (chunkBytes === 0) expect(umem.ownerOf(at)).toBe(4);
        else expect(umem.accounts().pool).toBe(pool - Math.ceil(length / umem.roomBytes));
        settle();
        near.queues[0]!.flush();
        expect(receiveOne(far)).toEqual(packet);
        expect(expectWhole(right.umem)).toMatchObject({ tx: 0, lent: 0 });
        expect(expectWhole(umem)).toMatchObject({ tx: 0, lent: 0 });
      }
    }
  });

  test("to a device with an empty pool or a full ring says no and loses nothing", () => {
    for (const options of [{ chunkCount: 2, fillRing: 1 }, { txRing: 2 }]) {
      const { frame, settle, right } = lend(bytesOf(5000));
      const [near] = createLink({ mtu: 9000, ...options });
      const before = near.umem.accounts();
      expect(frame.forward(near)).toBe(false);
      expect(near.umem.accounts()).toEqual(before);
      expect(frame.live).toBe(true);
      settle();
      expect(expectWhole(right.umem)).toMatchObject({ lent: 0 });
    }
  });

  test("pass is refused where there is no operating system, and the frame lives", () => {
    const { frame, right } = lend(bytesOf(60));
    expect(frame.pass()).toBe(false);
    expect(frame.live).toBe(true);
    expect(right.statistics().passRefused).toBe(1);
  });
});

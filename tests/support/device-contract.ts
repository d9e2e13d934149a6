/**
 * The contract of the seam as tests: what every pair of connected devices does, whatever they are made of.
 *
 * A factory gives two devices of which each receives what the other sends. Waiting is polling with a bounded number of
 * tries, so the same tests run against memory and against the kernel.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createBurst, Frame } from "../../stack/device/frame.ts";
import type { Accounts, Burst, Device, Queue, Umem } from "../../stack/device/device.ts";
import { Transmitter } from "../../stack/device/transmit.ts";

export interface Pair {
  readonly left: Device;
  readonly right: Device;
  /** Takes away what the devices themselves do not (a namespace). Called after both were closed. */
  cleanUp?(): void | Promise<void>;
}

export interface ContractOptions {
  /** Makes a fresh pair, both up, nothing else sending on it. */
  readonly create: () => Pair | Promise<Pair>;
  /** Bytes of a packet above the chunk size that the pair carries, 0 where it carries none. */
  readonly longPacketBytes: number;
  /** How often to look for a packet before giving up, and what to do between two looks. */
  readonly tries?: number;
  readonly pause?: () => void | Promise<void>;
}

/** Local experimental ethertype 1 (IEEE Std 802): no kernel answers it. */
const ETHERTYPE = 0x88b5;
const ETHER_BYTES = 14;
const NUMBER_AT = ETHER_BYTES;
const BODY_AT = NUMBER_AT + 4;
const MIN_PACKET_BYTES = 60;

/** A packet to `mac` that carries its number and a body that depends on it. */
export const numbered = (mac: Uint8Array, number: number, lengthBytes = MIN_PACKET_BYTES): Uint8Array => {
  const packet = new Uint8Array(lengthBytes);
  packet.set(mac, 0);
  packet.set([0x02, 0, 0, 0, 0, 0x77], 6);
  const view = new DataView(packet.buffer);
  view.setUint16(12, ETHERTYPE);
  view.setUint32(NUMBER_AT, number);
  for (let i = BODY_AT; i < lengthBytes; i++) packet[i] = (number * 31 + i * 7) & 0xff;
  return packet;
};

const numberOf = (packet: Uint8Array): number => new DataView(packet.buffer).getUint32(NUMBER_AT);

const isOurs = (packet: Uint8Array): boolean =>
  packet.length >= BODY_AT && new DataView(packet.buffer).getUint16(12) === ETHERTYPE;

export const expectWhole = (umem: Umem): Accounts => {
  const accounts = umem.accounts();
  expect(accounts.pool + accounts.fill + accounts.lent + accounts.kept + accounts.tx).toBe(accounts.total);
  expect(accounts.total).toBe(umem.chunkCount);
  return accounts;
};

/** Runs the contract. Call it inside a test file. */
export const deviceContract = (name: string, options: ContractOptions): void => {
  const tries = options.tries ?? 2000;
  const pause = options.pause ?? (() => {});

  describe(`the contract of a device: ${name}`, () => {
    let pair: Pair;
    let left: Device;
    let right: Device;

    beforeEach(async () => {
      pair = await options.create();
      ({ left, right } = pair);
    });

    afterEach(async () => {
      left.close();
      right.close();
      await pair.cleanUp?.();
    });

    /** Polls every queue of `device` until `done`, handing each of our packets to `each`; the frame ends after it. */
    const collect = async (
      device: Device,
      done: () => boolean,
      each: (frame: Frame, packet: Uint8Array) => void,
    ): Promise<void> => {
      const bursts = device.queues.map(() => createBurst(64));
      for (let i = 0; i < tries && !done(); i++) {
        device.queues.forEach((queue, q) => drain(queue, bursts[q]!, each));
        if (!done()) await pause();
      }
      if (!done()) throw new Error(`gave up after ${tries} tries: ${JSON.stringify(device.statistics())}`);
    };

    const drain = (queue: Queue, burst: Burst, each: (frame: Frame, packet: Uint8Array) => void): void => {
      const frame = new Frame(queue, burst);
      const count = queue.receive(burst);
      for (let i = 0; i < count;) {
        let last = i;
        let total = burst.length[i]!;
        while (burst.more[last] === 1) total += burst.length[++last]!;
        frame.begin(burst.address[i]!, burst.length[i]!, total, i, last - i + 1);
        const packet = frame.copy();
        if (isOurs(packet)) each(frame, packet);
        frame.end();
        i = last + 1;
      }
      queue.settle(burst, count);
      queue.flush();
    };

    const receiveAll = async (device: Device, count: number): Promise<Uint8Array[]> => {
      const packets: Uint8Array[] = [];
      await collect(
        device,
        () => packets.length >= count,
        (_, packet) => void packets.push(packet),
      );
      return packets;
    };

    const sendAll = async (device: Device, packets: readonly Uint8Array[]): Promise<void> => {
      const queue = device.queues[0]!;
      const transmitter = new Transmitter(queue);
      for (const packet of packets) {
        let sent = transmitter.sendBytes(packet);
        for (let i = 0; i < tries && !sent; i++) {
          queue.flush();
          await pause();
          sent = transmitter.sendBytes(packet);
        }
        expect(sent).toBe(true);
      }
      queue.flush();
    };

    /** Waits until nothing is on its way out any more. */
    const quiet = async (device: Device): Promise<Accounts> => {
      for (let i = 0; i < tries && device.umem.accounts().tx > 0; i++) {
        for (const queue of device.queues) queue.flush();
        await pause();
      }
      return expectWhole(device.umem);
    };

    test("says who it is", () => {
      for (const device of [left, right]) {
        expect(device.open).toBe(true);
        expect(device.mac).toHaveLength(6);
        expect(device.mtu).toBeGreaterThan(0);
        expect(device.queues.length).toBeGreaterThan(0);
        for (const queue of device.queues) expect(queue.umem).toBe(device.umem);
        expectWhole(device.umem);
      }
    });

    test("carries packets both ways, in order, with every byte", async () => {
      for (const [from, to] of [
        [left, right],
        [right, left],
      ] as const) {
        const sent = Array.from({ length: 200 }, (_, i) =>
          numbered(to.mac, i, MIN_PACKET_BYTES + (i % 97) * 13),
        );
        for (let i = 0; i < sent.length; i += 20) {
          const part = sent.slice(i, i + 20);
          await sendAll(from, part);
          expect(await receiveAll(to, part.length)).toEqual(part);
        }
        expect(to.statistics().rxPackets).toBeGreaterThanOrEqual(sent.length);
        expect(from.statistics().txPackets).toBeGreaterThanOrEqual(sent.length);
      }
      for (const device of [left, right])
        expect(await quiet(device)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
    });

    test.skipIf(options.longPacketBytes === 0)("carries packets of several chunks", async () => {
      expect(options.longPacketBytes).toBeGreaterThan(left.umem.roomBytes);
      const sent = Array.from({ length: 8 }, (_, i) => numbered(right.mac, i, options.longPacketBytes - i));
      for (const packet of sent) {
        await sendAll(left, [packet]);
        expect(await receiveAll(right, 1)).toEqual([packet]);
      }
      expect(await quiet(left)).toMatchObject({ lent: 0, tx: 0 });
      expect(await quiet(right)).toMatchObject({ lent: 0, tx: 0 });
    });

    test("sends a received frame back in place", async () => {
      await sendAll(left, [numbered(right.mac, 7)]);
      let sent = false;
      await collect(
        right,
        () => sent,
        (frame) => {
          frame.bytes.copyWithin(frame.at, frame.at + 6, frame.at + 12);
          frame.view.setUint32(frame.at + NUMBER_AT, 8);
          frame.bytes.set(left.mac, frame.at);
          sent = frame.send();
        },
      );
      expect((await receiveAll(left, 1)).map(numberOf)).toEqual([8]);
      expect(await quiet(right)).toMatchObject({ lent: 0, kept: 0, tx: 0 });
    });

    test("a kept frame is missing from the pool until it is released, and not twice", async () => {
      await sendAll(left, [numbered(right.mac, 1)]);
      let lease: ReturnType<Frame["keep"]> | undefined;
      await collect(
        right,
        () => lease !== undefined,
        (frame) => (lease = frame.keep()),
      );
      expect(expectWhole(right.umem).kept).toBe(1);
      expect(numberOf(lease!.copy())).toBe(1);
      const { at } = lease!;
      lease!.release();
      expect(expectWhole(right.umem).kept).toBe(0);
      expect(() => lease!.release()).toThrow("it was dropped or released");
      expect(() => right.umem.release(at)).toThrow();
      expectWhole(right.umem);
    });

    test("checks the owner at every change of hands", () => {
      const { umem } = left;
      const at = umem.take();
      expect(at).toBeGreaterThanOrEqual(0);
      expect(umem.accounts().lent).toBe(1);
      umem.keep(at);
      expect(umem.accounts().kept).toBe(1);
      expect(() => umem.keep(at)).toThrow();
      umem.release(at);
      expect(() => umem.release(at)).toThrow();
      expect(() => umem.keep(at)).toThrow();
      expect(() => left.queues[0]!.send(at, 60, false)).toThrow();
      for (const bad of [-1, umem.bytes.length, Number.NaN, 1.5]) expect(() => umem.release(bad)).toThrow();
      expectWhole(umem);
    });

    test("an empty pool gives -1, and everything back gives everything again", () => {
      const { umem } = left;
      const taken: number[] = [];
      const before = umem.available;
      for (let at = umem.take(); at >= 0; at = umem.take()) taken.push(at);
      expect(taken).toHaveLength(before);
      expect(new Set(taken.map((at) => Math.floor(at / umem.chunkBytes))).size).toBe(taken.length);
      expect(umem.available).toBe(0);
      expect(umem.take()).toBe(-1);
      for (const at of taken) umem.release(at);
      expect(umem.available).toBe(before);
      expectWhole(umem);
    });

    test("a full transmit ring says no, counts it, and leaves the frame to its owner", async () => {
      const queue = left.queues[0]!;
      const { umem } = left;
      let refused = -1;
      while (umem.available > 0) {
        const at = umem.take();
        umem.bytes.set(numbered(right.mac, 0), at);
        if (!queue.send(at, MIN_PACKET_BYTES, false)) {
          refused = at;
          break;
        }
      }
      if (refused < 0) throw new Error("the pool is smaller than the ring: make it larger for this test");
      expect(queue.reserve(1)).toBe(false);
      expect(left.statistics().txFull).toBeGreaterThanOrEqual(2);
      umem.release(refused);
      queue.flush();
      await quiet(left);
      expect(queue.reserve(1)).toBe(true);
    });

    test("settle returns what is still lent and nothing else", async () => {
      await sendAll(left, [numbered(right.mac, 1), numbered(right.mac, 2), numbered(right.mac, 3)]);
      let seen = 0;
      const leases: { release(): void }[] = [];
      await collect(
        right,
        () => seen === 3,
        (frame) => {
          seen += 1;
          if (seen === 1) leases.push(frame.keep());
          if (seen === 2) frame.drop();
        },
      );
      expect(expectWhole(right.umem)).toMatchObject({ lent: 0, kept: 1 });
      for (const lease of leases) lease.release();
    });

    test("close is idempotent, and afterwards every call is harmless", async () => {
      await sendAll(left, [numbered(right.mac, 1)]);
      for (const device of [left, right]) {
        device.close();
        device.close();
        expect(device.open).toBe(false);
        for (const queue of device.queues) {
          const burst = createBurst(64);
          expect(queue.receive(burst)).toBe(0);
          expect(queue.reserve(1)).toBe(false);
          queue.settle(burst, 0);
          queue.flush();
        }
        device.takeLinkEvent();
        expect(typeof device.statistics().rxPackets).toBe("number");
      }
    });
  });
};

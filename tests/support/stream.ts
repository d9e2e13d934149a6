/**
 * A stream of numbered packets between two devices, and the check that each arrived whole, in order and once.
 *
 * The payload of packet `n` is a pattern of `n`, so that a packet that was overwritten, cut or mixed up shows.
 */
import type { Device } from "../../stack/device/device.ts";
import { Frame } from "../../stack/device/frame.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Loop } from "../../index.ts";

/** IEEE 802 local experimental ethertype 1: the kernel has no handler for it and answers nothing. */
const ETHERTYPE = 0x88b5;
const DESTINATION = 0;
const SOURCE = DESTINATION + 6;
const TYPE = SOURCE + 6;
const NUMBER = TYPE + 2;
const PAYLOAD = NUMBER + 4;

const LIMIT_MS = 10_000;

const patternAt = (number: number, i: number): number => (number * 31 + i * 7) & 0xff;

/** The bytes of packet `number`. */
export const numbered = (number: number, lengthBytes: number): Uint8Array => {
  const packet = new Uint8Array(lengthBytes);
  packet.fill(0xff, DESTINATION, SOURCE);
  packet.set([2, 0, 0, 0, 0, 1], SOURCE);
  new DataView(packet.buffer).setUint16(TYPE, ETHERTYPE);
  new DataView(packet.buffer).setUint32(NUMBER, number);
  for (let i = PAYLOAD; i < lengthBytes; i++) packet[i] = patternAt(number, i);
  return packet;
};

/** The number of a packet of ours, or -1 for one that is not (neighbour discovery, for instance). */
export const numberOf = (packet: Uint8Array): number => {
  if (packet.length < PAYLOAD) return -1;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  return view.getUint16(TYPE) === ETHERTYPE ? view.getUint32(NUMBER) : -1;
};

/** Throws unless `packet` is packet `number`, byte for byte. */
export const checkNumbered = (packet: Uint8Array, number: number, lengthBytes: number): void => {
  const wanted = numbered(number, lengthBytes);
  if (packet.length !== lengthBytes)
    throw new Error(`packet ${number}: ${packet.length} bytes, not ${lengthBytes}`);
  for (let i = 0; i < lengthBytes; i++) {
    if (packet[i] !== wanted[i])
      throw new Error(`packet ${number}: byte ${i} is ${packet[i]}, not ${wanted[i]}`);
  }
};

export interface StreamOptions {
  readonly count: number;
  /** Bytes of packet `n`. */
  readonly length: (n: number) => number;
  /** Packets in flight at the most, so that nothing is dropped for want of room. Default 256. */
  readonly window?: number;
  /** Which packets are expected to arrive; all unless given. */
  readonly arrives?: (n: number) => boolean;
  /** What the receiver does with each frame, after the check; it may send, forward or keep it. */
  readonly then?: (frame: Frame, n: number) => void;
  /** Bytes that packet `n` has when it arrives, where someone on the way changes it. */
  readonly arrivingLength?: (n: number) => number;
}

/**
 * Sends `count` numbered packets from one device and checks them at another, by turns of one loop.
 * Throws at the first packet that is wrong or out of order, and when packets stop coming.
 */
export const stream = (from: Device, to: Device, options: StreamOptions): void => {
  const { count, length, window = 256, arrives = () => true, arrivingLength = length } = options;
  using loop = new Loop({ mode: "spin", onError: (error) => void (failure ??= error) });
  let failure: unknown;
  let next = 0;
  let sent = 0;
  let skipped = 0;
  const skipTo = (): void => {
    while (next < count && !arrives(next)) {
      next += 1;
      skipped += 1;
    }
  };
  skipTo();
  const senders = from.queues.map((queue) => new Transmitter(queue));
  loop.receive(to, (frame) => {
    const packet = frame.copy();
    const number = numberOf(packet);
    if (number < 0) return;
    if (number !== next) throw new Error(`packet ${number} came where ${next} was due`);
    checkNumbered(packet, number, arrivingLength(number));
    next += 1;
    options.then?.(frame, number);
    skipTo();
  });
  if (from !== to) loop.add(from);
  const end = performance.now() + LIMIT_MS;
  while (next < count) {
    while (sent < count && sent - next < window) {
      if (!senders[sent % senders.length]!.sendBytes(numbered(sent, length(sent)))) break;
      sent += 1;
    }
    loop.turn();
    if (failure !== undefined) throw failure;
    if (performance.now() > end) throw new Error(`packet ${next} of ${count} did not come (${sent} sent)`);
  }
};

/** Turns a loop until a condition holds; throws, naming `what`, when it never does. */
export const turnUntil = (
  loop: Loop,
  what: string,
  done: () => boolean,
  limitMs: number = LIMIT_MS,
): void => {
  const end = performance.now() + limitMs;
  while (!done()) {
    loop.turn();
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for: ${what}`);
  }
};

/** Waits until all sent chunks have come back, then throws if any chunk is not in the pool or with the kernel. */
export const settleAccounts = (...devices: readonly Device[]): void => {
  const end = performance.now() + LIMIT_MS;
  for (const device of devices) {
    for (;;) {
      // All of them: on a shared umem it may be another one's queue that chunks come back to.
      for (const { queues } of devices) for (const queue of queues) queue.flush();
      const { pool, fill, lent, kept, tx, total } = device.umem.accounts();
      if (pool + fill + lent + kept + tx !== total || total !== device.umem.chunkCount) {
        throw new Error(`"${device.name}": the accounts do not add up to ${device.umem.chunkCount}`);
      }
      if (lent === 0 && kept === 0 && tx === 0) break;
      if (performance.now() > end)
        throw new Error(`"${device.name}": lent ${lent}, kept ${kept}, tx ${tx} did not come back`);
    }
  }
};

/**
 * Sending packets that nobody received: a fresh chunk from the pool, written by the caller in place, queued.
 *
 * This is the path of a traffic generator. One `Frame` is reused, and a packet costs no allocation and no system call;
 * `queue.flush()` (a loop's turn does it) submits what was queued.
 */
import type { Burst, Queue } from "./device.ts";
import { createBurst, Frame } from "./frame.ts";

/** Chunks of one packet at most: MAX_SKB_FRAGS (17) and the head, include/linux/skbuff.h. */
export const MAX_PACKET_CHUNKS = 18;

export class Transmitter {
  readonly queue: Queue;
  readonly #burst: Burst;
  readonly #frame: Frame;
  readonly #copyWriter: (frame: Frame) => void;
  #source: Uint8Array = NOTHING;
  #refused = 0;

  constructor(queue: Queue) {
    this.queue = queue;
    this.#burst = createBurst(MAX_PACKET_CHUNKS);
    this.#frame = new Frame(queue, this.#burst);
    this.#copyWriter = (frame) => copyInto(frame, this.#source);
  }

  /** The longest packet in bytes that `send` takes. */
  get maxBytes(): number {
    return this.queue.umem.roomBytes * MAX_PACKET_CHUNKS;
  }

  /** Packets that were refused because the pool or the ring was full. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Queues a packet of `lengthBytes` that `write` fills: all its bytes, which hold old data, through the frame's `at`
   * and `length` (its chunks, where it is longer than one). The frame ends when `write` returns; until then `write` may
   * adjust it, or end it itself: drop() sends nothing. False, without calling `write`, when the pool or the ring has no
   * room, and when `write` ended the frame. What `write` throws is thrown on, with the chunks back in the pool.
   */
  send(lengthBytes: number, write: (frame: Frame) => void): boolean {
    const frame = this.#frame;
    if (!this.#begin(frame, lengthBytes)) return false;
    try {
      write(frame);
    } catch (error) {
      if (frame.live) frame.drop();
      throw error;
    }
    if (!frame.live) return false;
    if (frame.send()) return true;
    this.#refused += 1;
    frame.drop();
    return false;
  }

  /** Queues a copy of `packet`. False when the pool or the ring has no room. */
  sendBytes(packet: Uint8Array): boolean {
    if (!(packet instanceof Uint8Array)) throw new TypeError("a packet is a Uint8Array");
    this.#source = packet;
    const sent = this.send(packet.length, this.#copyWriter);
    this.#source = NOTHING;
    return sent;
  }

  #begin(frame: Frame, lengthBytes: number): boolean {
    const { queue } = this;
    const { umem } = queue;
    const room = umem.roomBytes;
    if (!(Number.isInteger(lengthBytes) && lengthBytes >= 1 && lengthBytes <= this.maxBytes)) {
      throw new RangeError(`a packet is 1 to ${this.maxBytes} bytes, not ${String(lengthBytes)}`);
    }
    if (frame.live) throw new Error("a writer called send() of the transmitter that called it");
    const chunks = lengthBytes <= room ? 1 : Math.ceil(lengthBytes / room);
    if (umem.available < chunks || !queue.reserve(chunks)) {
      this.#refused += 1;
      return false;
    }
    const at = umem.take();
    if (chunks === 1) frame.begin(at, lengthBytes, lengthBytes, 0, 1);
    else this.#beginLong(frame, at, lengthBytes, chunks);
    return true;
  }

  #beginLong(frame: Frame, at: number, lengthBytes: number, chunks: number): void {
    const { umem } = this.queue;
    const burst = this.#burst;
    const room = umem.roomBytes;
    burst.address[0] = at;
    for (let i = 1; i < chunks; i++) {
      burst.address[i] = umem.take();
      burst.length[i] = Math.min(room, lengthBytes - i * room);
    }
    frame.begin(at, room, lengthBytes, 0, chunks);
  }
}

const NOTHING = new Uint8Array(0);

const copyInto = (frame: Frame, packet: Uint8Array): void => {
  if (frame.chunks === 1) {
    frame.bytes.set(packet, frame.at);
    return;
  }
  let copied = 0;
  for (let i = 0; i < frame.chunks; i++) {
    const length = frame.chunkLength(i);
    frame.bytes.set(packet.subarray(copied, copied + length), frame.chunkAt(i));
    copied += length;
  }
};

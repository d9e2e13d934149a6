/**
 * The frame as a handler sees it: lent for the length of a call, or kept under a lease.
 *
 * Frames are reused objects over one umem: reading goes through `view` (or `bytes`) at `at`, never through a slice.
 * A frame ends when its handler returns, or when it is sent, forwarded, passed, dropped or kept; after that `at`,
 * `length` and every verb throw a `FrameEndedError` that says how it ended.
 */
import type { Burst, Device, Queue } from "./device.ts";

/** Why a frame is no longer the caller's, as the negative number that stands in for its offset. */
export const END = {
  unused: -1,
  returned: -2,
  sent: -3,
  forwarded: -4,
  passed: -5,
  kept: -6,
  dropped: -7,
  closed: -8,
} as const;

const END_TEXT: Readonly<Record<number, string>> = {
  [END.unused]: "it was never lent",
  [END.returned]: "its handler has returned; keep() it inside the handler to hold it longer",
  [END.sent]: "it was sent",
  [END.forwarded]: "it was forwarded",
  [END.passed]: "it was passed to the kernel",
  [END.kept]: "it was kept; use the lease that keep() returned",
  [END.dropped]: "it was dropped or released",
  [END.closed]: "its umem is closed",
};

/** A frame, or what lies in it, was used after its end. */
export class FrameEndedError extends Error {
  override readonly name = "FrameEndedError";
  /** `what` names things that end as frames do: a datagram. */
  constructor(use: string, end: number, what = "frame") {
    super(`cannot ${use} this ${what}: ${END_TEXT[end] ?? "it has ended"}`);
  }
}

/** Columns of a burst. `capacity` is the most chunks that one `receive` may hand over. */
export const createBurst = (capacity: number): Burst => ({
  // Over explicit buffers: short typed arrays made by length are moved by the engine and are slower to reach.
  address: new Int32Array(new ArrayBuffer(capacity * 4)),
  length: new Int32Array(new ArrayBuffer(capacity * 4)),
  more: new Uint8Array(new ArrayBuffer(capacity)),
  capacity,
});

/** Who must know that frames wait on a device for its next flush. A loop does; it flushes at the end of its turn. */
export interface Outbox {
  forwarded(device: Device): void;
}

/** A packet in a umem, lent to a handler. */
export class Frame {
  /** The whole umem. Index it with `at`. */
  readonly bytes: Uint8Array;
  /** The whole umem. Index it with `at`. */
  readonly view: DataView;
  /** The queue it came in on. */
  readonly queue: Queue;
  readonly #burst: Burst;
  readonly #outbox: Outbox | undefined;
  #index = 0;
  #chunks = 1;
  #at: number = END.unused;
  #head = 0;
  #length = 0;

  /** Without an `outbox`, whoever forwards flushes the other device. */
  constructor(queue: Queue, burst: Burst, outbox?: Outbox) {
    this.queue = queue;
    this.#outbox = outbox;
    this.bytes = queue.umem.bytes;
    this.view = queue.umem.view;
    this.#burst = burst;
  }

  /** Umem offset of the packet's first byte. */
  get at(): number {
    const at = this.#at;
    if (at < 0) this.#ended("read");
    return at;
  }

  /** Bytes of the whole packet, over all its chunks. */
  get length(): number {
    if (this.#at < 0) this.#ended("read");
    return this.#length;
  }

  /** Packet bytes in the first chunk: those that may be read at `at + 0` to `at + head - 1`. */
  get head(): number {
    if (this.#at < 0) this.#ended("read");
    return this.#head;
  }

  /** Chunks that the packet is made of: 1 unless it is larger than a chunk. */
  get chunks(): number {
    if (this.#at < 0) this.#ended("read");
    return this.#chunks;
  }

  /** True while the frame is the caller's. */
  get live(): boolean {
    return this.#at >= 0;
  }

  /** Umem offset of chunk `i`. */
  chunkAt(i: number): number {
    this.#checkChunk(i);
    return i === 0 ? this.#at : this.#burst.address[this.#index + i]!;
  }

  /** Packet bytes in chunk `i`. */
  chunkLength(i: number): number {
    this.#checkChunk(i);
    return i === 0 ? this.#head : this.#burst.length[this.#index + i]!;
  }

  /** A copy of the packet's bytes, for those who want to hold them rather than the frame. Allocates. */
  copy(): Uint8Array {
    const packet = new Uint8Array(this.length);
    let filled = 0;
    for (let i = 0; i < this.#chunks; i++) {
      const at = this.chunkAt(i);
      const length = this.chunkLength(i);
      packet.set(this.bytes.subarray(at, at + length), filled);
      filled += length;
    }
    return packet;
  }

  /**
   * Moves the packet's start by `delta` bytes: negative grows into the headroom, positive removes bytes in front.
   * False, with nothing changed, where the chunk has no such room or the first chunk no such bytes.
   */
  adjustHead(delta: number): boolean {
    if (this.#at < 0) this.#ended("adjust");
    if (!Number.isInteger(delta)) throw new TypeError(`adjustHead takes whole bytes, not ${delta}`);
    const at = this.#at + delta;
    if (delta >= this.#head || at < this.#chunkStart(this.#at)) return false;
    this.#at = at;
    this.#head -= delta;
    this.#length -= delta;
    return true;
  }

  /**
   * Moves the packet's end by `delta` bytes within its last chunk: positive grows, negative trims.
   * False, with nothing changed, where the last chunk has no such room or bytes.
   */
  adjustTail(delta: number): boolean {
    if (this.#at < 0) this.#ended("adjust");
    if (!Number.isInteger(delta)) throw new TypeError(`adjustTail takes whole bytes, not ${delta}`);
    const last = this.#chunks - 1;
    const at = this.chunkAt(last);
    const length = this.chunkLength(last) + delta;
    if (length < 1 || at + length > this.#chunkStart(at) + this.queue.umem.chunkBytes) return false;
    if (last === 0) this.#head = length;
    else this.#burst.length[this.#index + last] = length;
    this.#length += delta;
    return true;
  }

  /** Sends the frame out of the queue it came in on, in place. False (counted) and still the caller's if the ring is full. */
  send(): boolean {
    return this.#sendOn(this.queue, END.sent, "send");
  }

  /**
   * Sends the frame out of another device: in place where both share a umem, else as a copy. Queues correspond by
   * number. False and still the caller's if that device's ring (counted there) or, for a copy, its pool has no room.
   * The loop that lent the frame flushes the device, whether it was added to that loop or not.
   */
  forward(device: Device): boolean {
    if (this.#at < 0) this.#ended("forward");
    const queues = device.queues;
    const queue = queues[this.queue.index % queues.length];
    if (queue === undefined) throw new TypeError(`device "${device.name}" has no queue to forward to`);
    const inPlace = queue.umem === this.queue.umem;
    if (!(inPlace ? this.#sendOn(queue, END.forwarded, "forward") : this.#copyTo(queue))) return false;
    this.#outbox?.forwarded(device);
    return true;
  }

  /** Gives a copy of the packet to the operating system's own stack. False (counted) and still the caller's if it can't. */
  pass(): boolean {
    if (this.#at < 0) this.#ended("pass");
    if (this.#chunks !== 1 || !this.queue.pass(this.#at, this.#head)) return false;
    this.#giveBack(END.passed);
    return true;
  }

  /** Holds the frame beyond the handler. The lease must be sent, forwarded, passed or released. */
  keep(): Lease {
    if (this.#at < 0) this.#ended("keep");
    for (let i = 0; i < this.#chunks; i++) this.queue.umem.keep(this.chunkAt(i));
    const lease = new Lease(this.queue, this.#chunks === 1 ? NO_BURST : this.#copyBurst(), this.#outbox);
    lease.begin(this.#at, this.#head, this.#length, 0, this.#chunks);
    this.#at = END.kept;
    return lease;
  }

  /** Gives the chunks back to the pool now. */
  drop(): void {
    if (this.#at < 0) this.#ended("drop");
    this.#giveBack(END.dropped);
  }

  /** Starts a life of this object; for whoever lends it (a loop, a sender), not for handlers. */
  begin(at: number, head: number, length: number, index: number, chunks: number): void {
    this.#at = at;
    this.#head = head;
    this.#length = length;
    this.#index = index;
    this.#chunks = chunks;
  }

  /** Ends the life that `begin` started, unless the handler already did; for whoever lends it. */
  end(): void {
    if (this.#at >= 0) this.#at = END.returned;
  }

  #sendOn(queue: Queue, end: number, use: string): boolean {
    const at = this.#at;
    if (at < 0) this.#ended(use);
    if (this.#chunks === 1) {
      if (!queue.send(at, this.#head, false)) return false;
    } else {
      const more = this.#chunks - 1;
      if (!queue.reserve(this.#chunks)) return false;
      for (let i = 0; i < more; i++) queue.send(this.chunkAt(i), this.chunkLength(i), true);
      queue.send(this.chunkAt(more), this.chunkLength(more), false);
    }
    this.#at = end;
    return true;
  }

  #copyTo(queue: Queue): boolean {
    // A lease may outlive its memory, whose views are empty then: said before a chunk of the other umem is taken.
    if (this.bytes.length === 0) throw new FrameEndedError("forward", END.closed);
    const { umem } = queue;
    const needed = Math.ceil(this.#length / umem.roomBytes);
    if (umem.available < needed || !queue.reserve(needed)) return false;
    let chunk = 0;
    let from = this.#at;
    let left = this.#head;
    let unsent = this.#length;
    for (let i = 0; i < needed; i++) {
      const at = umem.take();
      const length = Math.min(unsent, umem.roomBytes);
      for (let filled = 0; filled < length;) {
        if (left === 0) {
          chunk += 1;
          from = this.chunkAt(chunk);
          left = this.chunkLength(chunk);
        }
        const step = Math.min(left, length - filled);
        umem.bytes.set(this.bytes.subarray(from, from + step), at + filled);
        filled += step;
        from += step;
        left -= step;
      }
      unsent -= length;
      queue.send(at, length, unsent > 0);
    }
    this.#giveBack(END.forwarded);
    return true;
  }

  #giveBack(end: number): void {
    for (let i = 0; i < this.#chunks; i++) this.queue.umem.release(this.chunkAt(i));
    this.#at = end;
  }

  #copyBurst(): Burst {
    const copy = createBurst(this.#chunks);
    for (let i = 0; i < this.#chunks; i++) {
      copy.address[i] = this.chunkAt(i);
      copy.length[i] = this.chunkLength(i);
      copy.more[i] = i < this.#chunks - 1 ? 1 : 0;
    }
    return copy;
  }

  #chunkStart(address: number): number {
    return address & ~(this.queue.umem.chunkBytes - 1);
  }

  #checkChunk(i: number): void {
    if (this.#at < 0) this.#ended("read");
    if (!(i >= 0 && i < this.#chunks)) throw new RangeError(`chunk ${i} of a frame of ${this.#chunks}`);
  }

  #ended(use: string): never {
    throw new FrameEndedError(use, this.#at);
  }
}

/** Stands where a frame of one chunk needs no columns. */
const NO_BURST = createBurst(0);

/** A frame that outlives its handler. Send, forward, pass or release it: until then its chunks are missing from the pool. */
export class Lease extends Frame {
  /** Gives the chunks back to the pool. A second call throws, like any use after the end. */
  release(): void {
    this.drop();
  }

  /** Releases the frame unless it has ended already, so that `using` is always safe. */
  [Symbol.dispose](): void {
    if (this.live) this.drop();
  }
}

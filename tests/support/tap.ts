/**
 * A device that shows every packet on its way in and out, and that can be cut off: what is sent then is lost.
 */
import type { Burst, Device, Queue, Umem } from "../../stack/device/device.ts";
import { Wrapper } from "../../stack/device/wrapper.ts";

/** Sees a packet: its first chunk, and the bytes in all of them. */
export type Observer = (view: DataView, at: number, head: number, lengthBytes: number) => void;

export class Tap extends Wrapper {
  readonly queues: readonly Queue[];
  /** While true, nothing that is sent gets through. */
  cut = false;
  /** Asked of each packet that is sent: whether it is lost. */
  loses: () => boolean = () => false;

  constructor(inner: Device, sent: Observer, received: Observer) {
    super(inner);
    this.queues = inner.queues.map(
      (queue) => new TapQueue(queue, () => this.cut || this.loses(), sent, received),
    );
  }
}

class TapQueue implements Queue {
  readonly index: number;
  readonly umem: Umem;
  readonly maxChunks: number;
  readonly #inner: Queue;
  readonly #isCut: () => boolean;
  readonly #sent: Observer;
  readonly #received: Observer;
  /** Chunks of a packet whose last one has not been sent yet. */
  #pieces: { readonly address: number; readonly length: number }[] = [];

  constructor(inner: Queue, isCut: () => boolean, sent: Observer, received: Observer) {
    this.index = inner.index;
    this.umem = inner.umem;
    this.maxChunks = inner.maxChunks;
    this.#inner = inner;
    this.#isCut = isCut;
    this.#sent = sent;
    this.#received = received;
  }

  receive(burst: Burst): number {
    const count = this.#inner.receive(burst);
    for (let i = 0; i < count;) {
      let end = i;
      let bytes = burst.length[i]!;
      while (burst.more[end] !== 0) {
        end += 1;
        bytes += burst.length[end]!;
      }
      this.#received(this.umem.view, burst.address[i]!, burst.length[i]!, bytes);
      i = end + 1;
    }
    return count;
  }

  settle(burst: Burst, count: number): void {
    this.#inner.settle(burst, count);
  }

  reserve(chunks: number, packets = 1): boolean {
    return this.#inner.reserve(chunks, packets);
  }

  send(address: number, length: number, more: boolean): boolean {
    const pieces = this.#pieces;
    if (pieces.length === 0 && !more) {
      if (!this.#inner.reserve(1)) return false;
      this.#sent(this.umem.view, address, length, length);
      return this.#pass(address, length, false);
    }
    // A packet of several chunks was reserved as a whole, or the seam was misused.
    pieces.push({ address, length });
    if (more) return true;
    this.#pieces = [];
    if (!this.#inner.reserve(pieces.length))
      throw new Error("a packet of several chunks was sent without room");
    const [first] = pieces;
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#sent(this.umem.view, first!.address, first!.length, bytes);
    for (const [i, piece] of pieces.entries()) this.#pass(piece.address, piece.length, i < pieces.length - 1);
    return true;
  }

  pass(address: number, length: number): boolean {
    return this.#inner.pass(address, length);
  }

  flush(): void {
    this.#inner.flush();
  }

  #pass(address: number, length: number, more: boolean): boolean {
    if (!this.#isCut()) return this.#inner.send(address, length, more);
    this.umem.release(address);
    return true;
  }
}

/**
 * A packet in two pieces of memory, read as if it were one: headers that we wrote, and data that someone else has.
 */
import { copyBytes } from "./copy.ts";

const NO_VIEW: DataView = new DataView(new ArrayBuffer(0));

/** Reused by its owner from packet to packet; the areas are not copied. */
export class PacketPieces {
  #headView = NO_VIEW;
  #headAt = 0;
  #headBytes = 0;
  #bodyView = NO_VIEW;
  #bodyAt = 0;
  #bodyBytes = 0;

  /** Bytes of the whole packet. */
  get length(): number {
    return this.#headBytes + this.#bodyBytes;
  }

  /** The packet is `length` bytes at `at`. */
  whole(view: DataView, at: number, length: number): this {
    return this.join(view, at, length, NO_VIEW, 0, 0);
  }

  /** The packet is `headBytes` bytes at `headAt` and then `bodyBytes` bytes at `bodyAt` of another area. */
  join(
    headView: DataView,
    headAt: number,
    headBytes: number,
    bodyView: DataView,
    bodyAt: number,
    bodyBytes: number,
  ): this {
    this.#headView = headView;
    this.#headAt = headAt;
    this.#headBytes = headBytes;
    this.#bodyView = bodyView;
    this.#bodyAt = bodyAt;
    this.#bodyBytes = bodyBytes;
    return this;
  }

  /** The byte at `index` of the packet. */
  byte(index: number): number {
    return index < this.#headBytes
      ? this.#headView.getUint8(this.#headAt + index)
      : this.#bodyView.getUint8(this.#bodyAt + index - this.#headBytes);
  }

  /** Copies `length` bytes from `index` of the packet. */
  copy(index: number, to: DataView, toAt: number, length: number): void {
    const inHead = Math.min(length, Math.max(0, this.#headBytes - index));
    if (inHead > 0) copyBytes(this.#headView, this.#headAt + index, to, toAt, inHead);
    if (inHead === length) return;
    const from = this.#bodyAt + index + inHead - this.#headBytes;
    copyBytes(this.#bodyView, from, to, toAt + inHead, length - inHead);
  }
}

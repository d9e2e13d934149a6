/**
 * A ring of chunks in memory with one producer and one consumer: what stands in for the kernel's rings in a memory link.
 */

/** Entries of a ring at most, as the kernel allows. */
export const MAX_RING = 1 << 20;

export class ChunkRing {
  readonly size: number;
  readonly address: Int32Array;
  readonly length: Int32Array;
  readonly more: Uint8Array;
  readonly #mask: number;
  // Free-running u32 indices as the kernel's are; `>>> 0` after every sum and difference keeps them so.
  #head = 0;
  #tail = 0;

  /** `size` is a power of two up to MAX_RING. */
  constructor(name: string, size: number) {
    if (!(Number.isInteger(size) && size >= 1 && size <= MAX_RING && (size & (size - 1)) === 0)) {
      throw new RangeError(`${name} is a power of two from 1 to ${MAX_RING}, not ${String(size)}`);
    }
    this.size = size;
    this.#mask = size - 1;
    this.address = new Int32Array(new ArrayBuffer(size * Int32Array.BYTES_PER_ELEMENT));
    this.length = new Int32Array(new ArrayBuffer(size * Int32Array.BYTES_PER_ELEMENT));
    this.more = new Uint8Array(new ArrayBuffer(size));
  }

  /** Entries in it. */
  get count(): number {
    return (this.#tail - this.#head) >>> 0;
  }

  /** Entries that still fit. */
  get free(): number {
    return this.size - this.count;
  }

  /** Adds an entry. The caller has seen that one is free. */
  push(address: number, length: number, more: number): void {
    const slot = this.#tail & this.#mask;
    this.address[slot] = address;
    this.length[slot] = length;
    this.more[slot] = more;
    this.#tail = (this.#tail + 1) >>> 0;
  }

  /** The array index of entry `i`, counted from the oldest. */
  slot(i: number): number {
    return (this.#head + i) & this.#mask;
  }

  /** Gives the `count` oldest entries up. */
  advance(count: number): void {
    this.#head = (this.#head + count) >>> 0;
  }

  /** Entries of the packet that begins at entry `from`, 0 where its last one has not been added yet. */
  packetChunks(from: number): number {
    const { count } = this;
    for (let i = from; i < count; i++) {
      if (this.more[this.slot(i)] === 0) return i - from + 1;
    }
    return 0;
  }
}

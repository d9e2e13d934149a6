/** The wakeup flags of a socket's fill and tx rings, read through mappings of their own: what the driver says, unfiltered. */
import * as abi from "../../ffi/sys/abi.ts";
import { mapShared, type Mapping, struct } from "../../ffi/sys/memory.ts";
import { getOption } from "../../ffi/xsk/setup.ts";

export class WakeupFlags {
  readonly #fill: Mapping;
  readonly #tx: Mapping;
  readonly #fillAt: number;
  readonly #txAt: number;

  /** `fd` is that of a socket with both rings. Close this before the socket: a mapping keeps its queue bound. */
  constructor(fd: number) {
    const offsets = struct(abi.MMAP_OFFSETS_BYTES);
    if (getOption(fd, abi.XDP_MMAP_OFFSETS, offsets.bytes) < 0) throw new Error("no ring offsets");
    const flagsAt = (ring: number): number =>
      Number(offsets.view.getBigUint64(ring + abi.RING_OFFSET_FLAGS, true)) / Int32Array.BYTES_PER_ELEMENT;
    this.#fillAt = flagsAt(abi.MMAP_OFFSETS_FILL);
    this.#txAt = flagsAt(abi.MMAP_OFFSETS_TX);
    const map = (pageOffset: number, at: number): Mapping => {
      const mapping = mapShared(fd, (at + 1) * Int32Array.BYTES_PER_ELEMENT, pageOffset);
      if (mapping === null) throw new Error("the ring cannot be mapped");
      return mapping;
    };
    this.#fill = map(abi.XDP_UMEM_PGOFF_FILL_RING, this.#fillAt);
    this.#tx = map(abi.XDP_PGOFF_TX_RING, this.#txAt);
  }

  /** True where the driver waits for a system call before it looks for chunks to receive into. */
  get fill(): boolean {
    return this.#asks(this.#fill, this.#fillAt);
  }

  /** True where the driver waits for a system call before it looks for frames to send. */
  get tx(): boolean {
    return this.#asks(this.#tx, this.#txAt);
  }

  close(): void {
    this.#fill.unmap();
    this.#tx.unmap();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #asks(ring: Mapping, at: number): boolean {
    return (new Int32Array(ring.buffer)[at]! & abi.XDP_RING_NEED_WAKEUP) !== 0;
  }
}

/**
 * One queue of a memory device: its transmit, receive and fill rings, and the way of a packet from one end to the other.
 */
import { ChunkRing } from "./chunkring.ts";
import type { Burst, Queue } from "./device.ts";
import { MAX_PACKET_CHUNKS } from "./transmit.ts";
import { OWNER, type ChunkHolder, type MemoryUmem } from "./pool.ts";

/** Counters that a device's queues share; see MemoryStatistics. */
export interface QueueCounters {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  txFull: number;
  rxDropped: number;
  txDropped: number;
  rxFillEmpty: number;
  rxRingFull: number;
  passRefused: number;
}

/** What a queue needs of its device. */
export interface QueueHost {
  readonly umem: MemoryUmem;
  readonly mtu: number;
  readonly open: boolean;
  /** True while what is sent arrives. */
  readonly connected: boolean;
  readonly peer: { readonly queues: readonly MemoryQueue[] } | undefined;
}

/** Bytes that a frame may have above the MTU: an Ethernet header and one VLAN tag, as the kernel's veth allows. */
export const FRAME_OVERHEAD_BYTES = 14 + 4;

export class MemoryQueue implements Queue, ChunkHolder {
  readonly index: number;
  readonly umem: MemoryUmem;
  readonly maxChunks = MAX_PACKET_CHUNKS;
  readonly #host: QueueHost;
  readonly #counters: QueueCounters;
  readonly #tx: ChunkRing;
  readonly #rx: ChunkRing;
  readonly #fill: ChunkRing;

  constructor(
    index: number,
    host: QueueHost,
    counters: QueueCounters,
    sizes: { rx: number; tx: number; fill: number },
  ) {
    this.index = index;
    this.umem = host.umem;
    this.#host = host;
    this.#counters = counters;
    this.#tx = new ChunkRing("txRing", sizes.tx);
    this.#rx = new ChunkRing("rxRing", sizes.rx);
    this.#fill = new ChunkRing("fillRing", sizes.fill);
  }

  get fillChunks(): number {
    return this.#fill.count + this.#rx.count;
  }

  get txChunks(): number {
    return this.#tx.count;
  }

  get inFlight(): number {
    return this.#tx.count;
  }

  receive(burst: Burst): number {
    const rx = this.#rx;
    let count = this.#lendShort(burst);
    while (rx.count > 0) {
      const chunks = rx.packetChunks(0);
      if (count + chunks > burst.capacity) {
        if (count > 0) break;
        // A packet that no burst of this size can hold would block the ring for good.
        this.#drop(rx, chunks, OWNER.fill);
        this.#counters.rxDropped += 1;
        continue;
      }
      this.#lend(burst, count, chunks);
      count += chunks;
    }
    return count;
  }

  settle(burst: Burst, count: number): void {
    const { umem } = this;
    const { address } = burst;
    for (let i = 0; i < count; i++) umem.settle(address[i]!);
  }

  reserve(chunks: number): boolean {
    if (this.#host.open && this.#tx.free >= chunks) return true;
    this.#counters.txFull += 1;
    return false;
  }

  send(address: number, length: number, more: boolean): boolean {
    const tx = this.#tx;
    if (!this.#host.open || tx.free === 0) {
      this.#counters.txFull += 1;
      return false;
    }
    this.umem.accept(address, length);
    tx.push(address, length, more ? 1 : 0);
    return true;
  }

  pass(): boolean {
    this.#counters.passRefused += 1;
    return false;
  }

  flush(): void {
    const tx = this.#tx;
    for (let chunks = tx.packetChunks(0); chunks > 0; chunks = tx.packetChunks(0)) {
      this.#deliver(chunks);
    }
    this.#refill();
  }

  /** Gives everything in the rings back to the pool: the device closes. */
  empty(): void {
    this.#drop(this.#tx, this.#tx.count, OWNER.tx);
    this.#drop(this.#rx, this.#rx.count, OWNER.fill);
    this.#drop(this.#fill, this.#fill.count, OWNER.fill);
  }

  /** The packets of one chunk that come first: nearly always all there are. */
  #lendShort(burst: Burst): number {
    const rx = this.#rx;
    const { umem } = this;
    const most = Math.min(rx.count, burst.capacity);
    let count = 0;
    let bytes = 0;
    for (; count < most; count++) {
      const slot = rx.slot(count);
      if (rx.more[slot] !== 0) break;
      const address = rx.address[slot]!;
      const length = rx.length[slot]!;
      umem.move(address, OWNER.fill, OWNER.lent);
      burst.address[count] = address;
      burst.length[count] = length;
      burst.more[count] = 0;
      bytes += length;
    }
    rx.advance(count);
    this.#counters.rxPackets += count;
    this.#counters.rxBytes += bytes;
    return count;
  }

  #lend(burst: Burst, count: number, chunks: number): void {
    const rx = this.#rx;
    let bytes = 0;
    for (let i = 0; i < chunks; i++) {
      const slot = rx.slot(i);
      const address = rx.address[slot]!;
      burst.address[count + i] = address;
      burst.length[count + i] = rx.length[slot]!;
      burst.more[count + i] = rx.more[slot]!;
      bytes += rx.length[slot]!;
      this.umem.move(address, OWNER.fill, OWNER.lent);
    }
    rx.advance(chunks);
    this.#counters.rxPackets += 1;
    this.#counters.rxBytes += bytes;
  }

  /** Moves the oldest packet of the transmit ring to the other end, or drops it with a count. */
  #deliver(chunks: number): void {
    const host = this.#host;
    const tx = this.#tx;
    let bytes = 0;
    for (let i = 0; i < chunks; i++) bytes += tx.length[tx.slot(i)]!;
    const peers = host.peer?.queues;
    const to = peers?.[this.index % peers.length];
    if (to === undefined || !host.connected || bytes > host.mtu + FRAME_OVERHEAD_BYTES) {
      this.#counters.txDropped += 1;
      this.#drop(tx, chunks, OWNER.tx);
      return;
    }
    this.#counters.txPackets += 1;
    this.#counters.txBytes += bytes;
    if (to.umem === this.umem) this.#hand(to, chunks);
    else this.#copy(to, chunks, bytes);
  }

  #hand(to: MemoryQueue, chunks: number): void {
    const tx = this.#tx;
    if (to.#rx.free < chunks) {
      to.#lost("rxRingFull");
      this.#drop(tx, chunks, OWNER.tx);
      return;
    }
    for (let i = 0; i < chunks; i++) {
      const slot = tx.slot(i);
      const address = tx.address[slot]!;
      this.umem.move(address, OWNER.tx, OWNER.fill);
      to.#rx.push(address, tx.length[slot]!, tx.more[slot]!);
    }
    tx.advance(chunks);
  }

  #copy(to: MemoryQueue, chunks: number, bytes: number): void {
    const needed = Math.ceil(bytes / to.umem.roomBytes);
    if (to.#fill.count < needed) to.#lost("rxFillEmpty");
    else if (to.#rx.free < needed) to.#lost("rxRingFull");
    else this.#copyChunks(to, needed, bytes);
    this.#drop(this.#tx, chunks, OWNER.tx);
  }

  /** Copies the oldest packet into chunks of the other end's fill ring; the two may have chunks of different sizes. */
  #copyChunks(to: MemoryQueue, needed: number, bytes: number): void {
    const tx = this.#tx;
    let source = 0;
    let from = tx.address[tx.slot(0)]!;
    let left = tx.length[tx.slot(0)]!;
    let unsent = bytes;
    for (let i = 0; i < needed; i++) {
      const at = to.#fill.address[to.#fill.slot(0)]!;
      to.#fill.advance(1);
      const length = Math.min(unsent, to.umem.roomBytes);
      for (let filled = 0; filled < length;) {
        if (left === 0) {
          source += 1;
          from = tx.address[tx.slot(source)]!;
          left = tx.length[tx.slot(source)]!;
        }
        const step = Math.min(left, length - filled);
        to.umem.bytes.set(this.umem.bytes.subarray(from, from + step), at + filled);
        filled += step;
        from += step;
        left -= step;
      }
      unsent -= length;
      to.#rx.push(at, length, unsent > 0 ? 1 : 0);
    }
  }

  #lost(why: "rxFillEmpty" | "rxRingFull"): void {
    this.#counters[why] += 1;
    this.#counters.rxDropped += 1;
  }

  #drop(ring: ChunkRing, chunks: number, owner: typeof OWNER.tx | typeof OWNER.fill): void {
    for (let i = 0; i < chunks; i++) this.umem.move(ring.address[ring.slot(i)]!, owner, OWNER.pool);
    ring.advance(chunks);
  }

  /** Chunks wait for packets only where packets are copied: in place they come with the packet. */
  #refill(): void {
    const host = this.#host;
    const peers = host.peer?.queues;
    if (!host.open || peers === undefined || peers[0]?.umem === this.umem) return;
    while (this.#fill.free > 0 && this.umem.available > 0) {
      this.#fill.push(this.umem.takeFor(OWNER.fill), 0, 0);
    }
  }
}

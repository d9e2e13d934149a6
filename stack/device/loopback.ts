/**
 * A device that receives what it sends: frames turn round in place, in memory of its own.
 *
 * What is sent while a burst is being handled arrives only when that burst is over, in the loop's next turn, so that two
 * protocols that answer each other over it cannot keep a turn from ending.
 */
import type { Burst, Device, LinkEvent } from "./device.ts";
import { MAX_MTU, MIN_MTU, type MemoryStatistics } from "./memory.ts";
import { MemoryQueue, type QueueCounters } from "./memoryqueue.ts";
import { MemoryUmem, type UmemOptions } from "./pool.ts";

export interface LoopbackOptions extends UmemOptions {
  /** Default: "lo". */
  readonly name?: string;
  /** Largest payload in bytes, 68 to 65535. Default: 65535. */
  readonly mtu?: number;
  /** Entries of the receive ring, a power of two. Default: 1024. */
  readonly rxRing?: number;
  /** Entries of the transmit ring, a power of two. Default: 1024. */
  readonly txRing?: number;
}

const DEFAULT_CHUNK_BYTES = 2048;
const DEFAULT_CHUNKS = 1024;
const DEFAULT_RING = 1024;
/** Nothing is ever copied into this device, so its fill ring stays empty; a ring has an entry at the least. */
const NO_FILL_RING = 1;
const MAC_BYTES = 6;

/** One queue whose other end is itself. */
export class LoopbackDevice implements Device {
  readonly name: string;
  readonly umem: MemoryUmem;
  readonly queues: readonly [LoopbackQueue];
  /** All zero, as the kernel's own: nobody else is on this link. */
  readonly mac: Uint8Array = new Uint8Array(MAC_BYTES);
  readonly mtu: number;
  readonly fds: readonly number[] = [];
  readonly #counters: QueueCounters;
  readonly #unregister: () => void;
  #open = true;

  /** Throws a RangeError for sizes out of range. */
  constructor(options: LoopbackOptions = {}) {
    this.name = options.name ?? "lo";
    this.mtu = checkMtu(options.mtu ?? MAX_MTU);
    const { chunkBytes = DEFAULT_CHUNK_BYTES, chunkCount = DEFAULT_CHUNKS } = options;
    this.umem = new MemoryUmem({ ...options, chunkBytes, chunkCount });
    this.#counters = { ...NOTHING_COUNTED };
    const sizes = {
      rx: options.rxRing ?? DEFAULT_RING,
      tx: options.txRing ?? DEFAULT_RING,
      fill: NO_FILL_RING,
    };
    const queue = new LoopbackQueue(0, this, this.#counters, sizes);
    this.queues = [queue];
    this.#unregister = this.umem.register(queue);
  }

  get open(): boolean {
    return this.#open;
  }

  /** True while it is open: what is sent arrives. */
  get connected(): boolean {
    return this.#open;
  }

  /** The other end: itself. */
  get peer(): this {
    return this;
  }

  /** True while frames wait to be received: no descriptor tells of them, so a loop must not sleep. */
  get waiting(): boolean {
    return this.#open && this.queues[0].fillChunks > 0;
  }

  /** Nothing ever happens to this link. */
  takeLinkEvent(): LinkEvent | undefined {
    return undefined;
  }

  statistics(): MemoryStatistics {
    return { ...this.#counters };
  }

  /** Ends it; what was on its way is lost. Chunks that are lent or kept stay their holder's. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.queues[0].empty();
    this.#unregister();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A memory queue that sends to itself, and waits with that until the burst that was received is over. */
class LoopbackQueue extends MemoryQueue {
  /** A burst was handed out and neither an empty look nor a second flush has said since that the turn is over. */
  #inBurst = false;
  /** The flush that ends a burst has come; the next one ends the turn. */
  #burstFlushed = false;

  override receive(burst: Burst): number {
    const count = super.receive(burst);
    this.#inBurst = count > 0;
    this.#burstFlushed = false;
    return count;
  }

  override flush(): void {
    if (this.#inBurst && !this.#burstFlushed) {
      this.#burstFlushed = true;
      return;
    }
    this.#inBurst = false;
    super.flush();
  }
}

const NOTHING_COUNTED: Readonly<QueueCounters> = {
  rxPackets: 0,
  rxBytes: 0,
  txPackets: 0,
  txBytes: 0,
  txFull: 0,
  rxDropped: 0,
  txDropped: 0,
  rxFillEmpty: 0,
  rxRingFull: 0,
  passRefused: 0,
};

const checkMtu = (mtu: number): number => {
  if (Number.isInteger(mtu) && mtu >= MIN_MTU && mtu <= MAX_MTU) return mtu;
  throw new RangeError(`mtu is a whole number from ${MIN_MTU} to ${MAX_MTU}, not ${String(mtu)}`);
};

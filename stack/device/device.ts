/**
 * The seam between the stack and whatever carries its frames: types only, no code.
 *
 * A device made of an AF_XDP socket, of memory, of a capture file or of another device with faults all look like this.
 * Frames are numbers (byte offsets into a umem); a packet is one chunk or, above the chunk size, several in a row.
 * Nothing here allocates per packet, and no call blocks.
 */

/** Chunks of one burst, a column per property; entry `i` is chunk `i` in order of arrival. */
export interface Burst {
  /** Umem offset of the chunk's first packet byte. */
  readonly address: Int32Array;
  /** Packet bytes in this chunk. */
  readonly length: Int32Array;
  /** 1 where the packet goes on in the next entry, else 0. */
  readonly more: Uint8Array;
  /** Entries that fit. */
  readonly capacity: number;
}

/** Where every chunk of a umem is; the parts always add up to `total`. */
export interface Accounts {
  /** Free, to be handed out next. */
  readonly pool: number;
  /** With the kernel for receiving: in a fill ring, inside the kernel, or in an rx ring. */
  readonly fill: number;
  /** With a handler that has not returned yet. */
  readonly lent: number;
  /** With a holder of a lease. */
  readonly kept: number;
  /** With the kernel for sending: in a tx ring, inside the kernel, or in a completion ring. */
  readonly tx: number;
  readonly total: number;
}

/** Memory that frames live in, shared by all queues and devices that name it. */
export interface Umem {
  /** The whole area. */
  readonly bytes: Uint8Array;
  /** The same area. */
  readonly view: DataView;
  /** Bytes from one chunk to the next, a power of two. */
  readonly chunkBytes: number;
  /** Bytes in front of a packet that a handler may grow into. */
  readonly headroomBytes: number;
  readonly chunkCount: number;
  /** Packet bytes that fit one fresh chunk. */
  readonly roomBytes: number;
  /** Chunks that `take` can hand out now. */
  readonly available: number;
  /**
   * pool -> lent: the offset where a packet goes in a fresh chunk, or -1 when the pool is empty (counted).
   * Send or `keep` it before the handler returns: what is lent then and was received in the same burst goes back.
   */
  take(): number;
  /** lent -> kept. A chunk that is not lent is a bug and throws. */
  keep(address: number): void;
  /** lent or kept -> pool. A chunk that is neither is a bug and throws. */
  release(address: number): void;
  /** Counts every chunk's owner afresh and throws if a ring's own count disagrees. For tests and reports: O(chunks). */
  accounts(): Accounts;
}

/** One receive and transmit queue of a device. */
export interface Queue {
  /** The device's number for it. */
  readonly index: number;
  readonly umem: Umem;
  /** Chunks that one packet may have: 1 where the device sends none of several. */
  readonly maxChunks: number;
  /**
   * Moves arrived chunks into `burst`, whole packets only, and returns how many chunks; their owner is then lent.
   * 0 when nothing is there.
   */
  receive(burst: Burst): number;
  /** Takes back the first `count` chunks of `burst`: what is still lent goes to the pool. */
  settle(burst: Burst, count: number): void;
  /**
   * True when `chunks` transmit slots are free; false raises the counter of full rings. A packet of several chunks asks
   * first: half of one in a ring would swallow the next. So do several packets that make sense together only; `packets` says
   * how many the chunks are for, 1 unless given.
   */
  reserve(chunks: number, packets?: number): boolean;
  /**
   * lent or kept -> tx: queues `length` bytes at `address`; `more` says that the packet goes on in the next call.
   * False, with the owner unchanged and the counter of full rings raised, when there is no slot.
   */
  send(address: number, length: number, more: boolean): boolean;
  /** Chunks that were sent and are not completed: nobody knows yet whether they left. A queue that can't say leaves it out. */
  readonly inFlight?: number;
  /** Hands a copy of one packet to the operating system's own stack; false where that is not possible (counted). */
  pass(address: number, length: number): boolean;
  /** The end of a burst: submits what was sent, wakes the kernel if it asks, collects completions, refills. */
  flush(): void;
}

/**
 * What happened to a device's link. A queue that "stalled" takes frames and completes none, until it has "recovered" or the
 * link comes up anew. `gone` is final: the device no longer exists here.
 */
export type LinkEvent =
  | { readonly kind: "up" }
  | { readonly kind: "down" }
  | { readonly kind: "mtu"; readonly mtu: number }
  | { readonly kind: "address"; readonly mac: Uint8Array }
  | { readonly kind: "renamed"; readonly name: string }
  | { readonly kind: "stalled"; readonly queue: number; readonly reason: string }
  | { readonly kind: "recovered"; readonly queue: number }
  | { readonly kind: "gone"; readonly reason: string };

/** Counters of a device since it was opened, in packets unless the name says otherwise. */
export interface DeviceStatistics {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Sends refused because the transmit ring was full. */
  readonly txFull: number;
  /** Packets lost on the way in, whatever the reason; devices add finer counters of their own. */
  readonly rxDropped: number;
  /** Packets lost on the way out after they were accepted. */
  readonly txDropped: number;
}

export interface Device {
  readonly name: string;
  readonly umem: Umem;
  readonly queues: readonly Queue[];
  /** Ethernet address, six bytes. */
  readonly mac: Uint8Array;
  /** Largest payload of a frame in bytes, as the operating system sees it now. */
  readonly mtu: number;
  /** File descriptors that become readable when frames or link events wait; empty for devices made of memory. */
  readonly fds: readonly number[];
  /**
   * True while received frames wait that no descriptor tells of; a loop that receives them does not sleep then. Devices
   * with descriptors leave it out.
   */
  readonly waiting?: boolean;
  /** True until `close`, or until the device is gone. */
  readonly open: boolean;
  /** False while its link is down, for those who come when that was told already. One that doesn't say is taken for up. */
  readonly up?: boolean;
  /** The next link event that has not been taken yet. Cheap to ask, but not free: once a turn, not once a packet. */
  takeLinkEvent(): LinkEvent | undefined;
  statistics(): DeviceStatistics;
  /** Gives everything back. Idempotent. Frames of it that are still held end. */
  close(): void;
}

/** Monotonic time. */
export interface Clock {
  /** Milliseconds since any fixed moment, with the fraction that the clock has. */
  nowMs(): number;
}

/** How a loop gives way to the rest of the program, and how it sleeps. */
export interface Waiter {
  /** Replaces the set of descriptors that end a sleep. */
  watch(fds: readonly number[]): void;
  /** Calls `turn` once, after everything else that the runtime had ready. */
  yield(turn: () => void): void;
  /** Blocks until a watched descriptor, or the runtime's own work, is ready, `timeoutMs` at the longest. */
  sleep(timeoutMs: number): void;
  /** Frees what the waiter holds. Idempotent. */
  close(): void;
}

/** Where a loop hears of signals. */
export interface SignalSource {
  /** Calls `listener` for each `signal` until the returned function is called. */
  listen(signal: string, listener: () => void): () => void;
}

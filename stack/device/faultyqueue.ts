/**
 * A queue with faults around it: packets pass through a fault line on their way in and another on their way out.
 *
 * Held packets lie in chunks that are kept, because a chunk that is lent goes back to the pool when its burst is settled.
 */
import type { Burst, Clock, Queue, Umem } from "./device.ts";
import { createPacket, FaultLine, type FaultCounters, type LineRates, type Packet } from "./faultline.ts";
import { createBurst } from "./frame.ts";
import type { Random } from "./random.ts";

export type { FaultCounters } from "./faultline.ts";

export interface QueueFaults {
  readonly random: Random;
  readonly clock: Clock;
  readonly holdPackets: number;
  readonly rates: { readonly rx: LineRates; readonly tx: LineRates };
  readonly counters: { readonly rx: FaultCounters; readonly tx: FaultCounters };
}

/** Chunks taken from the device at a time. */
const SCRATCH_CHUNKS = 64;

export class FaultyQueue implements Queue {
  readonly index: number;
  readonly umem: Umem;
  readonly maxChunks: number;
  readonly #inner: Queue;
  readonly #device: { readonly open: boolean };
  readonly #clock: Clock;
  readonly #rx: FaultLine;
  readonly #tx: FaultLine;
  readonly #scratch = createBurst(SCRATCH_CHUNKS);
  /** Packets on their way in that wait for room in a burst. */
  readonly #ready: Packet[] = [];
  /** Chunks of a packet whose last one has not been sent yet. */
  #pieces: { address: number[]; length: number[] } = { address: [], length: [] };
  /** Slots and chunks that a sender was told are free and has not used yet: twins and late packets must not take them. */
  #promised = 0;

  constructor(inner: Queue, device: { readonly open: boolean }, faults: QueueFaults) {
    const { random, clock, holdPackets, rates, counters } = faults;
    this.index = inner.index;
    this.umem = inner.umem;
    this.maxChunks = inner.maxChunks;
    this.#inner = inner;
    this.#device = device;
    this.#clock = clock;
    this.#rx = new FaultLine(rates.rx, counters.rx, random, clock, holdPackets);
    this.#tx = new FaultLine(rates.tx, counters.tx, random, clock, holdPackets);
  }

  /** When this queue has something to do, in ms of the clock: Infinity where nothing is held. */
  get nextDueMs(): number {
    if (this.#ready.length > 0) return this.#clock.nowMs();
    return Math.min(this.#rx.nextDueMs, this.#tx.nextDueMs);
  }

  get inFlight(): number {
    return this.#inner.inFlight ?? 0;
  }

  receive(burst: Burst): number {
    if (!this.#device.open) return 0;
    if (this.#ready.length === 0) this.#admit();
    while (this.#rx.due() !== undefined) this.#ready.push(this.#rx.take()!);
    return this.#emit(burst);
  }

  settle(burst: Burst, count: number): void {
    this.#inner.settle(burst, count);
  }

  reserve(chunks: number, packets = 1): boolean {
    const free = this.#inner.reserve(chunks, packets);
    if (free) this.#promised = Math.max(this.#promised, chunks);
    return free;
  }

  send(address: number, length: number, more: boolean): boolean {
    const pieces = this.#pieces;
    pieces.address.push(address);
    pieces.length.push(length);
    if (more) return true;
    this.#pieces = { address: [], length: [] };
    const chunks = pieces.address.length;
    if (!this.#inner.reserve(chunks)) return false;
    this.#promised = Math.max(0, this.#promised - chunks);
    this.#dispatch(createPacket(pieces.address, pieces.length));
    return true;
  }

  pass(address: number, length: number): boolean {
    return this.#inner.pass(address, length);
  }

  flush(): void {
    this.#promised = 0;
    this.#sendDue();
    this.#inner.flush();
  }

  /** Gives back everything that is held: the device closes. */
  empty(): void {
    for (const packet of this.#ready.splice(0)) this.#release(packet);
    for (const line of [this.#rx, this.#tx]) {
      for (let packet = line.take(); packet !== undefined; packet = line.take()) this.#release(packet);
    }
    this.#pieces = { address: [], length: [] };
  }

  /** Takes what has arrived and decides what becomes of it. */
  #admit(): void {
    const { address, length, more } = this.#scratch;
    const count = this.#inner.receive(this.#scratch);
    for (let i = 0; i < count;) {
      let end = i + 1;
      while (more[end - 1] !== 0 && end < count) end += 1;
      this.#arrive(createPacket([...address.subarray(i, end)], [...length.subarray(i, end)]));
      i = end;
    }
  }

  #arrive(packet: Packet): void {
    const line = this.#rx;
    if (line.drops()) {
      this.#release(packet);
      return;
    }
    line.corrupt(packet, this.umem.bytes);
    const twin = line.duplicates() ? this.#copy(packet, line) : undefined;
    if (line.holds(packet)) {
      for (const one of twin === undefined ? [packet] : [packet, twin]) {
        one.waits = packet.waits;
        one.dueMs = packet.dueMs;
        this.#keep(one);
        line.hold(one);
      }
      return;
    }
    this.#ready.push(packet);
    if (twin !== undefined) this.#ready.push(twin);
    line.overtake();
    while (line.due() !== undefined) this.#ready.push(line.take()!);
  }

  #emit(burst: Burst): number {
    let count = 0;
    for (let packet = this.#ready[0]; packet !== undefined; packet = this.#ready[0]) {
      const chunks = packet.address.length;
      if (count + chunks > burst.capacity) {
        if (count > 0) break;
        this.#ready.shift();
        this.#release(packet);
        this.#rx.counters.lost += 1;
        continue;
      }
      this.#ready.shift();
      if (packet.kept) this.#lendAgain(packet);
      for (let i = 0; i < chunks; i++) {
        burst.address[count] = packet.address[i]!;
        burst.length[count] = packet.length[i]!;
        burst.more[count] = i < chunks - 1 ? 1 : 0;
        count += 1;
      }
      this.#count(this.#rx, packet);
    }
    return count;
  }

  /** Decides what becomes of a packet that is being sent; the ring has room for it. */
  #dispatch(packet: Packet): void {
    const line = this.#tx;
    if (line.drops()) {
      this.#release(packet);
      return;
    }
    line.corrupt(packet, this.umem.bytes);
    const twin = line.duplicates() ? this.#copy(packet, line) : undefined;
    if (line.holds(packet) && this.#holdCopy(packet)) {
      if (twin === undefined) return;
      this.#keep(twin);
      twin.waits = packet.waits;
      twin.dueMs = packet.dueMs;
      line.hold(twin);
      return;
    }
    this.#submit(packet);
    if (twin !== undefined && !this.#trySubmit(twin)) {
      this.#release(twin);
      line.counters.duplicated -= 1;
      line.counters.spared += 1;
    }
    line.overtake();
    this.#sendDue();
  }

  /** Holds a copy, because the packet's own chunks are part of a burst that may be settled. */
  #holdCopy(packet: Packet): boolean {
    const held = this.#clone(packet);
    if (held === undefined) {
      this.#tx.counters.spared += 1;
      return false;
    }
    held.waits = packet.waits;
    held.dueMs = packet.dueMs;
    this.#release(packet);
    this.#keep(held);
    this.#tx.hold(held);
    return true;
  }

  #sendDue(): void {
    if (!this.#device.open) return;
    for (let packet = this.#tx.due(); packet !== undefined; packet = this.#tx.due()) {
      if (!this.#trySubmit(packet)) return;
      this.#tx.take();
    }
  }

  #trySubmit(packet: Packet): boolean {
    if (!this.#inner.reserve(packet.address.length + this.#promised, 1 + this.#promised)) return false;
    this.#submit(packet);
    return true;
  }

  #submit(packet: Packet): void {
    const last = packet.address.length - 1;
    for (let i = 0; i <= last; i++) this.#inner.send(packet.address[i]!, packet.length[i]!, i < last);
    this.#count(this.#tx, packet);
  }

  #count(line: FaultLine, packet: Packet): void {
    line.counters.passed += 1;
    line.counters.passedBytes += packet.bytes;
  }

  /** A second copy of the packet for `duplicate`; undefined, counted, where the pool has no chunks for it. */
  #copy(packet: Packet, line: FaultLine): Packet | undefined {
    const copy = this.#clone(packet);
    if (copy === undefined) line.counters.spared += 1;
    else line.counters.duplicated += 1;
    return copy;
  }

  #clone(packet: Packet): Packet | undefined {
    if (this.umem.available < packet.address.length + this.#promised) return undefined;
    const address = packet.address.map((from, i) => this.#takeCopy(from, packet.length[i]!));
    return createPacket(address, packet.length);
  }

  /** kept -> lent, which the seam has no verb for: back to the pool and out again. Nobody takes or writes between. */
  #lendAgain(packet: Packet): void {
    packet.address.forEach((from, i) => {
      this.umem.release(from);
      packet.address[i] = this.#takeCopy(from, packet.length[i]!);
    });
    packet.kept = false;
  }

  /** A fresh chunk with the bytes at `from`. A packet that had grown into its headroom does so again. */
  #takeCopy(from: number, length: number): number {
    const { umem } = this;
    const fresh = umem.take();
    const chunkEnd = (fresh & ~(umem.chunkBytes - 1)) + umem.chunkBytes;
    const at = Math.min(fresh, chunkEnd - length);
    umem.bytes.copyWithin(at, from, from + length);
    return at;
  }

  #keep(packet: Packet): void {
    for (const at of packet.address) this.umem.keep(at);
    packet.kept = true;
  }

  #release(packet: Packet): void {
    for (const at of packet.address) this.umem.release(at);
  }
}

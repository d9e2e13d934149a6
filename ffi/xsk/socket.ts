/**
 * One AF_XDP socket as a queue of frames: its four rings, and the way of a burst through them.
 *
 * rx ring -> lent to the handler -> tx ring or pool -> completion ring -> pool -> fill ring. The rings are mapped
 * memory, so a burst costs a system call only where the kernel asks to be woken. Every address that comes from the
 * kernel is held against the owner byte of its chunk: what this socket did not give is counted and left alone.
 */
import {
  DESC_ADDRESS,
  DESC_ADDRESS_HIGH,
  DESC_LENGTH,
  DESC_OPTIONS,
  MSG_DONTWAIT,
  XDP_PKT_CONTD,
} from "../sys/abi.ts";
import { ERRNO, errno } from "../sys/errno.ts";
import { recvfrom, sendto, usleep, word } from "../sys/libc.ts";
import { absentConsumer, absentProducer } from "./absent.ts";
import type { BurstColumns, SocketHost } from "./host.ts";
import { MAX_PACKET_CHUNKS, refuseLong } from "./long-packet.ts";
import { ConsumerRing, ProducerRing } from "./ring.ts";
import type { LetGo } from "./departed.ts";
import { Stall } from "./stall.ts";
import { closeRaw, readStatistics, type RawSocket, US_PER_MS, type XdpStatistics } from "./setup.ts";
import { freshCounters, type SocketStatistics } from "./statistics.ts";
import { LENT, type Member, type Outstanding, type Umem } from "./umem.ts";

export type { BurstColumns, SocketHost } from "./host.ts";

export interface SocketOptions {
  readonly index: number;
  readonly needWakeup: boolean;
  /** Chunks to keep with the kernel for receiving. */
  readonly fillTarget: number;
}

/** Fewer chunks than this are not worth a store that the kernel's core has to fetch. */
const REFILL_BATCH = 16;
/** How long a close waits for packets that are being sent from a copy, which on a working device takes microseconds. */
const COPY_SENT_MS = 20;
const NOTHING = word(0);

/** An AF_XDP socket, bound to one queue of one device. */
export class XskSocket implements Member {
  readonly index: number;
  readonly umem: Umem;
  readonly fd: number;
  readonly needWakeup: boolean;
  readonly fillTarget: number;
  readonly #raw: RawSocket;
  readonly #host: SocketHost;
  #rx: ConsumerRing;
  #tx: ProducerRing;
  #fill: ProducerRing;
  readonly #completion: ConsumerRing;
  readonly #slot: number;
  readonly #fillTag: number;
  readonly #txTag: number;
  readonly #refillBatch: number;
  #open = true;
  /** The kernel's counters at the end, because the descriptor's number is somebody else's afterwards. */
  #kernelCounters: XdpStatistics | undefined;
  #boundFd = -1;
  #zeroCopy = false;
  #fillOut = 0;
  #txOut = 0;
  readonly #stall: Stall;
  #watch: (() => LetGo) | undefined;
  readonly #counts = freshCounters();

  constructor(raw: RawSocket, umem: Umem, host: SocketHost, options: SocketOptions) {
    this.#raw = raw;
    this.fd = raw.fd;
    this.umem = umem;
    this.#host = host;
    this.index = options.index;
    this.#stall = new Stall(options.index, host);
    this.needWakeup = options.needWakeup;
    this.fillTarget = raw.rx === undefined ? 0 : Math.min(options.fillTarget, raw.fill.layout.size);
    this.#refillBatch = Math.max(1, Math.min(REFILL_BATCH, this.fillTarget >> 2));
    this.#rx = raw.rx === undefined ? absentConsumer() : new ConsumerRing(raw.rx.layout);
    this.#tx = raw.tx === undefined ? absentProducer() : new ProducerRing(raw.tx.layout);
    this.#fill = new ProducerRing(raw.fill.layout);
    this.#completion = new ConsumerRing(raw.completion.layout);
    this.#slot = umem.join(this);
    this.#fillTag = umem.fillTag(this.#slot);
    this.#txTag = umem.txTag(this.#slot);
  }

  get open(): boolean {
    return this.#open;
  }

  get boundFd(): number {
    return this.#boundFd;
  }

  get maxChunks(): number {
    return this.umem.negotiated?.multiBuffer === false ? 1 : MAX_PACKET_CHUNKS;
  }

  /** True where the device itself writes and reads the umem. */
  get zeroCopy(): boolean {
    return this.#zeroCopy;
  }

  /** Says that `bind` succeeded, and how; `watch` makes what tells, after a close, when the driver has let go. */
  bound(zeroCopy: boolean, watch?: () => LetGo): void {
    this.#boundFd = this.fd;
    this.#zeroCopy = zeroCopy;
    this.#watch = watch;
  }

  /** Fills the fill ring for the first time, before `bind`. */
  prefill(): void {
    this.#refill();
  }

  /** What the kernel holds of ours: the levels of the rings, as this side knows them. */
  outstanding(): Outstanding {
    return { fill: this.#fillOut, tx: this.#txOut };
  }

  /** Chunks that were sent and are not completed. */
  get inFlight(): number {
    return this.#txOut;
  }

  receive(burst: BurstColumns): number {
    const rx = this.#rx;
    let count = rx.peek(burst.capacity);
    if (count === 0) return 0;
    const words = rx.words;
    // The kernel publishes whole packets; what the burst's capacity cuts off waits for the next one.
    while (count > 1 && (words[rx.slot(count - 1) + DESC_OPTIONS]! & XDP_PKT_CONTD) !== 0) count -= 1;
    const { owners, shift } = this.umem;
    const { address: addresses, length: lengths, more: mores } = burst;
    const offsetMask = (1 << shift) - 1;
    const tag = this.#fillTag;
    let bytes = 0;
    let taken = 0;
    for (; taken < count; taken++) {
      const at = rx.slot(taken);
      const address = words[at + DESC_ADDRESS]!;
      const length = words[at + DESC_LENGTH]!;
      const chunk = address >>> shift;
      const last = (address & offsetMask) + length - 1;
      // What a packet of one chunk looks like: a chunk that we gave, bytes that lie in it, nothing else said.
      if (owners[chunk] !== tag || (last | (length - 1)) >>> shift !== 0) break;
      if ((words[at + DESC_ADDRESS_HIGH]! | words[at + DESC_OPTIONS]!) !== 0) break;
      owners[chunk] = LENT;
      addresses[taken] = address;
      lengths[taken] = length;
      mores[taken] = 0;
      bytes += length;
    }
    this.#fillOut -= taken;
    this.#counts.rxPackets += taken;
    this.#counts.rxBytes += bytes;
    if (taken < count) taken = this.#receiveRest(burst, taken, count);
    rx.release(count);
    return taken;
  }

  settle(burst: BurstColumns, count: number): void {
    const { owners, shift } = this.umem;
    const { address: addresses } = burst;
    const fill = this.#fill;
    const words = fill.words;
    const tag = this.#fillTag;
    // Straight back into the fill ring, as far as it takes them: the pool would be a detour of two memory accesses.
    const wanted = Math.min(count, this.fillTarget - this.#fillOut);
    const room = wanted > 0 ? Math.min(wanted, fill.free(wanted)) : 0;
    let filled = 0;
    for (let i = 0; i < count; i++) {
      const chunk = addresses[i]! >>> shift;
      if (owners[chunk] !== LENT) continue;
      if (filled < room) {
        owners[chunk] = tag;
        words[fill.slot(filled)] = chunk << shift;
        filled += 1;
      } else this.umem.put(chunk);
    }
    fill.advance(filled);
    this.#fillOut += filled;
  }

  reserve(chunks: number, packets = 1): boolean {
    // The kernel would throw away all but the last chunk, and send that as a packet of its own.
    if (chunks > packets && this.maxChunks === 1) refuseLong(this.index, chunks, this.umem.roomBytes);
    if (this.#tx.free(chunks) >= chunks) return true;
    this.#counts.txFull += 1;
    return false;
  }

  send(address: number, length: number, more: boolean): boolean {
    const tx = this.#tx;
    if (tx.free(1) === 0) {
      this.umem.assertOpen("send");
      this.#counts.txFull += 1;
      return false;
    }
    this.umem.giveToTx(address, length, this.#txTag);
    const at = tx.slot(0);
    tx.advance(1);
    const words = tx.words;
    // The high half of the address is zero in every slot from the start, and only this side writes the ring.
    words[at + DESC_ADDRESS] = address;
    words[at + DESC_LENGTH] = length;
    words[at + DESC_OPTIONS] = more ? XDP_PKT_CONTD : 0;
    this.#txOut += 1;
    this.#counts.txBytes += length;
    if (!more) this.#counts.txPackets += 1;
    return true;
  }

  pass(address: number, length: number): boolean {
    this.umem.checkHeld("pass", address, length);
    const handed = this.#open && this.#host.pass(this.index, address, length);
    if (handed) this.#counts.passed += 1;
    else this.#counts.passFailed += 1;
    return handed;
  }

  flush(): void {
    if (!this.#open) return;
    if (this.#txOut > 0) {
      this.#tx.submit();
      this.#reap();
      if (this.#tx.pending() > 0 && (!this.needWakeup || this.#tx.needWakeup)) this.#kick();
      if (this.#zeroCopy) this.#stall.left(this.#tx.pending() > 0);
    }
    this.#refill();
  }

  statistics(): SocketStatistics {
    return { ...(this.#kernelCounters ?? readStatistics(this.fd)), ...this.#counts };
  }

  /**
   * Unmaps and closes. Every chunk that the kernel still had of this socket returns to the pool: at once where no device can
   * reach it, else as soon as the driver has let go, which the umem waits for. Idempotent.
   */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#boundFd = -1;
    const reached = this.#reachable();
    // Views over the rings end with their mapping; what is asked of a closed socket finds empty and full rings instead.
    this.#rx = absentConsumer();
    this.#tx = absentProducer();
    this.#fill = absentProducer();
    this.#kernelCounters = readStatistics(this.fd);
    closeRaw(this.#raw);
    if (reached && this.#watch !== undefined) {
      // A copy is made before the call returns: with it no device writes to chunks, it can only still read what is sent.
      if (!this.#zeroCopy) this.#forgetFill();
      return this.umem.leave(this.#slot, this.#watch());
    }
    this.#fillOut = 0;
    this.#txOut = 0;
    this.umem.leave(this.#slot);
  }

  /** True where a device may still read or write chunks of ours after the close. */
  #reachable(): boolean {
    if (this.#watch === undefined || this.umem.endsWith(this.#slot)) return false;
    if (this.#zeroCopy) return this.#fillOut > 0 || this.#txOut > 0;
    // Some devices send from the chunk itself also in copy mode (IFF_TX_SKB_NO_LINEAR, xsk_build_skb_zerocopy).
    for (let waitedMs = 0; waitedMs < COPY_SENT_MS && this.#beingSent() > 0; waitedMs++) {
      usleep(US_PER_MS);
      this.#reap();
    }
    return this.#beingSent() > 0;
  }

  /** Chunks that the kernel has taken from the tx ring and not completed. What it has not taken by now it never will. */
  #beingSent(): number {
    return this.#txOut - this.#tx.waiting();
  }

  #forgetFill(): void {
    this.umem.takeBackAll(this.#fillTag);
    this.#fillOut = 0;
  }

  /** The rest of a burst from the first descriptor that is not a plain packet: long packets, and forged ones. */
  #receiveRest(burst: BurstColumns, from: number, count: number): number {
    const rx = this.#rx;
    const { words } = rx;
    const { owners, shift, chunkBytes } = this.umem;
    let taken = from;
    let first = from;
    let broken = false;
    for (let i = from; i < count; i++) {
      const at = rx.slot(i);
      const address = words[at + DESC_ADDRESS]!;
      const length = words[at + DESC_LENGTH]!;
      const more = words[at + DESC_OPTIONS]! & XDP_PKT_CONTD;
      const chunk = address >>> shift;
      const inside = length > 0 && (address & (chunkBytes - 1)) + length <= chunkBytes;
      if (owners[chunk] === this.#fillTag && inside && words[at + DESC_ADDRESS_HIGH] === 0) {
        owners[chunk] = LENT;
        burst.address[taken] = address;
        burst.length[taken] = length;
        burst.more[taken] = more;
        taken += 1;
        this.#fillOut -= 1;
      } else {
        this.#counts.rxForged += 1;
        broken = true;
      }
      if (more !== 0) continue;
      if (broken) {
        for (let part = first; part < taken; part++) this.umem.release(burst.address[part]!);
        taken = first;
        broken = false;
      } else {
        this.#counts.rxPackets += 1;
        for (let part = first; part < taken; part++) this.#counts.rxBytes += burst.length[part]!;
      }
      first = taken;
    }
    return taken;
  }

  #reap(): void {
    const completion = this.#completion;
    const words = completion.words;
    for (let count = completion.peek(completion.size); count > 0; count = completion.peek(completion.size)) {
      let forged = 0;
      for (let i = 0; i < count; i++) {
        const at = completion.slot(i);
        const known = words[at + DESC_ADDRESS_HIGH] === 0 && this.umem.takeFromTx(words[at]!, this.#txTag);
        if (!known) forged += 1;
      }
      completion.release(count);
      this.#txOut -= count - forged;
      this.#counts.completionForged += forged;
      // A copy may be completed though no other can be made: there the taking of descriptors is the sign.
      if (this.#zeroCopy) this.#stall.completed();
    }
  }

  /** Wakes the kernel until it has taken everything, or says why it can't now. */
  #kick(): void {
    let pending = this.#tx.pending();
    while (pending > 0) {
      this.#counts.txWakeups += 1;
      const code = sendto(this.fd, null, NOTHING, MSG_DONTWAIT, null, 0) < 0 ? errno() : 0;
      this.#reap();
      const left = this.#tx.pending();
      if (code !== 0 && code !== ERRNO.EAGAIN && !this.#carriesOn(code)) return;
      // With zero-copy one call wakes the driver, which takes descriptors in its own time, and asks again by the flag.
      if (this.#zeroCopy) return;
      // A copy is made inside the call or not at all.
      if (left === pending) return this.#stall.idle(code);
      this.#stall.moved();
      pending = left;
    }
  }

  /** Counts a failed kick by its cause; true where another kick makes sense at once. */
  #carriesOn(code: number): boolean {
    if (code === ERRNO.EBUSY) {
      this.#counts.txDropped += 1;
      return true;
    }
    if (code === ERRNO.ENETDOWN) {
      this.#counts.txLinkDown += 1;
      this.#stall.linkDown();
    } else if (code === ERRNO.ENOBUFS) this.#counts.txNoBuffers += 1;
    else if (code === ERRNO.ENXIO)
      this.#host.unbound("it was deleted or moved: the kernel has unbound the socket");
    else this.#stall.odd(code);
    return false;
  }

  #refill(): void {
    const fill = this.#fill;
    const missing = this.fillTarget - this.#fillOut;
    if (missing >= this.#refillBatch) {
      const { umem } = this;
      const { words } = fill;
      const count = Math.min(missing, umem.available, fill.free(missing));
      if (count < missing && count === umem.available) this.#counts.poolEmpty += 1;
      for (let i = 0; i < count; i++) words[fill.slot(i)] = umem.takeFor(this.#fillTag);
      fill.advance(count);
      this.#fillOut += count;
    }
    fill.submit();
    if (this.needWakeup && fill.needWakeup && this.#boundFd >= 0) {
      this.#counts.rxWakeups += 1;
      recvfrom(this.fd, null, NOTHING, MSG_DONTWAIT, null, null);
    }
  }
}

/**
 * Packets that wait for their next hop's Ethernet address: chunks of our own, or a frame that is being forwarded.
 */
import type { Frame } from "../device/frame.ts";
import type { Queue } from "../device/device.ts";
import type { Timer } from "../loop/timers.ts";
import type { DropReason, Notice } from "../transport/network.ts";
import type { Link } from "./link.ts";

/** What senders write into the Ethernet header. */
export interface HopAddress {
  readonly macHigh: number;
  readonly macLow: number;
}

/** Counts the packets that go over one path. */
export interface Tally {
  sent: number;
}

/** A packet that waits. Each ends in exactly one of the two calls. */
export interface Parked {
  /** Its next hop is known: it goes. */
  leave(hop: HopAddress): void;
  /** It does not go. */
  drop(reason: DropReason): void;
}

/** Chunks of one packet, or of several that go together: one entry of each column a chunk. */
export interface PacketChunks {
  readonly addresses: readonly number[];
  readonly lengths: readonly number[];
  /** True where the packet goes on in the next chunk. */
  readonly more: readonly boolean[];
}

/** A packet of the host's own, or all fragments of one, in chunks that are kept. */
export class ParkedChunks implements Parked {
  readonly #link: Link;
  readonly #queue: Queue;
  readonly #chunks: PacketChunks;
  readonly #notice: Notice | undefined;
  readonly #tally: Tally;
  #timer: Timer | undefined;
  #ended = false;

  /** Keeps the chunks, which are lent; what is sent counts in `tally` too. */
  constructor(link: Link, queue: Queue, chunks: PacketChunks, notice: Notice | undefined, tally: Tally) {
    this.#tally = tally;
    this.#link = link;
    this.#queue = queue;
    this.#chunks = chunks;
    this.#notice = notice;
    for (const address of chunks.addresses) queue.umem.keep(address);
  }

  /** Has it given up where it still waits when the timer fires. */
  expireBy(timer: Timer): void {
    this.#timer = timer;
  }

  leave(hop: HopAddress): void {
    if (this.#ended) return;
    const link = this.#link;
    const queue = this.#queue;
    const { addresses, lengths, more } = this.#chunks;
    const packets = more.reduce((count, goesOn) => count + Number(!goesOn), 0);
    if (!link.device.open || !queue.reserve(addresses.length, packets)) return this.drop("full");
    this.#end();
    let first = true;
    for (const [i, address] of addresses.entries()) {
      if (first) link.setDestination(queue.umem.view, address, hop.macHigh, hop.macLow);
      queue.send(address, lengths[i]!, more[i]!);
      first = !more[i]!;
      if (!first) continue;
      link.counters.sent += 1;
      this.#tally.sent += 1;
    }
    this.#notice?.sent();
  }

  drop(reason: DropReason): void {
    if (this.#ended) return;
    this.#end();
    // Also where the device is closed: others may share its memory, and one that is gone has nothing against it.
    for (const address of this.#chunks.addresses) this.#queue.umem.release(address);
    this.#link.counters.unresolved += 1;
    this.#notice?.dropped(reason);
  }

  #end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }
}

/** A frame on its way through the host. */
export class ParkedFrame implements Parked {
  readonly #link: Link;
  readonly #lease: Frame;
  /** Says that nobody answered, to the packet's sender; the frame is live while it runs. */
  readonly #unreachable: () => void;

  constructor(link: Link, lease: Frame, unreachable: () => void) {
    this.#link = link;
    this.#lease = lease;
    this.#unreachable = unreachable;
  }

  leave(hop: HopAddress): void {
    const lease = this.#lease;
    if (!lease.live) return;
    this.#link.setDestination(lease.view, lease.at, hop.macHigh, hop.macLow);
    if (lease.forward(this.#link.device)) this.#link.counters.forwarded += 1;
    else this.drop("full");
  }

  drop(reason: DropReason): void {
    const lease = this.#lease;
    if (!lease.live) return;
    this.#link.counters.unresolved += 1;
    if (reason === "unreachable") this.#unreachable();
    if (lease.live) lease.drop();
  }
}

/**
 * Where IP packets go that a way leads out: into chunks of its queue with a link header, sent, or parked for the next hop.
 *
 * Packets of one run belong together, as fragments do: they wait, are sent and are given up as one. Nobody outside hears of
 * anything before the run is over.
 */
import type { Queue } from "../device/device.ts";
import type { Notice } from "../transport/network.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import type { Timer } from "../loop/timers.ts";
import type { FragmentSink } from "./fragments/fragments.ts";
import { ParkedChunks } from "./parked.ts";
import type { Way } from "./way.ts";

/** The largest packet of either family, IPv6 header included. */
const STAGE_BYTES = 40 + 0xffff;
/** Of the pool this part stays free where a run of packets is to wait: what waits is missing for receiving. */
const FREE_SHIFT = 3;

export class WaySink implements FragmentSink {
  view: DataView;
  /** Packets larger than a chunk are written here and then spread over chunks. */
  readonly #stage: DataView;
  readonly #stageBytes: Uint8Array;
  #way: Way | undefined;
  /** The chunks of a run that has to wait. */
  #parked: ParkedRun | undefined;

  constructor() {
    const buffer = new ArrayBuffer(STAGE_BYTES);
    this.#stage = new DataView(buffer);
    this.#stageBytes = new Uint8Array(buffer);
    this.view = this.#stage;
  }

  /** True where `packets` packets of at most `mtu` bytes have room on a way that is ready; the queue counts where not. */
  static hasRoom(way: Way, packets: number, mtu: number): boolean {
    const { link } = way.interface!;
    const queue = way.queue!;
    const { umem } = queue;
    const chunks = packets * Math.ceil((link.linkBytes + mtu) / umem.roomBytes);
    const spare = way.hop!.usable || packets === 1 ? 0 : umem.chunkCount >> FREE_SHIFT;
    return umem.available >= chunks + spare && queue.reserve(chunks, packets);
  }

  /** Begins a run of packets on `way`, which is ready and has room. */
  open(way: Way): void {
    this.#way = way;
    this.#parked = way.hop!.usable ? undefined : { addresses: [], lengths: [], more: [] };
  }

  begin(lengthBytes: number): number {
    const way = this.#way!;
    const { umem } = way.queue!;
    const { linkBytes } = way.interface!.link;
    if (linkBytes + lengthBytes > umem.roomBytes) {
      this.view = this.#stage;
      return lengthBytes > STAGE_BYTES ? -1 : 0;
    }
    this.view = umem.view;
    const chunk = umem.take();
    return chunk < 0 ? chunk : chunk + linkBytes;
  }

  end(at: number, lengthBytes: number): void {
    const way = this.#way!;
    const { linkBytes } = way.interface!.link;
    if (this.view === this.#stage) this.#spread(way, lengthBytes);
    else {
      this.#writeHeader(way, at - linkBytes);
      this.#leave(way.queue!, at - linkBytes, linkBytes + lengthBytes, false);
    }
    if (this.#parked !== undefined) return;
    way.interface!.link.counters.sent += 1;
    way.tally.sent += 1;
  }

  /** Ends the run: what has to wait is parked. `notice` hears what became of it, `expiry` gives what waits an end. */
  close(notice?: Notice, expiry?: (parked: ParkedChunks) => Timer): void {
    const way = this.#way!;
    const run = this.#parked;
    // Forgotten first: whoever hears of it may send a packet himself.
    this.#way = undefined;
    this.#parked = undefined;
    if (run === undefined) {
      if (way.neighbour !== undefined) way.neighbours!.used(way.neighbour);
      notice?.sent();
      return;
    }
    const parked = new ParkedChunks(way.interface!.link, way.queue!, run, notice, way.tally);
    if (expiry !== undefined) parked.expireBy(expiry(parked));
    way.neighbours!.park(way.neighbour!, parked);
  }

  #spread(way: Way, lengthBytes: number): void {
    const queue = way.queue!;
    const { umem } = queue;
    const { linkBytes } = way.interface!.link;
    for (let done = 0; done < lengthBytes;) {
      const header = done === 0 ? linkBytes : 0;
      const length = Math.min(lengthBytes - done, umem.roomBytes - header);
      const chunk = umem.take();
      if (done === 0) this.#writeHeader(way, chunk);
      umem.bytes.set(this.#stageBytes.subarray(done, done + length), chunk + header);
      done += length;
      this.#leave(queue, chunk, header + length, done < lengthBytes);
    }
  }

  #writeHeader(way: Way, at: number): void {
    const { macHigh, macLow } = way.hop!;
    const type = way.address.family === 4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6;
    way.interface!.link.writeHeader(way.queue!.umem.view, at, macHigh, macLow, type);
  }

  /** One chunk; room for it was reserved. */
  #leave(queue: Queue, address: number, lengthBytes: number, more: boolean): void {
    const run = this.#parked;
    if (run === undefined) {
      queue.send(address, lengthBytes, more);
      return;
    }
    run.addresses.push(address);
    run.lengths.push(lengthBytes);
    run.more.push(more);
  }
}

interface ParkedRun {
  readonly addresses: number[];
  readonly lengths: number[];
  readonly more: boolean[];
}

/**
 * Where the pieces of a packet go that was cut on its way to a backend: each into a fresh chunk, under the link's header and,
 * where there is a tunnel, the outer one.
 */
import type { Queue } from "../device/device.ts";
import type { FragmentSink } from "../ip/fragments/fragments.ts";
import type { Family } from "../wire/address.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import type { Hop } from "./hop.ts";
import { writeOuter } from "./tunnel.ts";

const NO_VIEW = new DataView(new ArrayBuffer(0));

export class PieceSink implements FragmentSink {
  view: DataView = NO_VIEW;
  #hop!: Hop;
  #queue!: Queue;
  /** Bytes of the outer header, 0 without a tunnel. */
  #outer = 0;
  #trafficClass = 0;
  #flow = 0;

  /** True where `pieces` pieces of at most `mtu` bytes, outer header included, have room; the queue counts where not. */
  static hasRoom(hop: Hop, queue: Queue, pieces: number, mtu: number): boolean {
    const { umem } = queue;
    const fits = hop.out.link.linkBytes + mtu <= umem.roomBytes;
    return fits && umem.available >= pieces && queue.reserve(pieces, pieces);
  }

  /** Begins a packet's pieces, for whose number there is room. */
  open(hop: Hop, queue: Queue, outer: number, trafficClass: number, flow: number): void {
    this.view = queue.umem.view;
    this.#hop = hop;
    this.#queue = queue;
    this.#outer = outer;
    this.#trafficClass = trafficClass;
    this.#flow = flow;
  }

  begin(_lengthBytes: number): number {
    const chunk = this.#queue.umem.take();
    return chunk < 0 ? chunk : chunk + this.#hop.out.link.linkBytes + this.#outer;
  }

  /** Only IPv4 packets are cut on the way (RFC 8200 section 5). */
  end(at: number, lengthBytes: number): void {
    const { view } = this;
    const { out, neighbour, address, source } = this.#hop;
    const outer = this.#outer;
    const linkAt = at - outer - out.link.linkBytes;
    let family: Family = 4;
    if (outer > 0) {
      writeOuter(view, at - outer, 4, lengthBytes, this.#trafficClass, source!, address, this.#flow);
      family = address.family;
    }
    const type = family === 4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6;
    out.link.writeHeader(view, linkAt, neighbour.macHigh, neighbour.macLow, type);
    this.#queue.send(linkAt, at - linkAt + lengthBytes, false);
  }
}

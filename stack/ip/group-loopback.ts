/**
 * What we send to a group that somebody here is a member of comes back to us as well (RFC 1112 section 6.1).
 *
 * The copy takes the way of the loopback interface; the source address of its frame, which nobody else sees, says which
 * interface it was sent on and so whose members are meant.
 */
import { ETHERTYPE } from "../wire/ethernet.ts";
import type { Interface } from "./interface.ts";
import type { Way } from "./way.ts";

export class LoopbackOfGroups {
  #loopback: Interface | undefined;

  /** Where copies go. */
  use(loopback: Interface): void {
    this.#loopback = loopback;
  }

  /** Sends a copy of the IP packet of `lengthBytes` at (view, at), which goes out of `way`, where we are members. */
  copyOf(way: Way, view: DataView, at: number, lengthBytes: number): void {
    const on = way.interface!;
    const { address, options } = way;
    const loopback = this.#loopback;
    if (loopback === undefined || on === loopback || options.loopback === false) return;
    if (!on.groups.isJoined(address.w0, address.w1, address.w2, address.w3)) return;
    const { link } = loopback;
    const queue = link.queueFor(0);
    const { umem } = queue;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, lengthBytes);
    const chunks = Math.ceil((link.linkBytes + lengthBytes) / umem.roomBytes);
    if (umem.available < chunks || !queue.reserve(chunks)) return void (link.counters.full += 1);
    for (let done = 0; done < lengthBytes;) {
      const chunk = umem.take();
      const header = done === 0 ? link.linkBytes : 0;
      const length = Math.min(lengthBytes - done, umem.roomBytes - header);
      if (done === 0) {
        link.writeHeader(umem.view, chunk, 0, 0, address.family === 4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6);
        // The one field of a loopback frame that is free.
        umem.view.setUint16(chunk + SENT_ON, on.index);
      }
      umem.bytes.set(bytes.subarray(done, done + length), chunk + header);
      done += length;
      queue.send(chunk, header + length, done < lengthBytes);
    }
  }

  /** The number of the interface that a group's packet on loopback was sent on; 0 for others. */
  static sentOn(view: DataView, linkAt: number): number {
    return view.getUint16(linkAt + SENT_ON);
  }
}

/** The last two bytes of the source address of the frame. */
const SENT_ON = 10;

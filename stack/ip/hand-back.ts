/**
 * Frames that go to the kernel beside the host: with their checksums complete, since the kernel checks what comes this way.
 */
import type { Frame } from "../device/frame.ts";
import { Packet } from "../transport/packet.ts";
import { MAPPED } from "../wire/address.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as extensions from "../wire/ipv6-extensions.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as vlan from "../wire/vlan.ts";
import { completeChecksum } from "./complete-checksum.ts";
import type { Interface } from "./interface.ts";

const { ETHERTYPE } = ethernet;

export class HandBack {
  /** Its own: the host's may be in the middle of a delivery, or about an earlier frame. */
  readonly #packet = new Packet();
  readonly #walk = new extensions.Walk();

  /** Gives a frame to the kernel; counted by the interface where it is refused. */
  pass(on: Interface, frame: Frame): void {
    if (!frame.live) return;
    if (this.#locate(frame)) completeChecksum(this.#packet);
    if (frame.pass()) on.link.counters.passed += 1;
    else on.link.counters.passRefused += 1;
  }

  /** Finds the transport header, behind tags and IP's headers. False where there is none, or only a part. */
  #locate(frame: Frame): boolean {
    const { view, at, head } = frame;
    let type = ethernet.type(view, at);
    let ipAt = at + ethernet.HEADER_BYTES;
    for (let tags = 0; tags < vlan.MAX_TAGS && vlan.isTag(type); tags++) {
      if (ipAt + vlan.TAG_BYTES > at + head) return false;
      type = vlan.innerType(view, ipAt);
      ipAt += vlan.TAG_BYTES;
    }
    const packet = this.#packet;
    packet.view = view;
    packet.bytes = frame.bytes;
    packet.frame = frame;
    packet.ipAt = ipAt;
    const here = at + head - ipAt;
    if (type === ETHERTYPE.IPV4 && here >= ipv4.HEADER_BYTES) return this.#locate4(frame, here);
    return type === ETHERTYPE.IPV6 && here >= ipv6.HEADER_BYTES && this.#locate6(frame, here);
  }

  #locate4(frame: Frame, here: number): boolean {
    const packet = this.#packet;
    const { view, ipAt } = packet;
    const length = frame.length - (ipAt - frame.at);
    if (ipv4.check(view, ipAt, length) < 0 || ipv4.headerBytes(view, ipAt) > here) return false;
    if (ipv4.isFragment(view, ipAt)) return false;
    const headerBytes = ipv4.headerBytes(view, ipAt);
    packet.family = 4;
    packet.s0 = packet.s1 = packet.d0 = packet.d1 = 0;
    packet.s2 = packet.d2 = MAPPED;
    packet.s3 = ipv4.sourceWord(view, ipAt);
    packet.d3 = ipv4.destinationWord(view, ipAt);
    packet.protocol = ipv4.protocol(view, ipAt);
    packet.at = ipAt + headerBytes;
    packet.length = ipv4.totalLength(view, ipAt) - headerBytes;
    return true;
  }

  #locate6(frame: Frame, here: number): boolean {
    const packet = this.#packet;
    const { view, ipAt } = packet;
    const length = frame.length - (ipAt - frame.at);
    if (ipv6.check(view, ipAt, length) < 0) return false;
    packet.family = 6;
    packet.s0 = ipv6.sourceWord(view, ipAt, 0);
    packet.s1 = ipv6.sourceWord(view, ipAt, 1);
    packet.s2 = ipv6.sourceWord(view, ipAt, 2);
    packet.s3 = ipv6.sourceWord(view, ipAt, 3);
    packet.d0 = ipv6.destinationWord(view, ipAt, 0);
    packet.d1 = ipv6.destinationWord(view, ipAt, 1);
    packet.d2 = ipv6.destinationWord(view, ipAt, 2);
    packet.d3 = ipv6.destinationWord(view, ipAt, 3);
    packet.protocol = ipv6.nextHeader(view, ipAt);
    packet.at = ipAt + ipv6.HEADER_BYTES;
    packet.length = ipv6.payloadLength(view, ipAt);
    if (!extensions.isExtension(packet.protocol)) return true;
    const readable = Math.min(packet.length, here - ipv6.HEADER_BYTES);
    const found = this.#walk;
    if (extensions.walk(view, packet.at, readable, packet.protocol, found) < 0) return false;
    if (found.protocol === PROTOCOL.FRAGMENT) return false;
    packet.length -= found.at - packet.at;
    packet.protocol = found.protocol;
    packet.at = found.at;
    return true;
  }
}

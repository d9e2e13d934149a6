/**
 * Makes the checksums of a broken frame right again, so that what is broken in it is looked at and not thrown away.
 */
import { pseudo4, pseudo6 } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import * as icmp6 from "../../stack/wire/icmpv6.ts";
import * as igmp from "../../stack/wire/igmp.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { isExtension, Walk, walk } from "../../stack/wire/ipv6-extensions.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import * as vlan from "../../stack/wire/vlan.ts";

const found = new Walk();

/** Where the packet begins and of which type it is: behind the Ethernet header and one tag. */
export const packetOf = (view: DataView, length: number) => {
  if (length < ethernet.HEADER_BYTES + vlan.TAG_BYTES) return { type: 0, at: length };
  const type = ethernet.type(view, 0);
  const at = ethernet.HEADER_BYTES;
  if (type !== ethernet.ETHERTYPE.VLAN) return { type, at };
  return { type: vlan.innerType(view, at), at: at + vlan.TAG_BYTES };
};

/** `lengths`: those of IP and UDP are set to what is there, too. */
export const repair = (view: DataView, length: number, lengths: boolean): void => {
  const { type, at } = packetOf(view, length);
  if (type === ethernet.ETHERTYPE.IPV4) repair4(view, at, length, lengths);
  else if (type === ethernet.ETHERTYPE.IPV6) repair6(view, at, length, lengths);
};

const repair4 = (view: DataView, at: number, end: number, lengths: boolean): void => {
  if (end - at < ipv4.HEADER_BYTES) return;
  const headerBytes = ipv4.headerBytes(view, at);
  if (headerBytes < ipv4.HEADER_BYTES || at + headerBytes > end) return;
  if (lengths) ipv4.setTotalLength(view, at, end - at);
  ipv4.setChecksum(view, at);
  if (ipv4.isFragment(view, at)) return;
  const upper = at + headerBytes;
  const whole = Math.min(ipv4.totalLength(view, at), end - at) - headerBytes;
  const protocol = ipv4.protocol(view, at);
  if (protocol === PROTOCOL.ICMP && whole >= icmp4.HEADER_BYTES) icmp4.setChecksum(view, upper, whole);
  else if (protocol === PROTOCOL.IGMP && whole >= igmp.HEADER_BYTES) igmp.setChecksum(view, upper, whole);
  else if (protocol === PROTOCOL.UDP)
    repairUdp(view, upper, whole, lengths, (bytes) => pseudo4(view, at, PROTOCOL.UDP, bytes));
};

const repair6 = (view: DataView, at: number, end: number, lengths: boolean): void => {
  if (end - at < ipv6.HEADER_BYTES) return;
  if (lengths) ipv6.setPayloadLength(view, at, end - at - ipv6.HEADER_BYTES);
  let upper = at + ipv6.HEADER_BYTES;
  let whole = Math.min(ipv6.payloadLength(view, at), end - upper);
  let protocol = ipv6.nextHeader(view, at);
  if (isExtension(protocol)) {
    if (walk(view, upper, whole, protocol, found) < 0) return;
    protocol = found.protocol;
    upper = found.at;
    whole = found.length;
  }
  if (protocol === PROTOCOL.ICMPV6 && whole >= icmp6.HEADER_BYTES)
    icmp6.setChecksum(view, upper, whole, pseudo6(view, at, PROTOCOL.ICMPV6, whole));
  else if (protocol === PROTOCOL.UDP)
    repairUdp(view, upper, whole, lengths, (bytes) => pseudo6(view, at, PROTOCOL.UDP, bytes));
};

const repairUdp = (
  view: DataView,
  at: number,
  whole: number,
  lengths: boolean,
  pseudo: (bytes: number) => number,
): void => {
  if (whole < udp.HEADER_BYTES) return;
  if (lengths) udp.setLength(view, at, whole);
  const bytes = udp.length(view, at);
  if (bytes >= udp.HEADER_BYTES && bytes <= whole) udp.writeChecksum(view, at, pseudo(bytes), bytes);
};

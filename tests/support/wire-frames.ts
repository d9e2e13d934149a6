/**
 * Frames put together from the records of the wire, between two hosts: 10.0.0.1, fe80::1 and 10.0.0.2, fe80::2.
 */
import { IpAddress } from "../../stack/wire/address.ts";
import { pseudoOf } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmpv4 from "../../stack/wire/icmpv4.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import * as igmp from "../../stack/wire/igmp.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import * as mld from "../../stack/wire/mld.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";

export const MAC1 = MacAddress.parse("02:00:00:00:00:01");
export const MAC2 = MacAddress.parse("02:00:00:00:00:02");
export const A4 = IpAddress.parse("10.0.0.1");
export const B4 = IpAddress.parse("10.0.0.2");
export const A6 = IpAddress.parse("fe80::1");
export const B6 = IpAddress.parse("fe80::2");
export const NONE = new Uint8Array(0);

export const fill = (length: number, write: (view: DataView) => unknown): Uint8Array => {
  const filled = new Uint8Array(length);
  write(new DataView(filled.buffer));
  return filled;
};
export const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
export const fromHex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

export const frame = (type: number, payload: Uint8Array, to = MAC2): Uint8Array =>
  join(
    fill(ethernet.HEADER_BYTES, (view) => ethernet.writeHeader(view, 0, to, MAC1, type)),
    payload,
  );

export const packet4 = (
  protocol: number,
  payload: Uint8Array,
  more: Partial<ipv4.Ipv4Record> = {},
): Uint8Array => {
  const record: ipv4.Ipv4Record = {
    dscp: 0,
    ecn: 0,
    identification: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 64,
    protocol,
    source: A4,
    destination: B4,
    options: [],
    payloadLength: payload.length,
    ...more,
  };
  return join(
    fill(ipv4.lengthOf(record), (view) => ipv4.emit(record, view, 0)),
    payload,
  );
};
export const packet6 = (
  nextHeader: number,
  payload: Uint8Array,
  more: Partial<ipv6.Ipv6Record> = {},
): Uint8Array => {
  const record: ipv6.Ipv6Record = {
    trafficClass: 0,
    flowLabel: 0,
    payloadLength: payload.length,
    nextHeader,
    hopLimit: 255,
    source: A6,
    destination: B6,
    ...more,
  };
  return join(
    fill(ipv6.HEADER_BYTES, (view) => ipv6.emit(record, view, 0)),
    payload,
  );
};

export const datagram = (payload: Uint8Array, from = A4, to = B4, ports = [1234, 53]): Uint8Array => {
  const record = { sourcePort: ports[0]!, destinationPort: ports[1]!, payload };
  const length = udp.lengthOf(record);
  return fill(length, (view) => udp.emit(record, view, 0, pseudoOf(from, to, PROTOCOL.UDP, length)));
};
export const message4 = (record: icmpv4.Icmpv4Record): Uint8Array =>
  fill(icmpv4.lengthOf(record), (view) => icmpv4.emit(record, view, 0));
export const message6 = (record: icmpv6.Icmpv6Record): Uint8Array =>
  fill(icmpv6.lengthOf(record), (view) => icmpv6.emit(record, view, 0, A6, B6));
export const discovery = (record: ndp.NdpRecord, to = B6): Uint8Array =>
  fill(ndp.lengthOf(record), (view) => ndp.emit(record, view, 0, A6, to));
export const listener = (record: mld.MldRecord, to = B6): Uint8Array =>
  fill(mld.lengthOf(record), (view) => mld.emit(record, view, 0, A6, to));
export const group = (record: igmp.IgmpRecord): Uint8Array =>
  fill(igmp.lengthOf(record), (view) => igmp.emit(record, view, 0));
export const extension = (record: extensions.ExtensionRecord): Uint8Array =>
  fill(extensions.lengthOf(record), (view) => extensions.emit(record, view, 0));

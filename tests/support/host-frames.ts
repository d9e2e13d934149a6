/**
 * Frames that a station sends to a host: 10.0.0.1 and 2001:db8::1 at 02:…:02 to 10.0.0.2 and 2001:db8::2 at 02:…:01.
 */
import { IpAddress } from "../../stack/wire/address.ts";
import { fold, pseudoOf } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import * as icmp6 from "../../stack/wire/icmpv6.ts";
import type { Ipv4Record } from "../../stack/wire/ipv4.ts";
import type { Ipv6Record } from "../../stack/wire/ipv6.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import { fill, join, packet4, packet6 } from "./wire-frames.ts";

export const HOST_MAC = MacAddress.parse("02:00:00:00:00:01");
export const STATION_MAC = MacAddress.parse("02:00:00:00:00:02");
export const HOST4 = IpAddress.parse("10.0.0.2");
export const STATION4 = IpAddress.parse("10.0.0.1");
export const HOST6 = IpAddress.parse("2001:db8::2");
export const STATION6 = IpAddress.parse("2001:db8::1");
/** What a host of these frames joins with. */
export const ADDRESSES = ["10.0.0.2/24", "2001:db8::2/64"];

const TAG = 0x8100;

export interface EtherOptions {
  readonly toMac?: MacAddress;
  readonly fromMac?: MacAddress;
  /** VLAN. */
  readonly vlan?: number;
  /** Bytes behind the packet: padding. */
  readonly pad?: number;
}

/** An Ethernet frame around `packet`, whose version says its type. */
export const ether = (packet: Uint8Array, options: EtherOptions = {}): Uint8Array => {
  const { toMac = HOST_MAC, fromMac = STATION_MAC, vlan, pad = 0 } = options;
  const type = packet[0]! >> 4 === 6 ? ethernet.ETHERTYPE.IPV6 : ethernet.ETHERTYPE.IPV4;
  const outer = vlan === undefined ? type : TAG;
  const tag =
    vlan === undefined ? new Uint8Array(0) : Uint8Array.of(vlan >> 8, vlan & 0xff, type >> 8, type & 0xff);
  const header = fill(ethernet.HEADER_BYTES, (view) => ethernet.writeHeader(view, 0, toMac, fromMac, outer));
  return join(header, tag, packet, new Uint8Array(pad).fill(0xee));
};

export interface IpOptions {
  readonly from?: IpAddress;
  readonly to?: IpAddress;
  readonly more4?: Partial<Ipv4Record>;
  readonly more6?: Partial<Ipv6Record>;
}

/** An IP packet of the family of its addresses; 4 where none are given. */
export const ip = (protocol: number, payload: Uint8Array, options: IpOptions = {}): Uint8Array => {
  const six = (options.to ?? options.from)?.family === 6;
  const source = options.from ?? (six ? STATION6 : STATION4);
  const destination = options.to ?? (six ? HOST6 : HOST4);
  return six
    ? packet6(protocol, payload, { hopLimit: 64, source, destination, ...options.more6 })
    : packet4(protocol, payload, { source, destination, ...options.more4 });
};

export interface UdpFrameOptions extends IpOptions {
  readonly fromPort?: number;
  readonly port?: number;
  readonly checksum?: "good" | "none" | "partial" | "bad";
  /** What the length field says, where that is not the truth. */
  readonly length?: number;
}

/** A UDP datagram with its header. */
export const udpOf = (payload: Uint8Array, options: UdpFrameOptions = {}): Uint8Array => {
  const { fromPort = 1234, port = 53, checksum = "good", length } = options;
  const six = (options.to ?? options.from)?.family === 6;
  const from = options.from ?? (six ? STATION6 : STATION4);
  const to = options.to ?? (six ? HOST6 : HOST4);
  const total = udp.HEADER_BYTES + payload.length;
  const pseudo = pseudoOf(from, to, PROTOCOL.UDP, total);
  const record = { sourcePort: fromPort, destinationPort: port, payload };
  return fill(total, (view) => {
    udp.emit(record, view, 0, checksum === "none" ? undefined : pseudo);
    if (checksum === "partial") udp.setChecksum(view, 0, fold(pseudo));
    if (checksum === "bad") udp.setChecksum(view, 0, udp.checksum(view, 0) ^ 0x0100);
    if (length !== undefined) udp.setLength(view, 0, length);
  });
};

/** The same in a frame. */
export const udpFrame = (payload: Uint8Array, options: UdpFrameOptions & EtherOptions = {}): Uint8Array =>
  ether(ip(PROTOCOL.UDP, udpOf(payload, options), options), options);

/** An ICMP message of the family of the addresses, in a frame. */
export const icmp4Frame = (record: icmp4.Icmpv4Record, options: IpOptions & EtherOptions = {}): Uint8Array =>
  ether(
    ip(
      PROTOCOL.ICMP,
      fill(icmp4.lengthOf(record), (view) => icmp4.emit(record, view, 0)),
      options,
    ),
    options,
  );

export const icmp6Frame = (
  record: icmp6.Icmpv6Record,
  options: IpOptions & EtherOptions = {},
): Uint8Array => {
  const { from = STATION6, to = HOST6 } = options;
  const message = fill(icmp6.lengthOf(record), (view) => icmp6.emit(record, view, 0, from, to));
  return ether(ip(PROTOCOL.ICMPV6, message, { ...options, from, to }), options);
};

/** `length` bytes that differ from their neighbours. */
export const pattern = (length: number, start = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (start + i * 7) & 0xff);

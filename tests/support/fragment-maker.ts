/**
 * Fragments and whole packets built byte by byte for tests of reassembly, without the code that cuts packets.
 */
import { IpAddress } from "../../stack/wire/address.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as chain from "../../stack/wire/ipv6-walk.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";

/** `length` bytes that tell their place: no two ranges of eight are alike within 64 KB. */
export const pattern = (length: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed * 31) & 0xff);

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export interface Piece {
  readonly offset: number;
  readonly more: boolean;
  readonly data: Uint8Array;
  readonly identification?: number;
  readonly source?: string;
  readonly protocol?: number;
  /** Two bits. */
  readonly ecn?: number;
  readonly dontFragment?: boolean;
  /** IPv4: the options, whole words. IPv6: the extension headers before the fragment header, without the first byte's patch. */
  readonly headers?: Uint8Array;
  /** IPv6: what the IPv6 header names where there are `headers`. */
  readonly firstHeader?: number;
}

const NO_BYTES = new Uint8Array(0);

/** An IPv4 packet with these fields. */
export const piece4 = (piece: Piece): DataView => {
  const { offset, more, data, identification = 1, source = "192.0.2.1", protocol = PROTOCOL.UDP } = piece;
  const { ecn = 0, dontFragment = false, headers = NO_BYTES } = piece;
  const headerBytes = ipv4.HEADER_BYTES + headers.length;
  const bytes = new Uint8Array(headerBytes + data.length);
  const view = viewOf(bytes);
  const to = IpAddress.parse("192.0.2.200").w3;
  const from = IpAddress.parse(source).w3;
  const flags = (more ? ipv4.MORE_FRAGMENTS : 0) | (dontFragment ? ipv4.DONT_FRAGMENT : 0);
  ipv4.writeHeader(view, 0, ecn, bytes.length, identification, flags, 64, protocol, from, to);
  ipv4.setFragment(view, 0, flags, offset);
  ipv4.setHeaderBytes(view, 0, headerBytes);
  bytes.set(headers, ipv4.OPTIONS);
  ipv4.setChecksum(view, 0);
  bytes.set(data, headerBytes);
  return view;
};

/** An IPv6 packet with a fragment header. */
export const piece6 = (piece: Piece): DataView => {
  const { offset, more, data, identification = 1, source = "2001:db8::1", protocol = PROTOCOL.UDP } = piece;
  const { ecn = 0, headers = NO_BYTES, firstHeader = PROTOCOL.FRAGMENT } = piece;
  const fragmentAt = ipv6.HEADER_BYTES + headers.length;
  const bytes = new Uint8Array(fragmentAt + chain.FRAGMENT_BYTES + data.length);
  const view = viewOf(bytes);
  const record = {
    trafficClass: ecn,
    flowLabel: 0x12345,
    payloadLength: bytes.length - ipv6.HEADER_BYTES,
    nextHeader: firstHeader,
    hopLimit: 64,
    source: IpAddress.parse(source),
    destination: IpAddress.parse("2001:db8::200"),
  };
  ipv6.emit(record, view, 0);
  bytes.set(headers, ipv6.HEADER_BYTES);
  chain.writeFragment(view, fragmentAt, protocol, offset, more, identification);
  bytes.set(data, fragmentAt + chain.FRAGMENT_BYTES);
  return view;
};

/** Where the fragment header of `piece6` is. */
export const fragmentAtOf = (headers: Uint8Array = NO_BYTES): number => ipv6.HEADER_BYTES + headers.length;

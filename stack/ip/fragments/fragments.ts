/**
 * Packets cut into fragments (RFC 791 section 3.2, RFC 8200 section 4.5), written one after the other into a sink.
 */
import * as ipv4 from "../../wire/ipv4.ts";
import * as chain from "../../wire/ipv6-walk.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import { copiedOption, FragmentPlan, optionBytes4, plan4, plan6, REFUSED } from "./fragment-plan.ts";
import type { PacketPieces } from "./packet-pieces.ts";

export { REFUSED } from "./fragment-plan.ts";
export { PacketPieces } from "./packet-pieces.ts";

/** Where fragments go. It must not cut another packet while it takes one. */
export interface FragmentSink {
  /** The area that `begin` gives room in. */
  readonly view: DataView;
  /** Offset of `lengthBytes` bytes for one IP packet, all of which will be written; negative where there is no room. */
  begin(lengthBytes: number): number;
  /** The packet at `at` is complete. */
  end(at: number, lengthBytes: number): void;
}

const plan = new FragmentPlan();

/** How many packets `fragment4` would write, to reserve room for all of them first; or one of `REFUSED`. */
export const countFragments4 = (packet: PacketPieces, mtu: number): number => plan4(packet, mtu, plan);

/** How many packets `fragment6` would write; or one of `REFUSED`. */
export const countFragments6 = (packet: PacketPieces, mtu: number): number => plan6(packet, mtu, plan);

/**
 * Cuts an IPv4 packet so that no piece is longer than `mtu` bytes, and gives how many were written, or one of `REFUSED`.
 * What fits goes as it is. `identification` is any number that was not used lately for this pair of addresses and
 * protocol (RFC 6864); for a packet that is a fragment itself, and is cut once more, it must be the packet's own.
 */
export const fragment4 = (
  packet: PacketPieces,
  mtu: number,
  identification: number,
  sink: FragmentSink,
): number => {
  const count = plan4(packet, mtu, plan);
  if (count <= 1) return count < 0 ? count : writeWhole(packet, sink);
  const { headBytes, firstHeader, laterHeader, firstRoom, laterRoom, offset, more } = plan;
  const payload = packet.length - headBytes;
  let done = 0;
  while (done < payload) {
    const first = done === 0;
    const header = first ? firstHeader : laterHeader;
    const length = Math.min(payload - done, first ? firstRoom : laterRoom);
    const last = done + length === payload;
    const at = sink.begin(header + length);
    if (at < 0) return REFUSED.noRoom;
    const { view } = sink;
    if (first) packet.copy(0, view, at, header);
    else writeLaterHeader4(packet, headBytes, view, at, header);
    ipv4.setTotalLength(view, at, header + length);
    ipv4.setIdentification(view, at, identification);
    ipv4.setFragment(view, at, last && !more ? 0 : ipv4.MORE_FRAGMENTS, offset + done);
    ipv4.setChecksum(view, at);
    packet.copy(headBytes + done, view, at + header, length);
    sink.end(at, header + length);
    done += length;
  }
  return count;
};

/**
 * Cuts an IPv6 packet, which is no fragment yet, in the same way. `identification` is an int32 that a stranger can't guess
 * (RFC 7739).
 */
export const fragment6 = (
  packet: PacketPieces,
  mtu: number,
  identification: number,
  sink: FragmentSink,
): number => {
  const count = plan6(packet, mtu, plan);
  if (count <= 1) return count < 0 ? count : writeWhole(packet, sink);
  const { headBytes, firstHeader, firstRoom, namedAt } = plan;
  const payload = packet.length - headBytes;
  const nextHeader = packet.byte(namedAt);
  for (let done = 0; done < payload; done += firstRoom) {
    const length = Math.min(payload - done, firstRoom);
    const at = sink.begin(firstHeader + length);
    if (at < 0) return REFUSED.noRoom;
    const { view } = sink;
    packet.copy(0, view, at, headBytes);
    ipv6.setPayloadLength(view, at, firstHeader - ipv6.HEADER_BYTES + length);
    view.setUint8(at + namedAt, PROTOCOL.FRAGMENT);
    chain.writeFragment(view, at + headBytes, nextHeader, done, done + length < payload, identification);
    packet.copy(headBytes + done, view, at + firstHeader, length);
    sink.end(at, firstHeader + length);
  }
  return count;
};

const writeWhole = (packet: PacketPieces, sink: FragmentSink): number => {
  const { length } = packet;
  const at = sink.begin(length);
  if (at < 0) return REFUSED.noRoom;
  packet.copy(0, sink.view, at, length);
  sink.end(at, length);
  return 1;
};

/** The header of every fragment but the first: with those options only that want to be copied. */
const writeLaterHeader4 = (
  packet: PacketPieces,
  headBytes: number,
  view: DataView,
  at: number,
  headerBytes: number,
): void => {
  packet.copy(0, view, at, ipv4.HEADER_BYTES);
  ipv4.setHeaderBytes(view, at, headerBytes);
  let to = at + ipv4.OPTIONS;
  let from = copiedOption(packet, ipv4.OPTIONS, headBytes);
  while (from >= 0) {
    const bytes = optionBytes4(packet, from, headBytes);
    packet.copy(from, view, to, bytes);
    to += bytes;
    from = copiedOption(packet, from + bytes, headBytes);
  }
  for (; to < at + headerBytes; to++) view.setUint8(to, ipv4.OPTION.END);
};

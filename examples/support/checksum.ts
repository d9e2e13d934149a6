/**
 * The Internet checksum (RFC 1071), and the completion of partial ones.
 *
 * A kernel that sends over veth leaves the UDP or TCP checksum to a device that does not exist: the field then holds only
 * the folded sum of the pseudo-header. Whoever sends such a frame on must complete it, since the receiver checks.
 */
import type { Frame } from "millrace";
import {
  IPV4,
  IPV4_ADDRESS_BYTES,
  IPV6,
  IPV6_ADDRESS_BYTES,
  type Layers,
  PROTOCOL,
  TCP,
  UDP,
} from "./packet.ts";

const U16_MASK = 0xffff;
const U16_BITS = 16;
const BYTE_BITS = 8;
const WORD = 2;

/** The sum with its carries added back in. */
export const fold = (sum: number): number => {
  let folded = sum;
  while (folded > U16_MASK) folded = (folded & U16_MASK) + (folded >>> U16_BITS);
  return folded;
};

/** Sum of the 16-bit words of `length` bytes; an odd one at the end is padded. Not folded; at most 64 KiB. */
export const sumOf = (view: DataView, at: number, length: number): number => {
  const end = at + length - (length & 1);
  let sum = 0;
  for (let i = at; i < end; i += WORD) sum += view.getUint16(i);
  return end < at + length ? sum + (view.getUint8(end) << BYTE_BITS) : sum;
};

/** Sum of the pseudo-header: addresses, protocol, length (RFC 768, RFC 8200 section 8.1). Not folded. */
export const pseudoSum = (view: DataView, layers: Layers): number => {
  const six = layers.version === 6;
  const from = layers.network + (six ? IPV6.source : IPV4.source);
  const bytes = 2 * (six ? IPV6_ADDRESS_BYTES : IPV4_ADDRESS_BYTES);
  return sumOf(view, from, bytes) + layers.protocol + layers.transportBytes;
};

/**
 * Completes the checksum of a frame that carries only the pseudo-header's sum; others are left as they are. Returns
 * whether it did. A whole checksum that looks partial by chance is computed again and comes out the same.
 */
export const completeChecksum = (frame: Frame, layers: Layers): boolean => {
  const { protocol, transport, transportBytes } = layers;
  if (transport < 0 || (protocol !== PROTOCOL.udp && protocol !== PROTOCOL.tcp)) return false;
  const { view } = frame;
  const field = transport + (protocol === PROTOCOL.udp ? UDP.checksum : TCP.checksum);
  const pseudo = fold(pseudoSum(view, layers));
  if (view.getUint16(field) !== pseudo) return false;
  if (transport - frame.at + transportBytes > frame.length) return false;
  // The field already holds the pseudo-header's sum, so summing over it adds that in.
  const sum = fold(sumOfFrame(frame, transport, transportBytes));
  const checksum = ~sum & U16_MASK;
  // RFC 768: a UDP checksum of zero means none, so all ones stand for it.
  view.setUint16(field, checksum === 0 && protocol === PROTOCOL.udp ? U16_MASK : checksum);
  return true;
};

/** The same sum over a packet's chunks: in a piece that begins at an odd byte, bytes count in the other half. */
const sumOfFrame = (frame: Frame, from: number, length: number): number => {
  const first = Math.min(length, frame.at + frame.head - from);
  let sum = sumOf(frame.view, from, first);
  let done = first;
  for (let i = 1; i < frame.chunks && done < length; i++) {
    const piece = Math.min(length - done, frame.chunkLength(i));
    const part = fold(sumOf(frame.view, frame.chunkAt(i), piece));
    sum += (done & 1) === 0 ? part : ((part << BYTE_BITS) | (part >>> BYTE_BITS)) & U16_MASK;
    done += piece;
  }
  return sum;
};

/**
 * The completion of partial checksums.
 *
 * A kernel that sends over veth leaves the UDP or TCP checksum to a device that does not exist: the field then holds only
 * the folded sum of the pseudo-header. Whoever sends such a frame on must complete it, since the receiver checks.
 */
import type { Frame } from "millrace";
import { checksum, PROTOCOL, udp } from "millrace/wire";
import type { Layers } from "./layers.ts";

/** RFC 9293 section 3.1. */
const TCP_CHECKSUM = 16;
/** RFC 768: a UDP checksum of zero means none, so all ones stand for it. */
const ZERO_SENT_AS = 0xffff;
const BYTE_BITS = 8;
const BYTE_MASK = 0xff;

/**
 * Completes the checksum of a frame that carries only the pseudo-header's sum; others are left as they are. Returns
 * whether it did. A whole checksum that looks partial by chance is computed again and comes out the same.
 */
export const completeChecksum = (frame: Frame, layers: Layers): boolean => {
  const { protocol, transport, transportBytes, network } = layers;
  if (transport < 0 || (protocol !== PROTOCOL.UDP && protocol !== PROTOCOL.TCP)) return false;
  const { view } = frame;
  const field = transport + (protocol === PROTOCOL.UDP ? udp.CHECKSUM : TCP_CHECKSUM);
  const pseudo =
    layers.version === 4
      ? checksum.pseudo4(view, network, protocol, transportBytes)
      : checksum.pseudo6(view, network, protocol, transportBytes);
  if (!checksum.isPartial(view.getUint16(field), pseudo)) return false;
  if (transport - frame.at + transportBytes > frame.length) return false;
  // The field already holds the pseudo-header's sum, so summing over it adds that in.
  const whole = checksum.finish(sumOf(frame, transport, transportBytes));
  view.setUint16(field, protocol === PROTOCOL.UDP ? whole || ZERO_SENT_AS : whole);
  return true;
};

/** The sum over a packet's chunks: in a piece that begins at an odd byte, bytes count in the other half. */
const sumOf = (frame: Frame, from: number, length: number): number => {
  let done = Math.min(length, frame.at + frame.head - from);
  let total = checksum.sum(frame.view, from, done);
  for (let i = 1; i < frame.chunks && done < length; i++) {
    const piece = Math.min(length - done, frame.chunkLength(i));
    const part = checksum.fold(checksum.sum(frame.view, frame.chunkAt(i), piece));
    total += (done & 1) === 0 ? part : ((part & BYTE_MASK) << BYTE_BITS) | (part >>> BYTE_BITS);
    done += piece;
  }
  return total;
};

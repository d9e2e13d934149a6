/**
 * Completes the UDP or TCP checksum of a packet that a virtual device handed over with the pseudo-header's sum alone.
 *
 * A local kernel leaves that work to the device, and a veth leaves it undone: the receiver is the same machine. When such a
 * packet goes on to a real link, or to a kernel that checks, somebody has to do it.
 */
import type { Packet } from "../transport/packet.ts";
import { finish, fold, isPartial, sum } from "../wire/checksum.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";

/** RFC 9293 section 3.1. */
const TCP_CHECKSUM = 16;
const TCP_HEADER_BYTES = 20;
const ZERO_SENT_AS = 0xffff;

/** The packet whose transport header is at `at`, not a later fragment, in one chunk; others are left as they are. */
export const completeChecksum = (packet: Packet): void => {
  const { view, at, length, protocol, frame } = packet;
  if (frame !== undefined && frame.chunks !== 1) return completeLong(packet);
  const checksumAt = placeOf(protocol, at, length);
  if (checksumAt < 0) return;
  const pseudo = packet.pseudoSum(length);
  if (!isPartial(view.getUint16(checksumAt), pseudo)) return;
  view.setUint16(checksumAt, 0);
  write(view, checksumAt, protocol, finish(sum(view, at, length, pseudo)));
};

/** Where the checksum is; negative where there is none, or where not all of the header is there. */
const placeOf = (protocol: number, at: number, length: number): number => {
  if (protocol === PROTOCOL.UDP && length >= udp.HEADER_BYTES) return at + udp.CHECKSUM;
  if (protocol === PROTOCOL.TCP && length >= TCP_HEADER_BYTES) return at + TCP_CHECKSUM;
  return -1;
};

/** The same over several chunks: an odd byte at the end of one is the high half of a word that ends in the next. */
const completeLong = (packet: Packet): void => {
  const { view, at, length, protocol } = packet;
  const frame = packet.frame!;
  const checksumAt = placeOf(protocol, at, length);
  if (checksumAt < 0 || checksumAt + 2 > frame.at + frame.head) return;
  const pseudo = packet.pseudoSum(length);
  if (!isPartial(view.getUint16(checksumAt), pseudo)) return;
  view.setUint16(checksumAt, 0);
  let total = pseudo;
  let done = 0;
  for (let i = 0; i < frame.chunks && done < length; i++) {
    const from = i === 0 ? at : frame.chunkAt(i);
    const bytes = Math.min(frame.chunkAt(i) + frame.chunkLength(i) - from, length - done);
    const part = fold(sum(view, from, bytes));
    total += (done & 1) === 0 ? part : ((part & 0xff) << 8) | (part >>> 8);
    done += bytes;
  }
  write(view, checksumAt, protocol, finish(total));
};

const write = (view: DataView, at: number, protocol: number, checksum: number): void =>
  view.setUint16(at, checksum === 0 && protocol === PROTOCOL.UDP ? ZERO_SENT_AS : checksum);

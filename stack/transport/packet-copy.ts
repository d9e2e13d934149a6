/**
 * A packet that outlives the call it was handed to: its frame or slot kept, or a copy where others read the same memory.
 */
import type { Network } from "./network.ts";
import { Packet } from "./packet.ts";

/** A packet of its own over the same memory, which is kept; where that is `shared` with other receivers, over a copy. */
export const keepPacket = (packet: Packet, shared: boolean, network: Network): Packet => {
  const kept = new Packet();
  kept.assign(packet);
  if (shared) return overCopy(kept);
  if (packet.frame !== undefined) kept.frame = packet.frame.keep();
  else network.keepSlot(packet.slot);
  return kept;
};

/** Makes `packet` speak of a copy of its bytes, from the IP header to the end, on the heap. */
const overCopy = (packet: Packet): Packet => {
  const { ipAt } = packet;
  packet.bytes = packet.bytes.slice(ipAt, packet.at + packet.length);
  packet.view = new DataView(packet.bytes.buffer);
  packet.at -= ipAt;
  packet.ipAt = 0;
  packet.frame = undefined;
  packet.slot = -1;
  return packet;
};

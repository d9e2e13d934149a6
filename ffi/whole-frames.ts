/**
 * Cards that, in zero-copy, receive into less of a chunk than there is, and cut what is longer: refused at the attach, because
 * nothing tells of it afterwards.
 */
import { ERRNO, SystemError } from "./sys/errno.ts";

const ETHERNET_HEADER_BYTES = 14;
const VLAN_TAG_BYTES = 4;

/** The buffer that a driver's card makes of a chunk's room, where that is less. */
const BUFFER_OF_ROOM: Readonly<Record<string, (roomBytes: number) => number>> = {
  // SRRCTL.BSIZEPKT counts whole KiB (igb_setup_srrctl in drivers/net/ethernet/intel/igb/igb_main.c): of 1792 bytes it uses 1024.
  igb: (roomBytes) => roomBytes & ~1023,
};

/** A chunk, and what is left of it behind the headroom, in bytes. */
export interface ChunkShape {
  readonly chunkBytes: number;
  readonly roomBytes: number;
}

/** The refusal of zero-copy where the card would cut a frame of full size; undefined where it receives whole ones. */
export const cutFrames = (
  name: string,
  driver: string | undefined,
  mtu: number,
  { chunkBytes, roomBytes }: ChunkShape,
): SystemError | undefined => {
  const bufferOf = driver === undefined ? undefined : BUFFER_OF_ROOM[driver];
  if (bufferOf === undefined) return undefined;
  const longest = mtu + ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
  const bufferBytes = bufferOf(roomBytes);
  if (longest <= bufferBytes) return undefined;
  return new SystemError({
    operation: `receive on "${name}" in zero-copy, frames of up to ${longest} bytes in chunks of ${chunkBytes}`,
    operands: { interface: name, mtu, chunkBytes, roomBytes },
    errno: ERRNO.EMSGSIZE,
    remedy:
      `${driver} would cut them at ${bufferBytes} bytes without a word: take chunkBytes: 4096, ` +
      'a lower MTU, or bind: "copy"',
  });
};

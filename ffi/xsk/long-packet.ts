/** Packets of several chunks: how many the kernel takes, and the refusal by name where the socket has no multi-buffer. */
import { ERRNO, SystemError } from "../sys/errno.ts";

/** Chunks of one packet that the kernel takes: MAX_SKB_FRAGS (17) and the head, include/linux/skbuff.h. */
export const MAX_PACKET_CHUNKS = 18;

/** Throws SystemError (EMSGSIZE): the kernel would drop all chunks but the last, and send that as a packet of its own. */
export const refuseLong = (queue: number, chunks: number, roomBytes: number): never => {
  throw new SystemError({
    operation: `send a packet of ${chunks} chunks on queue ${queue}`,
    operands: { queue, chunks },
    errno: ERRNO.EMSGSIZE,
    remedy: `the device is attached without multi-buffer: a packet has at most ${roomBytes} bytes; take larger chunks, or let attach choose`,
  });
};

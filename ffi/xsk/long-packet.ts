/** A packet of several chunks where the socket has no multi-buffer: refused by name, before the kernel makes nonsense of it. */
import { ERRNO, SystemError } from "../sys/errno.ts";

/** Throws SystemError (EMSGSIZE): the kernel would drop all chunks but the last, and send that as a packet of its own. */
export const refuseLong = (queue: number, chunks: number, roomBytes: number): never => {
  throw new SystemError({
    operation: `send a packet of ${chunks} chunks on queue ${queue}`,
    operands: { queue, chunks },
    errno: ERRNO.EMSGSIZE,
    remedy: `the device is attached without multi-buffer: a packet has at most ${roomBytes} bytes; take larger chunks, or let attach choose`,
  });
};

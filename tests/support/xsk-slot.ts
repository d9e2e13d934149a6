/**
 * The smallest AF_XDP socket that a map slot accepts, for tests of the program alone: a umem and its rings, bound to nothing,
 * so that no two tests are in each other's way. No frame ever reaches it.
 */
import { close, setsockopt, socket } from "../../ffi/sys/libc.ts";
import { errno, errnoName } from "../../ffi/sys/errno.ts";
import { mapAnonymous, struct } from "../../ffi/sys/memory.ts";

const AF_XDP = 44;
const SOCK_RAW = 3;
const SOL_XDP = 283;
const XDP_RX_RING = 2;
const XDP_UMEM_REG = 4;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;
const CHUNK_BYTES = 4096;
const CHUNKS = 4;
const RING_ENTRIES = 4;
/** struct xdp_umem_reg, with `flags` and `tx_metadata_len`. */
const UMEM_REG_BYTES = 32;

export interface XskSlot {
  readonly fd: number;
  close(): void;
}

const must = (what: string, status: number): void => {
  if (status < 0) throw new Error(`${what}: ${errnoName(errno())}`);
};

export const openXskSlot = (): XskSlot => {
  const area = mapAnonymous(CHUNKS * CHUNK_BYTES);
  if (area === null) throw new Error("no memory for a umem");
  const fd = socket(AF_XDP, SOCK_RAW, 0);
  must("socket", fd);
  const closeSlot = (): void => {
    close(fd);
    area.unmap();
  };
  try {
    const reg = struct(UMEM_REG_BYTES);
    reg.view.setBigUint64(0, BigInt(area.address), true);
    reg.view.setBigUint64(8, BigInt(area.lengthBytes), true);
    reg.view.setUint32(16, CHUNK_BYTES, true);
    must("XDP_UMEM_REG", setsockopt(fd, SOL_XDP, XDP_UMEM_REG, reg.bytes, UMEM_REG_BYTES));
    const entries = struct(4);
    entries.view.setUint32(0, RING_ENTRIES, true);
    for (const ring of [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING]) {
      must("ring size", setsockopt(fd, SOL_XDP, ring, entries.bytes, 4));
    }
  } catch (error) {
    closeSlot();
    throw error;
  }
  return { fd, close: closeSlot };
};

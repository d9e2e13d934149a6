/** Where memory of this process lies in the machine: physical addresses, from /proc/self/pagemap (proc(5); root). */
import { closeSync, openSync, readSync } from "node:fs";

export const PAGE_BYTES = 4096;
/** One entry a page: the frame number in bits 0-54, "present" in bit 63. */
const ENTRY_BYTES = 8;
const HIGH_WORD = 4;
const FRAME_HIGH_MASK = 0x007f_ffff;
const PRESENT = 0x8000_0000;

/** Frame numbers of `count` pages from the page of `address` on; -1 for a page that is not there. */
export const pageFrames = (pid: number | "self", address: number, count: number): number[] => {
  const entries = new DataView(new ArrayBuffer(count * ENTRY_BYTES));
  const fd = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    readSync(fd, entries, 0, entries.byteLength, Math.floor(address / PAGE_BYTES) * ENTRY_BYTES);
  } finally {
    closeSync(fd);
  }
  return Array.from({ length: count }, (_, page) => {
    const low = entries.getUint32(page * ENTRY_BYTES, true);
    const high = entries.getUint32(page * ENTRY_BYTES + HIGH_WORD, true);
    return (high & PRESENT) === 0 ? -1 : low + (high & FRAME_HIGH_MASK) * 2 ** 32;
  });
};

/** The physical addresses of an area's pages, each mapped to the page's offset in the area. */
export const physicalPages = (area: {
  readonly address: number;
  readonly lengthBytes: number;
}): Map<number, number> => {
  const frames = pageFrames("self", area.address, area.lengthBytes / PAGE_BYTES);
  return new Map(frames.map((frame, page) => [frame * PAGE_BYTES, page * PAGE_BYTES]));
};

/**
 * The one place where a pointer becomes memory: mappings, views over them, and their end.
 *
 * Three rules keep this safe. A mapping is wrapped once, when it is made, and every other view is built over that one
 * buffer. Before it is unmapped its buffer is detached, so that a view that outlives it throws instead of reading a
 * stranger's page. And memory that C keeps a pointer to always lies in a mapping, never in a small typed array, which
 * the engine moves when a loop is compiled.
 */
import { ptr, toArrayBuffer, type Pointer } from "bun:ffi";
import { mmap, munmap, word } from "./libc.ts";

export type { Pointer };

/** include/uapi/asm-generic/mman-common.h and mman.h. */
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const MAP_POPULATE = 0x8000;
const MAP_HUGETLB = 0x40000;

/** Size of a base page in bytes; the ABI that millrace supports has no other. */
export const PAGE_BYTES = 4096;

/** `pgoff` of a mapping is in the high half of a double's integers for the completion ring, still exact. */
const MAX_MAP_BYTES = 2 ** 32;

/** A mapped area: its address for C, its buffer for TypeScript, and its end. */
export class Mapping {
  readonly address: Pointer;
  readonly lengthBytes: number;
  #buffer: ArrayBuffer;
  #open = true;

  constructor(address: Pointer, lengthBytes: number) {
    this.address = address;
    this.lengthBytes = lengthBytes;
    this.#buffer = toArrayBuffer(address, 0, lengthBytes);
  }

  /** The mapped bytes. Views over it stop working (throw, or read as empty) after `unmap`. */
  get buffer(): ArrayBuffer {
    return this.#buffer;
  }

  get open(): boolean {
    return this.#open;
  }

  /** Detaches every view and gives the pages back. Calling it again does nothing. */
  unmap(): void {
    if (!this.#open) return;
    this.#open = false;
    // transfer() keeps the pointer and detaches the old buffer with all its views; the new one is dropped unseen.
    this.#buffer.transfer();
    munmap(this.address, word(this.lengthBytes));
  }
}

/** Null where the kernel refused; the caller reads errno next. */
const map = (lengthBytes: number, flags: number, fd: number, offset: number): Mapping | null => {
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes <= 0 || lengthBytes > MAX_MAP_BYTES) {
    throw new RangeError(`a mapping is 1 to ${MAX_MAP_BYTES} bytes, not ${lengthBytes}`);
  }
  const address = mmap(null, word(lengthBytes), PROT_READ | PROT_WRITE, flags, fd, word(offset));
  // MAP_FAILED is 2^64 - 1, which the FFI hands over as a bigint.
  if (typeof address !== "number") return null;
  return new Mapping(address, lengthBytes);
};

/** Zeroed private memory, page-aligned, present from the start; null with errno set where it is refused. */
export const mapAnonymous = (lengthBytes: number, options: { huge?: boolean } = {}): Mapping | null =>
  map(lengthBytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | (options.huge ? MAP_HUGETLB : 0), -1, 0);

/** Memory of a file descriptor, shared with the kernel; null with errno set where it is refused. */
export const mapShared = (fd: number, lengthBytes: number, offset: number): Mapping | null =>
  map(lengthBytes, MAP_SHARED | MAP_POPULATE, fd, offset);

/** One i32 at an address that lives as long as its thread. */
export const wrapInt32 = (address: Pointer | bigint | null): Int32Array => {
  if (typeof address !== "number") throw new RangeError("wrapInt32 needs an address");
  return new Int32Array(toArrayBuffer(address, 0, 4));
};

/**
 * A copy of `lengthBytes` at an address that C owns; nothing keeps pointing there afterwards.
 * For set-up only: it allocates.
 */
export const copyOut = (address: Pointer | bigint | null, lengthBytes: number): Uint8Array => {
  if (typeof address !== "number") throw new RangeError("copyOut needs an address");
  return new Uint8Array(toArrayBuffer(address, 0, lengthBytes)).slice();
};

/** The address of a buffer that will not move: one made as an explicit ArrayBuffer, or a view over a mapping. */
export const addressOf = (view: Uint8Array | DataView | ArrayBuffer): number => {
  const address: unknown = ptr(view);
  // ptr() returns, not throws, an Error for an empty or detached view.
  if (typeof address !== "number") throw address;
  return address;
};

/** A C structure under construction: `bytes` crosses the FFI, `view` writes its members. It never moves. */
export interface Struct {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Zeroed bytes for a C structure, in an explicit ArrayBuffer, so that C may keep a pointer while `bytes` is held. */
export const struct = (lengthBytes: number): Struct => {
  const buffer = new ArrayBuffer(lengthBytes);
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer) };
};

/**
 * Making an AF_XDP socket: the system calls from `socket` to `bind`, their failures explained, and its four rings mapped.
 *
 * Straight from include/uapi/linux/if_xdp.h and Documentation/networking/af_xdp.rst, so that options of a new kernel
 * do not wait for a library.
 */
import * as abi from "../sys/abi.ts";
import { describeErrno, ERRNO, errno, SystemError } from "../sys/errno.ts";
import { bind, close, getsockopt, setsockopt, socket, usleep } from "../sys/libc.ts";
import { mapShared, struct, type Mapping } from "../sys/memory.ts";
import type { RingLayout } from "./ring.ts";
import type { Umem } from "./umem.ts";

/** Entries of each ring, powers of two. `rx: 0` or `tx: 0` leaves that ring out. */
export interface RingSizes {
  readonly rx: number;
  readonly tx: number;
  readonly fill: number;
  readonly completion: number;
}

export interface MappedRing {
  readonly layout: RingLayout;
  readonly mapping: Mapping;
}

export interface RawSocket {
  readonly fd: number;
  readonly rx: MappedRing | undefined;
  readonly tx: MappedRing | undefined;
  readonly fill: MappedRing;
  readonly completion: MappedRing;
}

export interface BindTarget {
  readonly ifindex: number;
  readonly interface: string;
  readonly queue: number;
  /** Queues that the interface has, for the error's text. */
  readonly queueCount: number;
}

const U32_BYTES = 4;
/** What the kernel frees after a close takes a grace period, about 32 ms measured: so long is EBUSY not final. */
export const BUSY_RETRY_MS = 1000;
export const BUSY_RETRY_STEP_MS = 2;
export const US_PER_MS = 1000;

const u32 = (value: number): Uint8Array => {
  const { bytes, view } = struct(U32_BYTES);
  view.setUint32(0, value, true);
  return bytes;
};

/** Sets a u32 option of SOL_XDP; 0, or the errno. */
export const setOption = (fd: number, option: number, value: number): number =>
  setsockopt(fd, abi.SOL_XDP, option, u32(value), U32_BYTES) < 0 ? errno() : 0;

/** Reads an option of SOL_XDP into `into`; how many bytes the kernel wrote, or minus the errno. */
export const getOption = (fd: number, option: number, into: Uint8Array): number => {
  const length = struct(U32_BYTES);
  length.view.setUint32(0, into.length, true);
  if (getsockopt(fd, abi.SOL_XDP, option, into, length.bytes) < 0) return -errno();
  return length.view.getUint32(0, true);
};

const SOCKET_REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.EPERM]: "run as root, or give the program CAP_NET_RAW",
  [ERRNO.EAFNOSUPPORT]: "this kernel was built without CONFIG_XDP_SOCKETS",
  [ERRNO.EMFILE]: "raise the limit of open files (ulimit -n)",
};

const REG_REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.ENOBUFS]:
    "the umem exceeds the memory that may be locked: raise ulimit -l, or give the program CAP_IPC_LOCK",
  [ERRNO.ENOMEM]: "ask for fewer chunks, or free memory",
  [ERRNO.EINVAL]: "chunkBytes is 2048 or 4096 and headroomBytes less than chunkBytes - 256",
};

const fail = (
  operation: string,
  operands: Record<string, string | number>,
  code: number,
  remedies: Readonly<Record<number, string>>,
): never => {
  throw new SystemError({ operation, operands, errno: code, remedy: remedies[code] ?? describeErrno(code) });
};

const registerUmem = (fd: number, umem: Umem): void => {
  const { bytes, view } = struct(abi.UMEM_REG_BYTES);
  view.setBigUint64(abi.UMEM_REG_ADDR, BigInt(umem.area.address), true);
  view.setBigUint64(abi.UMEM_REG_LEN, BigInt(umem.area.lengthBytes), true);
  view.setUint32(abi.UMEM_REG_CHUNK_SIZE, umem.chunkBytes, true);
  view.setUint32(abi.UMEM_REG_HEADROOM, umem.headroomBytes - abi.XDP_PACKET_HEADROOM, true);
  if (setsockopt(fd, abi.SOL_XDP, abi.XDP_UMEM_REG, bytes, bytes.length) === 0) return;
  fail(
    `register a umem of ${umem.area.lengthBytes} bytes`,
    { chunks: umem.chunkCount, chunkBytes: umem.chunkBytes },
    errno(),
    REG_REMEDIES,
  );
};

const sizeRing = (fd: number, option: number, name: string, size: number): void => {
  const code = setOption(fd, option, size);
  if (code === 0) return;
  fail(`make the ${name} ring`, { entries: size }, code, {
    [ERRNO.EINVAL]: "a ring has a power of two entries",
    [ERRNO.ENOMEM]: "ask for smaller rings",
  });
};

const mapRing = (
  fd: number,
  name: string,
  pageOffset: number,
  offsets: DataView,
  at: number,
  size: number,
  entryWords: number,
): MappedRing => {
  const offsetOf = (member: number): number => Number(offsets.getBigUint64(at + member, true));
  const desc = offsetOf(abi.RING_OFFSET_DESC);
  const entryBytes = entryWords * Int32Array.BYTES_PER_ELEMENT;
  const mapping = mapShared(fd, desc + size * entryBytes, pageOffset);
  if (mapping === null)
    return fail(`map the ${name} ring`, { entries: size }, errno(), { [ERRNO.ENOMEM]: "free memory" });
  const wordAt = (bytes: number): number => bytes / Int32Array.BYTES_PER_ELEMENT;
  return {
    mapping,
    layout: {
      words: new Int32Array(mapping.buffer),
      producerAt: wordAt(offsetOf(abi.RING_OFFSET_PRODUCER)),
      consumerAt: wordAt(offsetOf(abi.RING_OFFSET_CONSUMER)),
      flagsAt: wordAt(offsetOf(abi.RING_OFFSET_FLAGS)),
      entriesAt: wordAt(desc),
      entryWords,
      size,
    },
  };
};

/** Unmaps the rings, then closes: the other order keeps the queue bound for good. */
export const closeRaw = (raw: RawSocket): void => {
  for (const ring of [raw.rx, raw.tx, raw.fill, raw.completion]) ring?.mapping.unmap();
  close(raw.fd);
};

/** A socket with its rings, not bound yet. The umem is registered with it unless it joins one that is bound already. */
export const openRaw = (umem: Umem, sizes: RingSizes): RawSocket => {
  const fd = socket(abi.AF_XDP, abi.SOCK_RAW | abi.SOCK_CLOEXEC, 0);
  if (fd < 0) return fail("open an AF_XDP socket", {}, errno(), SOCKET_REMEDIES);
  const mapped: MappedRing[] = [];
  try {
    if (umem.sharedFd < 0) registerUmem(fd, umem);
    sizeRing(fd, abi.XDP_UMEM_FILL_RING, "fill", sizes.fill);
    sizeRing(fd, abi.XDP_UMEM_COMPLETION_RING, "completion", sizes.completion);
    if (sizes.rx > 0) sizeRing(fd, abi.XDP_RX_RING, "rx", sizes.rx);
    if (sizes.tx > 0) sizeRing(fd, abi.XDP_TX_RING, "tx", sizes.tx);
    const offsets = struct(abi.MMAP_OFFSETS_BYTES);
    const got = getOption(fd, abi.XDP_MMAP_OFFSETS, offsets.bytes);
    if (got < 0) return fail("read XDP_MMAP_OFFSETS", {}, -got, {});
    const map = (
      name: string,
      pageOffset: number,
      at: number,
      size: number,
      entryWords: number,
    ): MappedRing => {
      const ring = mapRing(fd, name, pageOffset, offsets.view, at, size, entryWords);
      mapped.push(ring);
      return ring;
    };
    return {
      fd,
      rx:
        sizes.rx > 0
          ? map("rx", abi.XDP_PGOFF_RX_RING, abi.MMAP_OFFSETS_RX, sizes.rx, abi.DESC_WORDS)
          : undefined,
      tx:
        sizes.tx > 0
          ? map("tx", abi.XDP_PGOFF_TX_RING, abi.MMAP_OFFSETS_TX, sizes.tx, abi.DESC_WORDS)
          : undefined,
      fill: map("fill", abi.XDP_UMEM_PGOFF_FILL_RING, abi.MMAP_OFFSETS_FILL, sizes.fill, abi.ADDRESS_WORDS),
      completion: map(
        "completion",
        abi.XDP_UMEM_PGOFF_COMPLETION_RING,
        abi.MMAP_OFFSETS_COMPLETION,
        sizes.completion,
        abi.ADDRESS_WORDS,
      ),
    };
  } catch (error) {
    for (const ring of mapped) ring.mapping.unmap();
    close(fd);
    throw error;
  }
};

/** EOPNOTSUPP is the answer to a driver without zero-copy and to one that has it for packets of one chunk only. */
const refusedMode = (flags: number): string => {
  if ((flags & abi.XDP_ZEROCOPY) === 0) return "the driver refuses this mode";
  return (flags & abi.XDP_USE_SG) === 0
    ? 'the driver has no zero-copy: use bind: "copy" or "auto"'
    : 'the driver has no zero-copy, or none with multi-buffer: use multiBuffer: false, or bind: "copy" or "auto"';
};

/** A flag that a kernel does not know is EINVAL before anything else is looked at, so the newest one comes first. */
const invalidMode = (flags: number): string => {
  const zeroCopy =
    'the MTU exceeds what zero-copy fits into one chunk: lower it, take larger chunks, or bind: "copy"';
  const forced = (flags & abi.XDP_ZEROCOPY) !== 0;
  if ((flags & abi.XDP_USE_SG) !== 0)
    return `this kernel has no multi-buffer, which takes Linux 6.6: use multiBuffer: false${forced ? `; or ${zeroCopy}` : ""}`;
  return forced ? zeroCopy : "this kernel does not know one of the flags";
};

const bindRemedy = (code: number, target: BindTarget, flags: number): string => {
  const last = target.queueCount - 1;
  const remedies: Readonly<Record<number, string>> = {
    [ERRNO.EBUSY]: `another socket owns this queue; close it or pick another of 0-${last}`,
    [ERRNO.EINVAL]: `there is no such queue (0-${last}), or ${invalidMode(flags)}`,
    [ERRNO.EOPNOTSUPP]: refusedMode(flags),
    [ERRNO.ENODEV]: "the interface has gone; look again with ip link",
    [ERRNO.ENETDOWN]: `the interface is down; bring it up: ip link set ${target.interface} up`,
    [ERRNO.EPERM]: "run as root, or give the program CAP_NET_RAW",
    [ERRNO.ENOMEM]: "free memory, or ask for fewer chunks",
    [ERRNO.EBADF]: "the umem's other socket is not bound any more",
  };
  return remedies[code] ?? describeErrno(code);
};

/** Binds to a queue without waiting; 0, or the errno. `flags` are ignored where the umem is shared. */
export const tryBind = (fd: number, target: BindTarget, flags: number, sharedFd: number): number => {
  const { bytes, view } = struct(abi.SOCKADDR_XDP_BYTES);
  view.setUint16(abi.SXDP_FAMILY, abi.AF_XDP, true);
  view.setUint16(abi.SXDP_FLAGS, sharedFd < 0 ? flags : abi.XDP_SHARED_UMEM, true);
  view.setUint32(abi.SXDP_IFINDEX, target.ifindex, true);
  view.setUint32(abi.SXDP_QUEUE_ID, target.queue, true);
  view.setUint32(abi.SXDP_SHARED_UMEM_FD, sharedFd < 0 ? 0 : sharedFd, true);
  return bind(fd, bytes, bytes.length) === 0 ? 0 : errno();
};

/**
 * Binds to a queue, waiting out the EBUSY of a socket that was closed a moment ago (blocks up to one second).
 * `flags` are ignored where the umem is shared: such a socket takes the mode of the first (af_xdp.rst, XDP_SHARED_UMEM).
 */
export const bindRaw = (fd: number, target: BindTarget, flags: number, sharedFd: number): void => {
  let code = 0;
  for (let waitedMs = 0; waitedMs <= BUSY_RETRY_MS; waitedMs += BUSY_RETRY_STEP_MS) {
    code = tryBind(fd, target, flags, sharedFd);
    if (code === 0) return;
    if (code !== ERRNO.EBUSY) break;
    usleep(BUSY_RETRY_STEP_MS * US_PER_MS);
  }
  throw new SystemError({
    operation: `bind AF_XDP socket to "${target.interface}" queue ${target.queue}`,
    operands: { interface: target.interface, queue: target.queue, flags, sharedUmem: sharedFd >= 0 },
    errno: code,
    remedy: bindRemedy(code, target, flags),
  });
};

/** True where the kernel bound the socket with zero-copy. */
export const isZeroCopy = (fd: number): boolean => {
  const { bytes, view } = struct(U32_BYTES);
  return (
    getOption(fd, abi.XDP_OPTIONS, bytes) > 0 && (view.getUint32(0, true) & abi.XDP_OPTIONS_ZEROCOPY) !== 0
  );
};

/** The kernel's own counters of a socket (struct xdp_statistics), in descriptors. */
export interface XdpStatistics {
  readonly rxDropped: number;
  readonly rxInvalidDescs: number;
  readonly txInvalidDescs: number;
  readonly rxRingFull: number;
  readonly rxFillRingEmptyDescs: number;
  readonly txRingEmptyDescs: number;
}

/** Reads XDP_STATISTICS; members that the kernel does not have yet are 0. */
export const readStatistics = (fd: number): XdpStatistics => {
  const { bytes, view } = struct(abi.STATISTICS_BYTES);
  getOption(fd, abi.XDP_STATISTICS, bytes);
  const counter = (at: number): number => Number(view.getBigUint64(at, true));
  return {
    rxDropped: counter(abi.STATISTICS_RX_DROPPED),
    rxInvalidDescs: counter(abi.STATISTICS_RX_INVALID_DESCS),
    txInvalidDescs: counter(abi.STATISTICS_TX_INVALID_DESCS),
    rxRingFull: counter(abi.STATISTICS_RX_RING_FULL),
    rxFillRingEmptyDescs: counter(abi.STATISTICS_RX_FILL_RING_EMPTY_DESCS),
    txRingEmptyDescs: counter(abi.STATISTICS_TX_RING_EMPTY_DESCS),
  };
};

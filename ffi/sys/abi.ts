/**
 * Numbers of the kernel's user ABI, in the kernel's spelling, each group under the header it comes from.
 *
 * `tests/oracle/abi.test.ts` asks the C compiler for each of them; those younger than the installed headers it checks
 * against what the running kernel does.
 */

/** include/linux/socket.h, include/uapi/asm-generic/socket.h. */
export const AF_XDP = 44;
export const SOL_XDP = 283;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_SNDBUFFORCE = 32;
export const MSG_DONTWAIT = 0x40;

/** include/uapi/linux/if_xdp.h: bind flags (`sxdp_flags`). */
export const XDP_SHARED_UMEM = 1 << 0;
export const XDP_COPY = 1 << 1;
export const XDP_ZEROCOPY = 1 << 2;
export const XDP_USE_NEED_WAKEUP = 1 << 3;
/** Since Linux 6.6. */
export const XDP_USE_SG = 1 << 4;

/** include/uapi/linux/if_xdp.h: socket options of SOL_XDP. */
export const XDP_MMAP_OFFSETS = 1;
export const XDP_RX_RING = 2;
export const XDP_TX_RING = 3;
export const XDP_UMEM_REG = 4;
export const XDP_UMEM_FILL_RING = 5;
export const XDP_UMEM_COMPLETION_RING = 6;
export const XDP_STATISTICS = 7;
export const XDP_OPTIONS = 8;
/** Since Linux 6.17: how many copies one sendto may make, at least 32, at most the tx ring. */
export const XDP_MAX_TX_SKB_BUDGET = 9;

/** include/uapi/linux/if_xdp.h: where each ring lies in the socket's file. */
export const XDP_PGOFF_RX_RING = 0;
export const XDP_PGOFF_TX_RING = 0x80000000;
export const XDP_UMEM_PGOFF_FILL_RING = 0x100000000;
export const XDP_UMEM_PGOFF_COMPLETION_RING = 0x180000000;

/** include/uapi/linux/if_xdp.h: flags in a ring, in XDP_OPTIONS, and in a descriptor's `options`. */
export const XDP_RING_NEED_WAKEUP = 1 << 0;
export const XDP_OPTIONS_ZEROCOPY = 1 << 0;
/** Since Linux 6.6: the packet goes on in the next descriptor. */
export const XDP_PKT_CONTD = 1 << 0;

/** include/uapi/linux/bpf.h: what the kernel leaves free in front of every received packet. */
export const XDP_PACKET_HEADROOM = 256;

/** struct xdp_desc, in 32-bit words; the address is little-endian on every machine that Bun runs on. */
export const DESC_WORDS = 4;
export const DESC_ADDRESS = 0;
export const DESC_ADDRESS_HIGH = DESC_ADDRESS + 1;
export const DESC_LENGTH = DESC_ADDRESS + 2;
export const DESC_OPTIONS = DESC_LENGTH + 1;

/** An entry of a fill or completion ring: one u64, in 32-bit words. */
export const ADDRESS_WORDS = 2;

/** struct sockaddr_xdp, offsets in bytes. */
export const SXDP_FAMILY = 0;
export const SXDP_FLAGS = SXDP_FAMILY + 2;
export const SXDP_IFINDEX = SXDP_FLAGS + 2;
export const SXDP_QUEUE_ID = SXDP_IFINDEX + 4;
export const SXDP_SHARED_UMEM_FD = SXDP_QUEUE_ID + 4;
export const SOCKADDR_XDP_BYTES = SXDP_SHARED_UMEM_FD + 4;

/** struct xdp_umem_reg up to `flags`, offsets in bytes; the tail that newer kernels know is left out, which they accept. */
export const UMEM_REG_ADDR = 0;
export const UMEM_REG_LEN = UMEM_REG_ADDR + 8;
export const UMEM_REG_CHUNK_SIZE = UMEM_REG_LEN + 8;
export const UMEM_REG_HEADROOM = UMEM_REG_CHUNK_SIZE + 4;
export const UMEM_REG_FLAGS = UMEM_REG_HEADROOM + 4;
/** The C structure ends in four bytes of padding. */
export const UMEM_REG_BYTES = UMEM_REG_FLAGS + 8;

/** struct xdp_ring_offset and xdp_mmap_offsets, offsets in bytes. */
export const RING_OFFSET_PRODUCER = 0;
export const RING_OFFSET_CONSUMER = RING_OFFSET_PRODUCER + 8;
export const RING_OFFSET_DESC = RING_OFFSET_CONSUMER + 8;
export const RING_OFFSET_FLAGS = RING_OFFSET_DESC + 8;
export const RING_OFFSET_BYTES = RING_OFFSET_FLAGS + 8;
export const MMAP_OFFSETS_RX = 0;
export const MMAP_OFFSETS_TX = MMAP_OFFSETS_RX + RING_OFFSET_BYTES;
export const MMAP_OFFSETS_FILL = MMAP_OFFSETS_TX + RING_OFFSET_BYTES;
export const MMAP_OFFSETS_COMPLETION = MMAP_OFFSETS_FILL + RING_OFFSET_BYTES;
export const MMAP_OFFSETS_BYTES = MMAP_OFFSETS_COMPLETION + RING_OFFSET_BYTES;

/** struct xdp_statistics, offsets in bytes of u64 counters. */
export const STATISTICS_RX_DROPPED = 0;
export const STATISTICS_RX_INVALID_DESCS = STATISTICS_RX_DROPPED + 8;
export const STATISTICS_TX_INVALID_DESCS = STATISTICS_RX_INVALID_DESCS + 8;
export const STATISTICS_RX_RING_FULL = STATISTICS_TX_INVALID_DESCS + 8;
export const STATISTICS_RX_FILL_RING_EMPTY_DESCS = STATISTICS_RX_RING_FULL + 8;
export const STATISTICS_TX_RING_EMPTY_DESCS = STATISTICS_RX_FILL_RING_EMPTY_DESCS + 8;
export const STATISTICS_BYTES = STATISTICS_TX_RING_EMPTY_DESCS + 8;

/** include/uapi/asm-generic/poll.h and struct pollfd, offsets in bytes. */
export const POLLIN = 0x0001;
export const POLLERR = 0x0008;
export const POLLHUP = 0x0010;
export const POLLNVAL = 0x0020;
export const POLLFD_FD = 0;
export const POLLFD_EVENTS = POLLFD_FD + 4;
export const POLLFD_REVENTS = POLLFD_EVENTS + 2;
export const POLLFD_BYTES = POLLFD_REVENTS + 2;

/** struct timespec, offsets in bytes. */
export const TIMESPEC_SEC = 0;
export const TIMESPEC_NSEC = TIMESPEC_SEC + 8;
export const TIMESPEC_BYTES = TIMESPEC_NSEC + 8;

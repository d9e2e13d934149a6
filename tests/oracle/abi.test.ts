/** Every ABI number against the C compiler and the installed headers; the younger ones against the running kernel. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as abi from "../../ffi/sys/abi.ts";
import { ERRNO } from "../../ffi/sys/errno.ts";
import { openRaw, closeRaw, setOption } from "../../ffi/xsk/setup.ts";
import { Umem } from "../../ffi/xsk/umem.ts";

/** C expressions for the numbers that are no macro of their own name. */
const EXPRESSIONS: Readonly<Record<string, string>> = {
  DESC_WORDS: "sizeof(struct xdp_desc) / 4",
  DESC_ADDRESS: "offsetof(struct xdp_desc, addr) / 4",
  DESC_ADDRESS_HIGH: "offsetof(struct xdp_desc, addr) / 4 + 1",
  DESC_LENGTH: "offsetof(struct xdp_desc, len) / 4",
  DESC_OPTIONS: "offsetof(struct xdp_desc, options) / 4",
  ADDRESS_WORDS: "sizeof(__u64) / 4",
  SXDP_FAMILY: "offsetof(struct sockaddr_xdp, sxdp_family)",
  SXDP_FLAGS: "offsetof(struct sockaddr_xdp, sxdp_flags)",
  SXDP_IFINDEX: "offsetof(struct sockaddr_xdp, sxdp_ifindex)",
  SXDP_QUEUE_ID: "offsetof(struct sockaddr_xdp, sxdp_queue_id)",
  SXDP_SHARED_UMEM_FD: "offsetof(struct sockaddr_xdp, sxdp_shared_umem_fd)",
  SOCKADDR_XDP_BYTES: "sizeof(struct sockaddr_xdp)",
  UMEM_REG_ADDR: "offsetof(struct xdp_umem_reg, addr)",
  UMEM_REG_LEN: "offsetof(struct xdp_umem_reg, len)",
  UMEM_REG_CHUNK_SIZE: "offsetof(struct xdp_umem_reg, chunk_size)",
  UMEM_REG_HEADROOM: "offsetof(struct xdp_umem_reg, headroom)",
  UMEM_REG_FLAGS: "offsetof(struct xdp_umem_reg, flags)",
  UMEM_REG_BYTES: "(offsetof(struct xdp_umem_reg, flags) + 4 + 7) / 8 * 8",
  RING_OFFSET_PRODUCER: "offsetof(struct xdp_ring_offset, producer)",
  RING_OFFSET_CONSUMER: "offsetof(struct xdp_ring_offset, consumer)",
  RING_OFFSET_DESC: "offsetof(struct xdp_ring_offset, desc)",
  RING_OFFSET_FLAGS: "offsetof(struct xdp_ring_offset, flags)",
  RING_OFFSET_BYTES: "sizeof(struct xdp_ring_offset)",
  MMAP_OFFSETS_RX: "offsetof(struct xdp_mmap_offsets, rx)",
  MMAP_OFFSETS_TX: "offsetof(struct xdp_mmap_offsets, tx)",
  MMAP_OFFSETS_FILL: "offsetof(struct xdp_mmap_offsets, fr)",
  MMAP_OFFSETS_COMPLETION: "offsetof(struct xdp_mmap_offsets, cr)",
  MMAP_OFFSETS_BYTES: "sizeof(struct xdp_mmap_offsets)",
  STATISTICS_RX_DROPPED: "offsetof(struct xdp_statistics, rx_dropped)",
  STATISTICS_RX_INVALID_DESCS: "offsetof(struct xdp_statistics, rx_invalid_descs)",
  STATISTICS_TX_INVALID_DESCS: "offsetof(struct xdp_statistics, tx_invalid_descs)",
  STATISTICS_RX_RING_FULL: "offsetof(struct xdp_statistics, rx_ring_full)",
  STATISTICS_RX_FILL_RING_EMPTY_DESCS: "offsetof(struct xdp_statistics, rx_fill_ring_empty_descs)",
  STATISTICS_TX_RING_EMPTY_DESCS: "offsetof(struct xdp_statistics, tx_ring_empty_descs)",
  STATISTICS_BYTES: "sizeof(struct xdp_statistics)",
  POLLFD_FD: "offsetof(struct pollfd, fd)",
  POLLFD_EVENTS: "offsetof(struct pollfd, events)",
  POLLFD_REVENTS: "offsetof(struct pollfd, revents)",
  POLLFD_BYTES: "sizeof(struct pollfd)",
  TIMESPEC_SEC: "offsetof(struct timespec, tv_sec)",
  TIMESPEC_NSEC: "offsetof(struct timespec, tv_nsec)",
  TIMESPEC_BYTES: "sizeof(struct timespec)",
};

const HEADERS = [
  "stddef.h",
  "stdio.h",
  "poll.h",
  "time.h",
  "errno.h",
  "sys/socket.h",
  "linux/if_xdp.h",
  "linux/bpf.h",
];

/** Compiles and runs a program that prints `NAME value` for each, or `NAME younger` where the headers lack it. */
const askCompiler = (expressions: readonly (readonly [string, string])[]): Map<string, string> => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-abi-"));
  try {
    const lines = expressions.map(([name, expression]) => {
      const print = `printf("%s %llu\\n", "${name}", (unsigned long long)(${expression}));`;
      // Only a bare macro can be missing from an older header.
      if (expression !== name) return print;
      return `#ifdef ${name}\n${print}\n#else\nprintf("%s younger\\n", "${name}");\n#endif`;
    });
    const source = `#define _GNU_SOURCE\n${HEADERS.map((header) => `#include <${header}>`).join("\n")}\nint main(void) {\n${lines.join("\n")}\nreturn 0; }\n`;
    writeFileSync(join(folder, "abi.c"), source);
    const compiled = Bun.spawnSync(["clang", "-o", join(folder, "abi"), join(folder, "abi.c")]);
    expect(compiled.stderr.toString()).toBe("");
    const printed = Bun.spawnSync([join(folder, "abi")]).stdout.toString();
    return new Map(
      printed
        .trim()
        .split("\n")
        .map((line) => line.split(" ") as [string, string]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
};

/** In no installed header of Debian 12 (Linux 6.1): the kernel itself is asked below. */
const YOUNGER: readonly string[] = ["XDP_USE_SG", "XDP_PKT_CONTD", "XDP_MAX_TX_SKB_BUDGET"];

test("the C compiler says the same of every constant", () => {
  const numbers = Object.entries(abi).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number",
  );
  // Types of a socket are an enum in the C library, so the preprocessor cannot be asked whether they exist.
  const asEnum = new Set(["SOCK_RAW", "SOCK_CLOEXEC", "MSG_DONTWAIT"]);
  const said = askCompiler(
    numbers.map(([name]) => [name, EXPRESSIONS[name] ?? (asEnum.has(name) ? `${name} + 0` : name)] as const),
  );
  for (const [name, value] of numbers) {
    const answer = said.get(name);
    if (answer === "younger") expect(YOUNGER).toContain(name);
    else expect(`${name} ${answer}`).toBe(`${name} ${value}`);
  }
});

test("errno numbers are the compiler's", () => {
  const said = askCompiler(Object.keys(ERRNO).map((name) => [name, name] as const));
  for (const [name, value] of Object.entries(ERRNO))
    expect(`${name} ${said.get(name)}`).toBe(`${name} ${value}`);
});

test("the running kernel knows option 9 as the transmit budget: 32 up to the tx ring, nothing else", () => {
  using umem = new Umem({ chunks: 64 });
  const raw = openRaw(umem, { rx: 64, tx: 64, fill: 64, completion: 64 });
  try {
    const answers = [31, 32, 64, 65].map((budget) => setOption(raw.fd, abi.XDP_MAX_TX_SKB_BUDGET, budget));
    if (answers[1] === ERRNO.ENOPROTOOPT) return;
    expect(answers.map((code) => code === 0)).toEqual([false, true, true, false]);
  } finally {
    closeRaw(raw);
  }
});

/**
 * The program on an interface: by a bpf_link, which is gone with the process, or in libxdp's dispatcher beside others.
 */
import { getLink } from "../net/link.ts";
import { ERRNO, SystemError } from "../sys/errno.ts";
import { bpf_link_create, bpf_link_update, bpf_obj_get_info_by_fd, bpf_xdp_detach } from "../sys/libbpf.ts";
import { close, cString, if_indextoname } from "../sys/libc.ts";
import { type Libxdp, libxdp } from "../sys/libxdp.ts";
import { logMark, logSince } from "../sys/log.ts";
import { type Pointer, struct } from "../sys/memory.ts";
import type { BpfObject } from "./object.ts";

export type XdpMode = "native" | "generic";

export interface AttachTarget {
  readonly ifindex: number;
  /** For error texts. */
  readonly interface: string;
  readonly mode: "auto" | XdpMode;
}

/** A program that runs for the frames of an interface. */
export interface Hook {
  readonly mode: XdpMode;
  /** The modes that were tried first, and why they were refused. */
  readonly refused: readonly { readonly tried: string; readonly error: SystemError }[];
  /** Puts another program in this one's place, between two frames. */
  update(programFd: number): void;
  /** Takes the program off. Idempotent. */
  detach(): void;
}

/** enum bpf_attach_type, and XDP_FLAGS_* of linux/if_link.h. */
const BPF_XDP = 37;
const XDP_FLAGS: Readonly<Record<XdpMode, number>> = { generic: 1 << 1, native: 1 << 2 };
/** enum xdp_attach_mode of xdp/libxdp.h. */
const LIBXDP_MODES: Readonly<Record<XdpMode, number>> = { native: 1, generic: 2 };

/** The start of struct bpf_link_create_opts (libbpf 1.1): size, flags, and what XDP does not use. */
const LINK_OPTS_FLAGS = 8;
const LINK_OPTS_BYTES = 64;

/** The start of struct bpf_prog_info of linux/bpf.h: type, id. */
const PROGRAM_INFO_ID = 4;
const U32_BYTES = 4;
const PROGRAM_INFO_BYTES = PROGRAM_INFO_ID + U32_BYTES;

const taken = (name: string): string =>
  `another program is attached to "${name}"; take it off (ip link set dev ${name} xdp off), or end the process that ` +
  "holds its link (bpftool link); programs that all come with libxdp's dispatcher can share it (shared: true)";

const REMEDIES: Readonly<Record<number, (name: string) => string>> = {
  [ERRNO.EPERM]: () => "it takes CAP_NET_ADMIN and CAP_BPF (or root)",
  [ERRNO.EBUSY]: taken,
  [ERRNO.EEXIST]: taken,
  [ERRNO.ENODEV]: (name) => `there is no interface "${name}" in this network namespace any more`,
  [ERRNO.ENOSPC]: (name) =>
    `"${name}" has fewer receive queues than its peer has transmit queues: even them out with ethtool -L, or use generic`,
  [ERRNO.ERANGE]: (name) =>
    `the MTU of "${name}" is above what its driver takes in one buffer (3506 on veth without xdp.frags): lower it, or use generic`,
  [ERRNO.EOPNOTSUPP]: (name) => `the driver of "${name}" has no native XDP: use generic or auto`,
  [ERRNO.EINVAL]: (name) =>
    `"${name}" refuses it in this mode: LRO or GRO_HW may be on (ethtool -k), or the MTU too large; try generic`,
  [ERRNO.ENOMEM]: () => "there is no kernel memory left for the driver's rings",
};

/** IF_NAMESIZE of linux/if.h. */
const NAME_BYTES = 16;

const exists = (ifindex: number): boolean => {
  const name = new Uint8Array(new ArrayBuffer(NAME_BYTES));
  return if_indextoname(ifindex, name) !== null;
};

/** The kernel says EINVAL for an interface that is not there (net/core/dev.c, bpf_xdp_link_attach), among other things. */
const linkErrno = (target: AttachTarget, status: number): number =>
  status === -ERRNO.EINVAL && !exists(target.ifindex) ? -ERRNO.ENODEV : status;

const refusal = (how: string, target: AttachTarget, status: number, mark: number): SystemError =>
  new SystemError({
    operation: `attach ${how} to "${target.interface}"`,
    operands: { interface: target.interface, ifindex: target.ifindex },
    errno: -status,
    remedy:
      REMEDIES[-status]?.(target.interface) ?? "the driver refused; the kernel's log (dmesg) may say why",
    log: logSince(mark),
  });

/** Refusals after which the other mode may still work. */
const MODE_REFUSALS: readonly number[] = [
  ERRNO.EINVAL,
  ERRNO.ENOMEM,
  ERRNO.ENOSPC,
  ERRNO.EOPNOTSUPP,
  ERRNO.ERANGE,
];

interface Climbed<T> {
  readonly mode: XdpMode;
  readonly value: T;
  readonly refused: Hook["refused"];
}

/** Tries the modes that the target allows, best first. */
const climb = <T>(target: AttachTarget, attempt: (mode: XdpMode) => T): Climbed<T> => {
  if (target.mode !== "auto") return { mode: target.mode, value: attempt(target.mode), refused: [] };
  try {
    return { mode: "native", value: attempt("native"), refused: [] };
  } catch (error) {
    if (!(error instanceof SystemError) || !MODE_REFUSALS.includes(error.errno)) throw error;
    return { mode: "generic", value: attempt("generic"), refused: [{ tried: "native program", error }] };
  }
};

/** Attaches by a bpf_link: it ends with `detach`, and with the process even where that is killed. */
export const attachLink = (programFd: number, target: AttachTarget): Hook => {
  const { mode, value, refused } = climb(target, (tried) => {
    const opts = struct(LINK_OPTS_BYTES);
    opts.view.setBigUint64(0, BigInt(LINK_OPTS_BYTES), true);
    opts.view.setUint32(LINK_OPTS_FLAGS, XDP_FLAGS[tried], true);
    const mark = logMark();
    const fd = bpf_link_create(programFd, target.ifindex, BPF_XDP, opts.bytes);
    if (fd < 0) throw refusal(`${tried} program`, target, linkErrno(target, fd), mark);
    return fd;
  });
  let fd = value;
  return {
    mode,
    refused,
    update: (other) => {
      const mark = logMark();
      const status = bpf_link_update(fd, other, null);
      if (status < 0) throw refusal("a replacement program", target, status, mark);
    },
    detach: () => {
      if (fd >= 0) close(fd);
      fd = -1;
    },
  };
};

/** errno of a pointer that is an error: libxdp returns it as the address, which the FFI hands over as a bigint. */
const pointerErrno = (pointer: unknown): number =>
  typeof pointer === "bigint" ? Number(2n ** 64n - pointer) : ERRNO.ENOENT;

/** The kernel's id of a program, 0 where it does not tell. */
const programId = (fd: number): number => {
  const info = struct(PROGRAM_INFO_BYTES);
  const length = struct(U32_BYTES);
  length.view.setUint32(0, PROGRAM_INFO_BYTES, true);
  return bpf_obj_get_info_by_fd(fd, info.bytes, length.bytes) < 0
    ? 0
    : info.view.getUint32(PROGRAM_INFO_ID, true);
};

/**
 * Takes the program off again and throws where it runs by itself, not in a dispatcher: there it would shut others out.
 * libxdp's own words for both (xdp_multiprog, xdp_program__detach) leave two descriptors open each, so that the program
 * would stay in the kernel (version 1.3.1).
 */
const assertDispatcher = (programFd: number, target: AttachTarget, mode: XdpMode, mark: number): void => {
  const id = programId(programFd);
  if (!getLink(target.ifindex).xdp.some((running) => running.id === id)) return;
  bpf_xdp_detach(target.ifindex, XDP_FLAGS[mode], null);
  throw new SystemError({
    operation: `attach shared program to "${target.interface}"`,
    operands: { interface: target.interface, ifindex: target.ifindex },
    errno: ERRNO.EOPNOTSUPP,
    remedy:
      "this kernel refuses libxdp's dispatcher (it needs BPF_PROG_TYPE_EXT, BTF and a bpffs at /sys/fs/bpf): " +
      "attach without shared: true",
    log: logSince(mark),
  });
};

const attachDispatched = (library: Libxdp, program: Pointer, target: AttachTarget, mode: XdpMode): void => {
  const mark = logMark();
  const status = library.xdp_program__attach(program, target.ifindex, LIBXDP_MODES[mode], 0);
  if (status !== 0) throw refusal(`shared ${mode} program`, target, status, mark);
  assertDispatcher(library.xdp_program__fd(program), target, mode, mark);
};

/**
 * Attaches `object`, opened but not loaded, through libxdp's dispatcher. A program attached so outlives the process: only
 * `detach` (or xdp-loader unload) takes it off; while no socket is in the map its frames go to the kernel. `detach` must be
 * called in the interface's network namespace.
 */
export const attachShared = (object: BpfObject, section: string, target: AttachTarget): Hook => {
  const library = libxdp();
  const mark = logMark();
  const made = library.xdp_program__from_bpf_obj(object.pointer, cString(section));
  if (typeof made !== "number") throw refusal("shared program", target, -pointerErrno(made), mark);
  let program: Pointer | null = made as Pointer;
  const discard = (): void => {
    if (program !== null) library.xdp_program__close(program);
    program = null;
  };
  try {
    const { mode, refused } = climb(target, (tried) => attachDispatched(library, program!, target, tried));
    return {
      mode,
      refused,
      update: () => {
        throw new SystemError({
          operation: `replace the shared program on "${target.interface}"`,
          operands: { interface: target.interface, ifindex: target.ifindex },
          errno: ERRNO.EOPNOTSUPP,
          remedy:
            "a dispatcher has no replacement between two frames: change the claims instead, or attach without shared",
        });
      },
      detach: () => {
        if (program === null) return;
        const before = logMark();
        const status = library.xdp_program__detach(program, target.ifindex, LIBXDP_MODES[mode], 0);
        discard();
        if (status !== 0 && status !== -ERRNO.ENODEV)
          throw new SystemError({
            operation: `take the shared program off "${target.interface}"`,
            operands: { interface: target.interface, ifindex: target.ifindex },
            errno: -status,
            remedy: `call this in the interface's network namespace, or run xdp-loader unload ${target.interface}`,
            log: logSince(before),
          });
      },
    };
  } catch (error) {
    discard();
    throw error;
  }
};

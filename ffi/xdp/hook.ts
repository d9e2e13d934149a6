/**
 * The program on an interface, held by a bpf_link, which is gone with the process; and what every way of attaching shares:
 * the modes, and the refusals with their remedies.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import { bpf_link_create, bpf_link_update } from "../sys/libbpf.ts";
import { close, if_indextoname } from "../sys/libc.ts";
import { logMark, logSince } from "../sys/log.ts";
import { struct } from "../sys/memory.ts";

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
export const XDP_FLAGS: Readonly<Record<XdpMode, number>> = { generic: 1 << 1, native: 1 << 2 };

/** The start of struct bpf_link_create_opts (libbpf 1.1): size, flags, and what XDP does not use. */
const LINK_OPTS_FLAGS = 8;
const LINK_OPTS_BYTES = 64;

const taken = (name: string): string =>
  `another program is attached to "${name}"; take it off (ip link set dev ${name} xdp off, or xdp-loader unload ` +
  `${name} where it is libxdp's), or end the process that holds its link (bpftool link); programs that all come with libxdp's dispatcher can share it (shared: true)`;

const REMEDIES: Readonly<Record<number, (name: string) => string>> = {
  [ERRNO.EPERM]: () => "it takes CAP_NET_ADMIN and CAP_BPF (or root)",
  [ERRNO.EBUSY]: taken,
  [ERRNO.EEXIST]: (name) =>
    `${taken(name)}, in the mode of those that are there: native and generic programs exclude each other`,
  [ERRNO.E2BIG]: (name) =>
    `the dispatcher on "${name}" is full: ten programs are in it; take one off (xdp-loader status, xdp-loader unload)`,
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

/** The error of an attach that the kernel (or libxdp) refused with `status`, a negated errno. */
export const refusal = (how: string, target: AttachTarget, status: number, mark: number): SystemError =>
  new SystemError({
    operation: `attach ${how} to "${target.interface}"`,
    operands: { interface: target.interface, ifindex: target.ifindex },
    errno: -status,
    remedy:
      REMEDIES[-status]?.(target.interface) ?? "the driver refused; the kernel's log (dmesg) may say why",
    log: logSince(mark),
  });

/** Refusals after which the other mode may still work. */
export const MODE_REFUSALS: readonly number[] = [
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

/** Tries the modes that the target allows, best first; the next one after a refusal that is among `refusals`. */
export const climb = <T>(
  target: AttachTarget,
  attempt: (mode: XdpMode) => T,
  refusals: readonly number[] = MODE_REFUSALS,
): Climbed<T> => {
  if (target.mode !== "auto") return { mode: target.mode, value: attempt(target.mode), refused: [] };
  try {
    return { mode: "native", value: attempt("native"), refused: [] };
  } catch (error) {
    if (!(error instanceof SystemError) || !refusals.includes(error.errno)) throw error;
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

/**
 * errno, its names, and `SystemError`: the one shape in which an operating failure leaves `ffi/`.
 *
 * A text reads `cannot OPERATION OPERANDS: ENAME: remedy`, so that whoever sees it knows what was tried, on what, why
 * it failed and what to do next.
 */
import { wrapInt32 } from "./memory.ts";
import { __errno_location, strerror } from "./libc.ts";

/** Numbers of include/uapi/asm-generic/errno-base.h and errno.h that the kernel paths used here can return. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENFILE: 23,
  ENOSPC: 28,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ENOBUFS: 105,
  EPROTO: 71,
  EOVERFLOW: 75,
  EMSGSIZE: 90,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
} as const;

export type ErrnoName = keyof typeof ERRNO;

const names = new Map<number, string>(Object.entries(ERRNO).map(([name, code]) => [code, name]));

/** The symbolic name of an errno value, or `errno N` for one that is not in the table. */
export const errnoName = (code: number): string => names.get(code) ?? `errno ${code}`;

// One location per thread: this module is evaluated once in each, so the view belongs to the thread that uses it.
const location = wrapInt32(__errno_location());

/** errno of this thread. Valid only in the statement that follows the failing call. */
export const errno = (): number => location[0]!;

/** What an operation was tried on, by the name that the kernel's documentation gives it. */
export type Operands = Readonly<Record<string, string | number | boolean | null>>;

export interface SystemErrorInit {
  /** What was tried, in words that follow "cannot": `bind AF_XDP socket to "veth0" queue 0`. */
  readonly operation: string;
  /** The values it was tried with. */
  readonly operands?: Operands;
  /** A positive errno value. */
  readonly errno: number;
  /** What the user can do about it, one clause without a final stop. */
  readonly remedy: string;
  /** What libbpf, libxdp or the verifier said, if anything. */
  readonly log?: string;
  readonly cause?: unknown;
}

/** An operation of the system failed: what, on what, errno by name, and the remedy. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly operation: string;
  readonly operands: Operands;
  readonly errno: number;
  /** errno by name: "EBUSY". */
  readonly code: string;
  readonly remedy: string;
  readonly log: string;

  constructor(init: SystemErrorInit) {
    const code = errnoName(init.errno);
    const log = init.log?.trim() ?? "";
    super(
      `cannot ${init.operation}: ${code}: ${init.remedy}${log === "" ? "" : `\n${log}`}`,
      init.cause === undefined ? undefined : { cause: init.cause },
    );
    this.operation = init.operation;
    this.operands = init.operands ?? {};
    this.errno = init.errno;
    this.code = code;
    this.remedy = init.remedy;
    this.log = log;
  }
}

/** The C library's words for an errno value, for remedies where the kernel's documentation names no better one. */
export const describeErrno = (code: number): string => String(strerror(code)).toLowerCase();

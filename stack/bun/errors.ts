/**
 * Errors as Bun's UDP sockets throw them: names, numbers and texts of system calls that a host does not make.
 *
 * Measured with Bun 1.4.5: `bind` has a text and a sign of its own, all the others share theirs. Numbers are those of
 * include/uapi/asm-generic/errno.h.
 */
import { REFUSED, type Refused, type SoftError } from "../transport/network.ts";

const ERRORS = {
  EBADF: [9, "bad file descriptor"],
  EACCES: [13, "permission denied"],
  ENODEV: [19, "no such device"],
  EINVAL: [22, "invalid argument"],
  EPROTO: [71, "protocol error"],
  EMSGSIZE: [90, "message too long"],
  ENOPROTOOPT: [92, "protocol not available"],
  EAFNOSUPPORT: [97, "address family not supported"],
  EADDRINUSE: [98, "address already in use"],
  EADDRNOTAVAIL: [99, "address not available"],
  ENETDOWN: [100, "network is down"],
  ENETUNREACH: [101, "network is unreachable"],
  ENOBUFS: [105, "no buffer space available"],
  ECONNREFUSED: [111, "connection refused"],
  EHOSTUNREACH: [113, "host is unreachable"],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrorCode = keyof typeof ERRORS;
export type Call = "bind" | "connect" | "send" | "recv" | "setsockopt";

/** An argument of the wrong type or out of its range. */
export const argumentError = (text: string): TypeError =>
  Object.assign(new TypeError(text), { code: "ERR_INVALID_ARG_TYPE" });

/** What a call failed with: "ENETUNREACH: network is unreachable, send". */
export const callError = (code: ErrorCode, syscall: Call): Error => {
  const [number, text] = ERRORS[code];
  return Object.assign(new Error(`${code}: ${text}, ${syscall}`), { code, syscall, errno: -number });
};

/** Why there is no socket at `address`: "bind EADDRINUSE 127.0.0.1". */
export const bindError = (code: ErrorCode, address: string, cause?: unknown): Error => {
  const [errno] = ERRORS[code];
  const options = cause === undefined ? undefined : { cause };
  return Object.assign(new Error(`bind ${code} ${address}`, options), {
    code,
    syscall: "bind",
    errno,
    address,
  });
};

/** What the kernel would say in place of a refusal of the host's. "full" is no error: the call then says `false`. */
export const codeOfRefusal = (refused: 0 | Refused): ErrorCode => {
  switch (refused) {
    case REFUSED.noRoute:
      return "ENETUNREACH";
    case REFUSED.noSource:
      return "EADDRNOTAVAIL";
    case REFUSED.down:
      return "ENETDOWN";
    case REFUSED.unreachable:
      return "ENOBUFS";
    default:
      return "EMSGSIZE";
  }
};

/** ICMP errors as the kernel translates them: icmp_err_convert of net/ipv4/icmp.c, icmpv6_err_convert of net/ipv6/icmp.c. */
export const codeOfSoftError = ({ kind, family }: SoftError): ErrorCode => {
  switch (kind) {
    case "port-unreachable":
      return "ECONNREFUSED";
    case "protocol-unreachable":
      return "ENOPROTOOPT";
    case "network-unreachable":
      return "ENETUNREACH";
    case "prohibited":
      return family === 6 ? "EACCES" : "EHOSTUNREACH";
    case "too-big":
      return "EMSGSIZE";
    case "parameter-problem":
      return "EPROTO";
    default:
      return "EHOSTUNREACH";
  }
};

/**
 * A UDP port kept from the kernel's own programs: sockets that are bound and never read.
 *
 * A filter that drops everything keeps them empty; without them the kernel would give the port to the next program that asks, and
 * answer "port unreachable" to what reaches it past our claims. Source: ip(7), ipv6(7), socket(7), Documentation/networking/filter.rst.
 */
import { ERRNO, SystemError, errno } from "../sys/errno.ts";
import { bind, close, getsockname, setsockopt, socket } from "../sys/libc.ts";
import { addressOf, struct, type Struct } from "../sys/memory.ts";
import { addressBytes, AF_INET, AF_INET6, requireFamily, type SystemFamily } from "./rtnetlink.ts";
import type { Reservation } from "./system-change.ts";

/** include/linux/net.h, include/uapi/asm-generic/socket.h, include/uapi/linux/in6.h. */
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** struct sockaddr_in and sockaddr_in6: port and addresses are in network order, the rest in the machine's. */
const FAMILY = 0;
const PORT = FAMILY + 2;
const ADDRESS4 = PORT + 2;
const SOCKADDR_IN_BYTES = ADDRESS4 + 12;
const FLOW_INFO = PORT + 2;
const ADDRESS6 = FLOW_INFO + 4;
const SCOPE_ID = ADDRESS6 + 16;
const SOCKADDR_IN6_BYTES = SCOPE_ID + 4;

/** struct sock_filter, include/uapi/linux/filter.h. */
const CODE = 0;
const BPF_RET_K = 0x06;
const FILTER_BYTES = 8;
/** struct sock_fprog. */
const FILTER_COUNT = 0;
const FILTER_POINTER = FILTER_COUNT + 8;
const PROGRAM_BYTES = FILTER_POINTER + 8;

/** The kernel rounds it up to its minimum, some 2 KiB. */
const LEAST_BUFFER_BYTES = 1;
/** A port that is free in one family and taken in the other is given back and another one asked for. */
const MAX_TRIES = 64;

/** Where a port is kept. */
export interface PortPlace {
  readonly family: SystemFamily;
  /** 4 or 16 bytes; every address of the family unless given. */
  readonly address: Uint8Array | undefined;
  /** ifindex that a link-local address belongs to, else 0. */
  readonly scope: number;
}

/** fe80::/10, RFC 4291 2.5.6: the first byte, and the upper two bits of the second. */
const LINK_LOCAL = [0xfe, 0x80] as const;
const LINK_LOCAL_MASK = 0xc0;

const isLinkLocal = (address: Uint8Array): boolean => {
  const [first = 0, second = 0] = address;
  return first === LINK_LOCAL[0] && (second & LINK_LOCAL_MASK) === LINK_LOCAL[1];
};

/**
 * The places at which a port of `address` is kept: one, or the wildcards of both families where it is undefined, or one for each
 * interface that has a link-local address, as `interfacesOf` tells. Throws TypeError for what is no address.
 */
export const portPlaces = (
  address: Uint8Array | undefined,
  interfacesOf: (linkLocal: Uint8Array) => readonly number[],
): PortPlace[] => {
  if (address === undefined) {
    return [
      { family: AF_INET, address, scope: 0 },
      { family: AF_INET6, address, scope: 0 },
    ];
  }
  const family = requireFamily(address);
  const scopes = family === AF_INET6 && isLinkLocal(address) ? interfacesOf(address) : [];
  // Without an interface the kernel refuses a link-local address, and says so.
  return (scopes.length === 0 ? [0] : scopes).map((scope) => ({ family, address, scope }));
};

const REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.EACCES]: "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE",
  [ERRNO.EMFILE]: "this process has too many open files; close some or raise `ulimit -n`",
  [ERRNO.EINVAL]: "a link-local address must be on an interface here; `ip -6 address` lists them",
  [ERRNO.EADDRNOTAVAIL]:
    "no interface here has this address, or it is still tentative; `ip address` lists them",
};

const refused = (place: PortPlace, port: number, code: number): SystemError => {
  const at = place.address === undefined ? "every address" : `address ${place.address.toHex()}`;
  return new SystemError({
    operation: `reserve UDP port ${port} of ${at} (${place.family === AF_INET ? "IPv4" : "IPv6"})`,
    operands: { port, scope: place.scope },
    errno: code,
    remedy: REMEDIES[code] ?? "bind(2) says when this happens",
  });
};

const encodeSockaddr = ({ family, address, scope }: PortPlace, port: number): Struct => {
  const made = struct(family === AF_INET ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  made.view.setUint16(FAMILY, family, true);
  made.view.setUint16(PORT, port);
  made.bytes.set(address ?? new Uint8Array(addressBytes(family)), family === AF_INET ? ADDRESS4 : ADDRESS6);
  if (family === AF_INET6) made.view.setUint32(SCOPE_ID, scope, true);
  return made;
};

const setNumber = (fd: number, level: number, option: number, value: number): void => {
  const payload = struct(Int32Array.BYTES_PER_ELEMENT);
  payload.view.setInt32(0, value, true);
  setsockopt(fd, level, option, payload.bytes, payload.bytes.length);
};

/** A program of one instruction: accept 0 bytes. */
const dropEverything = (fd: number): void => {
  const filter = struct(FILTER_BYTES);
  filter.view.setUint16(CODE, BPF_RET_K, true);
  const program = struct(PROGRAM_BYTES);
  program.view.setUint16(FILTER_COUNT, 1, true);
  program.view.setBigUint64(FILTER_POINTER, BigInt(addressOf(filter.bytes)), true);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program.bytes, program.bytes.length);
};

/** A bound socket; "taken" where another has the port, "absent" where the machine does not speak the family. Throws SystemError. */
const bindOne = (place: PortPlace, port: number): number | "taken" | "absent" => {
  const fd = socket(place.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    const code = errno();
    if (code === ERRNO.EAFNOSUPPORT) return "absent";
    throw refused(place, port, code);
  }
  // Neither can fail in a way that matters: what gets past them waits in two kilobytes.
  dropEverything(fd);
  setNumber(fd, SOL_SOCKET, SO_RCVBUF, LEAST_BUFFER_BYTES);
  if (place.family === AF_INET6) setNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const sockaddr = encodeSockaddr(place, port);
  if (bind(fd, sockaddr.bytes, sockaddr.bytes.length) >= 0) return fd;
  const code = errno();
  close(fd);
  if (code === ERRNO.EADDRINUSE) return "taken";
  throw refused(place, port, code);
};

const boundPort = (fd: number): number => {
  const sockaddr = struct(SOCKADDR_IN6_BYTES);
  const length = struct(Uint32Array.BYTES_PER_ELEMENT);
  length.view.setUint32(0, SOCKADDR_IN6_BYTES, true);
  getsockname(fd, sockaddr.bytes, length.bytes);
  return sockaddr.view.getUint16(PORT);
};

/** Sockets at every place, all with one port; undefined where the port is taken at one of them. */
const bindAll = (
  places: readonly PortPlace[],
  wanted: number,
): { fds: number[]; port: number } | undefined => {
  const fds: number[] = [];
  let port = wanted;
  let complete = false;
  try {
    for (const place of places) {
      const fd = bindOne(place, port);
      if (fd === "taken") return undefined;
      // The machine speaks the other family only: nobody can take the port in this one.
      if (fd === "absent" && places.length > 1) continue;
      if (fd === "absent") throw refused(place, port, ERRNO.EAFNOSUPPORT);
      fds.push(fd);
      if (port === 0) port = boundPort(fd);
    }
    complete = true;
    return { fds, port };
  } finally {
    if (!complete) for (const fd of fds) close(fd);
  }
};

/**
 * Keeps a UDP port at every one of `places`, in the thread's network namespace; port 0 takes one that is free at all of them.
 * Undefined where a program has it. Throws SystemError for anything else that stands in the way.
 */
export const reservePort = (places: readonly PortPlace[], port: number): Reservation | undefined => {
  const tries = port === 0 ? MAX_TRIES : 1;
  for (let attempt = 0; attempt < tries; attempt++) {
    const bound = bindAll(places, port);
    if (bound === undefined) continue;
    let fds = bound.fds;
    return {
      port: bound.port,
      release(): void {
        for (const fd of fds) close(fd);
        fds = [];
      },
    };
  }
  return undefined;
};

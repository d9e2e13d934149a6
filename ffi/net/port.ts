/**
 * A UDP port kept from the kernel's own programs: sockets that are bound and never read, but for what ICMP says about the port.
 *
 * A filter that drops everything keeps them empty; without them the kernel would give the port to the next program that asks, and
 * answer "port unreachable" to what reaches it past our claims.
 *
 * What programs of this machine send to its own addresses never reaches a card, and so not us: they hear nothing, as the kernel
 * counts such packets for the interface that has the address (ip_route_output_key_hash_rcu in net/ipv4/route.c, ipv6_rcv in
 * net/ipv6/ip6_input.c), where these sockets are. Those who ask 127.0.0.1 or ::1 are refused where the port is kept on one
 * interface only. Source: ip(7), ipv6(7), socket(7), Documentation/networking/filter.rst, net/ipv4/udp.c.
 */
import { ERRNO, SystemError, errno } from "../sys/errno.ts";
import { bind, close, getsockname, setsockopt, socket } from "../sys/libc.ts";
import { addressOf, struct } from "../sys/memory.ts";
import { errorOptions } from "./error-queue.ts";
import { AF_INET, AF_INET6, requireFamily, type SystemFamily } from "./rtnetlink.ts";
import { encodeSockaddr, SOCKADDR_BYTES, sockaddrPort } from "./socket-address.ts";

/** include/linux/net.h, include/uapi/asm-generic/socket.h, include/uapi/linux/in6.h. */
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_BINDTOIFINDEX = 62;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** struct sock_filter, include/uapi/linux/filter.h. */
const CODE = 0;
const BPF_RET_K = 0x06;
const FILTER_BYTES = 8;
/** struct sock_fprog. */
const FILTER_COUNT = 0;
const FILTER_POINTER = FILTER_COUNT + 8;
const PROGRAM_BYTES = FILTER_POINTER + 8;

/** Room for errors until they are taken: some fifty. The kernel doubles it, and drops what comes beyond. */
const ERROR_BUFFER_BYTES = 32_768;
/** A port that is free in one family and taken in the other is given back and another one asked for. */
const MAX_TRIES = 64;

/** Where a port is kept. */
export interface PortPlace {
  readonly family: SystemFamily;
  /** 4 or 16 bytes; every address of the family unless given. */
  readonly address: Uint8Array | undefined;
  /** ifindex of the one interface where it is kept, 0 for all. A link-local address is on one. */
  readonly interface: number;
}

/** A socket that keeps a port. */
export interface PortSocket {
  readonly fd: number;
  readonly family: SystemFamily;
}

/** The places at which a port of `address` is kept: one, or the wildcards of both families where it is undefined. Throws TypeError. */
export const portPlaces = (address: Uint8Array | undefined, interfaceIndex: number): PortPlace[] =>
  (address === undefined ? ([AF_INET, AF_INET6] as const) : [requireFamily(address)]).map((family) => ({
    family,
    address,
    interface: interfaceIndex,
  }));

const REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.EACCES]: "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE",
  [ERRNO.EPERM]: "keeping a port on one interface needs CAP_NET_RAW",
  [ERRNO.EMFILE]: "this process has too many open files; close some or raise `ulimit -n`",
  [ERRNO.EINVAL]: "a link-local address is kept on the interface that has it; `ip -6 address` lists them",
  [ERRNO.EADDRNOTAVAIL]:
    "no interface here has this address, or it is still tentative; `ip address` lists them",
};

const refused = (place: PortPlace, port: number, code: number): SystemError => {
  const at = place.address === undefined ? "every address" : `address ${place.address.toHex()}`;
  return new SystemError({
    operation: `reserve UDP port ${port} of ${at} (${place.family === AF_INET ? "IPv4" : "IPv6"})`,
    operands: { port, interface: place.interface },
    errno: code,
    remedy: REMEDIES[code] ?? "bind(2) says when this happens",
  });
};

/** 0, or the kernel's reason. */
const setNumber = (fd: number, level: number, option: number, value: number): number => {
  const payload = struct(Int32Array.BYTES_PER_ELEMENT);
  payload.view.setInt32(0, value, true);
  return setsockopt(fd, level, option, payload.bytes, payload.bytes.length) < 0 ? errno() : 0;
};

/** A program of one instruction: accept 0 bytes. Errors do not pass through it. */
const dropEverything = (fd: number): void => {
  const filter = struct(FILTER_BYTES);
  filter.view.setUint16(CODE, BPF_RET_K, true);
  const program = struct(PROGRAM_BYTES);
  program.view.setUint16(FILTER_COUNT, 1, true);
  program.view.setBigUint64(FILTER_POINTER, BigInt(addressOf(filter.bytes)), true);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program.bytes, program.bytes.length);
};

/** None of this can fail in a way that matters: what gets past the filter waits in a small buffer. */
const prepare = (fd: number, family: SystemFamily): void => {
  dropEverything(fd);
  setNumber(fd, SOL_SOCKET, SO_RCVBUF, ERROR_BUFFER_BYTES);
  const { level, options } = errorOptions(family);
  for (const option of options) setNumber(fd, level, option, 1);
  if (family === AF_INET6) setNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
};

/** A bound socket; "taken" where another has the port, "absent" where the machine does not speak the family. Throws SystemError. */
const bindOne = (place: PortPlace, port: number): number | "taken" | "absent" => {
  const fd = socket(place.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    const code = errno();
    if (code === ERRNO.EAFNOSUPPORT) return "absent";
    throw refused(place, port, code);
  }
  prepare(fd, place.family);
  const sockaddr = encodeSockaddr(place.family, place.address, port, place.interface);
  let code = place.interface === 0 ? 0 : setNumber(fd, SOL_SOCKET, SO_BINDTOIFINDEX, place.interface);
  if (code === 0 && bind(fd, sockaddr.bytes, sockaddr.bytes.length) < 0) code = errno();
  if (code === 0) return fd;
  close(fd);
  if (code === ERRNO.EADDRINUSE) return "taken";
  throw refused(place, port, code);
};

const boundPort = (fd: number): number => {
  const sockaddr = struct(SOCKADDR_BYTES);
  const length = struct(Uint32Array.BYTES_PER_ELEMENT);
  length.view.setUint32(0, SOCKADDR_BYTES, true);
  getsockname(fd, sockaddr.bytes, length.bytes);
  return sockaddrPort(sockaddr.view, 0);
};

/** A port that is kept, and the sockets that keep it. */
export interface KeptPort {
  readonly port: number;
  readonly sockets: readonly PortSocket[];
}

/** Sockets at every place, all with one port; undefined where the port is taken at one of them. */
const bindAll = (places: readonly PortPlace[], wanted: number): KeptPort | undefined => {
  const sockets: PortSocket[] = [];
  let port = wanted;
  let complete = false;
  try {
    for (const place of places) {
      const fd = bindOne(place, port);
      if (fd === "taken") return undefined;
      // The machine speaks the other family only: nobody can take the port in this one.
      if (fd === "absent" && places.length > 1) continue;
      if (fd === "absent") throw refused(place, port, ERRNO.EAFNOSUPPORT);
      sockets.push({ fd, family: place.family });
      if (port === 0) port = boundPort(fd);
    }
    complete = true;
    return { sockets, port };
  } finally {
    if (!complete) for (const { fd } of sockets) close(fd);
  }
};

/**
 * Keeps a UDP port at every one of `places`, in the thread's network namespace; port 0 takes one that is free at all of them.
 * Undefined where a program has it. Whoever gets the sockets closes them. Throws SystemError for anything else that stands in
 * the way.
 */
export const keepPort = (places: readonly PortPlace[], port: number): KeptPort | undefined => {
  const tries = port === 0 ? MAX_TRIES : 1;
  for (let attempt = 0; attempt < tries; attempt++) {
    const kept = bindAll(places, port);
    if (kept !== undefined) return kept;
  }
  return undefined;
};

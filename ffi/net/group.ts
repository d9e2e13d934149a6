/**
 * Groups that the kernel is a member of for us: it tells routers, and opens the card's filter, as for a program of its own.
 *
 * Source: ip(7), ipv6(7), RFC 3678 section 5.1 (MCAST_JOIN_GROUP), include/uapi/linux/in.h.
 */
import { ERRNO, SystemError, errno } from "../sys/errno.ts";
import { close, setsockopt, socket } from "../sys/libc.ts";
import { struct } from "../sys/memory.ts";
import { AF_INET, requireFamily, type SystemFamily } from "./rtnetlink.ts";

const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const MCAST_JOIN_GROUP = 42;

/** struct group_req: the interface, padding, and a struct sockaddr_storage. */
const INTERFACE = 0;
const ADDRESS = INTERFACE + 8;
const STORAGE_BYTES = 128;
const GROUP_REQUEST_BYTES = ADDRESS + STORAGE_BYTES;
/** struct sockaddr_in and sockaddr_in6 within it. */
const FAMILY = ADDRESS;
const ADDRESS4 = FAMILY + 4;
const ADDRESS6 = FAMILY + 8;

/** Groups at most: each is a socket, since one socket joins 20 (net.ipv4.igmp_max_memberships). */
export const MAX_KERNEL_GROUPS = 1024;

/** The kernel's memberships of one network namespace. Close it: it holds a descriptor for each. */
export class KernelGroups {
  readonly #run: <T>(work: () => T) => T;
  readonly #sockets = new Map<string, number>();

  /** `run` does what it is given in the namespace that is meant. */
  constructor(run: <T>(work: () => T) => T) {
    this.#run = run;
  }

  get count(): number {
    return this.#sockets.size;
  }

  /**
   * Makes the kernel a member of a group (4 or 16 bytes) on an interface; once is enough. Throws a SystemError where it
   * refuses, and a RangeError above the limit.
   */
  join(interfaceIndex: number, group: Uint8Array): void {
    const key = `${interfaceIndex} ${group.toHex()}`;
    if (this.#sockets.has(key)) return;
    if (this.#sockets.size >= MAX_KERNEL_GROUPS)
      throw new RangeError(`the kernel joins at most ${MAX_KERNEL_GROUPS} groups for us`);
    const family = requireFamily(group);
    this.#sockets.set(
      key,
      this.#run(() => joined(family, interfaceIndex, group)),
    );
  }

  /** Idempotent. */
  leave(interfaceIndex: number, group: Uint8Array): void {
    const key = `${interfaceIndex} ${group.toHex()}`;
    const fd = this.#sockets.get(key);
    if (fd === undefined) return;
    this.#sockets.delete(key);
    close(fd);
  }

  /** Leaves all. Idempotent. */
  close(): void {
    for (const fd of this.#sockets.values()) close(fd);
    this.#sockets.clear();
  }
}

/** A socket that does nothing but be a member. */
const joined = (family: SystemFamily, interfaceIndex: number, group: Uint8Array): number => {
  const fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw refused(interfaceIndex, group, errno());
  const request = struct(GROUP_REQUEST_BYTES);
  request.view.setUint32(INTERFACE, interfaceIndex, true);
  request.view.setUint16(FAMILY, family, true);
  request.bytes.set(group, family === AF_INET ? ADDRESS4 : ADDRESS6);
  const level = family === AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (setsockopt(fd, level, MCAST_JOIN_GROUP, request.bytes, request.bytes.length) >= 0) return fd;
  const code = errno();
  close(fd);
  throw refused(interfaceIndex, group, code);
};

const refused = (interfaceIndex: number, group: Uint8Array, code: number): SystemError =>
  new SystemError({
    operation: `join group ${group.toHex()} on interface ${interfaceIndex}`,
    operands: { interfaceIndex },
    errno: code,
    remedy:
      code === ERRNO.ENODEV
        ? "there is no such interface in this namespace, or it is not up"
        : "ip(7) says when joining a group fails",
  });

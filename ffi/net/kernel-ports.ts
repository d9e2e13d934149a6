/**
 * UDP ports kept from the programs of one network namespace, and what ICMP says about them.
 *
 * All their sockets lie in one epoll set, whose descriptor alone a loop has to wait for, however many ports there are.
 */
import { SystemError, errno } from "../sys/errno.ts";
import { close, epoll_create1, epoll_ctl, epoll_wait, getsockopt } from "../sys/libc.ts";
import { struct } from "../sys/memory.ts";
import { takeError } from "./error-queue.ts";
import { HeldNamespace } from "./held-namespace.ts";
import { keepPort, portPlaces, type KeptPort, type PortSocket } from "./port.ts";
import type { Reservation, SystemSoftError } from "./system-change.ts";

const MAX_PORT = 65_535;
const MAX_INDEX = 2 ** 31 - 1;

/** include/uapi/linux/eventpoll.h, include/uapi/asm-generic/socket.h. */
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;

/** struct epoll_event: packed on x86-64, and there alone. Errors are reported without being asked for: no events are named. */
const EVENT_DATA = process.arch === "x64" ? 4 : 8;
const EVENT_BYTES = EVENT_DATA + 8;
/** Sockets asked for at once. */
const EVENTS = 64;

export interface KernelPortsOptions {
  /** Network namespace by name (`ip netns`) or path; the thread's own unless given. */
  readonly namespace?: string;
}

/** Close it: it holds descriptors, and the ports. */
export class KernelPorts {
  readonly #namespace: HeldNamespace;
  readonly #epoll: number;
  /** By descriptor. */
  readonly #sockets = new Map<number, PortSocket & { readonly port: number }>();
  readonly #ready: number[] = [];
  readonly #events = struct(EVENTS * EVENT_BYTES);
  #open = true;

  /** Throws SystemError where the namespace cannot be entered. */
  constructor(options: KernelPortsOptions = {}) {
    this.#namespace = new HeldNamespace(options.namespace);
    this.#epoll = epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll >= 0) return;
    const code = errno();
    this.#namespace.close();
    throw new SystemError({
      operation: "make an epoll set",
      errno: code,
      remedy: "this process or the machine has too many open files; close some or raise `ulimit -n`",
    });
  }

  /** Readable while `nextError` has something; empty once closed. */
  get errorFds(): readonly number[] {
    return this.#open ? [this.#epoll] : [];
  }

  /**
   * Keeps a UDP port of an address (4 or 16 bytes; every address of both families if undefined) from the kernel's own programs,
   * on one interface or (0) on all; port 0 takes one that is free. A link-local address needs its interface. Undefined where a
   * program has the port. `close` releases what is left. Throws SystemError (EADDRNOTAVAIL, EACCES, EMFILE), RangeError, TypeError.
   */
  reserve(address: Uint8Array | undefined, port: number, interfaceIndex = 0): Reservation | undefined {
    if (!Number.isInteger(port) || port < 0 || port > MAX_PORT)
      throw new RangeError(`port is 0 to ${MAX_PORT}, not ${port}`);
    if (!Number.isInteger(interfaceIndex) || interfaceIndex < 0 || interfaceIndex > MAX_INDEX)
      throw new RangeError(`interfaceIndex is an interface's index or 0, not ${interfaceIndex}`);
    const places = portPlaces(address, interfaceIndex);
    if (!this.#open) throw new TypeError("these ports are closed");
    const kept = this.#namespace.run(() => keepPort(places, port));
    if (kept === undefined) return undefined;
    for (const each of kept.sockets) this.#watch({ ...each, port: kept.port });
    let released = false;
    const release = (): void => {
      // Once: a descriptor may be another's by the second time.
      if (!released) this.#release(kept);
      released = true;
    };
    return { port: kept.port, release };
  }

  /** The next error about a datagram from a port that is kept; undefined where none waits. Never blocks. */
  nextError(): SystemSoftError | undefined {
    while (this.#open) {
      const fd = this.#ready.at(-1);
      if (fd === undefined) {
        if (this.#poll() === 0) return undefined;
        continue;
      }
      const kept = this.#sockets.get(fd);
      const taken = kept === undefined ? "empty" : takeError(fd, kept.family, kept.port);
      if (typeof taken === "object") return taken;
      if (taken === "foreign") continue;
      this.#ready.pop();
      if (kept !== undefined) forgetError(fd);
    }
    return undefined;
  }

  /** Idempotent. Releases all ports. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const fd of this.#sockets.keys()) close(fd);
    this.#sockets.clear();
    close(this.#epoll);
    this.#namespace.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #watch(one: PortSocket & { readonly port: number }): void {
    this.#sockets.set(one.fd, one);
    const event = struct(EVENT_BYTES);
    event.view.setInt32(EVENT_DATA, one.fd, true);
    // Where the kernel has no memory for it the port is kept all the same, and errors about it stay unheard.
    epoll_ctl(this.#epoll, EPOLL_CTL_ADD, one.fd, event.bytes);
  }

  /** After `close` there is nothing left to release. */
  #release({ sockets }: KeptPort): void {
    for (const { fd } of sockets) if (this.#sockets.delete(fd)) close(fd);
  }

  #poll(): number {
    const { bytes, view } = this.#events;
    const count = epoll_wait(this.#epoll, bytes, EVENTS, 0);
    for (let i = 0; i < count; i++) this.#ready.push(view.getInt32(i * EVENT_BYTES + EVENT_DATA, true));
    return Math.max(0, count);
  }
}

/** An error that found no room in the queue is left on the socket, which would be reported for ever. */
const forgetError = (fd: number): void => {
  const value = struct(Int32Array.BYTES_PER_ELEMENT);
  const length = struct(Uint32Array.BYTES_PER_ELEMENT);
  length.view.setUint32(0, Int32Array.BYTES_PER_ELEMENT, true);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, value.bytes, length.bytes);
};

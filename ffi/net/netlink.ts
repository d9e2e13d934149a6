/**
 * One netlink socket: requests with their answers, and notifications without blocking.
 *
 * A socket belongs for life to the network namespace that its thread was in when it was opened. Source:
 * include/uapi/linux/netlink.h, rtnetlink.h; Documentation/userspace-api/netlink/intro.rst.
 */
import { ERRNO, SystemError, errno, errnoName } from "../sys/errno.ts";
import { bind, close, recvfrom, sendto, setsockopt, socket, word } from "../sys/libc.ts";
import { struct } from "../sys/memory.ts";
import { NLMSG, NLM_F, encodeMessage, parseAcknowledgement, parseMessages, type Message } from "./message.ts";

/** include/linux/socket.h, include/uapi/asm-generic/socket.h, include/linux/net.h. */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** include/uapi/linux/netlink.h: the two families spoken here. */
export const NETLINK_ROUTE = 0;
export const NETLINK_GENERIC = 16;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const MSG_TRUNC = 0x20;

/** include/linux/socket.h and include/uapi/linux/netlink.h. */
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** struct sockaddr_nl. */
const ADDRESS_FAMILY = 0;
const ADDRESS_PORT = ADDRESS_FAMILY + 4;
const ADDRESS_GROUPS = ADDRESS_PORT + 4;
const ADDRESS_BYTES = ADDRESS_GROUPS + 4;
/** The port that only the kernel has. */
const KERNEL_PORT = 0;

/** The kernel fills dumps up to 32 KiB a datagram (NETLINK_RECVMSG caps its skbs there); a link with many VFs is larger. */
const DATAGRAM_BYTES = 128 * 1024;
/** rtnetlink answers inside the sending call; whoever waits seconds waits for ever. */
const ANSWER_LIMIT_SECONDS = 5;
/** A dump that changes keep interrupting is asked for anew; a table that changes this often in a row never settles. */
const MAX_ATTEMPTS = 16;

export interface NetlinkOptions {
  /** NETLINK_ROUTE unless given. */
  readonly family?: typeof NETLINK_ROUTE | typeof NETLINK_GENERIC;
  /** Multicast groups (RTNLGRP_*) to subscribe to; a socket with any never blocks. */
  readonly groups?: readonly number[];
  /** Kernel buffer for what has not been read, in bytes; the kernel doubles it and has a minimum. */
  readonly receiveBufferBytes?: number;
}

export interface Request {
  /** What is asked, in words that follow "cannot". */
  readonly operation: string;
  /** RTM_*. */
  readonly type: number;
  /** NLM_F_* beside REQUEST; DUMP for a whole table. */
  readonly flags?: number;
  /** The family's header and attributes. */
  readonly body: Uint8Array;
  /** Remedies by errno, better than the general ones. */
  readonly remedies?: Readonly<Record<number, string>>;
}

// One per thread, used within one call: every datagram is copied out before anything else can run.
const incoming = struct(DATAGRAM_BYTES);
const sender = struct(ADDRESS_BYTES);
const senderLength = struct(Uint32Array.BYTES_PER_ELEMENT);

/** A netlink socket. Close it: it holds a file descriptor. */
export class NetlinkSocket {
  #fd: number;
  #sequence = 0;
  readonly #subscribed: boolean;

  /** Opens a socket in the thread's network namespace. Throws SystemError. */
  constructor(options: NetlinkOptions = {}) {
    const groups = options.groups ?? [];
    this.#subscribed = groups.length > 0;
    const type = SOCK_RAW | SOCK_CLOEXEC | (this.#subscribed ? SOCK_NONBLOCK : 0);
    this.#fd = socket(AF_NETLINK, type, options.family ?? NETLINK_ROUTE);
    if (this.#fd < 0) throw openError("open a netlink socket", errno());
    try {
      this.#configure(groups, options.receiveBufferBytes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The descriptor, for polling: readable when `receive` has something; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Asks and returns every message of the answer, without acknowledgements. Throws SystemError with the kernel's errno and,
   * as log, its own words.
   */
  request(request: Request): Message[] {
    if (this.#subscribed)
      throw new TypeError("a subscribed socket only receives: a request would swallow notifications");
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const answer = this.#attempt(request);
      if (answer !== "again") return answer;
    }
    throw new SystemError({
      operation: request.operation,
      errno: ERRNO.EAGAIN,
      remedy: `the table changed during ${MAX_ATTEMPTS} dumps in a row; try again when it is calmer`,
    });
  }

  /**
   * Only asks: `receive` brings the answer, a datagram at a time, up to the acknowledgement or the end of the dump. Returns the
   * sequence number that the answer carries. Throws SystemError.
   */
  post(request: Request): number {
    const flags = NLM_F.REQUEST | NLM_F.ACK | (request.flags ?? 0);
    this.#sequence = (this.#sequence + 1) >>> 0;
    const bytes = encodeMessage(request.type, flags, this.#sequence, request.body);
    const sent = sendto(this.#fd, bytes, word(bytes.length), 0, null, 0);
    if (sent < 0) throw openError(request.operation, errno());
    return this.#sequence;
  }

  /**
   * The messages of the next datagram from the kernel; "empty" when nothing waits, "overrun" when the kernel had to drop
   * notifications since the last call: then what was known must be asked for anew.
   */
  receive(): Message[] | "empty" | "overrun" {
    for (;;) {
      senderLength.view.setUint32(0, ADDRESS_BYTES, true);
      const length = recvfrom(
        this.#fd,
        incoming.bytes,
        word(DATAGRAM_BYTES),
        MSG_TRUNC,
        sender.bytes,
        senderLength.bytes,
      );
      if (length < 0) {
        const code = errno();
        if (code === ERRNO.EINTR) continue;
        if (code === ERRNO.EAGAIN) return "empty";
        if (code === ERRNO.ENOBUFS) return "overrun";
        throw openError("receive from a netlink socket", code);
      }
      if (length > DATAGRAM_BYTES) {
        throw new SystemError({
          operation: "receive from a netlink socket",
          operands: { length, room: DATAGRAM_BYTES },
          errno: ERRNO.EMSGSIZE,
          remedy: "the kernel's answer is larger than any known; report it with the output of `ip -d link`",
        });
      }
      // Other processes can send to this socket too; what they say about links is of no interest.
      if (sender.view.getUint32(ADDRESS_PORT, true) !== KERNEL_PORT) continue;
      return parseMessages(incoming.bytes.slice(0, length));
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #attempt(request: Request): Message[] | "again" {
    this.post(request);
    const answer: Message[] = [];
    let interrupted = false;
    for (;;) {
      const received = this.receive();
      if (received === "empty") {
        throw new SystemError({
          operation: request.operation,
          errno: ERRNO.ETIMEDOUT,
          remedy: `the kernel did not answer within ${ANSWER_LIMIT_SECONDS} s`,
        });
      }
      // What was dropped may have been part of the answer.
      if (received === "overrun") return "again";
      for (const message of received) {
        // Left over from an earlier attempt.
        if (message.sequence !== this.#sequence) continue;
        if ((message.flags & NLM_F.DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
          const { errno: code, text } = parseAcknowledgement(message);
          if (code !== 0) throw refused(request, code, text);
          return interrupted ? "again" : answer;
        }
        if (message.type !== NLMSG.NOOP) answer.push(message);
      }
    }
  }

  #configure(groups: readonly number[], receiveBufferBytes: number | undefined): void {
    // All three only make answers better, so a kernel without one (before 4.20) is no obstacle.
    this.#set(SOL_NETLINK, NETLINK_CAP_ACK, 1);
    this.#set(SOL_NETLINK, NETLINK_EXT_ACK, 1);
    this.#set(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    if (receiveBufferBytes !== undefined) this.#set(SOL_SOCKET, SO_RCVBUF, receiveBufferBytes);
    // struct timeval: two machine words, of which the first is seconds.
    const timeout = struct(2 * BigInt64Array.BYTES_PER_ELEMENT);
    timeout.view.setUint32(0, ANSWER_LIMIT_SECONDS, true);
    if (setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeout.bytes, timeout.bytes.length) < 0) {
      throw openError("limit the wait of a netlink socket", errno());
    }
    const address = struct(ADDRESS_BYTES);
    address.view.setUint16(ADDRESS_FAMILY, AF_NETLINK, true);
    if (bind(this.#fd, address.bytes, ADDRESS_BYTES) < 0) throw openError("bind a netlink socket", errno());
    for (const group of groups) {
      if (this.#set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group) < 0) {
        throw openError(`subscribe to netlink group ${group}`, errno());
      }
    }
  }

  #set(level: number, option: number, value: number): number {
    const payload = struct(Int32Array.BYTES_PER_ELEMENT);
    payload.view.setInt32(0, value, true);
    return setsockopt(this.#fd, level, option, payload.bytes, payload.bytes.length);
  }
}

const GENERAL_REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.EMFILE]: "this process has too many open files; close some or raise `ulimit -n`",
  [ERRNO.ENFILE]: "the machine has too many open files; raise fs.file-max",
  [ERRNO.EPERM]: "needs CAP_NET_ADMIN in the interface's network namespace",
  [ERRNO.ENODEV]: "no such interface here; `ip link` lists those of this network namespace",
  [ERRNO.EBADF]: "the socket is closed",
  [ERRNO.EAFNOSUPPORT]: "the kernel has no netlink, or a sandbox forbids it (seccomp)",
};

const remedyFor = (code: number): string =>
  GENERAL_REMEDIES[code] ?? `the kernel refused with ${errnoName(code)}; its log (dmesg) may say more`;

const openError = (operation: string, code: number): SystemError =>
  new SystemError({ operation, errno: code, remedy: remedyFor(code) });

const refused = (request: Request, code: number, text: string): SystemError =>
  new SystemError({
    operation: request.operation,
    errno: code,
    remedy: request.remedies?.[code] ?? remedyFor(code),
    log: text,
  });

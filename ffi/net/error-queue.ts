/**
 * What ICMP says about datagrams of a port, as a UDP socket's error queue has it: recvmsg with MSG_ERRQUEUE.
 *
 * The kernel finds the socket by the addresses and ports in the packet that an error quotes, whoever sent that packet, so it
 * hears of ours too. Source: ip(7) IP_RECVERR, ipv6(7), include/uapi/linux/errqueue.h, net/ipv4/ip_sockglue.c.
 */
import { ERRNO, errno } from "../sys/errno.ts";
import { recvmsg } from "../sys/libc.ts";
import { addressOf, struct } from "../sys/memory.ts";
import { addressBytes, AF_INET, type SystemFamily } from "./rtnetlink.ts";
import { SOCKADDR_BYTES, sockaddrAddress, sockaddrPort } from "./socket-address.ts";
import type { SystemSoftError } from "./system-change.ts";

/** include/linux/socket.h. */
const MSG_DONTWAIT = 0x40;
const MSG_ERRQUEUE = 0x2000;
/** include/linux/socket.h, include/uapi/linux/in.h and in6.h. */
const SOL_IP = 0;
const IP_PKTINFO = 8;
const IP_RECVERR = 11;
const SOL_IPV6 = 41;
const IPV6_RECVERR = 25;
const IPV6_PKTINFO = 50;
const IPV6_RECVPKTINFO = 49;

/** struct msghdr of sys/socket.h, on machines of 64 bits. */
const NAME = 0;
const NAME_LENGTH = NAME + 8;
const VECTORS = NAME_LENGTH + 8;
const VECTOR_COUNT = VECTORS + 8;
const CONTROL = VECTOR_COUNT + 8;
const CONTROL_LENGTH = CONTROL + 8;
const MESSAGE_FLAGS = CONTROL_LENGTH + 8;
const MSGHDR_BYTES = MESSAGE_FLAGS + 8;

/** struct cmsghdr; its data is padded to machine words. */
const CMSG_LENGTH = 0;
const CMSG_LEVEL = CMSG_LENGTH + 8;
const CMSG_TYPE = CMSG_LEVEL + 4;
const CMSG_DATA = CMSG_TYPE + 4;
const CMSG_ALIGN = 8;

/** struct sock_extended_err; behind it the address of who reported the error. */
const EE_ERRNO = 0;
const EE_ORIGIN = EE_ERRNO + 4;
const EE_TYPE = EE_ORIGIN + 1;
const EE_CODE = EE_TYPE + 1;
const EE_INFO = EE_CODE + 2;
const EE_DATA = EE_INFO + 4;
const EE_OFFENDER = EE_DATA + 4;
const SO_EE_ORIGIN_ICMP = 2;
const SO_EE_ORIGIN_ICMP6 = 3;

/** struct in_pktinfo and in6_pktinfo: where the error was sent to, that is who we are to the other end. */
const PKTINFO4_ADDRESS = 8;
const PKTINFO6_ADDRESS = 0;

/** include/uapi/linux/icmp.h (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED) and icmpv6.h (ICMPV6_PKT_TOOBIG): errors that say an MTU. */
const UNREACHABLE4 = 3;
const FRAGMENTATION_NEEDED4 = 4;
const TOO_BIG6 = 2;

/** The two control messages with room to spare; the kernel sends no others that were not asked for. */
const CONTROL_BYTES = 256;

/** What makes the kernel keep errors for a socket, and say which of our addresses they are about: level, options. */
export const errorOptions = (
  family: SystemFamily,
): { readonly level: number; readonly options: readonly number[] } =>
  family === AF_INET
    ? { level: SOL_IP, options: [IP_RECVERR, IP_PKTINFO] }
    : { level: SOL_IPV6, options: [IPV6_RECVERR, IPV6_RECVPKTINFO] };

// One call at a time, and C keeps no pointer beyond it: the same memory serves all.
const name = struct(SOCKADDR_BYTES);
const control = struct(CONTROL_BYTES);
const message = struct(MSGHDR_BYTES);

interface Extended {
  readonly origin: number;
  readonly type: number;
  readonly code: number;
  readonly info: number;
  readonly reporter: Uint8Array | undefined;
}

const readExtended = (at: number, family: SystemFamily): Extended => ({
  origin: control.view.getUint8(at + EE_ORIGIN),
  type: control.view.getUint8(at + EE_TYPE),
  code: control.view.getUint8(at + EE_CODE),
  info: control.view.getUint32(at + EE_INFO, true),
  reporter: sockaddrAddress(control, at + EE_OFFENDER, family),
});

/** The error and our address, out of `lengthBytes` of control messages. */
const readControl = (
  lengthBytes: number,
  family: SystemFamily,
): { readonly extended: Extended | undefined; readonly local: Uint8Array | undefined } => {
  let extended: Extended | undefined;
  let local: Uint8Array | undefined;
  const { view, bytes } = control;
  for (let at = 0; at + CMSG_DATA <= lengthBytes;) {
    const length = view.getUint32(at + CMSG_LENGTH, true);
    if (length < CMSG_DATA || at + length > lengthBytes) break;
    const level = view.getInt32(at + CMSG_LEVEL, true);
    const type = view.getInt32(at + CMSG_TYPE, true);
    const data = at + CMSG_DATA;
    const isError = level === SOL_IP ? type === IP_RECVERR : type === IPV6_RECVERR;
    const isInfo = level === SOL_IP ? type === IP_PKTINFO : type === IPV6_PKTINFO;
    if (isError) extended = readExtended(data, family);
    else if (isInfo) {
      const from = data + (family === AF_INET ? PKTINFO4_ADDRESS : PKTINFO6_ADDRESS);
      local = bytes.slice(from, from + addressBytes(family));
    }
    at += Math.ceil(length / CMSG_ALIGN) * CMSG_ALIGN;
  }
  return { extended, local };
};

/**
 * The oldest error that waits at a socket of `family` bound to `localPort`; "empty" where none does, "foreign" for one that is not
 * ICMP's or does not say whom it is about. Never blocks.
 */
export const takeError = (
  fd: number,
  family: SystemFamily,
  localPort: number,
): SystemSoftError | "empty" | "foreign" => {
  message.bytes.fill(0);
  control.bytes.fill(0);
  message.view.setBigUint64(NAME, BigInt(addressOf(name.bytes)), true);
  message.view.setUint32(NAME_LENGTH, SOCKADDR_BYTES, true);
  message.view.setBigUint64(CONTROL, BigInt(addressOf(control.bytes)), true);
  message.view.setUint32(CONTROL_LENGTH, CONTROL_BYTES, true);
  if (recvmsg(fd, message.bytes, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
    // An interrupted call is one to repeat.
    return errno() === ERRNO.EINTR ? "foreign" : "empty";
  const { extended, local } = readControl(message.view.getUint32(CONTROL_LENGTH, true), family);
  const remote = sockaddrAddress(name, 0, family);
  const origin = family === AF_INET ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
  if (extended?.origin !== origin || local === undefined || remote === undefined) return "foreign";
  const { type, code, info, reporter } = extended;
  const saysMtu =
    family === AF_INET ? type === UNREACHABLE4 && code === FRAGMENTATION_NEEDED4 : type === TOO_BIG6;
  return {
    type,
    code,
    mtu: saysMtu ? info : 0,
    reporter,
    local,
    localPort,
    remote,
    remotePort: sockaddrPort(name.view, 0),
  };
};

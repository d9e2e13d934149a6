/**
 * What a driver can do with XDP, by its own word: the `netdev` family of generic netlink (Linux 6.3 and newer).
 *
 * Source: include/uapi/linux/netdev.h, genetlink.h; Documentation/netlink/specs/netdev.yaml.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import { Attributes, concatenate, encodeAttributeText, encodeAttributeU32 } from "./message.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "./netlink.ts";

/** struct genlmsghdr. */
const COMMAND = 0;
const VERSION = COMMAND + 1;
const GENL_HEADER_BYTES = 4;

const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const NETDEV_FAMILY = "netdev";
const NETDEV_FAMILY_VERSION = 1;
const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1;
const NETDEV_A_DEV_XDP_FEATURES = 3;

/** enum netdev_xdp_act. */
export const NETDEV_XDP_ACT = {
  BASIC: 1,
  REDIRECT: 2,
  NDO_XMIT: 4,
  XSK_ZEROCOPY: 8,
  HW_OFFLOAD: 16,
  RX_SG: 32,
  NDO_XMIT_SG: 64,
} as const;

export interface XdpFeatures {
  /** Runs a program in the driver. */
  readonly native: boolean;
  /** Such a program may redirect, which an XSKMAP needs. */
  readonly redirect: boolean;
  /** Binds AF_XDP sockets without a copy. */
  readonly zeroCopy: boolean;
  /** Gives a program packets of several buffers. */
  readonly multiBuffer: boolean;
}

const genericMessage = (command: number, version: number, attribute: Uint8Array): Uint8Array => {
  const header = new Uint8Array(new ArrayBuffer(GENL_HEADER_BYTES));
  header[COMMAND] = command;
  header[VERSION] = version;
  return concatenate([header, attribute]);
};

/** The number that the kernel gave the family at boot; undefined before 6.3. */
const familyId = (socket: NetlinkSocket): number | undefined => {
  const name = encodeAttributeText(CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
  try {
    const [answer] = socket.request({
      operation: `find generic netlink family "${NETDEV_FAMILY}"`,
      type: GENL_ID_CTRL,
      body: genericMessage(CTRL_CMD_GETFAMILY, 1, name),
    });
    return answer === undefined
      ? undefined
      : new Attributes(answer.body, GENL_HEADER_BYTES).u16(CTRL_ATTR_FAMILY_ID);
  } catch (error) {
    if (error instanceof SystemError && error.errno === ERRNO.ENOENT) return undefined;
    throw error;
  }
};

/**
 * What the driver of the link with this index, in the thread's network namespace, can do; undefined where the kernel
 * cannot say (before 6.3). Throws SystemError (ENODEV) where there is no such link.
 */
export const xdpFeatures = (index: number): XdpFeatures | undefined => {
  using socket = new NetlinkSocket({ family: NETLINK_GENERIC });
  const family = familyId(socket);
  if (family === undefined) return undefined;
  const [answer] = socket.request({
    operation: `ask for the XDP features of interface ${index}`,
    type: family,
    body: genericMessage(
      NETDEV_CMD_DEV_GET,
      NETDEV_FAMILY_VERSION,
      encodeAttributeU32(NETDEV_A_DEV_IFINDEX, index),
    ),
  });
  if (answer === undefined) return undefined;
  // A u64 whose known bits are all in its lower half, which little-endian machines put first.
  const bits = new Attributes(answer.body, GENL_HEADER_BYTES).u32(NETDEV_A_DEV_XDP_FEATURES);
  if (bits === undefined) return undefined;
  const has = (bit: number): boolean => (bits & bit) !== 0;
  return {
    native: has(NETDEV_XDP_ACT.BASIC),
    redirect: has(NETDEV_XDP_ACT.REDIRECT),
    zeroCopy: has(NETDEV_XDP_ACT.XSK_ZEROCOPY),
    multiBuffer: has(NETDEV_XDP_ACT.RX_SG),
  };
};

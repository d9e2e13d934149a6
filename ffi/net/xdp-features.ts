/**
 * What a driver can do with XDP, by its own word: the `netdev` family of generic netlink (Linux 6.3 and newer).
 *
 * Source: include/uapi/linux/netdev.h; Documentation/netlink/specs/netdev.yaml.
 */
import { askNetdev } from "./netdev.ts";

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

/**
 * What the driver of the link with this index, in the thread's network namespace, can do; undefined where the kernel
 * cannot say (before 6.3). Throws SystemError (ENODEV) where there is no such link.
 */
export const xdpFeatures = (index: number): XdpFeatures | undefined => {
  const [answer] =
    askNetdev({
      operation: `ask for the XDP features of interface ${index}`,
      command: NETDEV_CMD_DEV_GET,
      attribute: NETDEV_A_DEV_IFINDEX,
      ifindex: index,
    }) ?? [];
  // A u64 whose known bits are all in its lower half, which little-endian machines put first.
  const bits = answer?.u32(NETDEV_A_DEV_XDP_FEATURES);
  if (bits === undefined) return undefined;
  const has = (bit: number): boolean => (bits & bit) !== 0;
  return {
    native: has(NETDEV_XDP_ACT.BASIC),
    redirect: has(NETDEV_XDP_ACT.REDIRECT),
    zeroCopy: has(NETDEV_XDP_ACT.XSK_ZEROCOPY),
    multiBuffer: has(NETDEV_XDP_ACT.RX_SG),
  };
};

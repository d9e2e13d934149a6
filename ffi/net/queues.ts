/**
 * The queues that a device really has at this moment, which can be more than its driver tells ethtool of: virtio_net opens
 * further ones while an XDP program is there (virtnet_xdp_set), and receives on them.
 *
 * Source: include/uapi/linux/netdev.h, NETDEV_CMD_QUEUE_GET (Linux 6.8 and newer).
 */
import { NLM_F } from "./message.ts";
import { askNetdev } from "./netdev.ts";

const NETDEV_CMD_QUEUE_GET = 10;
const NETDEV_A_QUEUE_IFINDEX = 2;
const NETDEV_A_QUEUE_TYPE = 3;
const NETDEV_QUEUE_TYPE_RX = 0;

/**
 * Receive queues of the link with this index, in the thread's network namespace; undefined where the kernel cannot say. A link
 * that is down has none. Throws SystemError (ENODEV) where there is no such link.
 */
export const realRxQueues = (index: number): number | undefined =>
  askNetdev({
    operation: `ask for the queues of interface ${index}`,
    command: NETDEV_CMD_QUEUE_GET,
    attribute: NETDEV_A_QUEUE_IFINDEX,
    ifindex: index,
    flags: NLM_F.DUMP,
  })?.filter((queue) => queue.u32(NETDEV_A_QUEUE_TYPE) === NETDEV_QUEUE_TYPE_RX).length;

/** Questions to the `netdev` family of generic netlink (Linux 6.3 and newer; include/uapi/linux/netdev.h, genetlink.h). */
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

/** What is asked of the family about one interface. */
export interface NetdevQuestion {
  /** For an error's text. */
  readonly operation: string;
  /** NETDEV_CMD_*. */
  readonly command: number;
  /** The attribute, a u32, that names the interface, and its value. */
  readonly attribute: number;
  readonly ifindex: number;
  /** NLM_F_*; DUMP for a whole table. */
  readonly flags?: number;
}

/**
 * The attributes of each answer; undefined where the kernel does not have the family or the command. Throws SystemError
 * (ENODEV) where there is no such interface in the thread's network namespace.
 */
export const askNetdev = (question: NetdevQuestion): Attributes[] | undefined => {
  const { operation, command, attribute, ifindex, flags = 0 } = question;
  using socket = new NetlinkSocket({ family: NETLINK_GENERIC });
  const family = familyId(socket);
  if (family === undefined) return undefined;
  const body = genericMessage(command, NETDEV_FAMILY_VERSION, encodeAttributeU32(attribute, ifindex));
  try {
    const answers = socket.request({ operation, type: family, flags, body });
    return answers.map((answer) => new Attributes(answer.body, GENL_HEADER_BYTES));
  } catch (error) {
    if (error instanceof SystemError && error.errno === ERRNO.EOPNOTSUPP) return undefined;
    throw error;
  }
};

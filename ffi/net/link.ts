/**
 * Links of a network namespace, asked for by name or index, or all of them.
 *
 * Never from /sys/class/net, which shows the namespace of the mount, not that of the thread.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import { RTM, encodeLinkQuery, parseLink, type Link } from "./link-message.ts";
import { NLM_F } from "./message.ts";
import { NetlinkSocket } from "./netlink.ts";

export type { Link, OperState, XdpMode, XdpProgram } from "./link-message.ts";

/** Runs `use` on the given socket, or on one that lives only for the call. */
const withSocket = <T>(given: NetlinkSocket | undefined, use: (socket: NetlinkSocket) => T): T => {
  if (given !== undefined) return use(given);
  using socket = new NetlinkSocket();
  return use(socket);
};

/**
 * The link of this name or index in the thread's network namespace, or in that of `socket`.
 * Throws SystemError (ENODEV) where there is none; RangeError for what can be no name or index.
 */
export const getLink = (which: string | number, socket?: NetlinkSocket): Link =>
  withSocket(socket, (on) => {
    const operation = `find interface ${typeof which === "number" ? `with index ${which}` : JSON.stringify(which)}`;
    const answer = on.request({
      operation,
      type: RTM.GETLINK,
      body: encodeLinkQuery(which),
      remedies: {
        [ERRNO.ENODEV]:
          "no such interface in this network namespace; `ip link` lists those that are, `ip netns` other namespaces",
      },
    });
    const link = answer.map(parseLink).find((each) => each !== undefined);
    if (link === undefined) {
      throw new SystemError({
        operation,
        errno: ERRNO.EPROTO,
        remedy: "the kernel acknowledged without an answer",
      });
    }
    return link;
  });

/** Every link of the thread's network namespace, or of that of `socket`. */
export const listLinks = (socket?: NetlinkSocket): Link[] =>
  withSocket(socket, (on) =>
    on
      .request({
        operation: "list interfaces",
        type: RTM.GETLINK,
        flags: NLM_F.DUMP,
        body: encodeLinkQuery(),
      })
      .map(parseLink)
      .filter((link) => link !== undefined),
  );

/**
 * The other end of a veth, wherever it lives: its link and its driver's facts, if its namespace can be found.
 *
 * The kernel tells the peer's index and an id for its namespace, but no way there: the namespaces that have a file are
 * asked for their id until one fits. Source: include/uapi/linux/net_namespace.h, rtnetlink.h.
 */
import { closeSync, openSync, readdirSync } from "node:fs";
import { ERRNO, SystemError } from "../sys/errno.ts";
import { ethtoolFacts, type EthtoolFacts } from "./ethtool.ts";
import { getLink, type Link } from "./link.ts";
import { Attributes, concatenate, encodeAttributeU32 } from "./message.ts";
import { inNamespace, namedNamespaces, namespacePath } from "./namespace.ts";
import { NetlinkSocket } from "./netlink.ts";

const RTM_GETNSID = 90;
/** struct rtgenmsg, one byte, aligned. */
const RTGEN_BYTES = 4;
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
/** A machine with more named namespaces than this runs containers, whose peers are of no interest here. */
const MAX_NAMED = 1024;
/** Threads of this process that may still be where this one came from. */
const MAX_THREADS = 8;

/** A veth's other end. */
export interface Peer {
  readonly link: Link;
  readonly ethtool: EthtoolFacts;
  /** File of its namespace; undefined where it is the link's own. */
  readonly namespace: string | undefined;
}

/** Files of namespaces in which a peer may be: the named ones, the machine's, and those of this process's threads. */
const candidates = (): string[] => [
  ...namedNamespaces().slice(0, MAX_NAMED).map(namespacePath),
  "/proc/1/ns/net",
  ...readdirSync("/proc/self/task")
    .slice(0, MAX_THREADS)
    .map((task) => `/proc/self/task/${task}/ns/net`),
];

/** The id that the thread's namespace has for the one of this file; undefined where it has none, or the file is none. */
const namespaceId = (socket: NetlinkSocket, path: string): number | undefined => {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    // Removed since it was listed, or not ours to open: not the one that is looked for.
    return undefined;
  }
  try {
    const [answer] = socket.request({
      operation: `ask for the id of network namespace ${path}`,
      type: RTM_GETNSID,
      body: concatenate([new Uint8Array(RTGEN_BYTES), encodeAttributeU32(NETNSA_FD, fd)]),
    });
    return answer === undefined ? undefined : new Attributes(answer.body, RTGEN_BYTES).i32(NETNSA_NSID);
  } catch (error) {
    // EINVAL: a file that is no namespace, left in the folder by one that is gone.
    if (error instanceof SystemError && error.errno === ERRNO.EINVAL) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
};

const findNamespace = (id: number): string | undefined => {
  using socket = new NetlinkSocket();
  return candidates().find((path) => namespaceId(socket, path) === id);
};

/** The other end of `link`, a veth of the thread's namespace; undefined for other kinds, and where it cannot be reached. */
export const peerOf = (link: Link): Peer | undefined => {
  if (link.kind !== "veth" || link.lowerIndex === 0) return undefined;
  const id = link.lowerNamespaceId;
  const namespace = id === undefined ? undefined : findNamespace(id);
  if (id !== undefined && namespace === undefined) return undefined;
  try {
    return inNamespace(namespace, () => {
      const peer = getLink(link.lowerIndex);
      return { link: peer, ethtool: ethtoolFacts(peer.name), namespace };
    });
  } catch (error) {
    // Deleted meanwhile, or a namespace that this process may not enter.
    if (error instanceof SystemError && [ERRNO.ENODEV, ERRNO.EPERM].some((code) => code === error.errno))
      return undefined;
    throw error;
  }
};

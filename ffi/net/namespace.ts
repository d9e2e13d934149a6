/**
 * Work in another network namespace: this thread enters it, a synchronous function runs, and the thread returns.
 *
 * Descriptors opened inside (sockets above all) stay in that namespace for life, so entering is only needed to open them.
 * The mount namespace is not changed, which keeps /sys/fs/bpf visible. Source: setns(2), network_namespaces(7).
 */
import { readdirSync } from "node:fs";
import { ERRNO, SystemError, errno } from "../sys/errno.ts";
import { cString, close, open, setns } from "../sys/libc.ts";

/** include/uapi/asm-generic/fcntl.h, include/uapi/linux/sched.h. */
const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/** Where iproute2 keeps named namespaces. */
export const NAMED_NAMESPACES = "/run/netns";
/** Of the thread that asks, not of the process: they differ while another thread is inside `inNamespace`. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";
/** Names that an error lists; a machine with more has a tool to list them. */
const MAX_LISTED = 8;

/** The names that `ip netns list` shows, in no order. */
export const namedNamespaces = (): string[] => {
  try {
    return readdirSync(NAMED_NAMESPACES);
  } catch {
    // The folder exists from the first named namespace on.
    return [];
  }
};

/** The file of a namespace given as a name (`ip netns`) or as a path (`/proc/PID/ns/net`). */
export const namespacePath = (nameOrPath: string): string => {
  if (typeof nameOrPath !== "string" || nameOrPath === "" || nameOrPath.includes("\0")) {
    throw new TypeError(`a network namespace is a name or a path, not ${JSON.stringify(nameOrPath)}`);
  }
  if (nameOrPath === "." || nameOrPath === "..")
    throw new TypeError(`not a network namespace: "${nameOrPath}"`);
  return nameOrPath.includes("/") ? nameOrPath : `${NAMED_NAMESPACES}/${nameOrPath}`;
};

const openFile = (path: string): number => open(cString(path), O_RDONLY | O_CLOEXEC, 0);

const openTarget = (nameOrPath: string): number => {
  const path = namespacePath(nameOrPath);
  const fd = openFile(path);
  if (fd >= 0) return fd;
  const code = errno();
  throw new SystemError({
    operation: `enter network namespace "${nameOrPath}"`,
    operands: { path },
    errno: code,
    remedy:
      code === ERRNO.ENOENT ? missingRemedy() : "open its file failed; check the path and its permissions",
  });
};

const missingRemedy = (): string => {
  const names = namedNamespaces().sort();
  if (names.length === 0)
    return "there is none of that name, nor any named one; `ip netns add NAME` makes one";
  const listed = names.slice(0, MAX_LISTED).join(", ");
  return `there is none of that name; \`ip netns list\` has ${listed}${names.length > MAX_LISTED ? ", ..." : ""}`;
};

const ENTER_REMEDIES: Readonly<Record<number, string>> = {
  [ERRNO.EINVAL]:
    "that file is not a network namespace; a name left over from one that is gone is removed by `ip netns del`",
  [ERRNO.EPERM]:
    "needs CAP_SYS_ADMIN, in this user namespace and in that of the network namespace; run as root",
};

/** Runs `use` on this thread's own namespace file and on that of the target. Closes both. */
const withFiles = <T>(nameOrPath: string, use: (own: number, target: number) => T): T => {
  const own = openFile(OWN_NAMESPACE);
  if (own < 0) {
    throw new SystemError({
      operation: `enter network namespace "${nameOrPath}"`,
      operands: { path: OWN_NAMESPACE },
      errno: errno(),
      remedy: "the way back cannot be opened; is /proc mounted?",
    });
  }
  try {
    const target = openTarget(nameOrPath);
    try {
      return use(own, target);
    } finally {
      close(target);
    }
  } finally {
    close(own);
  }
};

/**
 * Runs `work` with this thread in the namespace given by name (`ip netns`) or path, and returns what it returns. The thread
 * is back where it was afterwards, also when `work` throws. `undefined` runs it right here.
 *
 * Throws SystemError where the namespace cannot be entered; where the way back fails too, which leaves the thread in a
 * place that nobody expects: end the process then. Throws TypeError if `work` returns a promise, because what it awaits
 * would run outside.
 */
export const inNamespace = <T>(nameOrPath: string | undefined, work: () => T): T => {
  if (typeof work !== "function") throw new TypeError("inNamespace needs a function");
  if (nameOrPath === undefined) return work();
  const result = withFiles(nameOrPath, (own, target) => {
    if (setns(target, CLONE_NEWNET) < 0) {
      const code = errno();
      throw new SystemError({
        operation: `enter network namespace "${nameOrPath}"`,
        errno: code,
        remedy: ENTER_REMEDIES[code] ?? "setns(2) says when this happens",
      });
    }
    let failure: unknown;
    try {
      return work();
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      if (setns(own, CLONE_NEWNET) < 0) throw stranded(nameOrPath, errno(), failure);
    }
  });
  if (isPromise(result)) {
    throw new TypeError(
      "inNamespace runs synchronous functions: what a promise awaits would run in another namespace",
    );
  }
  return result;
};

const stranded = (nameOrPath: string, code: number, cause: unknown): SystemError =>
  new SystemError({
    operation: `return from network namespace "${nameOrPath}"`,
    errno: code,
    remedy: "this thread is left in the wrong network namespace; end the process",
    cause,
  });

const isPromise = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";

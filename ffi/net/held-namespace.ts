/**
 * A network namespace held open, to open sockets in it at any later time, wherever the thread is by then.
 *
 * Its file outlives its name: what `ip netns del` removed, and what took the name afterwards, make no difference.
 */
import { readlinkSync } from "node:fs";
import { ERRNO, SystemError, errno } from "../sys/errno.ts";
import { close, cString, open } from "../sys/libc.ts";
import { inNamespace, namespacePath } from "./namespace.ts";

/** include/uapi/asm-generic/fcntl.h. */
const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;
/** Of the thread that asks. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** Close it: it holds a file descriptor. */
export class HeldNamespace {
  #fd: number;

  /** By name (`ip netns`) or path; this thread's own where none is given. Throws SystemError. */
  constructor(nameOrPath: string | undefined) {
    const path = nameOrPath === undefined ? OWN_NAMESPACE : namespacePath(nameOrPath);
    this.#fd = open(cString(path), O_RDONLY | O_CLOEXEC, 0);
    if (this.#fd >= 0) return;
    const code = errno();
    throw new SystemError({
      operation: `open network namespace "${nameOrPath ?? path}"`,
      operands: { path },
      errno: code,
      remedy:
        code === ERRNO.ENOENT
          ? "there is none of that name; `ip netns list` shows those that are"
          : "check the path and its permissions",
    });
  }

  /** Runs `work` in it, and returns what that returns; the thread is then back where it was. Throws like `inNamespace`. */
  run<T>(work: () => T): T {
    const path = `/proc/self/fd/${this.#fd}`;
    // Whoever is there already needs no privilege to stay.
    return inNamespace(readlinkSync(path) === readlinkSync(OWN_NAMESPACE) ? undefined : path, work);
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd < 0) return;
    close(this.#fd);
    this.#fd = -1;
  }
}

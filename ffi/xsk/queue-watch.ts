/**
 * Whether the driver has let go of a queue, asked of the kernel by a bind that is meant to fail.
 *
 * A queue has one buffer pool. It leaves the device only after the driver has given it up (xp_clear_dev calls the driver
 * first), and as long as it is there a bind is refused with EBUSY before anything is touched (xp_assign_dev, both in
 * net/xdp/xsk_buff_pool.c). So a tiny socket in copy mode, which no driver hears of, tells by its errno. One that binds
 * holds the queue for a grace period of its own: whoever wants it meanwhile waits out EBUSY, as `attach` does.
 */
import { statSync } from "node:fs";
import * as abi from "../sys/abi.ts";
import { ERRNO, SystemError } from "../sys/errno.ts";
import type { LetGo } from "./departed.ts";
import { type BindTarget, closeRaw, openRaw, type RawSocket, tryBind } from "./setup.ts";
import { Umem } from "./umem.ts";

/** The least that a bind takes: a page of chunks and rings of one entry. */
const CHUNKS = 1;
const RINGS = { rx: 1, tx: 0, fill: 1, completion: 1 } as const;
/** The socket brings a umem of its own. */
const NO_SHARED_FD = -1;
/**
 * An interface that is not found any more may still be taken apart: the kernel hides it first and then waits for the pool to
 * be cleared (netdev_run_todo). What is left then is one work item that wants the rtnl lock.
 */
const GONE_MS = 1000;

/** Of the thread, which is inside the interface's namespace when a watch is made. */
const PRESENT_NAMESPACE = "/proc/thread-self/ns/net";

/** Interfaces of different namespaces have the same numbers. */
const keyOf = (target: BindTarget): string =>
  `${statSync(PRESENT_NAMESPACE).ino} ${target.ifindex} ${target.queue}`;

const watches = new Set<QueueWatch>();

/**
 * Says that a socket of this process is bound to a queue now: whatever was there before has let go, and from now on a watch
 * could not see that. Call it in the interface's namespace.
 */
export const queueTaken = (target: BindTarget): void => {
  if (watches.size === 0) return;
  const key = keyOf(target);
  for (const watch of watches) if (watch.key === key) watch.taken();
};

/** Watches one queue whose socket has been closed; to be made in the interface's namespace. */
export class QueueWatch implements LetGo {
  readonly name: string;
  readonly key: string;
  readonly #target: BindTarget;
  readonly #umem: Umem;
  /** Undefined where the kernel gave none: then nothing is known until this process has the queue again. */
  readonly #raw: RawSocket | undefined;
  #goneSinceMs: number | undefined;
  #free = false;
  #open = true;

  constructor(target: BindTarget) {
    this.name = `"${target.interface}" queue ${target.queue}`;
    this.key = keyOf(target);
    this.#target = target;
    this.#umem = new Umem({ chunks: CHUNKS });
    this.#raw = this.#openSocket();
    watches.add(this);
  }

  look(): boolean {
    if (!this.#free && this.#open) this.#free = this.#ask();
    return this.#free;
  }

  taken(): void {
    this.#free = true;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    watches.delete(this);
    if (this.#raw !== undefined) closeRaw(this.#raw);
    this.#umem.close();
  }

  #openSocket(): RawSocket | undefined {
    try {
      return openRaw(this.#umem, RINGS);
    } catch (error) {
      if (error instanceof SystemError) return undefined;
      throw error;
    }
  }

  #ask(): boolean {
    if (this.#raw === undefined) return false;
    const code = tryBind(this.#raw.fd, this.#target, abi.XDP_COPY, NO_SHARED_FD);
    if (code === ERRNO.ENODEV) {
      const nowMs = performance.now();
      this.#goneSinceMs ??= nowMs;
      return nowMs - this.#goneSinceMs >= GONE_MS;
    }
    this.#goneSinceMs = undefined;
    // EINVAL: the device has no such queue any more, which the kernel refuses to take away while a pool is there.
    return code === 0 || code === ERRNO.EINVAL;
  }
}

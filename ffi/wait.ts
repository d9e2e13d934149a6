/**
 * Giving way and sleeping: how a loop shares its thread with Bun, and waits without burning the processor.
 *
 * A sleep is one `ppoll` over the loop's descriptors and Bun's own epoll descriptor, so that frames, link events,
 * fetches, servers and child processes all end it. Timers of the runtime are not descriptors: they can be late by
 * the length of one sleep, which is why the loop caps it. Where Bun's descriptor is not found, each sleep is short
 * instead, so that Bun's own work is late by that much and no more.
 */
import { readdirSync, readlinkSync } from "node:fs";
import {
  POLLFD_BYTES,
  POLLFD_EVENTS,
  POLLFD_FD,
  POLLFD_REVENTS,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  TIMESPEC_BYTES,
  TIMESPEC_NSEC,
  TIMESPEC_SEC,
} from "./sys/abi.ts";
import { ppoll, word } from "./sys/libc.ts";
import { struct, type Struct } from "./sys/memory.ts";

/** Longest sleep where the runtime's own work cannot end it: it is late by so much, at a cost of about 4 % of a core. */
const BLIND_NAP_MS = 1;
/** "For ever" has to be some number: an hour is one that the structure holds. */
const LONGEST_NAP_MS = 3_600_000;
const MS_PER_S = 1000;
const NS_PER_MS = 1e6;
/** What a descriptor reports for ever once it has failed. */
const DEAD = POLLERR | POLLHUP | POLLNVAL;

/**
 * The epoll descriptor that Bun's event loop of the main thread waits on, or -1. It is the first that the process
 * makes; a Worker has one of its own that cannot be told from the others, so there the answer is -1.
 */
export const findEventLoopFd = (): number => {
  if (!Bun.isMainThread) return -1;
  const descriptors = readdirSync("/proc/self/fd").map(Number);
  for (const fd of descriptors.sort((a, b) => a - b)) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]") return fd;
    } catch {
      // Closed since the folder was read (the one that read it, for instance).
    }
  }
  return -1;
};

/** Waits with ppoll. Structurally the seam's `Waiter`. */
export class PollWaiter {
  readonly #eventLoopFd: number;
  readonly #timeout: Struct = struct(TIMESPEC_BYTES);
  #polled: Struct = struct(POLLFD_BYTES);
  #count = 0;

  /** `eventLoopFd: -1` chooses the fallback. */
  constructor(options: { readonly eventLoopFd?: number } = {}) {
    this.#eventLoopFd = options.eventLoopFd ?? findEventLoopFd();
    this.watch([]);
  }

  /** True where Bun's own work ends a sleep. */
  get seesRuntime(): boolean {
    return this.#eventLoopFd >= 0;
  }

  watch(fds: readonly number[]): void {
    const all = this.#eventLoopFd >= 0 ? [...fds, this.#eventLoopFd] : [...fds];
    this.#polled = struct(Math.max(1, all.length) * POLLFD_BYTES);
    this.#count = all.length;
    all.forEach((fd, i) => {
      const at = i * POLLFD_BYTES;
      this.#polled.view.setInt32(at + POLLFD_FD, fd, true);
      // POLLOUT is left out: a transmit ring is writable nearly always, and asking would turn a sleep into a spin.
      this.#polled.view.setInt16(at + POLLFD_EVENTS, POLLIN, true);
    });
  }

  yield(turn: () => void): void {
    setImmediate(turn);
  }

  sleep(timeoutMs: number): void {
    const cappedMs = Math.min(timeoutMs, this.seesRuntime ? LONGEST_NAP_MS : BLIND_NAP_MS);
    if (!(cappedMs > 0)) return;
    const seconds = Math.floor(cappedMs / MS_PER_S);
    this.#timeout.view.setUint32(TIMESPEC_SEC, seconds, true);
    this.#timeout.view.setUint32(
      TIMESPEC_NSEC,
      Math.floor((cappedMs - seconds * MS_PER_S) * NS_PER_MS),
      true,
    );
    const ready = ppoll(this.#polled.bytes, word(this.#count), this.#timeout.bytes, null);
    if (ready > 0) this.#leaveOutTheDead();
  }

  close(): void {
    this.watch([]);
  }

  /** A descriptor that reports an error does so for ever; left in, it would end every sleep at once. */
  #leaveOutTheDead(): void {
    const { view } = this.#polled;
    for (let i = 0; i < this.#count; i++) {
      const at = i * POLLFD_BYTES;
      if ((view.getInt16(at + POLLFD_REVENTS, true) & DEAD) === 0) continue;
      // A negative descriptor is one that ppoll skips (POSIX).
      view.setInt32(at + POLLFD_FD, -1, true);
    }
  }
}

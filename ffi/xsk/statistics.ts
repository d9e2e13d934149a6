/**
 * The counters of one socket: the kernel's own and ours, so that every packet that did not arrive has a reason.
 */
import type { XdpStatistics } from "./setup.ts";

/** Counters of one socket, in packets or chunks as named. */
export interface SocketStatistics extends XdpStatistics {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Sends refused because the tx ring was full. */
  readonly txFull: number;
  /** Packets that the kernel took and then dropped: sendto said EBUSY. */
  readonly txDropped: number;
  /** Kicks that found the link down, and kicks that found no memory for a copy. */
  readonly txLinkDown: number;
  readonly txNoBuffers: number;
  /** Descriptors whose address, length or owner was wrong when they came from the kernel. */
  readonly rxForged: number;
  readonly completionForged: number;
  /** Packets handed back to the kernel's stack, and those it did not take. */
  readonly passed: number;
  readonly passFailed: number;
  /** Refills that found the pool empty. */
  readonly poolEmpty: number;
  /** System calls made to wake the kernel, for sending and for receiving. */
  readonly txWakeups: number;
  readonly rxWakeups: number;
}

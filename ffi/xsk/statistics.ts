/**
 * The counters of one socket: the kernel's own and ours, so that every packet that did not arrive has a reason.
 */
import type { XdpStatistics } from "./setup.ts";

/** What this side counts, in packets unless the name or the comment says otherwise. */
export interface SocketCounters {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  /** Sends refused because the tx ring was full. */
  txFull: number;
  /** Packets that the kernel took and then dropped: sendto said EBUSY. */
  txDropped: number;
  /** Kicks that found the link down. */
  txLinkDown: number;
  /** Kicks that found no memory for a copy. */
  txNoBuffers: number;
  /** Descriptors whose address, length or owner was wrong when they came from the kernel. */
  rxForged: number;
  /** Completed addresses that were not in transmission. */
  completionForged: number;
  /** Handed back to the kernel's stack. */
  passed: number;
  /** Those that the kernel's stack did not take. */
  passFailed: number;
  /** Refills that found the pool empty. */
  poolEmpty: number;
  /** System calls made to wake the kernel for sending. */
  txWakeups: number;
  /** System calls made to wake the kernel for receiving. */
  rxWakeups: number;
}

/** All counters of one socket. */
export type SocketStatistics = XdpStatistics & Readonly<SocketCounters>;

export const freshCounters = (): SocketCounters => ({
  rxPackets: 0,
  rxBytes: 0,
  txPackets: 0,
  txBytes: 0,
  txFull: 0,
  txDropped: 0,
  txLinkDown: 0,
  txNoBuffers: 0,
  rxForged: 0,
  completionForged: 0,
  passed: 0,
  passFailed: 0,
  poolEmpty: 0,
  txWakeups: 0,
  rxWakeups: 0,
});

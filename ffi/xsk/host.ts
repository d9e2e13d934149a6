/**
 * What a socket is connected with: the columns that it fills, and the device that it reports to.
 */

/** Columns that `receive` fills; structurally the seam's burst. */
export interface BurstColumns {
  readonly address: Int32Array;
  readonly length: Int32Array;
  readonly more: Uint8Array;
  readonly capacity: number;
}

/** What a socket needs from the device that it belongs to. */
export interface SocketHost {
  /** Copies a packet into the kernel's own receive path. */
  pass(queue: number, at: number, lengthBytes: number): boolean;
  /** Something is wrong with this queue that counters alone would hide. */
  stalled(queue: number, reason: string): void;
  /** Frames of a queue that was reported as stalled complete again. */
  recovered(queue: number): void;
  /** The interface has gone from under the socket. */
  unbound(reason: string): void;
}

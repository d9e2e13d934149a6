/** What the driver offered to an emulated virtio card: the buffers in its queues, as the emulator sees them. */
import { monitor } from "./monitor.ts";

/** virtio 1.2, 5.1.2: receive queue n is virtqueue 2n, transmit queue n is 2n + 1. */
export const rxVirtqueue = (queue: number): number => 2 * queue;
export const txVirtqueue = (queue: number): number => 2 * queue + 1;

/** struct virtio_net_hdr_v1 (include/uapi/linux/virtio_net.h): it precedes each frame. */
export const VIRTIO_HEADER_BYTES = 12;

/** A buffer: its physical address and length in bytes, and whether the card writes it. */
export interface Buffer {
  readonly physical: number;
  readonly lengthBytes: number;
  readonly writable: boolean;
}

const path = (card: string): string => `/machine/peripheral/${card}/virtio-backend`;

/** The place in the queue that the card takes next, counted from the start of the queue's life. */
export const nextTaken = (card: string, queue: number): number => {
  const status = monitor(`info virtio-queue-status ${path(card)} ${queue}`);
  const found = /last_avail_idx:\s+(\d+)/.exec(status)?.[1];
  if (found === undefined) throw new Error(`no status of ${card} queue ${queue}: ${status}`);
  return Number(found);
};

/** The buffers of the element at a place of the queue, in the order of their chain. */
export const element = (card: string, queue: number, place: number): Buffer[] => {
  const text = monitor(`info virtio-queue-element ${path(card)} ${queue} ${place}`);
  const buffers = [...text.matchAll(/addr (0x[0-9a-f]+) len (\d+)(?: \(([^)]*)\))?/g)].map((match) => ({
    physical: Number(match[1]),
    lengthBytes: Number(match[2]),
    writable: match[3]?.includes("write") === true,
  }));
  if (buffers.length === 0) throw new Error(`${card} queue ${queue} has no element ${place}: ${text}`);
  // The emulator lists a chain from its end.
  return buffers.reverse();
};

/** Two AF_XDP devices at the ends of a veth pair, and the sending of numbered packets between them. */
import { attach, type AttachOptions, type Loop, Transmitter, type XdpDevice } from "../../index.ts";
import type { Lab, Side } from "./lab.ts";
import { numbered } from "./stream.ts";

/** Attaches one end of the lab's first pair; copy mode, because that is all that veth has. */
export const openEnd = (lab: Lab, side: Side & ("a" | "b"), options: AttachOptions = {}): XdpDevice =>
  attach(lab[side].name, { namespace: lab.namespace(side), bind: "copy", ...options });

export const SMALL_BYTES = 60;

/** Queues packets `first` to `first + count - 1` on the device's first queue and wakes the kernel; throws if one is refused. */
export const sendNumbered = (
  device: XdpDevice,
  count: number,
  first = 0,
  lengthBytes = SMALL_BYTES,
): void => {
  const queue = device.queues[0]!;
  const transmitter = new Transmitter(queue);
  for (let n = first; n < first + count; n++) {
    if (!transmitter.sendBytes(numbered(n, lengthBytes))) throw new Error(`packet ${n} was refused`);
  }
  queue.flush();
};

const QUIET_LIMIT_MS = 10_000;

/**
 * Turns a loop until nothing has happened for so many turns in a row: what was on the wire has arrived by then.
 * Throws where it never becomes quiet.
 */
export const turnUntilQuiet = (loop: Loop, quietTurns = 20_000): void => {
  const end = performance.now() + QUIET_LIMIT_MS;
  for (let quiet = 0; quiet < quietTurns; quiet++) {
    if (loop.turn()) quiet = 0;
    if (performance.now() > end) throw new Error(`the loop did not become quiet in ${QUIET_LIMIT_MS} ms`);
  }
};

/**
 * Sends prebuilt frames as fast as the kernel takes them.
 */
import { Transmitter } from "../../index.ts";
import { ATTACH, attachSide, frameBytes, readOptions, ready, result, Window } from "./side.ts";

/** Bursts between two looks at the clock, when the runtime gets its turn too. */
const BURSTS_PER_LOOK = 64;

const options = readOptions();
// It only sends, so that all chunks are for sending, as in the C program.
using device = attachSide(options, 0, { ...ATTACH, claim: [], rings: { rx: 0 } });
const { umem } = device;
const [queue] = device.queues;
if (queue === undefined) throw new Error("the device has no queue");

// Every chunk holds the frame already, where the transmitter will put it.
const packet = frameBytes(options.packet);
const chunks = Array.from({ length: umem.available }, () => umem.take());
for (const at of chunks) {
  umem.bytes.set(packet, at);
  umem.release(at);
}

const transmitter = new Transmitter(queue);
const window = new Window(options);
const prebuilt = (): void => undefined;
let sent = 0;
let stopped = false;
process.on("SIGTERM", () => (stopped = true));

const sendBurst = (): void => {
  for (let i = 0; i < options.burst && transmitter.send(options.packet, prebuilt); i++) sent += 1;
  queue.flush();
};

ready();
while (!stopped && window.step(sent)) {
  for (let i = 0; i < BURSTS_PER_LOOK; i++) sendBurst();
  await new Promise(setImmediate);
}
result("tx", { packets: window.packets, pps: window.pps });

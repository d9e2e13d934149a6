/**
 * Forwards between two devices over one umem: the chunk that one received is the chunk that the other sends.
 */
import { Loop, Umem } from "../../index.ts";
import { ATTACH, attachSide, CHUNKS, LOOK_EVERY_MS, readOptions, ready, result, Window } from "./side.ts";

const options = readOptions();
const { chunks: _, chunkBytes, ...shared } = ATTACH;
using umem = new Umem({ chunks: CHUNKS, chunkBytes });
using first = attachSide(options, 0, { ...shared, umem });
using second = attachSide(options, 1, { ...shared, umem });
const loop = new Loop({ mode: "spin", burst: options.burst });
const window = new Window(options);
let forwarded = 0;
loop.receive(first, (frame) => {
  if (frame.forward(second)) forwarded += 1;
});
loop.receive(second, (frame) => {
  if (frame.forward(first)) forwarded += 1;
});
loop.every(LOOK_EVERY_MS, () => {
  if (!window.step(forwarded)) loop.stop();
});
loop.signal("SIGTERM", () => loop.stop());
ready();
await loop.run();
result("forward", { packets: window.packets, pps: window.pps });
loop.close();

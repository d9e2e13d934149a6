/**
 * How long it takes from the call of attach() to the first frame in a handler, in a process that has done neither before.
 */
import { attach, Loop } from "../../index.ts";
import { ATTACH, interfaceOf, readOptions, ready, result } from "./side.ts";

const options = readOptions();
const loop = new Loop({ mode: "spin", burst: options.burst });
ready();
const called = performance.now();
using device = attach(interfaceOf(options), ATTACH);
const attached = performance.now();
let first = 0;
loop.receive(device, () => {
  if (first === 0) first = performance.now();
  loop.stop();
});
loop.signal("SIGTERM", () => loop.stop());
await loop.run();
result("attach_first", { ms: first - called, attachMs: attached - called });
loop.close();

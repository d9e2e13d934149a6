/**
 * A program to be killed: attaches, claims everything, sends each frame back, and keeps some of them.
 *
 * `bun run tests/support/reflector.ts INTERFACE NAMESPACE '{"xdp":"native"}'` (options of attach); says "ready" once frames are its own.
 */
import { attach, type AttachOptions, Loop } from "../../index.ts";
import type { Lease } from "../../stack/device/frame.ts";

const [name = "", namespace = "", options = "{}"] = process.argv.slice(2);
/** Frames held back at any moment, so that a kill finds every kind of owner. */
const KEPT = 32;
const KEEP_EVERY = 7;

const device = attach(name, { namespace, ...(JSON.parse(options) as AttachOptions) });
const loop = new Loop();
const kept: Lease[] = [];
let seen = 0;
loop.receive(device, (frame) => {
  seen += 1;
  if (seen % KEEP_EVERY !== 0) return void frame.send();
  kept.push(frame.keep());
  if (kept.length > KEPT) kept.shift()!.send();
});
console.log("ready");
await loop.run();

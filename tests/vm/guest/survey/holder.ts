/** A program to be killed: attaches, claims everything, says so, and holds on. `holder.ts INTERFACE NAMESPACE native|generic` */
import { attach, Loop } from "../../../../index.ts";

const [name = "", namespace = "", xdp = "native"] = process.argv.slice(2);
const device = attach(name, { namespace, xdp: xdp === "generic" ? "generic" : "native" });
const loop = new Loop();
loop.receive(device, (frame) => void frame.send());
console.log("ready");
await loop.run();

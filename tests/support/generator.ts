/**
 * A program that sends: numbered packets at a steady rate until its standard input ends, then its accounts, as JSON.
 *
 * `bun run tests/support/generator.ts INTERFACE NAMESPACE PACKETS_PER_MS ['{...}']` with options of attach. It claims nothing: the kernel keeps its traffic.
 */
import { attach, type AttachOptions, Loop } from "../../index.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { numbered, settleAccounts } from "./stream.ts";

const [name = "", namespace = "", rate = "20", options = "{}"] = process.argv.slice(2);
const perMs = Number(rate);
const packet = numbered(0, 200);

using device = attach(name, { namespace, ...(JSON.parse(options) as AttachOptions), claim: [] });
const loop = new Loop();
const sender = new Transmitter(device.queues[0]!);
loop.add(device);
loop.every(1, () => {
  for (let n = 0; n < perMs; n++) sender.sendBytes(packet);
});
void (async () => {
  for await (const _ of Bun.stdin.stream());
  loop.stop();
})();
console.log("ready");
await loop.run();
settleAccounts(device);
console.log(JSON.stringify({ sent: device.statistics().txPackets, accounts: device.umem.accounts() }));

/**
 * A program that receives copies over two paths for a while, or sends them: `bun run multipath-steady.ts header|key|feed|send
 * COPIES`. Run it with BUN_JSC_logGC=1; the marks on stderr say which collections were in the steady state. Prints how many
 * datagrams were handed on, or sent over both.
 */
import { FeedArbiter } from "../../stack/multipath/feed-arbiter.ts";
import { SEQUENCE, writeHeader } from "../../stack/multipath/copy-header.ts";
import { redundant } from "../../stack/multipath/redundant.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import { udpFrame } from "./host-frames.ts";
import { HostLab } from "./host-lab.ts";

const MARK_WARM = "mark: warm";
const MARK_END = "mark: end";

const PORT = 53;
const GROUP = "239.1.2.3";
const WARM_COPIES = 200_000;
const BURST = 64;
const TURN_MS = 0.01;
/** Ethernet, IPv4 and UDP without options. */
const PAYLOAD_AT = 14 + 20 + 8;

const [mode = "header", copies = "1000000"] = process.argv.slice(2);
const lab = new HostLab();
const host = lab.host();
const paths = [0, 1].map((i) => {
  const [near, far] = lab.link({ names: [`near${i}`, `far${i}`] });
  host.join(near, { addresses: ["10.0.0.2/24"], linkLocal: false, dad: false });
  return { device: far, queue: far.queues[0]!, transmitter: new Transmitter(far.queues[0]!) };
});
const names = host.interfaces.map(({ name }) => name);
let handed = 0;

const number = (view: DataView, at: number): number => view.getUint32(at + SEQUENCE);
const receive = (): void => {
  if (mode === "feed") {
    const feed = new FeedArbiter(lab.loop, { sequence: number }, () => void (handed += 1));
    for (const name of names) feed.join(host, { group: GROUP, port: PORT, interface: name });
    return;
  }
  const options = mode === "key" ? { key: number } : {};
  redundant(host, { port: PORT, ...options }, () => void (handed += 1));
};

const group = IpAddress.parse(GROUP);
const toGroup = mode === "feed" ? { to: group, toMac: multicastMac(group) } : {};
const frame = udpFrame(new Uint8Array(64), { port: PORT, checksum: "none", ...toGroup });
const view = new DataView(frame.buffer);
let sequence = 0;

/** A burst over both paths, which nobody wants at the other end. */
const sender =
  mode === "send" ? redundant(host, { remote: { address: GROUP, port: PORT } }, () => {}) : undefined;
if (sender !== undefined) for (const { device } of paths) lab.loop.receive(device, () => {});
const payload = new Uint8Array(64);
const runSending = (count: number): void => {
  for (let done = 0; done < count; done += 2 * BURST) {
    for (let i = 0; i < BURST; i++) if (sender!.send(payload) === 2) handed += 1;
    for (let turn = 0; turn < 2; turn++) {
      lab.clock.advance(TURN_MS);
      lab.loop.turn(lab.clock.nowMs());
    }
  }
};

/** Bursts of the same numbers over one path and then over the other. */
const runReceiving = (count: number): void => {
  for (let done = 0; done < count; done += 2 * BURST) {
    for (const { queue, transmitter } of paths) {
      for (let i = 0; i < BURST; i++) {
        writeHeader(view, PAYLOAD_AT, 1, 2, sequence + i);
        transmitter.sendBytes(frame);
      }
      queue.flush();
    }
    sequence += BURST;
    lab.clock.advance(TURN_MS);
    lab.loop.turn(lab.clock.nowMs());
  }
};

const run = mode === "send" ? runSending : runReceiving;
if (mode !== "send") receive();
run(WARM_COPIES);
const before = handed;
console.error(MARK_WARM);
run(Number(copies));
console.error(MARK_END);
console.log(handed - before);
process.exit(0);

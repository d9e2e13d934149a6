/**
 * generate: sends packets of a template at a steady rate, each with a number in it.
 *
 *   bun run examples/generate.ts [IFACE] [--template udp|arp|raw] [--rate PPS|max] [--count N] [--size B] [--to IP] ...
 *
 * You should see the rate that was asked for, or with `--rate max` as much as the kernel takes. Each packet is written into the
 * umem, without an allocation, with right checksums and a number: 32 bits at the start of the payload, or in ARP at the end of
 * the hardware address that is asked for. In its own lab it sends to the other end, whose kernel counts them
 * (`ip -s link`).
 */
import { Loop, MacAddress, Transmitter, type XdpDevice } from "millrace";
import { ethernet } from "millrace/wire";
import { ipv4Of, peerMac, readIpv4, readMac } from "./support/address.ts";
import { bitRate, grouped, Meter, packetRate } from "./support/meter.ts";
import { NEAR, openPlace, type Place } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "./support/program.ts";
import { buildTemplate, MIN_FRAME_BYTES, type Template, TEMPLATES } from "./support/template.ts";

const USAGE = `usage: bun run examples/generate.ts [IFACE] [options]
  --template T  udp, arp or raw (ethertype 0x88b5); udp unless given
  --rate R      packets a second, or max; 10000 unless given
  --count N     end after N packets
  --size B      bytes of a frame without its check sequence, ${MIN_FRAME_BYTES} unless given
  --to IP       destination; 198.18.0.2 unless given (RFC 2544)
  --from IP     source; the interface's own unless given
  --to-mac M    destination; a veth's other end, else broadcast, unless given
  --port P      UDP source and destination port, 9000 unless given
  --answers     take UDP that comes back to the port, and count it
  --json        one line of JSON a second, and one at the end`;
const EVERY_MS = 1000;
const MS_PER_S = 1000;
/** Between two bursts: 100 us are ten packets at 100 kpps, and cost one system call for all of them. */
const BURST_EVERY_MS = 0.1;
/** A generator that was held up for longer than this does not make up for it. */
const MAX_DEBT_MS = 20;
const MAX_RATE = 100_000_000;
const MAX_PORT = 65_535;
/** The kernel has had everything for longer than this if it will send it at all. */
const DRAIN_MS = 1000;
const DRAIN_LOOK_MS = 1;
/** RFC 2544's networks for benchmarks. */
const BENCHMARK_FROM = "198.18.0.1";
const BENCHMARK_TO = "198.18.0.2";

const OPTIONS = {
  template: { type: "string", default: "udp" },
  rate: { type: "string", default: "10000" },
  count: { type: "string" },
  size: { type: "string", default: String(MIN_FRAME_BYTES) },
  to: { type: "string" },
  from: { type: "string" },
  "to-mac": { type: "string" },
  port: { type: "string", default: "9000" },
  answers: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Sends what is due by the clock, and no more than `count` in all. */
class Sender {
  readonly #transmitter: Transmitter;
  readonly #template: Template;
  readonly #rate: number;
  readonly #count: number;
  readonly #write = (frame: Parameters<Template["write"]>[0]): void => this.#template.write(frame, this.sent);
  #startMs: number;
  #startSent = 0;
  sent = 0;

  constructor(device: XdpDevice, template: Template, rate: number, count: number, nowMs: number) {
    this.#transmitter = new Transmitter(device.queues[0]!);
    this.#template = template;
    this.#rate = rate;
    this.#count = count;
    this.#startMs = nowMs;
  }

  get done(): boolean {
    return this.sent >= this.#count;
  }

  /** One burst. The loop flushes it at the end of its turn. */
  pump(nowMs: number): void {
    if (nowMs - this.#startMs - ((this.sent - this.#startSent) * MS_PER_S) / this.#rate > MAX_DEBT_MS) {
      this.#startMs = nowMs;
      this.#startSent = this.sent;
    }
    const due =
      this.#rate === Infinity
        ? this.#count
        : this.#startSent + Math.floor(((nowMs - this.#startMs) * this.#rate) / MS_PER_S);
    const end = Math.min(due, this.#count);
    const length = this.#template.bytes.length;
    while (this.sent < end && this.#transmitter.send(length, this.#write)) this.sent += 1;
  }
}

const readTemplate = (values: Values, place: Place, device: XdpDevice): Template => {
  const { lab } = place;
  const name = TEMPLATES.find((each) => each === values.template);
  if (name === undefined)
    throw new UsageError(`--template is ${TEMPLATES.join(", ")}, not "${values.template}"`);
  const port = wholeNumber("--port", values.port, 1, MAX_PORT);
  const size = wholeNumber("--size", values.size, 1, device.mtu + ethernet.HEADER_BYTES);
  const from = values.from ?? lab?.a.ipv4 ?? ipv4Of(device.name) ?? BENCHMARK_FROM;
  return buildTemplate(name, size, {
    fromMac: MacAddress.fromBytes(device.mac),
    toMac:
      values["to-mac"] === undefined
        ? peerMac(device.name, device.namespace)
        : readMac("--to-mac", values["to-mac"]),
    from: readIpv4("--from", from),
    to: readIpv4("--to", values.to ?? lab?.b.ipv4 ?? BENCHMARK_TO),
    fromPort: port,
    toPort: port,
  });
};

type Values = {
  readonly template: string;
  readonly size: string;
  readonly port: string;
  readonly to?: string | undefined;
  readonly from?: string | undefined;
  readonly "to-mac"?: string | undefined;
};

/** Turns until the kernel has given every frame back, so that the last ones are not cut off. */
const drain = async (loop: Loop, device: XdpDevice): Promise<void> => {
  const timer = loop.every(DRAIN_LOOK_MS, () => {
    if (!device.open || device.umem.accounts().tx === 0) loop.stop();
  });
  loop.after(DRAIN_MS, () => loop.stop());
  await loop.run();
  timer.cancel();
};

await program(USAGE, OPTIONS, async (values, interfaces) => {
  const rate = values.rate === "max" ? Infinity : wholeNumber("--rate", values.rate, 1, MAX_RATE);
  const count =
    values.count === undefined ? Infinity : wholeNumber("--count", values.count, 1, Number.MAX_SAFE_INTEGER);
  using place = openPlace(interfaces, NEAR);
  const claim = values.answers ? [{ udp: Number(values.port) }] : [];
  using device = place.attach(place.interfaces[0]!, { claim });
  const template = readTemplate(values, place, device);
  using loop = new Loop({ mode: rate === Infinity ? "spin" : "adaptive" });
  stopOnSignals(loop);
  const startMs = loop.now;
  const sender = new Sender(device, template, rate, count, startMs);
  let answers = 0;
  loop.receive(device, () => void (answers += 1));
  stopWhenGone(loop, device);
  const totals = () => ({ pps: device.statistics().txPackets, answersPps: answers });
  const meter = new Meter(loop.now, totals());
  const show = (pps: number, answersPps: number, done: boolean): void => {
    const { txPackets: packets, txDropped: dropped } = device.statistics();
    const size = template.bytes.length;
    if (values.json) {
      const back = values.answers ? { answers, answersPps } : {};
      print(JSON.stringify({ pps, packets, bytes: packets * size, dropped, ...back, done }));
      return;
    }
    const back = values.answers ? `   ${grouped(answers)} answers, ${packetRate(answersPps)}` : "";
    const label = done ? "average " : "";
    print(
      `${label}${packetRate(pps).padStart(10)}   ${bitRate(pps * size).padStart(12)}   ${grouped(packets)} sent${back}`,
    );
  };
  loop.every(EVERY_MS, () => {
    const rates = meter.rates(loop.now, totals());
    show(rates.pps, rates.answersPps, false);
  });
  const pump = loop.every(BURST_EVERY_MS, () => {
    sender.pump(loop.now);
    if (sender.done) loop.stop();
  });
  if (!values.json) print(`sending on ${device.name}; Ctrl-C ends`);
  await loop.run();
  const seconds = Math.max((loop.now - startMs) / MS_PER_S, Number.EPSILON);
  pump.cancel();
  await drain(loop, device);
  show(Math.round(sender.sent / seconds), Math.round(answers / seconds), true);
  return device.open ? 0 : 1;
});

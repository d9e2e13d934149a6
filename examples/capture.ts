/**
 * capture: writes what arrives to pcapng files that Wireshark and tshark read.
 *
 *   bun run examples/capture.ts [IFACE ...] [--file PATH] [--files N --size MIB] [--snaplen B] [--count N] [--claim C ...]
 *
 * You should see packets per second and a growing file; `tshark -r millrace.pcapng` shows what is in it, with times in
 * nanoseconds and the interface of each packet. With --files the files form a ring: the oldest is overwritten. Each frame is
 * written and given back to the kernel's stack (--take: dropped), as a capture should not disturb. In its own lab it sees a
 * kernel that pings and sends 10 000 datagrams a second.
 */
import { DIRECTION, Loop, monotonicClock, type XdpDevice } from "millrace";
import { completeChecksum } from "./support/checksum.ts";
import { CLAIM_USAGE, readClaims } from "./support/claims.ts";
import { grouped, Meter, packetRate, scaled } from "./support/meter.ts";
import { Layers } from "./support/layers.ts";
import { makeTraffic, openPlace, PAIR } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "./support/program.ts";
import { RingFile } from "./support/ring-file.ts";

const USAGE = `usage: bun run examples/capture.ts [IFACE ...] [options]
  --file PATH   where to write, millrace.pcapng unless given
  --files N     a ring of N files PATH-0 to PATH-(N-1); needs --size
  --size MIB    begin the next file at this size
  --snaplen B   bytes kept of each packet, all unless given
  --count N     end after N packets
  --take        drop what was written instead of giving it back to the kernel
  --json        one line of JSON a second
${CLAIM_USAGE}`;
const EVERY_MS = 1000;
const MEBIBYTE = 2 ** 20;
const MAX_INTERFACES = 16;
const MAX_FILES = 10_000;
const MAX_SIZE_MIB = 2 ** 20;
/** Wireshark's largest packet. */
const MAX_SNAPLEN = 262_144;

/** Reads the options that say what is written where. */
const ringOptions = (values: { file: string; files: string; size?: string | undefined; snaplen: string }) => {
  const files = wholeNumber("--files", values.files, 1, MAX_FILES);
  if (files > 1 && values.size === undefined)
    throw new UsageError("--files needs --size: when to begin the next one");
  return {
    path: values.file,
    // One file of limited size begins again when it is full.
    files,
    maxBytes:
      values.size === undefined ? Infinity : wholeNumber("--size", values.size, 1, MAX_SIZE_MIB) * MEBIBYTE,
    snapLength: wholeNumber("--snaplen", values.snaplen, 1, MAX_SNAPLEN),
  };
};

await program(
  USAGE,
  {
    file: { type: "string", default: "millrace.pcapng" },
    files: { type: "string", default: "1" },
    size: { type: "string" },
    snaplen: { type: "string", default: String(MAX_SNAPLEN) },
    count: { type: "string" },
    take: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    claim: { type: "string", multiple: true },
  },
  async (values, interfaces) => {
    const options = ringOptions(values);
    const claim = readClaims(values.claim);
    const limit =
      values.count === undefined
        ? Infinity
        : wholeNumber("--count", values.count, 1, Number.MAX_SAFE_INTEGER);
    using place = openPlace(interfaces, PAIR, 1, MAX_INTERFACES);
    using devices = new DisposableStack();
    const opened = place.interfaces.map((name) => devices.use(place.attach(name, { claim })));
    const ring = new RingFile({ ...options, interfaces: opened });
    devices.defer(() => {
      opened.forEach((device, id) => ring.setDropped(id, device.statistics().rxDropped));
      ring.close(monotonicClock.nowMs());
    });
    using loop = new Loop();
    stopOnSignals(loop);
    const layers = new Layers();
    const listen = (device: XdpDevice, id: number): void => {
      loop.receive(device, (frame) => {
        if (ring.packets < limit) ring.write(id, monotonicClock.nowMs(), DIRECTION.inbound, frame);
        if (ring.packets >= limit || ring.failure !== undefined) loop.stop();
        if (values.take) return;
        completeChecksum(frame, layers.read(frame.view, frame.at, frame.head));
        frame.pass();
      });
      stopWhenGone(loop, device);
    };
    opened.forEach(listen);
    const lost = (): number => opened.reduce((sum, device) => sum + device.statistics().rxDropped, 0);
    const meter = new Meter(loop.now, { pps: 0, bytes: 0 });
    const report = (): void => {
      const { pps } = meter.rates(loop.now, { pps: ring.packets, bytes: ring.bytes });
      const { packets, bytes, opened: files } = ring;
      if (values.json) print(JSON.stringify({ pps, packets, bytes, files, dropped: lost() }));
      else
        print(
          `${packetRate(pps).padStart(10)}   ${grouped(packets)} packets, ${scaled(bytes)}B in ${files} file${files === 1 ? "" : "s"}, ${lost()} dropped`,
        );
    };
    loop.every(EVERY_MS, () => {
      ring.flush();
      report();
    });
    if (place.lab !== undefined) makeTraffic(place.lab);
    if (!values.json) print(`capturing on ${place.interfaces.join(", ")} to ${values.file}; Ctrl-C ends`);
    await loop.run();
    report();
    if (ring.failure === undefined) return opened.every(({ open }) => open) ? 0 : 1;
    console.error(`millrace: cannot write ${values.file}: ${String(ring.failure)}`);
    return 1;
  },
);

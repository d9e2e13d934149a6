/**
 * An adaptive loop that mostly sleeps; notes how long each frame took from the sender's time stamp to the handler.
 */
import { attach, Loop } from "../../index.ts";
import { clock_gettime } from "../../ffi/sys/libc.ts";
import { struct } from "../../ffi/sys/memory.ts";
import { ATTACH, HEADERS_BYTES, interfaceOf, readOptions, ready, result, Window } from "./side.ts";

/** The longest run at the fastest pace. */
const MAX_SAMPLES = 1_000_000;
const STAMP_HIGH_AT = HEADERS_BYTES + 4;
const NS_PER_US = 1000;

/** include/uapi/linux/time.h; struct timespec of a 64-bit machine. */
const CLOCK_MONOTONIC = 1;
const TIMESPEC_NSEC = 8;
const TIMESPEC_BYTES = 2 * TIMESPEC_NSEC;
const NS_PER_S = 1e9;
const timespec = struct(TIMESPEC_BYTES);

/** The sender's clock. The runtime's own clocks count from the start of the process. */
const monotonicNs = (): number => {
  clock_gettime(CLOCK_MONOTONIC, timespec.bytes);
  const { view } = timespec;
  return view.getUint32(0, true) * NS_PER_S + view.getUint32(TIMESPEC_NSEC, true);
};

const options = readOptions();
using device = attach(interfaceOf(options), ATTACH);
const loop = new Loop({ mode: "adaptive", burst: options.burst });
const window = new Window(options);
const samples = new Float64Array(new ArrayBuffer(MAX_SAMPLES * Float64Array.BYTES_PER_ELEMENT));
let count = 0;
let frames = 0;
loop.receive(device, (frame) => {
  const now = monotonicNs();
  const { view, at } = frame;
  const stamp = view.getUint32(at + HEADERS_BYTES, true) + view.getUint32(at + STAMP_HIGH_AT, true) * 2 ** 32;
  frames += 1;
  // Looked at here, not in a timer: a timer would wake the loop and keep the processor from its deeper sleep.
  if (!window.step(frames)) loop.stop();
  else if (window.open && count < MAX_SAMPLES) samples[count++] = now - stamp;
});
loop.signal("SIGTERM", () => loop.stop());
ready();
await loop.run();
const sorted = samples.subarray(0, count).sort();
const percentile = (percent: number): number =>
  (sorted[Math.floor(((count - 1) * percent) / 100)] ?? 0) / NS_PER_US;
result("wake", { packets: count, medianUs: percentile(50), p99Us: percentile(99) });
loop.close();

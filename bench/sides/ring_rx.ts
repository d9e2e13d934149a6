/**
 * The receive path over rings in plain memory, without a kernel: this program produces a batch of rx descriptors from
 * the fill ring (not timed), then times millrace's own socket, frames, handler and refill.
 */
import {
  ADDRESS_WORDS,
  DESC_ADDRESS,
  DESC_ADDRESS_HIGH,
  DESC_LENGTH,
  DESC_OPTIONS,
  DESC_WORDS,
} from "../../ffi/sys/abi.ts";
import { mapAnonymous } from "../../ffi/sys/memory.ts";
import type { RingLayout } from "../../ffi/xsk/ring.ts";
import type { MappedRing } from "../../ffi/xsk/setup.ts";
import { XskSocket } from "../../ffi/xsk/socket.ts";
import { type Device, Loop, Umem } from "../../index.ts";
import {
  ETHERTYPE_AT,
  frameBytes,
  IPV4_PROTOCOL_AT,
  readOptions,
  ready,
  result,
  UDP_DESTINATION_AT,
} from "./side.ts";

const RING = 2048;
const BATCH = RING / 2;
const CHUNKS = 4096;
/** Producer, consumer and flags on cache lines of their own, as the kernel lays them out. */
const LINE_WORDS = 16;
const ENTRIES_AT = 3 * LINE_WORDS;

const makeRing = (entryWords: number): MappedRing => {
  const mapping = mapAnonymous((ENTRIES_AT + RING * entryWords) * Int32Array.BYTES_PER_ELEMENT);
  if (mapping === null) throw new Error("cannot map a ring");
  const layout: RingLayout = {
    words: new Int32Array(mapping.buffer),
    producerAt: 0,
    consumerAt: LINE_WORDS,
    flagsAt: 2 * LINE_WORDS,
    entriesAt: ENTRIES_AT,
    entryWords,
    size: RING,
  };
  return { layout, mapping };
};

const options = readOptions();
const umem = new Umem({ chunks: CHUNKS });
const packet = frameBytes(options.packet);
for (let chunk = 0; chunk < umem.chunkCount; chunk++) {
  umem.bytes.set(packet, chunk * umem.chunkBytes + umem.headroomBytes);
}
const rings = {
  rx: makeRing(DESC_WORDS),
  tx: makeRing(DESC_WORDS),
  fill: makeRing(ADDRESS_WORDS),
  completion: makeRing(ADDRESS_WORDS),
};
const socket = new XskSocket(
  { fd: -1, ...rings },
  umem,
  { pass: () => false, stalled: () => undefined, recovered: () => undefined, unbound: () => undefined },
  { index: 0, needWakeup: true, fillTarget: RING },
);

/** The kernel's part: takes `BATCH` chunks from the fill ring and hands them over as packets. */
const produce = (): void => {
  const { layout: rx } = rings.rx;
  const { layout: fill } = rings.fill;
  const made = rx.words[rx.producerAt]!;
  const taken = fill.words[fill.consumerAt]!;
  for (let i = 0; i < BATCH; i++) {
    const from = fill.entriesAt + ((taken + i) & (RING - 1)) * ADDRESS_WORDS;
    const to = rx.entriesAt + ((made + i) & (RING - 1)) * DESC_WORDS;
    rx.words[to + DESC_ADDRESS] = fill.words[from]! + umem.headroomBytes;
    rx.words[to + DESC_ADDRESS_HIGH] = 0;
    rx.words[to + DESC_LENGTH] = options.packet;
    rx.words[to + DESC_OPTIONS] = 0;
  }
  fill.words[fill.consumerAt] = (taken + BATCH) | 0;
  rx.words[rx.producerAt] = (made + BATCH) | 0;
};

const statistics = {
  rxPackets: 0,
  rxBytes: 0,
  txPackets: 0,
  txBytes: 0,
  txFull: 0,
  rxDropped: 0,
  txDropped: 0,
};
const device: Device = {
  name: "rings",
  umem,
  queues: [socket],
  mac: new Uint8Array(new ArrayBuffer(6)),
  mtu: 1500,
  fds: [],
  open: true,
  takeLinkEvent: () => undefined,
  statistics: () => statistics,
  close: () => undefined,
};
const loop = new Loop({ mode: "spin", burst: options.burst });
let fields = 0;
let packets = 0;
loop.receive(device, (frame) => {
  const { view, at } = frame;
  // In 32 bits, like the C program: a sum that turns into a double costs 4 ns a packet by itself.
  fields =
    (fields +
      view.getUint16(at + ETHERTYPE_AT) +
      view.getUint8(at + IPV4_PROTOCOL_AT) +
      view.getUint16(at + UDP_DESTINATION_AT)) |
    0;
  packets += 1;
});

/** Handles what `produce` made; returns the nanoseconds that it took. */
const consume = (): number => {
  const until = packets + BATCH;
  const started = Bun.nanoseconds();
  while (packets < until && loop.turn());
  const took = Bun.nanoseconds() - started;
  if (packets !== until) throw new Error(`${until - packets} packets of a batch of ${BATCH} did not arrive`);
  return took;
};

socket.prefill();
ready();
const begin = performance.now() + options.warmup * 1000;
const end = begin + options.seconds * 1000;
let spentNs = 0;
let measured = 0;
for (let now = performance.now(); now < end; now = performance.now()) {
  produce();
  const took = consume();
  if (now < begin) continue;
  spentNs += took;
  measured += BATCH;
}
result("ring_rx", { packets: measured, nsPerPacket: spentNs / measured, fields });
loop.close();

/**
 * What the millrace programs of the bench share with the C programs: the same arguments, the same window, the same lines.
 */
import { parseArgs } from "node:util";
import { attach, type AttachOptions, type XdpDevice } from "../../index.ts";

/** Where the three fields are that every receiver reads, from the packet's first byte. */
export const ETHERTYPE_AT = 12;
const ETHERNET_HEADER_BYTES = ETHERTYPE_AT + 2;
const IPV4_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
export const IPV4_PROTOCOL_AT = ETHERNET_HEADER_BYTES + 9;
export const UDP_DESTINATION_AT = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + 2;
/** Ethernet, IPv4 and UDP headers together. */
export const HEADERS_BYTES = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES;

/** The frame that is sent: 10.0.0.1 port 9 to 10.0.0.2 port 9000; checksums as in the C programs. */
const HEADERS = [
  [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00],
  [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
  [0, 9, 0x23, 0x28, 0, 0, 0, 0],
].flat();
const IPV4_LENGTH_AT = ETHERNET_HEADER_BYTES + 2;
const IPV4_CHECKSUM_AT = ETHERNET_HEADER_BYTES + 10;
const IPV4_ADDRESSES_AT = ETHERNET_HEADER_BYTES + 12;
const UDP_AT = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
const UDP_LENGTH_AT = UDP_AT + 4;
const UDP_CHECKSUM_AT = UDP_AT + 6;
const UDP_PROTOCOL = 17;

/** Chunks of a umem, as in the C programs. */
export const CHUNKS = 4096;
/** How every device is attached: what the C programs do. Rings are 2048 on both sides, millrace's default. */
export const ATTACH = {
  xdp: "native",
  bind: "copy",
  claim: "everything",
  chunks: CHUNKS,
  chunkBytes: 2048,
} as const satisfies AttachOptions;
/** What a host of the bench is called: the lab's own address of its end, with everything claimed, and the C programs' port. */
export const HOST_ADDRESS = "10.77.0.2/24";
export const UDP_PORT = 9000;
/** How often a loop looks at the clock. */
export const LOOK_EVERY_MS = 2;

/** As in the C programs: seldom enough to cost nothing. */
const REPORT_MS = 250;

export interface SideOptions {
  readonly interfaces: readonly string[];
  /** Measured, and before that running but not measured, both from the first frame on. */
  readonly seconds: number;
  readonly warmup: number;
  /** Bytes of a frame without FCS. */
  readonly packet: number;
  readonly burst: number;
  /** XDP_ZEROCOPY forced, instead of XDP_COPY. */
  readonly zeroCopy: boolean;
  /** The running total on stdout, a few times a second. */
  readonly report: boolean;
}

const numberOf = (name: string, text: string): number => {
  const value = Number(text);
  if (text !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new RangeError(`--${name} is a number of 0 or more, not ${JSON.stringify(text)}`);
};

/** The arguments that the C programs take too. millrace takes packets of several chunks (`--sg`) without being told. */
export const readOptions = (): SideOptions => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "2" },
      warmup: { type: "string", default: "1" },
      packet: { type: "string", default: "60" },
      burst: { type: "string", default: "64" },
      sg: { type: "boolean" },
      report: { type: "boolean", default: false },
      "zero-copy": { type: "boolean", default: false },
    },
  });
  return {
    interfaces: positionals,
    seconds: numberOf("seconds", values.seconds),
    warmup: numberOf("warmup", values.warmup),
    packet: numberOf("packet", values.packet),
    burst: numberOf("burst", values.burst),
    zeroCopy: values["zero-copy"],
    report: values.report,
  };
};

/** The interface named in place `i`. */
export const interfaceOf = (options: SideOptions, i = 0): string => {
  const name = options.interfaces[i];
  if (name === undefined) throw new TypeError(`name interface ${i + 1}`);
  return name;
};

/** Attaches to the interface named in place `i` in the mode that was asked for; what XDP_OPTIONS says of it is checked. */
export const attachSide = (options: SideOptions, i = 0, more: AttachOptions = ATTACH): XdpDevice => {
  const bind = options.zeroCopy ? "zero-copy" : "copy";
  const device = attach(interfaceOf(options, i), { ...more, bind });
  if (device.mode.bind === bind) return device;
  device.close();
  throw new Error(`cannot measure "${device.name}" in ${bind} mode: it is in ${device.mode.bind} mode`);
};

export const ready = (): void => console.log('{"ready":true}');

export const result = (program: string, readings: Readonly<Record<string, number>>): void =>
  console.log(JSON.stringify({ program, ...readings }));

/** From the first frame: `warmup` seconds, then `seconds` that count. Told the running total now and then. */
export class Window {
  readonly #warmupMs: number;
  readonly #lengthMs: number;
  readonly #report: boolean;
  #nextReportMs = 0;
  #firstMs = -1;
  #beganMs = -1;
  #endedMs = -1;
  #framesAtBegin = 0;
  #frames = 0;

  constructor(options: SideOptions) {
    this.#warmupMs = options.warmup * 1000;
    this.#lengthMs = options.seconds * 1000;
    this.#report = options.report;
  }

  /** True between warm-up and end. */
  get open(): boolean {
    return this.#beganMs >= 0 && this.#endedMs < 0;
  }

  /** Notes the time, and reports where that was asked for; true while the program shall go on. */
  step(frames: number): boolean {
    if (frames === 0) return true;
    const now = performance.now();
    if (this.#report && now >= this.#nextReportMs) {
      this.#nextReportMs = now + REPORT_MS;
      console.log(JSON.stringify({ frames, ms: now }));
    }
    if (this.#firstMs < 0) this.#firstMs = now;
    if (this.#beganMs < 0 && now >= this.#firstMs + this.#warmupMs) {
      this.#beganMs = now;
      this.#framesAtBegin = frames;
    }
    if (now < this.#firstMs + this.#warmupMs + this.#lengthMs) return true;
    this.#endedMs = now;
    this.#frames = frames - this.#framesAtBegin;
    return false;
  }

  get packets(): number {
    return this.#frames;
  }

  /** Packets per second of the window. */
  get pps(): number {
    return (this.#frames * 1000) / (this.#endedMs - this.#beganMs);
  }
}

const sum16 = (bytes: Uint8Array): number => {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let sum = 0;
  let at = 0;
  for (; at + 1 < bytes.length; at += 2) sum += words.getUint16(at);
  return at < bytes.length ? sum + (words.getUint8(at) << 8) : sum;
};

const fold = (sum: number): number => {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
};

/** The frame that every sender sends, `length` bytes of it. */
export const frameBytes = (length: number): Uint8Array => {
  const frame = new Uint8Array(new ArrayBuffer(length));
  const view = new DataView(frame.buffer);
  frame.set(HEADERS);
  view.setUint16(IPV4_LENGTH_AT, length - ETHERNET_HEADER_BYTES);
  view.setUint16(UDP_LENGTH_AT, length - UDP_AT);
  view.setUint16(IPV4_CHECKSUM_AT, fold(sum16(frame.subarray(ETHERNET_HEADER_BYTES, UDP_AT))));
  const pseudo = sum16(frame.subarray(IPV4_ADDRESSES_AT, UDP_AT)) + UDP_PROTOCOL + (length - UDP_AT);
  view.setUint16(UDP_CHECKSUM_AT, fold(pseudo + sum16(frame.subarray(UDP_AT))));
  return frame;
};

/**
 * Packets that a generator sends: built once, with a sequence number that is counted up in place.
 *
 * A packet's number goes in as 32 bits, and the UDP checksum is that of the packet numbered 0 with the two words added.
 */
import type { Frame } from "millrace";
import {
  arp,
  checksum,
  ethernet,
  ETHERTYPE,
  type IpAddress,
  ipv4,
  MAC_BYTES,
  MacAddress,
  PROTOCOL,
  udp,
} from "millrace/wire";
import { EXPERIMENTAL } from "./layers.ts";

export const TEMPLATES = ["udp", "arp", "raw"] as const;
export type TemplateName = (typeof TEMPLATES)[number];

export interface Addresses {
  readonly fromMac: MacAddress;
  readonly toMac: MacAddress;
  readonly from: IpAddress;
  readonly to: IpAddress;
  readonly fromPort: number;
  readonly toPort: number;
}

/** Without the frame check sequence; IEEE 802.3 asks for 64 with it. */
export const MIN_FRAME_BYTES = 60;
const SEQUENCE_BYTES = 4;
const TTL = 64;
const NOBODY = MacAddress.words(0, 0);
const U16_MASK = 0xffff;
const U16_BITS = 16;

/** A packet and where its number and, for UDP, its checksum go. */
export class Template {
  readonly bytes: Uint8Array;
  readonly #sequenceAt: number;
  /** -1 for none. */
  readonly #checksumAt: number;
  /** Of the packet numbered 0, before it is inverted. */
  readonly #sum: number;

  constructor(bytes: Uint8Array, sequenceAt: number, checksumAt: number, sum: number) {
    this.bytes = bytes;
    this.#sequenceAt = sequenceAt;
    this.#checksumAt = checksumAt;
    this.#sum = sum;
  }

  /** Writes packet `sequence` into a frame of `bytes.length`. */
  write(frame: Frame, sequence: number): void {
    const { view } = frame;
    const at = frame.at;
    let copied = 0;
    for (let i = 0; i < frame.chunks; i++) {
      const length = frame.chunkLength(i);
      // The whole template where it fits: set() then needs no subarray.
      const part = frame.chunks === 1 ? this.bytes : this.bytes.subarray(copied, copied + length);
      frame.bytes.set(part, frame.chunkAt(i));
      copied += length;
    }
    view.setUint32(at + this.#sequenceAt, sequence);
    if (this.#checksumAt < 0) return;
    const sum = checksum.fold(this.#sum + (sequence >>> U16_BITS) + (sequence & U16_MASK));
    // RFC 768: zero would mean that there is none.
    view.setUint16(at + this.#checksumAt, ~sum & U16_MASK || U16_MASK);
  }
}

const begin = (lengthBytes: number, type: number, { fromMac, toMac }: Addresses) => {
  const bytes = new Uint8Array(lengthBytes);
  const view = new DataView(bytes.buffer);
  const at = ethernet.emit({ destination: toMac, source: fromMac, type }, view, 0);
  return { bytes, view, at };
};

const buildUdp = (lengthBytes: number, addresses: Addresses): Template => {
  const { bytes, view, at: ip } = begin(lengthBytes, ETHERTYPE.IPV4, addresses);
  const { from, to, fromPort, toPort } = addresses;
  const at = ip + ipv4.HEADER_BYTES;
  const udpBytes = lengthBytes - at;
  ipv4.writeHeader(view, ip, 0, lengthBytes - ip, 0, 0, TTL, PROTOCOL.UDP, from.w3, to.w3);
  udp.writeHeader(view, at, fromPort, toPort, udpBytes, 0);
  const sum = checksum.sum(view, at, udpBytes, checksum.pseudo4(view, ip, PROTOCOL.UDP, udpBytes));
  return new Template(bytes, at + udp.HEADER_BYTES, at + udp.CHECKSUM, checksum.fold(sum));
};

/** Who has `to`? The number stands in the target's hardware address, which a question leaves open (RFC 826). */
const buildArp = (lengthBytes: number, addresses: Addresses): Template => {
  const { bytes, view, at } = begin(lengthBytes, ETHERTYPE.ARP, addresses);
  const { fromMac: senderMac, from: senderAddress, to: targetAddress } = addresses;
  const operation = arp.OPERATION.REQUEST;
  arp.emit({ operation, senderMac, senderAddress, targetMac: NOBODY, targetAddress }, view, at);
  return new Template(bytes, at + arp.TARGET_MAC + MAC_BYTES - SEQUENCE_BYTES, -1, 0);
};

/** A number behind an Ethernet header that no protocol owns. */
const buildRaw = (lengthBytes: number, addresses: Addresses): Template => {
  const { bytes, at } = begin(lengthBytes, EXPERIMENTAL, addresses);
  return new Template(bytes, at, -1, 0);
};

const BUILDERS = { udp: buildUdp, arp: buildArp, raw: buildRaw } as const;

/** The packet of that name, `lengthBytes` long without the frame check sequence. */
export const buildTemplate = (name: TemplateName, lengthBytes: number, addresses: Addresses): Template => {
  const least = name === "raw" ? ethernet.HEADER_BYTES + SEQUENCE_BYTES : MIN_FRAME_BYTES;
  if (lengthBytes < least)
    throw new RangeError(`a ${name} frame has at least ${least} bytes, not ${lengthBytes}`);
  return BUILDERS[name](lengthBytes, addresses);
};

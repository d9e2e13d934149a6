/**
 * Packets that a generator sends: built once, with a sequence number that is counted up in place.
 *
 * A packet's number goes in as 32 bits, and the UDP checksum is that of the packet numbered 0 with the two words added.
 */
import type { Frame } from "millrace";
import { fold, sumOf } from "./checksum.ts";
import {
  ARP,
  ARP_OPERATION,
  ETHERNET,
  ETHERNET_BYTES,
  IPV4,
  IPV4_ADDRESS_BYTES,
  IPV4_BYTES,
  MAC_BYTES,
  PROTOCOL,
  TYPE,
  UDP,
  UDP_BYTES,
} from "./packet.ts";

export const TEMPLATES = ["udp", "arp", "raw"] as const;
export type TemplateName = (typeof TEMPLATES)[number];

export interface Addresses {
  readonly fromMac: Uint8Array;
  readonly toMac: Uint8Array;
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly fromPort: number;
  readonly toPort: number;
}

/** Without the frame check sequence; IEEE 802.3 asks for 64 with it. */
export const MIN_FRAME_BYTES = 60;
const SEQUENCE_BYTES = 4;
const VERSION_4_LENGTH_5 = 0x45;
const TTL = 64;
const HARDWARE_ETHERNET = 1;
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
    const sum = fold(this.#sum + (sequence >>> U16_BITS) + (sequence & U16_MASK));
    // RFC 768: zero would mean that there is none.
    view.setUint16(at + this.#checksumAt, ~sum & U16_MASK || U16_MASK);
  }
}

const begin = (lengthBytes: number, ethertype: number, { fromMac, toMac }: Addresses) => {
  const bytes = new Uint8Array(lengthBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(toMac, ETHERNET.destination);
  bytes.set(fromMac, ETHERNET.source);
  view.setUint16(ETHERNET.type, ethertype);
  return { bytes, view };
};

const buildUdp = (lengthBytes: number, addresses: Addresses): Template => {
  const { bytes, view } = begin(lengthBytes, TYPE.ipv4, addresses);
  const ip = ETHERNET_BYTES;
  const udp = ip + IPV4_BYTES;
  const udpBytes = lengthBytes - udp;
  view.setUint8(ip + IPV4.versionLength, VERSION_4_LENGTH_5);
  view.setUint16(ip + IPV4.totalLength, lengthBytes - ip);
  view.setUint8(ip + IPV4.ttl, TTL);
  view.setUint8(ip + IPV4.protocol, PROTOCOL.udp);
  bytes.set(addresses.from, ip + IPV4.source);
  bytes.set(addresses.to, ip + IPV4.destination);
  view.setUint16(ip + IPV4.checksum, ~fold(sumOf(view, ip, IPV4_BYTES)) & U16_MASK);
  view.setUint16(udp + UDP.source, addresses.fromPort);
  view.setUint16(udp + UDP.destination, addresses.toPort);
  view.setUint16(udp + UDP.length, udpBytes);
  const pseudo = sumOf(view, ip + IPV4.source, 2 * IPV4_ADDRESS_BYTES) + PROTOCOL.udp + udpBytes;
  const sum = fold(pseudo + sumOf(view, udp, udpBytes));
  return new Template(bytes, udp + UDP_BYTES, udp + UDP.checksum, sum);
};

/** Who has `to`? The number stands in the target's hardware address, which a question leaves open (RFC 826). */
const buildArp = (lengthBytes: number, addresses: Addresses): Template => {
  const { bytes, view } = begin(lengthBytes, TYPE.arp, addresses);
  const arp = ETHERNET_BYTES;
  view.setUint16(arp + ARP.hardware, HARDWARE_ETHERNET);
  view.setUint16(arp + ARP.protocol, TYPE.ipv4);
  view.setUint8(arp + ARP.hardwareBytes, MAC_BYTES);
  view.setUint8(arp + ARP.protocolBytes, IPV4_ADDRESS_BYTES);
  view.setUint16(arp + ARP.operation, ARP_OPERATION.request);
  bytes.set(addresses.fromMac, arp + ARP.senderMac);
  bytes.set(addresses.from, arp + ARP.senderAddress);
  bytes.set(addresses.to, arp + ARP.targetAddress);
  return new Template(bytes, arp + ARP.targetMac + MAC_BYTES - SEQUENCE_BYTES, -1, 0);
};

/** A number behind an Ethernet header that no protocol owns. */
const buildRaw = (lengthBytes: number, addresses: Addresses): Template => {
  const { bytes } = begin(lengthBytes, TYPE.experimental, addresses);
  return new Template(bytes, ETHERNET_BYTES, -1, 0);
};

const BUILDERS = { udp: buildUdp, arp: buildArp, raw: buildRaw } as const;

/** The packet of that name, `lengthBytes` long without the frame check sequence. */
export const buildTemplate = (name: TemplateName, lengthBytes: number, addresses: Addresses): Template => {
  const least = name === "raw" ? ETHERNET_BYTES + SEQUENCE_BYTES : MIN_FRAME_BYTES;
  if (lengthBytes < least)
    throw new RangeError(`a ${name} frame has at least ${least} bytes, not ${lengthBytes}`);
  return BUILDERS[name](lengthBytes, addresses);
};

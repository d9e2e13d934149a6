/**
 * Breaks valid frames: bits, numbers, lengths, ends, fragments, headers in headers, addresses that may not be there.
 *
 * What comes out depends on the seed alone. Most frames get their checksums made right again afterwards.
 */
import { below, chance, type Random } from "../../stack/device/random.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import * as vlan from "../../stack/wire/vlan.ts";
import { packetOf, repair } from "./repair.ts";

/** What the host under test has said, and answers must repeat to be believed. */
export interface Hints {
  /** Transaction of its DHCP client. */
  xid: number;
}

/** The longest frame that is made: a jumbo frame and a little. */
export const MAX_FRAME = 9018;
const ROOM = MAX_FRAME + 1024;
const MOST_STEPS = 4;
/** Numbers at which programs stumble. */
const NUMBERS = [0, 1, 2, 3, 4, 7, 8, 15, 16, 20, 28, 39, 40, 41, 60, 127, 128, 255] as const;
const WIDE_NUMBERS = [0, 1, 8, 40, 68, 576, 1280, 1500, 0x7fff, 0x8000, 0xfff8, 0xffff] as const;
const MOST_GROWTH = 600;

const words = (text: string): readonly number[] =>
  text.split(" ").map((word) => Number.parseInt(word, 16) | 0);
/** Nobody, oneself, everybody, groups, loopback, class E, strangers. */
const ADDRESSES4 = words(
  "0 0a000002 ffffffff 0a0000ff e0000001 7f000001 f0000001 0a090007 c0000201 00000001",
);
const ADDRESSES6 = [
  "0 0 0 0",
  "0 0 0 1",
  "0 0 ffff 0a000002",
  "fe800000 0 0 2",
  "ff020000 0 0 1",
  "ff020000 0 1 ff000002",
  "ff010000 0 0 1",
  "20010db8 0 0 2",
  "20010db8 90000 0 7",
  "fe800000 0 0 77",
].map(words);

type Step = (mutator: Mutator, view: DataView, length: number) => number;

export class Mutator {
  readonly bytes = new Uint8Array(ROOM);
  readonly view = new DataView(this.bytes.buffer);
  readonly hints: Hints = { xid: 0 };
  readonly #corpus: readonly Uint8Array[];
  /** Pieces of a datagram that come next, with others in between. */
  readonly #pieces: Uint8Array[] = [];
  readonly #random: Random;

  constructor(corpus: readonly Uint8Array[], random: Random) {
    this.#corpus = corpus;
    this.#random = random;
  }

  below(bound: number): number {
    return below(this.#random, bound);
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }

  any(): Uint8Array {
    return this.pick(this.#corpus);
  }

  /** The next frame in `bytes`; gives its length. */
  next(): number {
    const { bytes, view } = this;
    const piece = this.#pieces.length > 0 && chance(this.#random, 0.7) ? this.#pieces.pop() : undefined;
    const base = piece ?? this.any();
    bytes.set(base);
    let length = base.length;
    if (piece !== undefined && chance(this.#random, 0.9)) return length;
    if (piece === undefined && chance(this.#random, 0.03)) this.#pieces.push(...this.#cutUp(base));
    for (let steps = this.below(MOST_STEPS + 1); steps > 0; steps--)
      length = Math.max(1, Math.min(MAX_FRAME, this.pick(STEPS)(this, view, length)));
    // What lies behind the frame is a stranger's.
    bytes.fill(POISON, length, Math.min(ROOM, length + MOST_GROWTH));
    this.#hint(length);
    if (chance(this.#random, 0.75)) repair(view, length, chance(this.#random, 0.4));
    return length;
  }

  /** A whole datagram in pieces, out of order; some twice, some missing, some reaching into others. */
  #cutUp(frame: Uint8Array): Uint8Array[] {
    const { type, at } = packetOf(new DataView(frame.buffer), frame.length);
    const is4 = type === ethernet.ETHERTYPE.IPV4;
    const from = at + (is4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
    if ((!is4 && type !== ethernet.ETHERTYPE.IPV6) || frame.length <= from) return [];
    const size = UNIT * (1 + this.below(Math.max(1, Math.ceil((frame.length - from) / (2 * UNIT)))));
    const id = this.below(1 << 16);
    const pieces: Uint8Array[] = [];
    for (let offset = 0; offset < frame.length - from && pieces.length < MOST_PIECES; offset += size) {
      const end = Math.min(frame.length, from + offset + size + (this.below(40) === 0 ? UNIT : 0));
      const data = frame.subarray(from + offset, end);
      const piece = is4
        ? piece4(frame, from, data, offset, end < frame.length, id)
        : piece6(frame, from, data, offset, end < frame.length, id);
      if (this.below(40) > 0) pieces.splice(this.below(pieces.length + 1), 0, piece);
      if (this.below(20) === 0) pieces.push(piece);
    }
    return pieces;
  }

  /** Answers of DHCP speak of the transaction that is asked for. */
  #hint(length: number): void {
    const { type, at } = packetOf(this.view, length);
    const dhcpAt = at + ipv4.HEADER_BYTES + udp.HEADER_BYTES;
    if (type !== ethernet.ETHERTYPE.IPV4 || length < dhcpAt + dhcp.OPTIONS) return;
    const port = udp.destinationPort(this.view, at + ipv4.HEADER_BYTES);
    if (port === dhcp.CLIENT_PORT && chance(this.#random, 0.9))
      this.view.setUint32(dhcpAt + dhcp.XID, this.hints.xid);
  }
}

const POISON = 0xa5;
const UNIT = 8;
const MOST_PIECES = 40;

const piece4 = (
  frame: Uint8Array,
  from: number,
  data: Uint8Array,
  offset: number,
  more: boolean,
  id: number,
): Uint8Array => {
  const piece = new Uint8Array(from + data.length);
  piece.set(frame.subarray(0, from));
  piece.set(data, from);
  const view = new DataView(piece.buffer);
  const at = from - ipv4.HEADER_BYTES;
  ipv4.setHeaderBytes(view, at, ipv4.HEADER_BYTES);
  ipv4.setTotalLength(view, at, piece.length - at);
  ipv4.setIdentification(view, at, id);
  ipv4.setFragment(view, at, more ? ipv4.MORE_FRAGMENTS : 0, offset);
  ipv4.setChecksum(view, at);
  return piece;
};

const piece6 = (
  frame: Uint8Array,
  from: number,
  data: Uint8Array,
  offset: number,
  more: boolean,
  id: number,
): Uint8Array => {
  const piece = new Uint8Array(from + extensions.FRAGMENT_BYTES + data.length);
  piece.set(frame.subarray(0, from));
  piece.set(data, from + extensions.FRAGMENT_BYTES);
  const view = new DataView(piece.buffer);
  const at = from - ipv6.HEADER_BYTES;
  extensions.writeFragment(view, from, ipv6.nextHeader(view, at), offset, more, id);
  ipv6.setNextHeader(view, at, PROTOCOL.FRAGMENT);
  ipv6.setPayloadLength(view, at, piece.length - from);
  return piece;
};

const flip: Step = (mutator, view, length) => {
  for (let count = 1 + mutator.below(8); count > 0; count--) {
    const at = mutator.below(length);
    view.setUint8(at, view.getUint8(at) ^ (1 << mutator.below(8)));
  }
  return length;
};

const setByte: Step = (mutator, view, length) => {
  const at = headward(mutator, length);
  view.setUint8(at, mutator.below(2) === 0 ? mutator.pick(NUMBERS) : mutator.below(256));
  return length;
};

const setHalf: Step = (mutator, view, length) => {
  if (length < 2) return length;
  view.setUint16(headward(mutator, length - 1), mutator.pick(WIDE_NUMBERS));
  return length;
};

/** Headers stand in front: most changes belong there. */
const headward = (mutator: Mutator, length: number): number =>
  mutator.below(mutator.below(4) === 0 ? length : Math.min(length, 120));

const truncate: Step = (mutator, _, length) => mutator.below(length) + 1;

const extend: Step = (mutator, _, length) => {
  const more = mutator.below(MOST_GROWTH);
  if (mutator.below(2) === 0) mutator.bytes.fill(mutator.pick(NUMBERS), length, length + more);
  else for (let i = 0; i < more; i++) mutator.bytes[length + i] = mutator.below(256);
  return length + more;
};

/** The front of this and the back of another. */
const splice: Step = (mutator, _, length) => {
  const other = mutator.any();
  const from = mutator.below(other.length);
  const at = mutator.below(length);
  mutator.bytes.set(other.subarray(from), at);
  return at + other.length - from;
};

/** A part once more, or many times: options in circles. */
const repeat: Step = (mutator, _, length) => {
  const at = mutator.below(length);
  const size = Math.min(1 + mutator.below(40), length - at);
  let end = at + size;
  for (let times = 1 + mutator.below(30); times > 0 && end + size <= MAX_FRAME; times--) {
    mutator.bytes.copyWithin(end, at, at + size);
    end += size;
  }
  return Math.max(length, end);
};

const cut: Step = (mutator, _, length) => {
  const at = mutator.below(length);
  const size = Math.min(mutator.below(60), length - at);
  mutator.bytes.copyWithin(at, at + size, length);
  return length - size;
};

/** Fields that say how long something is, from the packet's begin: IP, UDP, first extension, option, quotation. */
const LENGTHS4 = [0, ipv4.TOTAL_LENGTH, ipv4.HEADER_BYTES + udp.LENGTH, ipv4.HEADER_BYTES + 1] as const;
const LENGTHS6 = [
  ipv6.PAYLOAD_LENGTH,
  ipv6.HEADER_BYTES + udp.LENGTH,
  ipv6.HEADER_BYTES + 1,
  ipv6.HEADER_BYTES + 3,
  ipv6.HEADER_BYTES + 17,
  ipv6.HEADER_BYTES + 25,
] as const;

const lie: Step = (mutator, view, length) => {
  const { type, at } = packetOf(view, length);
  const offset = at + mutator.pick(type === ethernet.ETHERTYPE.IPV4 ? LENGTHS4 : LENGTHS6);
  if (offset + 2 > length) return length;
  const real = view.getUint16(offset);
  if (mutator.below(2) === 0) view.setUint8(offset, mutator.pick(NUMBERS));
  else view.setUint16(offset, mutator.pick([real + 1, real - 1, real * 2, length, ...WIDE_NUMBERS]));
  return length;
};

/** A piece of a datagram that others are pieces of, too: identifications are few. */
const fragment: Step = (mutator, view, length) => {
  const { type, at } = packetOf(view, length);
  const offset = mutator.pick([0, 0, 8, 16, 64, 1480, 8184, 0xfff8]) + 8 * mutator.below(4);
  const more = mutator.below(3) > 0;
  if (type === ethernet.ETHERTYPE.IPV4 && length >= at + ipv4.HEADER_BYTES) {
    ipv4.setIdentification(view, at, mutator.below(4));
    ipv4.setFragment(view, at, more ? ipv4.MORE_FRAGMENTS : 0, offset & 0xfff8);
    return length;
  }
  if (type !== ethernet.ETHERTYPE.IPV6 || length < at + ipv6.HEADER_BYTES) return length;
  const from = at + ipv6.HEADER_BYTES;
  mutator.bytes.copyWithin(from + extensions.FRAGMENT_BYTES, from, length);
  extensions.writeFragment(view, from, ipv6.nextHeader(view, at), offset & 0xfff8, more, mutator.below(4));
  ipv6.setNextHeader(view, at, PROTOCOL.FRAGMENT);
  ipv6.setPayloadLength(view, at, Math.min(0xffff, length + extensions.FRAGMENT_BYTES - from));
  return length + extensions.FRAGMENT_BYTES;
};

const HEADERS = [PROTOCOL.HOP_BY_HOP, PROTOCOL.ROUTING, PROTOCOL.DESTINATION_OPTIONS, PROTOCOL.AH] as const;
const HEADER_BYTES = extensions.UNIT_BYTES;

/** One more extension header in front of those that are there, with whatever in it. */
const nest: Step = (mutator, view, length) => {
  const { type, at } = packetOf(view, length);
  const from = at + ipv6.HEADER_BYTES;
  if (type !== ethernet.ETHERTYPE.IPV6 || length < from) return length;
  const size = HEADER_BYTES * (1 + mutator.below(3));
  mutator.bytes.copyWithin(from + size, from, length);
  for (let i = 0; i < size; i++) view.setUint8(from + i, mutator.pick(NUMBERS));
  view.setUint8(from, ipv6.nextHeader(view, at));
  view.setUint8(from + extensions.UNITS, size / HEADER_BYTES - 1);
  ipv6.setNextHeader(view, at, mutator.pick(HEADERS));
  ipv6.setPayloadLength(view, at, Math.min(0xffff, length + size - from));
  return length + size;
};

/** Sender or receiver is somebody who may not be there. */
const address: Step = (mutator, view, length) => {
  const { type, at } = packetOf(view, length);
  const receiver = mutator.below(2) === 1;
  if (type === ethernet.ETHERTYPE.IPV4 && length >= at + ipv4.HEADER_BYTES) {
    view.setInt32(at + (receiver ? ipv4.DESTINATION : ipv4.SOURCE), mutator.pick(ADDRESSES4));
  } else if (type === ethernet.ETHERTYPE.IPV6 && length >= at + ipv6.HEADER_BYTES) {
    const to = at + (receiver ? ipv6.DESTINATION : ipv6.SOURCE);
    for (const [i, word] of mutator.pick(ADDRESSES6).entries()) view.setInt32(to + 4 * i, word);
  }
  return length;
};

/** The same in a VLAN. */
const tag: Step = (mutator, view, length) => {
  if (length < ethernet.HEADER_BYTES) return length;
  const type = ethernet.type(view, 0);
  const from = ethernet.HEADER_BYTES;
  mutator.bytes.copyWithin(from + vlan.TAG_BYTES, from, length);
  ethernet.setType(view, 0, mutator.pick([ethernet.ETHERTYPE.VLAN, ethernet.ETHERTYPE.QINQ]));
  vlan.setControl(view, from, mutator.pick([0, 5, 5, 5, 4095]), 0, false);
  vlan.setInnerType(view, from, type);
  return length + vlan.TAG_BYTES;
};

const STEPS: readonly Step[] = [
  flip,
  flip,
  setByte,
  setByte,
  setHalf,
  truncate,
  extend,
  splice,
  repeat,
  cut,
  lie,
  lie,
  fragment,
  fragment,
  nest,
  address,
  tag,
];

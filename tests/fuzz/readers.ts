/**
 * Every reader of the wire formats over one frame: where the headers say that a format is, and where they don't.
 *
 * A reader never throws, whatever the bytes; what one takes for a record can be written again and means the same then.
 */
import { isDeepStrictEqual } from "node:util";
import { pseudo4, pseudo6 } from "../../stack/wire/checksum.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as bfd from "../../stack/wire/bfd.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmpv4 from "../../stack/wire/icmpv4.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import * as igmp from "../../stack/wire/igmp.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import * as mld from "../../stack/wire/mld.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { describe, describeIp, MAX_LINE } from "../../stack/wire/printer.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import * as vlan from "../../stack/wire/vlan.ts";
import { A6, B6 } from "../support/wire-frames.ts";
import { packetOf } from "./repair.ts";

/** A format as far as it is tried here. */
interface Reader<T> {
  check(view: DataView, at: number, length: number): number;
  parse(view: DataView, at: number, length: number): T | undefined;
  lengthOf(record: T): number;
  emit(record: T, view: DataView, at: number): number;
}

/** Reads; then, where there is a record, writes and reads again. */
type Trial = (view: DataView, at: number, length: number, again: boolean) => void;

const trial =
  <T>(name: string, reader: Reader<T>): Trial =>
  (view, at, length, again) => {
    const bad = reader.check(view, at, length);
    if (!(Number.isInteger(bad) && bad <= 0)) throw new Error(`${name}.check gives ${bad}`);
    const record = reader.parse(view, at, length);
    if (record === undefined || !again) return;
    const copy = new DataView(new ArrayBuffer(reader.lengthOf(record)));
    const written = reader.emit(record, copy, 0);
    if (written !== copy.byteLength) throw new Error(`${name}.emit wrote ${written} of ${copy.byteLength}`);
    // A header whose payload lies behind it is not read without that.
    const second = HEADERS_ALONE.has(name) ? record : reader.parse(copy, 0, written);
    if (!isDeepStrictEqual(second, record))
      throw new Error(`${name} reads another record from what it wrote`);
  };

const HEADERS_ALONE: ReadonlySet<string> = new Set(["ipv4", "ipv6"]);

const walked = new extensions.Walk();
const readExtensions: Trial = (view, at, length) => {
  for (const kind of EXTENSIONS) {
    if (extensions.walk(view, at, length, kind, walked) === 0)
      within("extension headers", walked.at + walked.length, at + length);
    extensions.parse(view, at, length, kind);
  }
};
const EXTENSIONS = [
  PROTOCOL.HOP_BY_HOP,
  PROTOCOL.ROUTING,
  PROTOCOL.FRAGMENT,
  PROTOCOL.DESTINATION_OPTIONS,
  PROTOCOL.AH,
] as const;

const LINK: readonly Trial[] = [trial("ethernet", ethernet)];
const NETWORK: readonly Trial[] = [
  trial("arp", arp),
  trial("ipv4", ipv4),
  trial("ipv6", ipv6),
  trial("vlan", vlan),
];
const UPPER: readonly Trial[] = [
  trial("udp", udp),
  trial("icmpv4", icmpv4),
  trial("icmpv6", {
    ...icmpv6,
    check: (view, at, length) => icmpv6.check(view, at, length, 0),
    emit: (record, view, at) => icmpv6.emit(record, view, at, A6, B6),
  }),
  trial("igmp", igmp),
  trial("mld", { ...mld, emit: (record, view, at) => mld.emit(record, view, at, A6, B6) }),
  trial("ndp", { ...ndp, emit: (record, view, at) => ndp.emit(record, view, at, A6, B6) }),
  readExtensions,
];
const PAYLOAD: readonly Trial[] = [
  trial("bfd", bfd),
  trial("dhcp", {
    ...dhcp,
    lengthOf: (record) => dhcp.lengthOf(record, LONG),
    emit: (record, view, at) => dhcp.emit(record, view, at, LONG),
  }),
];
/** The longest message that DHCP is written in here: what was read always fits. */
const LONG = 0xffff;

const all = (trials: readonly Trial[], view: DataView, at: number, length: number, again: boolean): void => {
  if (length < 0) return;
  for (const one of trials) one(view, at, length, again);
};

/** What was found good lies within what is there: nobody looks again. */
const within = (what: string, end: number, most: number): void => {
  if (end > most) throw new Error(`${what} reach ${end - most} bytes too far`);
};

const measure = (view: DataView, at: number, left: number): void => {
  if (ipv4.check(view, at, left) === 0) {
    within("an IPv4 header", ipv4.headerBytes(view, at), ipv4.totalLength(view, at));
    within("an IPv4 packet", ipv4.totalLength(view, at), left);
  }
  if (ipv6.check(view, at, left) === 0) within("an IPv6 packet", ipv6.totalLength(view, at), left);
};

/** Runs all readers over the frame in `view`, which ends with it; `again`: and writes again what they read. */
export const readAll = (view: DataView, again: boolean): void => {
  const length = view.byteLength;
  const line = describe(view, 0, length);
  if (line.length > MAX_LINE) throw new Error(`a line of ${line.length}`);
  all(LINK, view, 0, length, again);
  const { at } = packetOf(view, length);
  const left = length - at;
  describeIp(view, at, left);
  all(NETWORK, view, at, left, again);
  if (left >= 0) measure(view, at, left);
  for (const headerBytes of [ipv4.HEADER_BYTES, ipv6.HEADER_BYTES, ipv6.HEADER_BYTES + HEADER_STEP]) {
    all(UPPER, view, at + headerBytes, left - headerBytes, again);
    if (left - headerBytes >= udp.HEADER_BYTES) verify(view, at, headerBytes, left - headerBytes);
    const payload = headerBytes + udp.HEADER_BYTES;
    all(PAYLOAD, view, at + payload, left - payload, again);
  }
};

const HEADER_STEP = 8;

const verify = (view: DataView, at: number, headerBytes: number, length: number): void => {
  if (udp.check(view, at + headerBytes, length) === 0)
    within("a datagram", udp.length(view, at + headerBytes), length);
  const pseudo =
    headerBytes === ipv4.HEADER_BYTES
      ? pseudo4(view, at, PROTOCOL.UDP, length)
      : pseudo6(view, at, PROTOCOL.UDP, length);
  udp.verify(view, at + headerBytes, pseudo, length);
};

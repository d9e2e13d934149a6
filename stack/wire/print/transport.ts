/**
 * UDP, TCP and SCTP printed: ports, then what their headers say; of UDP's payloads only DHCP and BFD are known.
 */
import * as bfd from "../bfd.ts";
import { fold, isPartial, sum } from "../checksum.ts";
import * as dhcp from "../dhcp.ts";
import { PROTOCOL } from "../protocol.ts";
import * as udp from "../udp.ts";
import { printBfd, printBfdEcho } from "./bfd.ts";
import { printDhcp } from "./dhcp.ts";
import { hex, type Payload } from "./line.ts";
import { printTcpOptions } from "./tcp-options.ts";

/** UDP, TCP and SCTP begin with two ports. */
const SOURCE_PORT = 0;
const DESTINATION_PORT = SOURCE_PORT + 2;
const PORTS_BYTES = DESTINATION_PORT + 2;

const ALL_ONES = 0xffff;

/** The ports of a payload that has them: "." and the number, or nothing. */
export const portsOf = (
  view: DataView,
  at: number,
  end: number,
  protocol: number,
): readonly [source: string, destination: string] => {
  const has = protocol === PROTOCOL.UDP || protocol === PROTOCOL.TCP || protocol === PROTOCOL.SCTP;
  if (!has || at + PORTS_BYTES > end) return ["", ""];
  return [`.${view.getUint16(at + SOURCE_PORT)}`, `.${view.getUint16(at + DESTINATION_PORT)}`];
};

/** Says of a checksum what is to be said: nothing where it is right or cannot be judged. */
const printChecksum = ({ line, view, at, pseudo }: Payload, length: number, field: number): void => {
  if (pseudo === undefined || fold(sum(view, at, length, pseudo)) === ALL_ONES) return;
  line.add(isPartial(field, pseudo) ? ", partial checksum" : `, bad checksum ${hex(field, 4)}`);
};

export const printUdp = (payload: Payload): void => {
  const { line, view, at, end } = payload;
  line.add("UDP");
  if (end - at < udp.HEADER_BYTES) {
    line.add(" ").cut("udp");
    return;
  }
  const length = udp.length(view, at);
  if (length < udp.HEADER_BYTES) {
    line.add(`, bad length ${length}`);
    return;
  }
  if (at + length > end) {
    // In a whole packet the header lies; else the rest was not sent along.
    line.add(payload.pseudo === undefined ? "" : ", bad length");
  } else if (udp.checksum(view, at) === 0) line.add(", no checksum");
  // The pseudo-header's sum is of all that there is.
  else if (at + length === end) printChecksum(payload, length, udp.checksum(view, at));
  line.add(`, length ${length - udp.HEADER_BYTES}`);
  const ports = [udp.sourcePort(view, at), udp.destinationPort(view, at)];
  if (ports.includes(dhcp.SERVER_PORT) || ports.includes(dhcp.CLIENT_PORT))
    printDhcp(line, view, at + udp.HEADER_BYTES, Math.min(end, at + length));
  else if (udp.destinationPort(view, at) === bfd.CONTROL_PORT)
    printBfd(line, view, at + udp.HEADER_BYTES, Math.min(end, at + length));
  else if (udp.destinationPort(view, at) === bfd.ECHO_PORT) printBfdEcho(line);
};

/** TCP (RFC 9293 section 3.1). */
const SEQUENCE = PORTS_BYTES;
const ACKNOWLEDGEMENT = SEQUENCE + 4;
const DATA_OFFSET = ACKNOWLEDGEMENT + 4;
const TCP_FLAGS = DATA_OFFSET + 1;
const WINDOW = TCP_FLAGS + 1;
const TCP_CHECKSUM = WINDOW + 2;
const URGENT = TCP_CHECKSUM + 2;
const TCP_HEADER_BYTES = URGENT + 2;
const OFFSET_SHIFT = 4;
const OFFSET_UNIT = 4;
const ACK = 0x10;
const URG = 0x20;
/** Flags by letter, in the order in which they are printed. */
const FLAG_LETTERS: readonly (readonly [letter: string, bit: number])[] = [
  ["F", 0x01],
  ["S", 0x02],
  ["R", 0x04],
  ["P", 0x08],
  [".", ACK],
  ["U", URG],
  ["E", 0x40],
  ["W", 0x80],
];

export const printTcp = (payload: Payload): void => {
  const { line, view, at, end } = payload;
  line.add("TCP");
  if (end - at < TCP_HEADER_BYTES) {
    line.add(" ").cut("tcp");
    return;
  }
  const flags = view.getUint8(at + TCP_FLAGS);
  const letters = FLAG_LETTERS.filter(([, bit]) => (flags & bit) !== 0).map(([letter]) => letter);
  line.add(`, flags [${letters.join("") || "none"}]`);
  printChecksum(payload, end - at, view.getUint16(at + TCP_CHECKSUM));
  line.add(`, seq ${view.getUint32(at + SEQUENCE)}`);
  if ((flags & ACK) !== 0) line.add(`, ack ${view.getUint32(at + ACKNOWLEDGEMENT)}`);
  line.add(`, win ${view.getUint16(at + WINDOW)}`);
  if ((flags & URG) !== 0) line.add(`, urg ${view.getUint16(at + URGENT)}`);
  const header = (view.getUint8(at + DATA_OFFSET) >>> OFFSET_SHIFT) * OFFSET_UNIT;
  if (header < TCP_HEADER_BYTES || at + header > end) {
    line.add(`, bad header length ${header}`);
    return;
  }
  printTcpOptions(line, view, at + TCP_HEADER_BYTES, at + header);
  line.add(`, length ${end - at - header}`);
};

/** SCTP (RFC 9260 section 3). */
const TAG = PORTS_BYTES;
const SCTP_CHECKSUM = TAG + 4;
const SCTP_HEADER_BYTES = SCTP_CHECKSUM + 4;
const CHUNK_TYPE = 0;
const CHUNK_FLAGS = CHUNK_TYPE + 1;
const CHUNK_LENGTH = CHUNK_FLAGS + 1;
const CHUNK_HEADER_BYTES = CHUNK_LENGTH + 2;
const CHUNK_ALIGNMENT = 4;

/** Names of chunk types (RFC 9260 section 3.2; RFC 4895, 5061, 6525, 3758, 4820, 8260). */
const CHUNKS: ReadonlyMap<number, string> = new Map([
  [0, "DATA"],
  [1, "INIT"],
  [2, "INIT ACK"],
  [3, "SACK"],
  [4, "HEARTBEAT"],
  [5, "HEARTBEAT ACK"],
  [6, "ABORT"],
  [7, "SHUTDOWN"],
  [8, "SHUTDOWN ACK"],
  [9, "ERROR"],
  [10, "COOKIE ECHO"],
  [11, "COOKIE ACK"],
  [14, "SHUTDOWN COMPLETE"],
  [15, "AUTH"],
  [64, "I-DATA"],
  [128, "ASCONF ACK"],
  [130, "RE-CONFIG"],
  [132, "PAD"],
  [192, "FORWARD TSN"],
  [193, "ASCONF"],
  [194, "I-FORWARD TSN"],
]);

export const printSctp = ({ line, view, at, end }: Payload): void => {
  line.add("SCTP");
  if (end - at < SCTP_HEADER_BYTES) {
    line.add(" ").cut("sctp");
    return;
  }
  line.add(`, tag ${hex(view.getUint32(at + TAG), 8)}`);
  let chunkAt = at + SCTP_HEADER_BYTES;
  while (chunkAt < end && !line.full) {
    if (chunkAt + CHUNK_HEADER_BYTES > end) {
      line.add(", ").cut("chunk");
      return;
    }
    const type = view.getUint8(chunkAt + CHUNK_TYPE);
    const length = view.getUint16(chunkAt + CHUNK_LENGTH);
    line.add(`, ${CHUNKS.get(type) ?? `chunk ${type}`}`);
    if (length < CHUNK_HEADER_BYTES) {
      line.add(` bad length ${length}`);
      return;
    }
    line.add(` ${length}`);
    chunkAt += Math.ceil(length / CHUNK_ALIGNMENT) * CHUNK_ALIGNMENT;
  }
};

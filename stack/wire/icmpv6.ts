/**
 * ICMPv6 (RFC 4443): what the message has in place (icmpv6-message.ts), and the records of errors and echo.
 *
 * Neighbour discovery has its records in ndp.ts, multicast listeners in mld.ts; here they are "other".
 */
import type { IpAddress } from "./address.ts";
import { pseudoOf } from "./checksum.ts";
import { MAX_UINT16, MAX_UINT32, MAX_UINT8, need, readBytes, requireInteger, writeBytes } from "./fields.ts";
import * as message from "./icmpv6-message.ts";
import { PROTOCOL } from "./protocol.ts";

export * from "./icmpv6-message.ts";

const { TYPE, QUOTE } = message;

export interface Echo {
  readonly kind: "echo-request" | "echo-reply";
  readonly identifier: number;
  readonly sequence: number;
  readonly data: Uint8Array;
}

interface Quoting {
  readonly code: number;
  /** The packet that caused the error, from its IPv6 header on, as far as it was sent along. */
  readonly quote: Uint8Array;
}

/** Errors that may carry extensions (RFC 4884). */
export interface Extensible extends Quoting {
  readonly kind: "destination-unreachable" | "time-exceeded";
  /** What follows the quotation; empty where nothing does. */
  readonly extensions: Uint8Array;
}

export interface PacketTooBig extends Quoting {
  readonly kind: "packet-too-big";
  /** MTU of the next hop. */
  readonly mtu: number;
}

export interface ParameterProblem extends Quoting {
  readonly kind: "parameter-problem";
  /** Offset in the quoted packet. */
  readonly pointer: number;
}

/** Any other type, as it came. */
export interface Other {
  readonly kind: "other";
  readonly type: number;
  readonly code: number;
  /** What follows the checksum: four bytes at least. */
  readonly body: Uint8Array;
}

export type Icmpv6Record = Echo | Extensible | PacketTooBig | ParameterProblem | Other;

const TYPE_OF = {
  "echo-request": TYPE.ECHO_REQUEST,
  "echo-reply": TYPE.ECHO_REPLY,
  "destination-unreachable": TYPE.DESTINATION_UNREACHABLE,
  "packet-too-big": TYPE.PACKET_TOO_BIG,
  "time-exceeded": TYPE.TIME_EXCEEDED,
  "parameter-problem": TYPE.PARAMETER_PROBLEM,
} as const;
const OWN_TYPES: ReadonlySet<number> = new Set(Object.values(TYPE_OF));
const BODY = message.REST;
const MIN_BODY_BYTES = message.HEADER_BYTES - BODY;

/** Bytes that `emit` writes. */
export const lengthOf = (record: Icmpv6Record): number => {
  switch (record.kind) {
    case "echo-request":
    case "echo-reply":
      return message.ECHO_DATA + record.data.length;
    case "other":
      return BODY + record.body.length;
    case "packet-too-big":
    case "parameter-problem":
      return QUOTE + record.quote.length;
    default:
      return QUOTE + record.quote.length + record.extensions.length;
  }
};

/** The message of `length` bytes at `at`, whose checksum only `check` judges; undefined where it is malformed. */
export const parse = (view: DataView, at: number, length: number): Icmpv6Record | undefined => {
  if (length < message.HEADER_BYTES) return undefined;
  const type = message.type(view, at);
  const code = message.code(view, at);
  if (!OWN_TYPES.has(type))
    return { kind: "other", type, code, body: readBytes(view, at + BODY, length - BODY) };
  if (message.isError(type)) return parseError(view, at, length, type, code);
  if (code !== 0) return undefined;
  return {
    kind: type === TYPE.ECHO_REQUEST ? "echo-request" : "echo-reply",
    identifier: message.identifier(view, at),
    sequence: message.sequence(view, at),
    data: readBytes(view, at + message.ECHO_DATA, length - message.ECHO_DATA),
  };
};

const parseError = (
  view: DataView,
  at: number,
  length: number,
  type: number,
  code: number,
): Icmpv6Record | undefined => {
  const quoteBytes = message.quoteLength(view, at, length);
  if (quoteBytes < message.MIN_QUOTE_BYTES) return undefined;
  const quote = readBytes(view, at + QUOTE, quoteBytes);
  if (type === TYPE.PACKET_TOO_BIG)
    return { kind: "packet-too-big", code, mtu: message.mtu(view, at), quote };
  if (type === TYPE.PARAMETER_PROBLEM)
    return { kind: "parameter-problem", code, pointer: message.pointer(view, at), quote };
  const kind = type === TYPE.TIME_EXCEEDED ? "time-exceeded" : "destination-unreachable";
  const extensions = readBytes(view, at + QUOTE + quoteBytes, length - QUOTE - quoteBytes);
  return { kind, code, quote, extensions };
};

/**
 * Writes the message and its checksum, which is over the addresses too, at `at`; gives its bytes. RangeError where the
 * record is out of range.
 */
export const emit = (
  record: Icmpv6Record,
  view: DataView,
  at: number,
  source: IpAddress,
  destination: IpAddress,
): number => {
  const other = record.kind === "other";
  const type = other ? record.type : TYPE_OF[record.kind];
  const code = "code" in record ? record.code : 0;
  requireInteger("type", type, MAX_UINT8);
  requireInteger("code", code, MAX_UINT8);
  need(!other || !OWN_TYPES.has(type), "type", "be one without a record of its own");
  message.setType(view, at, type);
  message.setCode(view, at, code);
  message.setRest(view, at, 0);
  emitBody(record, view, at);
  const length = lengthOf(record);
  message.setChecksum(view, at, length, pseudoOf(source, destination, PROTOCOL.ICMPV6, length));
  return length;
};

const emitBody = (record: Icmpv6Record, view: DataView, at: number): void => {
  switch (record.kind) {
    case "echo-request":
    case "echo-reply":
      requireInteger("identifier", record.identifier, MAX_UINT16);
      requireInteger("sequence", record.sequence, MAX_UINT16);
      message.setIdentifier(view, at, record.identifier);
      message.setSequence(view, at, record.sequence);
      writeBytes(view, at + message.ECHO_DATA, record.data);
      return;
    case "other":
      need(record.body.length >= MIN_BODY_BYTES, "body", `have ${MIN_BODY_BYTES} bytes or more`);
      writeBytes(view, at + BODY, record.body);
      return;
    case "packet-too-big":
      requireInteger("mtu", record.mtu, MAX_UINT32);
      view.setUint32(at + message.MTU, record.mtu);
      break;
    case "parameter-problem":
      requireInteger("pointer", record.pointer, MAX_UINT32);
      view.setUint32(at + message.POINTER, record.pointer);
      break;
    default:
      emitExtensions(record, view, at);
  }
  need(
    record.quote.length >= message.MIN_QUOTE_BYTES,
    "quote",
    `have ${message.MIN_QUOTE_BYTES} bytes or more`,
  );
  writeBytes(view, at + QUOTE, record.quote);
};

const emitExtensions = ({ quote, extensions }: Extensible, view: DataView, at: number): void => {
  if (extensions.length === 0) return;
  const units = quote.length / message.QUOTE_UNIT_BYTES;
  need(
    quote.length >= message.MIN_EXTENDED_QUOTE_BYTES,
    "quote",
    `have ${message.MIN_EXTENDED_QUOTE_BYTES} bytes or more before extensions`,
  );
  requireInteger("8-byte units of quote", units, MAX_UINT8);
  view.setUint8(at + message.QUOTE_UNITS, units);
  writeBytes(view, at + QUOTE + quote.length, extensions);
};

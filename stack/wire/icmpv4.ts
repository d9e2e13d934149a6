/**
 * ICMP for IPv4 (RFC 792): what the message has in place (icmpv4-message.ts), and its records.
 */
import type { IpAddress } from "./address.ts";
import { MAX_UINT16, MAX_UINT32, MAX_UINT8, need, readBytes, requireInteger, writeBytes } from "./fields.ts";
import * as message from "./icmpv4-message.ts";

export * from "./icmpv4-message.ts";

const { TYPE, QUOTE, UNREACHABLE } = message;

export interface Echo {
  readonly kind: "echo-request" | "echo-reply";
  readonly identifier: number;
  readonly sequence: number;
  readonly data: Uint8Array;
}

export interface Timestamp {
  readonly kind: "timestamp-request" | "timestamp-reply";
  readonly identifier: number;
  readonly sequence: number;
  /** ms since midnight UT, or with the highest bit set anything else (RFC 792); so are the next two. */
  readonly originate: number;
  readonly receive: number;
  readonly transmit: number;
}

interface Quoting {
  readonly code: number;
  /** The packet that caused the error, from its IP header on, as far as it was sent along. */
  readonly quote: Uint8Array;
}

/** An error that may carry extensions (RFC 4884). */
interface Extensible extends Quoting {
  /** What follows the quotation; empty where nothing does. */
  readonly extensions: Uint8Array;
}

export interface Unreachable extends Extensible {
  readonly kind: "destination-unreachable";
  /** MTU of the next hop; 0 unless the code is "fragmentation needed". */
  readonly mtu: number;
}

export interface TimeExceeded extends Extensible {
  readonly kind: "time-exceeded";
}

export interface ParameterProblem extends Extensible {
  readonly kind: "parameter-problem";
  /** Offset in the quoted packet. */
  readonly pointer: number;
}

export interface Redirect extends Quoting {
  readonly kind: "redirect";
  /** The better gateway. */
  readonly gateway: IpAddress;
}

/** Any other type, as it came. */
export interface Other {
  readonly kind: "other";
  readonly type: number;
  readonly code: number;
  /** What follows the checksum: four bytes at least. */
  readonly body: Uint8Array;
}

export type Icmpv4Record =
  Echo | Timestamp | Unreachable | TimeExceeded | ParameterProblem | Redirect | Other;

const TYPE_OF = {
  "echo-request": TYPE.ECHO_REQUEST,
  "echo-reply": TYPE.ECHO_REPLY,
  "timestamp-request": TYPE.TIMESTAMP_REQUEST,
  "timestamp-reply": TYPE.TIMESTAMP_REPLY,
  "destination-unreachable": TYPE.DESTINATION_UNREACHABLE,
  "time-exceeded": TYPE.TIME_EXCEEDED,
  "parameter-problem": TYPE.PARAMETER_PROBLEM,
  redirect: TYPE.REDIRECT,
} as const;
const OWN_TYPES: ReadonlySet<number> = new Set(Object.values(TYPE_OF));
const BODY = message.REST;
const MIN_BODY_BYTES = message.HEADER_BYTES - BODY;

/** Bytes that `emit` writes. */
export const lengthOf = (record: Icmpv4Record): number => {
  switch (record.kind) {
    case "echo-request":
    case "echo-reply":
      return message.ECHO_DATA + record.data.length;
    case "timestamp-request":
    case "timestamp-reply":
      return message.TIMESTAMP_BYTES;
    case "redirect":
      return QUOTE + record.quote.length;
    case "other":
      return BODY + record.body.length;
    default:
      return QUOTE + record.quote.length + record.extensions.length;
  }
};

/** The message of `length` bytes at `at`, whose checksum only `check` judges; undefined where it is malformed. */
export const parse = (view: DataView, at: number, length: number): Icmpv4Record | undefined => {
  if (length < message.HEADER_BYTES) return undefined;
  const type = message.type(view, at);
  const code = message.code(view, at);
  if (message.isError(type) && type !== TYPE.SOURCE_QUENCH) return parseError(view, at, length, type, code);
  const known = OWN_TYPES.has(type);
  if (!known) return { kind: "other", type, code, body: readBytes(view, at + BODY, length - BODY) };
  if (code !== 0) return undefined;
  const identifier = message.identifier(view, at);
  const sequence = message.sequence(view, at);
  if (type === TYPE.ECHO_REQUEST || type === TYPE.ECHO_REPLY) {
    const kind = type === TYPE.ECHO_REQUEST ? "echo-request" : "echo-reply";
    const data = readBytes(view, at + message.ECHO_DATA, length - message.ECHO_DATA);
    return { kind, identifier, sequence, data };
  }
  if (length < message.TIMESTAMP_BYTES) return undefined;
  return {
    kind: type === TYPE.TIMESTAMP_REQUEST ? "timestamp-request" : "timestamp-reply",
    identifier,
    sequence,
    originate: view.getUint32(at + message.ORIGINATE),
    receive: view.getUint32(at + message.RECEIVE),
    transmit: view.getUint32(at + message.TRANSMIT),
  };
};

const parseError = (
  view: DataView,
  at: number,
  length: number,
  type: number,
  code: number,
): Icmpv4Record | undefined => {
  const quoteBytes = message.quoteLength(view, at, length);
  if (quoteBytes < message.MIN_QUOTE_BYTES) return undefined;
  const quote = readBytes(view, at + QUOTE, quoteBytes);
  if (type === TYPE.REDIRECT) return { kind: "redirect", code, gateway: message.gateway(view, at), quote };
  const extensions = readBytes(view, at + QUOTE + quoteBytes, length - QUOTE - quoteBytes);
  if (type === TYPE.TIME_EXCEEDED) return { kind: "time-exceeded", code, quote, extensions };
  if (type === TYPE.PARAMETER_PROBLEM)
    return { kind: "parameter-problem", code, pointer: message.pointer(view, at), quote, extensions };
  const mtu = code === UNREACHABLE.FRAGMENTATION_NEEDED ? message.mtu(view, at) : 0;
  return { kind: "destination-unreachable", code, mtu, quote, extensions };
};

/** Writes the message and its checksum at `at`; gives its bytes. RangeError where the record is out of range. */
export const emit = (record: Icmpv4Record, view: DataView, at: number): number => {
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
  message.setChecksum(view, at, length);
  return length;
};

const emitBody = (record: Icmpv4Record, view: DataView, at: number): void => {
  switch (record.kind) {
    case "echo-request":
    case "echo-reply":
      emitIdentity(record, view, at);
      writeBytes(view, at + message.ECHO_DATA, record.data);
      return;
    case "timestamp-request":
    case "timestamp-reply":
      emitIdentity(record, view, at);
      for (const name of ["originate", "receive", "transmit"] as const)
        requireInteger(name, record[name], MAX_UINT32);
      view.setUint32(at + message.ORIGINATE, record.originate);
      view.setUint32(at + message.RECEIVE, record.receive);
      view.setUint32(at + message.TRANSMIT, record.transmit);
      return;
    case "other":
      need(record.body.length >= MIN_BODY_BYTES, "body", `have ${MIN_BODY_BYTES} bytes or more`);
      writeBytes(view, at + BODY, record.body);
      return;
    case "redirect":
      need(record.gateway.family === 4, "gateway", "be an IPv4 address");
      record.gateway.write(view, at + message.GATEWAY);
      break;
    case "parameter-problem":
      requireInteger("pointer", record.pointer, MAX_UINT8);
      message.setRest(view, at, message.restOfPointer(record.pointer));
      break;
    case "destination-unreachable": {
      const carriesMtu = record.code === UNREACHABLE.FRAGMENTATION_NEEDED;
      requireInteger("mtu", record.mtu, carriesMtu ? MAX_UINT16 : 0);
      message.setRest(view, at, message.restOfMtu(record.mtu));
    }
  }
  emitQuote(record.quote, "extensions" in record ? record.extensions : undefined, view, at);
};

const emitIdentity = (record: Echo | Timestamp, view: DataView, at: number): void => {
  requireInteger("identifier", record.identifier, MAX_UINT16);
  requireInteger("sequence", record.sequence, MAX_UINT16);
  message.setIdentifier(view, at, record.identifier);
  message.setSequence(view, at, record.sequence);
};

const emitQuote = (
  quote: Uint8Array,
  extensions: Uint8Array | undefined,
  view: DataView,
  at: number,
): void => {
  need(quote.length >= message.MIN_QUOTE_BYTES, "quote", `have ${message.MIN_QUOTE_BYTES} bytes or more`);
  const end = at + QUOTE + writeBytes(view, at + QUOTE, quote);
  if (extensions === undefined || extensions.length === 0) return;
  const words = quote.length / message.QUOTE_UNIT_BYTES;
  need(
    quote.length >= message.MIN_EXTENDED_QUOTE_BYTES,
    "quote",
    `have ${message.MIN_EXTENDED_QUOTE_BYTES} bytes or more before extensions`,
  );
  requireInteger("words of quote", words, MAX_UINT8);
  view.setUint8(at + message.QUOTE_WORDS, words);
  writeBytes(view, end, extensions);
};

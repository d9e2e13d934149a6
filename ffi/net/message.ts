/**
 * The netlink message format, both ways: headers, attributes and error reports as bytes, without a socket.
 *
 * Source: include/uapi/linux/netlink.h. Numbers are in host byte order; every machine that millrace supports is
 * little-endian. Lengths are checked before anything is read: a message that lies about them ends in an error, not in a
 * read of the next one.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";

/** struct nlmsghdr. */
const LENGTH = 0;
const TYPE = LENGTH + 4;
const FLAGS = TYPE + 2;
const SEQUENCE = FLAGS + 2;
const PORT = SEQUENCE + 4;
export const HEADER_BYTES = PORT + 4;

/** struct nlattr. */
const ATTRIBUTE_LENGTH = 0;
const ATTRIBUTE_TYPE = ATTRIBUTE_LENGTH + 2;
export const ATTRIBUTE_HEADER_BYTES = ATTRIBUTE_TYPE + 2;
/** Clears NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const NLA_TYPE_MASK = 0x3fff;

/** struct nlmsgerr: the negative errno, then the header of the request that failed. */
const ERROR_CODE = 0;
const ERROR_REQUEST = ERROR_CODE + 4;
const ERROR_ATTRIBUTES = ERROR_REQUEST + HEADER_BYTES;
const NLMSGERR_ATTR_MSG = 1;

/** NLMSG_ALIGNTO and NLA_ALIGNTO. */
const ALIGNMENT = 4;
const aligned = (length: number): number => (length + ALIGNMENT - 1) & ~(ALIGNMENT - 1);

export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;
export const NLM_F = {
  REQUEST: 0x001,
  MULTI: 0x002,
  ACK: 0x004,
  DUMP_INTR: 0x010,
  DUMP: 0x300,
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

/** One message without its header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: DataView;
}

/** What an NLMSG_ERROR says: errno (0 for success) and the kernel's own words, if it gave any. */
export interface Acknowledgement {
  readonly errno: number;
  readonly text: string;
}

const malformed = (what: string): SystemError =>
  new SystemError({
    operation: `read a netlink message (${what})`,
    errno: ERRNO.EPROTO,
    remedy:
      "the kernel speaks another netlink than include/uapi/linux/netlink.h; report it with the kernel's version",
  });

/** The messages of one datagram, in order. Throws SystemError (EPROTO) where lengths do not add up. */
export const parseMessages = (datagram: Uint8Array): Message[] => {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: Message[] = [];
  for (let at = 0; at < view.byteLength;) {
    if (view.byteLength - at < HEADER_BYTES) throw malformed("header cut short");
    const length = view.getUint32(at + LENGTH, true);
    if (length < HEADER_BYTES || length > view.byteLength - at) throw malformed(`length ${length}`);
    messages.push({
      type: view.getUint16(at + TYPE, true),
      flags: view.getUint16(at + FLAGS, true),
      sequence: view.getUint32(at + SEQUENCE, true),
      body: new DataView(view.buffer, view.byteOffset + at + HEADER_BYTES, length - HEADER_BYTES),
    });
    at += aligned(length);
  }
  return messages;
};

/** A message ready to send; the kernel fills in the port. */
export const encodeMessage = (
  type: number,
  flags: number,
  sequence: number,
  body: Uint8Array,
): Uint8Array => {
  const length = HEADER_BYTES + body.length;
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(LENGTH, length, true);
  view.setUint16(TYPE, type, true);
  view.setUint16(FLAGS, flags, true);
  view.setUint32(SEQUENCE, sequence, true);
  bytes.set(body, HEADER_BYTES);
  return bytes;
};

/** One attribute, padded. */
export const encodeAttribute = (type: number, payload: Uint8Array): Uint8Array => {
  const length = ATTRIBUTE_HEADER_BYTES + payload.length;
  const bytes = new Uint8Array(new ArrayBuffer(aligned(length)));
  const view = new DataView(bytes.buffer);
  view.setUint16(ATTRIBUTE_LENGTH, length, true);
  view.setUint16(ATTRIBUTE_TYPE, type, true);
  bytes.set(payload, ATTRIBUTE_HEADER_BYTES);
  return bytes;
};

/** An attribute of one u32. */
export const encodeAttributeU32 = (type: number, value: number): Uint8Array => {
  const payload = new DataView(new ArrayBuffer(4));
  payload.setUint32(0, value, true);
  return encodeAttribute(type, new Uint8Array(payload.buffer));
};

/** An attribute of a NUL-terminated text. */
export const encodeAttributeText = (type: number, text: string): Uint8Array =>
  encodeAttribute(type, new TextEncoder().encode(`${text}\0`));

/** Parts of a message body, each already padded, in one piece. */
export const concatenate = (parts: readonly Uint8Array[]): Uint8Array => {
  const whole = new Uint8Array(new ArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0)));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

/** The attributes of a message or of an attribute that nests others. Where a type repeats, the last one counts. */
export class Attributes {
  readonly #byType = new Map<number, DataView>();

  /** Reads the attributes that start at offset `from` of `view`. Throws SystemError (EPROTO) where lengths do not add up. */
  constructor(view: DataView, from: number) {
    for (let at = from; at < view.byteLength;) {
      if (view.byteLength - at < ATTRIBUTE_HEADER_BYTES) throw malformed("attribute header cut short");
      const length = view.getUint16(at + ATTRIBUTE_LENGTH, true);
      if (length < ATTRIBUTE_HEADER_BYTES || length > view.byteLength - at)
        throw malformed(`attribute of ${length} bytes`);
      const start = view.byteOffset + at + ATTRIBUTE_HEADER_BYTES;
      const type = view.getUint16(at + ATTRIBUTE_TYPE, true) & NLA_TYPE_MASK;
      this.#byType.set(type, new DataView(view.buffer, start, length - ATTRIBUTE_HEADER_BYTES));
      at += aligned(length);
    }
  }

  has(type: number): boolean {
    return this.#byType.has(type);
  }

  /** Undefined where the attribute is missing or shorter than its type; the same for its neighbours below. */
  u8(type: number): number | undefined {
    const view = this.#atLeast(type, Uint8Array.BYTES_PER_ELEMENT);
    return view?.getUint8(0);
  }

  u16(type: number): number | undefined {
    const view = this.#atLeast(type, Uint16Array.BYTES_PER_ELEMENT);
    return view?.getUint16(0, true);
  }

  u32(type: number): number | undefined {
    const view = this.#atLeast(type, Uint32Array.BYTES_PER_ELEMENT);
    return view?.getUint32(0, true);
  }

  i32(type: number): number | undefined {
    const view = this.#atLeast(type, Int32Array.BYTES_PER_ELEMENT);
    return view?.getInt32(0, true);
  }

  /** A text up to its NUL, or to the attribute's end. */
  text(type: number): string | undefined {
    const bytes = this.bytes(type);
    if (bytes === undefined) return undefined;
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** A copy of the payload. */
  bytes(type: number): Uint8Array | undefined {
    const view = this.#byType.get(type);
    return view === undefined
      ? undefined
      : new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
  }

  nested(type: number): Attributes | undefined {
    const view = this.#byType.get(type);
    return view === undefined ? undefined : new Attributes(view, 0);
  }

  #atLeast(type: number, lengthBytes: number): DataView | undefined {
    const view = this.#byType.get(type);
    return view !== undefined && view.byteLength >= lengthBytes ? view : undefined;
  }
}

/** Reads an NLMSG_ERROR, or the NLMSG_DONE of a dump, which starts with the same code. */
export const parseAcknowledgement = (message: Message): Acknowledgement => {
  const { body, flags, type } = message;
  // A dump that ends well may end without a code.
  if (body.byteLength < ERROR_REQUEST) return { errno: 0, text: "" };
  // Subtracted, not negated: success is 0, not -0.
  const code = 0 - body.getInt32(ERROR_CODE, true);
  // The socket asks for capped reports (NETLINK_CAP_ACK): without CAPPED the whole request stands before the attributes.
  const attributesAt =
    type === NLMSG.DONE
      ? ERROR_REQUEST
      : (flags & NLM_F.CAPPED) !== 0
        ? ERROR_ATTRIBUTES
        : ERROR_REQUEST +
          aligned(body.byteLength >= ERROR_ATTRIBUTES ? body.getUint32(ERROR_REQUEST + LENGTH, true) : 0);
  const told = (flags & NLM_F.ACK_TLVS) !== 0 && attributesAt < body.byteLength;
  return {
    errno: code,
    text: (told ? new Attributes(body, attributesAt).text(NLMSGERR_ATTR_MSG) : undefined) ?? "",
  };
};

/**
 * Messages for a name server and from one: queries as bytes, answers read by dns-packet, which others wrote, and judged for their form.
 */
import * as dnsPacket from "dns-packet";

export const QTYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DS: 43,
  AXFR: 252,
  ANY: 255,
} as const;

export const FLAG = { qr: 0x8000, aa: 0x0400, rd: 0x0100 } as const;

export interface QueryOptions {
  readonly id?: number;
  readonly flags?: number;
  readonly class?: number;
  /** A size asks for EDNS. */
  readonly size?: number;
  readonly version?: number;
  readonly dnssecOk?: boolean;
  /** Bytes of options in the OPT record. */
  readonly options?: readonly number[];
}

export const u16 = (value: number): number[] => [value >>> 8, value & 0xff];

/** A name's labels, from its text; `\.` is a dot in a label. */
export const labels = (name: string): string[] =>
  name === "." || name === ""
    ? []
    : name
        .replace(/\.$/, "")
        .split(/(?<!\\)\./)
        .map((label) =>
          label.replace(/\\(\d{3}|.)/g, (_, code: string) =>
            code.length === 3 ? String.fromCharCode(Number(code)) : code,
          ),
        );

export const nameBytes = (name: string): number[] => [
  ...labels(name).flatMap((label) => [label.length, ...Buffer.from(label, "latin1")]),
  0,
];

/** An OPT record (RFC 6891 section 6.1.2). */
export const opt = ({ size = 1232, version = 0, dnssecOk = false, options = [] }: QueryOptions): number[] => [
  ...[0, ...u16(41), ...u16(size), 0, version, ...u16(dnssecOk ? 0x8000 : 0)],
  ...[...u16(options.length), ...options],
];

/** One question. */
export const query = (name: string, type: number, options: QueryOptions = {}): Uint8Array => {
  const edns = options.size !== undefined;
  const { id = 0x1234, flags = 0 } = options;
  const header = [...u16(id), ...u16(flags), ...u16(1), 0, 0, 0, 0, ...u16(edns ? 1 : 0)];
  const question = [...nameBytes(name), ...u16(type), ...u16(options.class ?? 1)];
  return Uint8Array.from([...header, ...question, ...(edns ? opt(options) : [])]);
};

/** A message as dns-packet reads it. Throws where it does not, or where it leaves bytes over. */
export const decode = (message: Uint8Array): dnsPacket.Packet => {
  // A copy: what dns-packet returns may be a view.
  const packet = dnsPacket.decode(Buffer.from(message));
  if (dnsPacket.decode.bytes !== message.length)
    throw new Error(`${message.length - dnsPacket.decode.bytes} bytes behind the last record`);
  return packet;
};

const HEADER_BYTES = 12;
const QUESTION_TAIL_BYTES = 4;
const RECORD_TAIL_BYTES = 10;
/** Types whose data has names that may be compressed: how many bytes before them, how many names, how many bytes behind. */
const NAMES_IN = new Map<number, readonly [number, number, number]>([
  [2, [0, 1, 0]],
  [5, [0, 1, 0]],
  [6, [0, 2, 20]],
  [12, [0, 1, 0]],
  [15, [2, 1, 0]],
]);

/**
 * Throws unless the bytes are a message in form: counts that are true, names that end, pointers that lead back to a label which a
 * name has begun with or gone over, data as long as it says, nothing behind.
 */
export const checkForm = (message: Uint8Array): void => {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  if (message.length < HEADER_BYTES) throw new Error("shorter than a header");
  const known = new Set<number>();
  let at = HEADER_BYTES;
  const name = (): void => {
    let bytes = 0;
    for (;;) {
      const length = view.getUint8(at);
      if (length >= 0xc0) {
        const target = view.getUint16(at) & 0x3fff;
        if (!known.has(target))
          throw new Error(`the pointer at ${at} leads to ${target}, where no label begins`);
        at += 2;
        return;
      }
      if (length > 63) throw new Error(`a label of ${length} bytes at ${at}`);
      known.add(at);
      bytes += 1 + length;
      at += 1 + length;
      if (bytes > 255) throw new Error("a name above 255 bytes");
      if (length === 0) return;
    }
  };
  for (let left = view.getUint16(4); left > 0; left--) {
    name();
    at += QUESTION_TAIL_BYTES;
  }
  for (let left = view.getUint16(6) + view.getUint16(8) + view.getUint16(10); left > 0; left--) {
    name();
    const type = view.getUint16(at);
    const end = at + RECORD_TAIL_BYTES + view.getUint16(at + 8);
    at += RECORD_TAIL_BYTES;
    const names = NAMES_IN.get(type);
    if (names !== undefined) {
      const [before, count, behind] = names;
      at += before;
      for (let i = 0; i < count; i++) name();
      at += behind;
      if (at !== end) throw new Error(`data of type ${type} ends at ${at}, and says ${end}`);
    }
    at = end;
  }
  if (at !== message.length) throw new Error(`the records end at ${at} of ${message.length}`);
};

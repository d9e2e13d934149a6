/**
 * Packets for tests, layer by layer: each builder takes the payload and returns header and payload as fresh bytes.
 *
 * Lengths and checksums are right unless a test says otherwise; nothing here is shared with the code under test.
 */

export const MAC_A: readonly number[] = [0x02, 0, 0, 0, 0, 0x0a];
export const MAC_B: readonly number[] = [0x02, 0, 0, 0, 0, 0x0b];

export const ETHERTYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  serviceVlan: 0x88a8,
} as const;

export const PROTOCOL = {
  hopByHop: 0,
  icmp: 1,
  tcp: 6,
  udp: 17,
  routing: 43,
  fragment: 44,
  authentication: 51,
  icmp6: 58,
  none: 59,
  destination: 60,
  sctp: 132,
} as const;

export type Bytes = readonly number[] | Uint8Array;

export const u16 = (value: number): number[] => [(value >>> 8) & 0xff, value & 0xff];
export const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];

/** Bytes of several parts in a row. */
export const bytes = (...parts: readonly Bytes[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

/** RFC 1071. */
export const internetChecksum = (data: Bytes, start = 0): number => {
  let sum = start;
  for (let i = 0; i < data.length; i += 2) sum += data[i]! * 256 + (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
};

/** The four octets of a dotted address. */
export const ipv4Address = (text: string): number[] => text.split(".").map(Number);

/** The sixteen octets of an address in full or "::" form, hexadecimal groups only. */
export const ipv6Address = (text: string): number[] => {
  const [head = "", tail] = text.split("::");
  const groups = (side: string): number[] =>
    side === "" ? [] : side.split(":").map((g) => Number.parseInt(g, 16));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array<number>(8 - left.length - right.length).fill(0);
  return [...left, ...zeros, ...right].flatMap(u16);
};

export const ethernet = (
  ethertype: number,
  payload: Bytes,
  options: { readonly to?: Bytes; readonly from?: Bytes; readonly tags?: readonly number[] } = {},
): Uint8Array => {
  // Each tag is its own ethertype followed by its control field; the inner ethertype comes last.
  const tags = (options.tags ?? []).map((type) => [...u16(type), ...u16(5)]);
  return bytes(options.to ?? MAC_B, options.from ?? MAC_A, ...tags, u16(ethertype), payload);
};

export interface Ipv4Options {
  readonly from?: string;
  readonly to?: string;
  readonly protocol: number;
  /** Multiples of 4 bytes. */
  readonly options?: Bytes;
  /** In units of 8 bytes. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  readonly identification?: number;
  readonly totalLength?: number;
  readonly headerWords?: number;
  readonly version?: number;
}

export const ipv4 = (fields: Ipv4Options, payload: Bytes): Uint8Array => {
  const options = fields.options ?? [];
  const words = fields.headerWords ?? 5 + options.length / 4;
  const header = bytes(
    [((fields.version ?? 4) << 4) | words, 0],
    u16(fields.totalLength ?? 20 + options.length + payload.length),
    u16(fields.identification ?? 0x1234),
    u16((fields.moreFragments === true ? 0x2000 : 0) | (fields.fragmentOffset ?? 0)),
    [64, fields.protocol],
    u16(0),
    ipv4Address(fields.from ?? "10.0.0.1"),
    ipv4Address(fields.to ?? "10.0.0.2"),
    options,
  );
  header.set(u16(internetChecksum(header)), 10);
  return bytes(header, payload);
};

export interface Ipv6Options {
  readonly from?: string;
  readonly to?: string;
  readonly next: number;
  readonly payloadLength?: number;
  readonly version?: number;
}

export const ipv6 = (fields: Ipv6Options, payload: Bytes): Uint8Array =>
  bytes(
    [(fields.version ?? 6) << 4, 0, 0, 0],
    u16(fields.payloadLength ?? payload.length),
    [fields.next, 64],
    ipv6Address(fields.from ?? "2001:db8::1"),
    ipv6Address(fields.to ?? "2001:db8::2"),
    payload,
  );

/** Hop-by-hop, routing or destination options header of `units` times 8 bytes beyond the first 8. */
export const extension = (next: number, units: number, payload: Bytes): Uint8Array =>
  bytes([next, units], Array<number>(6 + units * 8).fill(0), payload);

/** `offset` in units of 8 bytes. */
export const ipv6Fragment = (
  next: number,
  offset: number,
  more: boolean,
  payload: Bytes,
  identification = 0x01020304,
): Uint8Array => bytes([next, 0], u16((offset << 3) | Number(more)), u32(identification), payload);

/** `icvWords`: the integrity check value, in 32-bit words. */
export const authentication = (next: number, icvWords: number, payload: Bytes): Uint8Array =>
  bytes([next, icvWords + 1, 0, 0], u32(1), u32(2), Array<number>(icvWords * 4).fill(0), payload);

const PORT_FROM = 40_000;

export const udp = (port: number, payload: Bytes = [1, 2, 3, 4]): Uint8Array =>
  bytes(u16(PORT_FROM), u16(port), u16(8 + payload.length), u16(0), payload);

export const tcp = (port: number, payload: Bytes = []): Uint8Array =>
  bytes(u16(PORT_FROM), u16(port), u32(1), u32(0), [0x50, 0x02], u16(1024), u16(0), u16(0), payload);

export const sctp = (port: number, payload: Bytes = [0, 0, 0, 4]): Uint8Array =>
  bytes(u16(PORT_FROM), u16(port), u32(0), u32(0), payload);

/** An ICMP echo request with its checksum. */
export const icmpEcho = (id: number, sequence: number, payload: Bytes = [0xab, 0xcd]): Uint8Array => {
  const message = bytes([8, 0], u16(0), u16(id), u16(sequence), payload);
  message.set(u16(internetChecksum(message)), 2);
  return message;
};

export const arp = (sender: string, target: string, hardware = 1): Uint8Array =>
  bytes(
    u16(hardware),
    u16(ETHERTYPE.ipv4),
    [6, 4],
    u16(1),
    MAC_A,
    ipv4Address(sender),
    [0, 0, 0, 0, 0, 0],
    ipv4Address(target),
  );

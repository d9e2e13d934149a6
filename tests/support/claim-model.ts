/**
 * What a claim means, written as plainly as possible: the model that the steering program is compared with.
 *
 * Packets and claims come from small pools of values, so that they meet often.
 */
import fc from "fast-check";
import type { Claim } from "../../ffi/xdp/claim.ts";
import {
  arp,
  ethernet,
  ETHERTYPE,
  extension,
  ipv4,
  ipv6,
  ipv6Fragment,
  PROTOCOL,
  sctp,
  tcp,
  udp,
} from "./packets.ts";

/** A packet by its facts. */
export interface Packet {
  readonly kind: "ip" | "arp" | "other";
  readonly family: 4 | 6;
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly port: number;
  /** A fragment that is not the first. */
  readonly later: boolean;
  readonly tags: readonly number[];
  /** Hop-by-hop headers in front, IPv6 only. */
  readonly extensions: number;
  readonly ethertype: number;
}

const PORTS = [1, 53, 9000, 65_535];
const V4 = [
  "10.0.0.1",
  "10.0.0.2",
  "10.0.1.1",
  "10.128.0.1",
  "11.0.0.1",
  "192.168.1.1",
  "0.0.0.0",
  "255.255.255.255",
];
const V6 = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2001:db9::1", "fe80::1", "::", "ffff:ffff::1"];
const WITH_PORTS: readonly number[] = [PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp];

/** An address as one number. */
const toBig = (family: 4 | 6, text: string): bigint => {
  if (family === 4) return text.split(".").reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
  const [head = "", tail] = text.split("::");
  const groups = (side: string): string[] => (side === "" ? [] : side.split(":"));
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array<string>(8 - groups(head).length - right.length).fill("0");
  return [...groups(head), ...zeros, ...right].reduce(
    (sum, group) => sum * 65_536n + BigInt(`0x${group}`),
    0n,
  );
};

const toText = (family: 4 | 6, address: bigint): string => {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((address >> shift) & 255n)).join(".");
  return Array.from({ length: 8 }, (_, i) => ((address >> BigInt(112 - 16 * i)) & 65_535n).toString(16)).join(
    ":",
  );
};

const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);

const prefixText = (family: 4 | 6, text: string, length: number): string => {
  const rest = BigInt(bitsOf(family) - length);
  return `${toText(family, (toBig(family, text) >> rest) << rest)}/${length}`;
};

const addresses = (family: 4 | 6): fc.Arbitrary<string> => fc.constantFrom(...(family === 4 ? V4 : V6));
const families = fc.constantFrom<4 | 6>(4, 6);

export const packets: fc.Arbitrary<Packet> = families.chain((family) =>
  fc.record<Packet>({
    kind: fc.constantFrom("ip", "ip", "ip", "ip", "arp", "other"),
    family: fc.constant(family),
    from: addresses(family),
    to: addresses(family),
    protocol: fc.constantFrom(PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp, PROTOCOL.icmp, PROTOCOL.icmp6, 89),
    port: fc.constantFrom(...PORTS),
    later: fc.boolean(),
    tags: fc.constantFrom<number[]>([], [], [ETHERTYPE.vlan], [ETHERTYPE.serviceVlan, ETHERTYPE.vlan]),
    extensions: fc.integer({ min: 0, max: 3 }),
    ethertype: fc.constantFrom(0x88cc, 0x9000),
  }),
);

const payloadOf = (packet: Packet): Uint8Array => {
  if (packet.protocol === PROTOCOL.udp) return udp(packet.port);
  if (packet.protocol === PROTOCOL.sctp) return sctp(packet.port);
  return tcp(packet.port);
};

/** The packet's bytes. */
export const render = (packet: Packet): Uint8Array => {
  const { from, to, protocol, tags } = packet;
  if (packet.kind === "other") return ethernet(packet.ethertype, [1, 2, 3, 4], { tags });
  if (packet.kind === "arp") {
    return packet.family === 4
      ? ethernet(ETHERTYPE.arp, arp(from, to), { tags })
      : ethernet(ETHERTYPE.arp, arp("9.9.9.9", "9.9.9.9"), { tags });
  }
  if (packet.family === 4) {
    const fragmentOffset = packet.later ? 4 : 0;
    return ethernet(ETHERTYPE.ipv4, ipv4({ from, to, protocol, fragmentOffset }, payloadOf(packet)), {
      tags,
    });
  }
  let next = protocol;
  let payload = payloadOf(packet);
  if (packet.later) {
    payload = ipv6Fragment(next, 4, false, payload);
    next = PROTOCOL.fragment;
  }
  for (let i = 0; i < packet.extensions; i++) {
    payload = extension(next, i, payload);
    next = PROTOCOL.destination;
  }
  return ethernet(ETHERTYPE.ipv6, ipv6({ from, to, next }, payload), { tags });
};

const prefixesOf = (family: 4 | 6): fc.Arbitrary<string> =>
  fc
    .tuple(
      addresses(family),
      fc.oneof(fc.constantFrom(0, bitsOf(family)), fc.integer({ min: 0, max: bitsOf(family) })),
    )
    .map(([text, length]) => prefixText(family, text, length));

const ends = (family: 4 | 6): fc.Arbitrary<Claim> =>
  fc.record({ source: prefixesOf(family), destination: prefixesOf(family) }, { requiredKeys: [] });

const contents: fc.Arbitrary<Claim> = fc.oneof(
  fc.constantFrom(...PORTS).map((port): Claim => ({ port })),
  fc.constantFrom(...PORTS).map((udpPort): Claim => ({ udp: udpPort })),
  fc.constantFrom(...PORTS).map((tcpPort): Claim => ({ tcp: tcpPort })),
  fc.constantFrom(...PORTS).map((sctpPort): Claim => ({ sctp: sctpPort })),
  fc.constantFrom(...PORTS).map((port): Claim => ({ protocol: "udp", port })),
  fc.constantFrom<number | "tcp">(6, 89, 58, "tcp").map((protocol): Claim => ({ protocol })),
  fc.constant<Claim>({}),
  fc.constant<Claim>({}),
);

/** Claims that make sense. */
export const claims: fc.Arbitrary<Claim> = fc
  .oneof(
    {
      weight: 8,
      arbitrary: families.chain((family) =>
        fc.tuple(contents, ends(family)).map(([a, b]) => ({ ...a, ...b })),
      ),
    },
    // Destinations with sources nest, which those for any source do not.
    {
      weight: 6,
      arbitrary: fc.record<Claim>({ source: prefixesOf(4), destination: prefixesOf(4) }),
    },
    { weight: 1, arbitrary: ends(4).map((prefixes): Claim => ({ icmp: true, ...prefixes })) },
    { weight: 1, arbitrary: ends(6).map((prefixes): Claim => ({ icmp6: true, ...prefixes })) },
    { weight: 1, arbitrary: ends(4).map((prefixes): Claim => ({ arp: true, ...prefixes })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(0x88cc, 0x0800, 0x86dd, 0x0806).map((ethertype): Claim => ({ ethertype })),
    },
  )
  .filter((claim) => Object.keys(claim).length > 0);

const covers = (prefix: string, family: 4 | 6, address: string): boolean => {
  if (prefix.includes(":") !== (family === 6)) return false;
  const [text = "", length = ""] = prefix.split("/");
  const rest = BigInt(bitsOf(family) - Number(length));
  return toBig(family, text) >> rest === toBig(family, address) >> rest;
};

const ethertypeOf = (packet: Packet): number => {
  if (packet.kind === "other") return packet.ethertype;
  if (packet.kind === "arp") return ETHERTYPE.arp;
  return packet.family === 4 ? ETHERTYPE.ipv4 : ETHERTYPE.ipv6;
};

/** Whether the claim means this packet. */
export const matches = (claim: Claim, packet: Packet): boolean => {
  const { kind, family, protocol } = packet;
  if (claim.ethertype !== undefined && claim.ethertype !== ethertypeOf(packet)) return false;
  if (claim.arp === true && kind !== "arp") return false;
  const from = kind === "arp" && family === 6 ? "9.9.9.9" : packet.from;
  const to = kind === "arp" && family === 6 ? "9.9.9.9" : packet.to;
  const addressFamily = kind === "arp" ? 4 : family;
  for (const [prefix, address] of [
    [claim.source, from],
    [claim.destination, to],
  ] as const) {
    if (prefix === undefined) continue;
    // Addresses of ARP belong to ARP claims only.
    if (kind === "other" || (kind === "arp" && claim.arp !== true)) return false;
    if (!covers(prefix, addressFamily, address)) return false;
  }
  if (claim.ethertype !== undefined || claim.arp === true) return true;
  if (kind !== "ip") return false;
  if (claim.icmp === true) return family === 4 && protocol === PROTOCOL.icmp;
  if (claim.icmp6 === true) return family === 6 && protocol === PROTOCOL.icmp6;
  const named =
    claim.protocol === "tcp" ? PROTOCOL.tcp : claim.protocol === "udp" ? PROTOCOL.udp : claim.protocol;
  if (named !== undefined && named !== protocol) return false;
  for (const [port, only] of [
    [claim.tcp, PROTOCOL.tcp],
    [claim.udp, PROTOCOL.udp],
    [claim.sctp, PROTOCOL.sctp],
    [claim.port, protocol],
  ] as const) {
    if (port === undefined) continue;
    if (packet.later || protocol !== only || !WITH_PORTS.includes(protocol) || packet.port !== port)
      return false;
  }
  return true;
};

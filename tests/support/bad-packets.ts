/**
 * Packets that contradict themselves, made by hand or by hping3, for a host at side b of a lab: each with the counter that
 * names it.
 */
import type { HostStatistics } from "../../index.ts";
import {
  authentication,
  type Bytes,
  bytes,
  ethernet,
  ETHERTYPE,
  extension,
  icmpEcho,
  internetChecksum,
  ipv4,
  type Ipv4Options,
  ipv6,
  ipv6Address,
  ipv6Fragment,
  type Ipv6Options,
  PROTOCOL,
  u16,
  u32,
  udp,
} from "./packets.ts";

/** The port that the host serves. */
export const PORT = 7777;
/** Nobody's protocol: for experiments (RFC 3692). */
export const NO_PROTOCOL = 253;

/** The lab's addresses of both ends. */
export const A4 = "10.77.0.1";
export const B4 = "10.77.0.2";
const A6 = "fd77::1";
export const B6 = "fd77::2";
const MAC_A = [2, 0, 0, 0, 0, 0xa1];
const MAC_B = [2, 0, 0, 0, 0, 0xa2];
const MAC_STRANGER = [2, 0, 0, 0, 0, 0x99];
const EVERYBODY = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

const v4 = (fields: Partial<Ipv4Options>, payload: Bytes, to: Bytes = MAC_B): Uint8Array =>
  ethernet(ETHERTYPE.ipv4, ipv4({ from: A4, to: B4, protocol: PROTOCOL.udp, ...fields }, payload), {
    to,
    from: MAC_A,
  });
const v6 = (fields: Partial<Ipv6Options>, payload: Bytes, to: Bytes = MAC_B): Uint8Array =>
  ethernet(ETHERTYPE.ipv6, ipv6({ from: A6, to: B6, next: PROTOCOL.udp, ...fields }, payload), {
    to,
    from: MAC_A,
  });

/** The frame with one byte changed, `at` bytes behind the Ethernet header. */
const changed = (frame: Uint8Array, at: number, value: number): Uint8Array => frame.with(14 + at, value);

/** A datagram to the service, without a checksum. */
const small = udp(PORT);
const IPV4_CHECKSUM = 10;
const UDP_LENGTH = 4;
const UDP_CHECKSUM = UDP_LENGTH + 2;

/** A datagram whose checksum is right over IPv6. */
const summed6 = (payload: Bytes = [1, 2, 3, 4]): Uint8Array => {
  const datagram = udp(PORT, payload);
  const pseudo = bytes(ipv6Address(A6), ipv6Address(B6), u32(datagram.length), u32(PROTOCOL.udp), datagram);
  datagram.set(u16(internetChecksum(pseudo)), UDP_CHECKSUM);
  return datagram;
};

type Counter = (statistics: HostStatistics) => number;
const ip =
  (name: keyof HostStatistics["ip"]): Counter =>
  ({ ip }) =>
    ip[name];
const udpCounter =
  (name: keyof HostStatistics["udp"]): Counter =>
  ({ udp }) =>
    udp[name];

/** Each frame, and the one counter that goes up by one. */
export const BAD_FRAMES: Readonly<Record<string, readonly [Uint8Array, Counter]>> = {
  "a version of 5": [v4({ version: 5 }, small), ip("malformed")],
  "a header of 16 bytes": [v4({ headerWords: 4 }, small), ip("malformed")],
  "a header beyond the packet": [v4({ headerWords: 15 }, small), ip("malformed")],
  "a total length below the header's": [v4({ totalLength: 19 }, small), ip("malformed")],
  "a total length beyond the frame": [v4({ totalLength: 1500 }, small), ip("malformed")],
  "a wrong header checksum": [changed(v4({}, small), IPV4_CHECKSUM, 0x77), ip("malformed")],
  "ten bytes of IPv4": [v4({}, small).subarray(0, 24), ip("malformed")],
  "no IPv4 at all": [v4({}, small).subarray(0, 14), ip("malformed")],
  "an option of length 0": [v4({ options: [7, 0, 4, 0] }, small), udpCounter("received")],
  "an option beyond the header": [v4({ options: [7, 40, 4, 0] }, small), udpCounter("received")],
  "from the loopback network": [v4({ from: "127.0.0.1" }, small), ip("martian")],
  "to the loopback network": [v4({ to: "127.0.0.1" }, small), ip("martian")],
  "from a group": [v4({ from: "224.0.0.5" }, small), ip("martian")],
  "from everybody": [v4({ from: "255.255.255.255" }, small), ip("martian")],
  "from nobody": [v4({ from: "0.0.0.0" }, small), ip("martian")],
  "from ourselves (land)": [v4({ from: B4 }, small), ip("martian")],
  "from the subnet's broadcast address": [v4({ from: "10.77.0.255" }, small), ip("martian")],
  "to us, in a frame for everybody": [v4({}, small, EVERYBODY), ip("martian")],
  "to another's address": [v4({ to: "10.77.0.9" }, small), ip("notOurs")],
  "to another's Ethernet address": [v4({}, small, MAC_STRANGER), ip("otherHost")],
  "of a type that nobody reads": [ethernet(0x88b5, [1, 2, 3], { to: MAC_B, from: MAC_A }), ip("unknownType")],
  "of a protocol that nobody speaks": [v4({ protocol: NO_PROTOCOL }, [1, 2, 3, 4]), ip("unknownProtocol")],
  "a group of nobody here": [v4({ to: "239.1.2.3" }, small, [1, 0, 0x5e, 1, 2, 3]), ip("noMember")],
  "seven bytes of UDP": [v4({}, small.subarray(0, 7)), udpCounter("malformed")],
  "a UDP length below its header's": [v4({}, small.with(UDP_LENGTH + 1, 7)), udpCounter("malformed")],
  "a UDP length beyond the packet": [v4({}, small.with(UDP_LENGTH, 1)), udpCounter("malformed")],
  "a wrong UDP checksum": [v4({}, small.with(UDP_CHECKSUM, 0x77)), udpCounter("badChecksum")],
  "a UDP port that nobody has": [v4({}, udp(PORT + 1)), udpCounter("noPort")],
  "a wrong ICMP checksum": [
    v4({ protocol: PROTOCOL.icmp }, icmpEcho(1, 1).with(2, 0x77)),
    ({ icmp4 }) => icmp4.malformed,
  ],
  "three bytes of ICMP": [v4({ protocol: PROTOCOL.icmp }, [8, 0, 0]), ({ icmp4 }) => icmp4.malformed],
  "IPv6 with a version of 4": [v6({ version: 4 }, small), ip("malformed")],
  "an IPv6 payload beyond the frame": [v6({ payloadLength: 1000 }, small), ip("malformed")],
  "thirty bytes of IPv6": [v6({}, small).subarray(0, 44), ip("malformed")],
  "IPv6 from a group": [v6({ from: "ff02::1" }, summed6()), ip("martian")],
  "IPv6 from the loopback address": [v6({ from: "::1" }, summed6()), ip("martian")],
  "IPv6 from ourselves (land)": [v6({ from: B6 }, summed6()), ip("martian")],
  "IPv6 from IPv4 in disguise": [v6({ from: "::ffff:a4d:1" }, summed6()), ip("martian")],
  "IPv6 to a group that never leaves an interface": [
    v6({ to: "ff01::1" }, summed6(), [0x33, 0x33, 0, 0, 0, 1]),
    ip("martian"),
  ],
  "IPv6 to another's address": [v6({ to: "fd77::9" }, summed6()), ip("notOurs")],
  "UDP without a checksum over IPv6": [v6({}, small), udpCounter("withoutChecksum")],
  "a wrong UDP checksum over IPv6": [v6({}, small.with(UDP_CHECKSUM, 0x77)), udpCounter("badChecksum")],
  "an IPv6 protocol that nobody speaks": [v6({ next: NO_PROTOCOL }, [1, 2, 3, 4]), ip("unknownProtocol")],
  "ICMP of IPv4 over IPv6": [v6({ next: PROTOCOL.icmp }, icmpEcho(1, 1)), ip("unknownProtocol")],
  "a routing header that must not be (RFC 5095)": [
    v6({ next: PROTOCOL.routing }, extension(PROTOCOL.udp, 2, summed6()).with(3, 1)),
    ip("malformed"),
  ],
  "an option whose meaning must be known": [
    v6({ next: PROTOCOL.destination }, extension(PROTOCOL.udp, 0, summed6()).with(2, 0xbe).with(3, 4)),
    ip("malformed"),
  ],
  "hop-by-hop options in second place": [
    v6(
      { next: PROTOCOL.destination },
      extension(PROTOCOL.hopByHop, 0, extension(PROTOCOL.udp, 0, summed6())),
    ),
    ip("malformed"),
  ],
  "an extension header beyond the packet": [
    v6({ next: PROTOCOL.destination }, [PROTOCOL.udp, 200, 0, 0, 0, 0, 0, 0]),
    ip("malformed"),
  ],
  "headers without an end": [
    v6(
      { next: PROTOCOL.destination },
      Array.from({ length: 100 }, () => [PROTOCOL.destination, 0, 1, 4, 0, 0, 0, 0]).flat(),
    ),
    ip("malformed"),
  ],
  "an authentication header": [
    v6({ next: PROTOCOL.authentication }, authentication(PROTOCOL.udp, 3, summed6())),
    udpCounter("received"),
  ],
  "an atomic fragment (RFC 6946)": [
    v6({ next: PROTOCOL.fragment }, ipv6Fragment(PROTOCOL.udp, 0, false, summed6())),
    udpCounter("received"),
  ],
};

const fragment4 = (fragmentOffset: number, moreFragments: boolean, payload: Bytes): Uint8Array =>
  v4({ fragmentOffset, moreFragments }, payload);

/** Several frames together, and the counter of the reassembler that names what is wrong with them. */
export const BAD_FRAGMENTS: Readonly<
  Record<string, readonly [readonly Uint8Array[], keyof HostStatistics["reassembly"]]>
> = {
  "fragments that overlap": [
    [fragment4(0, true, udp(PORT, new Uint8Array(24))), fragment4(2, true, new Uint8Array(32).fill(1))],
    "overlapping",
  ],
  "a fragment whose length is no multiple of 8": [[fragment4(0, true, new Uint8Array(13))], "misaligned"],
  "a fragment beyond 65535 bytes (ping of death)": [
    [fragment4(8191, false, new Uint8Array(1000))],
    "tooLong",
  ],
  "a fragment without content": [[fragment4(4, true, [])], "empty"],
  "fragments of IPv6 that overlap": [
    [
      v6({ next: PROTOCOL.fragment }, ipv6Fragment(PROTOCOL.udp, 0, true, new Uint8Array(32))),
      v6({ next: PROTOCOL.fragment }, ipv6Fragment(PROTOCOL.udp, 2, true, new Uint8Array(32))),
    ],
    "overlapping",
  ],
  "a fragment of IPv6 whose length is no multiple of 8": [
    [v6({ next: PROTOCOL.fragment }, ipv6Fragment(PROTOCOL.udp, 0, true, new Uint8Array(13)))],
    "misaligned",
  ],
};

/** What hping3 is told besides how much and to whom. */
export const ATTACKS: Readonly<Record<string, readonly string[]>> = {
  "wrong UDP checksums": ["--udp", "-p", `${PORT}`, "--badcksum", "-d", "100"],
  "wrong TCP checksums": ["-S", "-p", `${PORT}`, "--badcksum"],
  "every TCP flag at once": ["-F", "-S", "-R", "-P", "-A", "-U", "-X", "-Y", "-p", `${PORT}`],
  "a TCP data offset beyond the segment": ["-S", "-O", "15", "-p", `${PORT}`],
  "UDP in fragments of 16 bytes": ["--udp", "-p", `${PORT}`, "-f", "-d", "200"],
  "UDP in fragments of 8 bytes": ["--udp", "-p", `${PORT}`, "-m", "8", "-d", "200"],
  "a fragment from the end of a datagram": ["--udp", "-p", `${PORT}`, "-g", "8184", "-d", "64"],
  "more fragments that never come": ["--udp", "-p", `${PORT}`, "-x", "-d", "33"],
  "ICMP of a type that does not exist": ["-1", "-C", "200", "-K", "77", "--force-icmp"],
  "ICMP that quotes nonsense": [
    "-1",
    "-C",
    "3",
    "-K",
    "4",
    "--icmp-ipver",
    "9",
    "--icmp-iphlen",
    "1",
    "--icmp-iplen",
    "3",
  ],
  redirects: ["-1", "-C", "5", "-K", "1", "--icmp-gw", "10.77.0.66"],
  "timestamp requests": ["-1", "-C", "13"],
  "address mask requests": ["-1", "-C", "17"],
  "SCTP without a body": ["--rawip", "--ipproto", "132"],
  "IPv6 in IPv4, three bytes of it": ["--rawip", "--ipproto", "41", "-d", "3"],
  "IGMP of nonsense": ["--rawip", "--ipproto", "2", "-d", "40"],
  "record route": ["-1", "-G"],
  "a loose source route": ["--udp", "-p", `${PORT}`, "--lsrr", `${A4}/${B4}`],
  "a strict source route": ["--udp", "-p", `${PORT}`, "--ssrr", `${A4}/${B4}`],
  "time to live 0": ["--udp", "-p", `${PORT}`, "-t", "0"],
  "time to live 1": ["--udp", "-p", `${PORT}`, "-t", "1"],
  "UDP from port 0": ["--udp", "-p", `${PORT}`, "-s", "0", "-k"],
  "UDP to port 0": ["--udp", "-p", "0"],
};

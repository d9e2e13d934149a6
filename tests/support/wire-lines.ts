/** Packets of every kind that the printer knows, and what it is to say about each. */
import { ANY4, IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import { NO_DETAILS } from "../../stack/wire/group-codes.ts";
import * as icmpv4 from "../../stack/wire/icmpv4.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { bytes } from "./records.ts";
import {
  A4,
  A6,
  B4,
  B6,
  datagram,
  discovery,
  extension,
  fill,
  fromHex,
  group,
  join,
  listener,
  MAC1,
  MAC2,
  message4,
  message6,
  NONE,
  packet4,
  packet6,
} from "./wire-frames.ts";

export const ECHO: icmpv4.Icmpv4Record & icmpv6.Icmpv6Record = {
  kind: "echo-request",
  identifier: 1,
  sequence: 7,
  data: new Uint8Array(56),
};
export const ASK: arp.ArpRecord = {
  operation: arp.OPERATION.REQUEST,
  senderMac: MAC1,
  senderAddress: A4,
  targetMac: MacAddress.words(0, 0),
  targetAddress: B4,
};
const LEASE: dhcp.DhcpRecord = {
  op: dhcp.OPERATION.REPLY,
  xid: 0xabc,
  secs: 0,
  flags: 0,
  ciaddr: ANY4,
  yiaddr: B4,
  siaddr: A4,
  giaddr: ANY4,
  chaddr: MAC2,
  file: 'a"\n',
  options: new Map([
    [dhcp.OPTION.MESSAGE_TYPE, Uint8Array.of(dhcp.MESSAGE.ACK)],
    [dhcp.OPTION.LEASE_SECONDS, Uint8Array.of(0, 0, 14, 16)],
    [dhcp.OPTION.ROUTERS, Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 9)],
    [dhcp.OPTION.HOST_NAME, Uint8Array.from(Buffer.from("here"))],
    [224, Uint8Array.of(1, 2)],
  ]),
};
/** A TCP SYN as Linux sends it over loopback, where the checksum is left to a device. */
export const SYN = fromHex(
  "c3501f90 00000001 00000000 a002ffd7 fe30 0000 020405b4 0402080a 0000000a 00000000 01030307",
);

const DATAGRAM = datagram(new Uint8Array(5));
export const QUERY = packet4(PROTOCOL.UDP, DATAGRAM);
const UNREACHABLE = message4({
  kind: "destination-unreachable",
  code: icmpv4.UNREACHABLE.PORT,
  mtu: 0,
  quote: QUERY.slice(0, 28),
  extensions: NONE,
});

/** Packets, and what is said about them. */
export const SAID: readonly (readonly [what: string, packet: Uint8Array, says: string])[] = [
  ["UDP", QUERY, "IP 10.0.0.1.1234 > 10.0.0.2.53 (ttl 64): UDP, length 5"],
  [
    "UDP over IPv6",
    packet6(PROTOCOL.UDP, datagram(NONE, A6, B6), { trafficClass: 1, flowLabel: 0xabcde }),
    "IP6 fe80::1.1234 > fe80::2.53 (hlim 255, class 0x01, flow 0xabcde): UDP, length 0",
  ],
  [
    "header notes",
    packet4(PROTOCOL.UDP, DATAGRAM, {
      dscp: 46,
      identification: 9,
      dontFragment: true,
      options: [{ type: ipv4.OPTION.ROUTER_ALERT, data: new Uint8Array(2) }],
    }),
    "IP 10.0.0.1.1234 > 10.0.0.2.53 (ttl 64, tos 0xb8, id 9, DF, options [router alert]): UDP, length 5",
  ],
  [
    "an echo request",
    packet4(PROTOCOL.ICMP, message4(ECHO)),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64): ICMP echo request, id 1, seq 7, length 64",
  ],
  [
    "an echo request over IPv6",
    packet6(PROTOCOL.ICMPV6, message6(ECHO)),
    "IP6 fe80::1 > fe80::2 (hlim 255): ICMP6 echo request, id 1, seq 7, length 64",
  ],
  [
    "an error and its quotation",
    packet4(PROTOCOL.ICMP, UNREACHABLE),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64): ICMP destination unreachable: port, " +
      "quoting (IP 10.0.0.1.1234 > 10.0.0.2.53 (ttl 64): UDP, length 5)",
  ],
  [
    "an error about an error about an error, no deeper",
    packet4(
      PROTOCOL.ICMP,
      message4({
        kind: "time-exceeded",
        code: 0,
        quote: packet4(
          PROTOCOL.ICMP,
          message4({
            kind: "redirect",
            code: 1,
            gateway: B4,
            quote: packet4(PROTOCOL.ICMP, UNREACHABLE),
          }),
        ),
        extensions: NONE,
      }),
    ),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64): ICMP time exceeded: transit, " +
      "quoting (IP 10.0.0.1 > 10.0.0.2 (ttl 64): ICMP redirect: host, to 10.0.0.2, " +
      "quoting (IP 10.0.0.1 > 10.0.0.2 (ttl 64): ICMP destination unreachable: port, quoting (...)))",
  ],
  [
    "fragmentation needed, with extensions",
    packet4(
      PROTOCOL.ICMP,
      message4({
        kind: "destination-unreachable",
        code: icmpv4.UNREACHABLE.FRAGMENTATION_NEEDED,
        mtu: 1400,
        quote: packet4(99, new Uint8Array(108)),
        extensions: new Uint8Array(8),
      }),
    ),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64): ICMP destination unreachable: fragmentation needed, mtu 1400, " +
      "quoting (IP 10.0.0.1 > 10.0.0.2 (ttl 64): 99, length 108), extensions of 8 bytes",
  ],
  [
    "packet too big",
    packet6(
      PROTOCOL.ICMPV6,
      message6({ kind: "packet-too-big", code: 0, mtu: 1280, quote: packet6(59, NONE) }),
    ),
    "IP6 fe80::1 > fe80::2 (hlim 255): ICMP6 packet too big: mtu 1280, " +
      "quoting (IP6 fe80::1 > fe80::2 (hlim 255): none, length 0)",
  ],
  [
    "a fragment",
    packet4(PROTOCOL.UDP, new Uint8Array(16), {
      identification: 5,
      fragmentOffset: 1480,
      moreFragments: true,
    }),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64, id 5, offset 1480+): fragment of udp, length 16",
  ],
  [
    "extension headers and a first fragment",
    packet6(
      PROTOCOL.HOP_BY_HOP,
      join(
        extension({
          kind: "hop-by-hop",
          nextHeader: PROTOCOL.FRAGMENT,
          options: [{ type: extensions.OPTION.ROUTER_ALERT, data: new Uint8Array(2) }],
        }),
        extension({ kind: "fragment", nextHeader: PROTOCOL.UDP, offset: 0, more: true, identification: 1 }),
        DATAGRAM,
      ),
    ),
    "IP6 fe80::1.1234 > fe80::2.53 " +
      "(hlim 255, hop-by-hop [router alert], fragment 0x00000001 offset 0+): UDP, length 5",
  ],
  [
    "a neighbour solicitation",
    packet6(
      PROTOCOL.ICMPV6,
      discovery({
        kind: "neighbour-solicitation",
        target: B6,
        options: [
          { kind: "source-link-layer", mac: MAC1 },
          { kind: "nonce", nonce: Uint8Array.of(1, 2, 3, 4, 5, 6) },
        ],
      }),
    ),
    "IP6 fe80::1 > fe80::2 (hlim 255): ICMP6, neighbour solicitation, who has fe80::2, " +
      "source 02:00:00:00:00:01, nonce 010203040506",
  ],
  [
    "a router advertisement",
    packet6(
      PROTOCOL.ICMPV6,
      discovery({
        kind: "router-advertisement",
        hopLimit: 64,
        managed: true,
        otherConfiguration: false,
        preference: "high",
        lifetimeSeconds: 1800,
        reachableMs: 0,
        retransMs: 1000,
        options: [
          {
            kind: "prefix-information",
            prefix: IpAddress.parse("2001:db8::"),
            prefixLength: 64,
            onLink: true,
            autonomous: true,
            validSeconds: ndp.INFINITE_SECONDS,
            preferredSeconds: 60,
          },
          { kind: "dnssl", lifetimeSeconds: 9, domains: ["a.example", "b.example"] },
        ],
      }),
    ),
    "IP6 fe80::1 > fe80::2 (hlim 255): ICMP6, router advertisement, hop limit 64 [managed], preference high, " +
      "lifetime 1800 s, retrans 1000 ms, prefix 2001:db8::/64 on-link autonomous valid for ever preferred 60 s, " +
      "search a.example b.example 9 s",
  ],
  [
    "an IGMP report",
    packet4(
      PROTOCOL.IGMP,
      group({
        kind: "source-report",
        records: [{ type: 4, group: IpAddress.parse("239.1.2.3"), sources: [A4, B4], auxiliary: NONE }],
      }),
    ),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64): IGMP v3 report, 1 record [239.1.2.3 change to exclude {10.0.0.1, 10.0.0.2}]",
  ],
  [
    "an MLD query",
    packet6(
      PROTOCOL.ICMPV6,
      listener({
        kind: "query",
        version: 2,
        group: IpAddress.parse("::"),
        maxResponseMs: 10_000,
        ...NO_DETAILS,
        intervalSeconds: 125,
        sources: [],
      }),
    ),
    "IP6 fe80::1 > fe80::2 (hlim 255): ICMP6, MLD v2 general query, max response 10000 ms, interval 125 s",
  ],
  [
    "DHCP",
    packet4(
      PROTOCOL.UDP,
      datagram(
        fill(dhcp.lengthOf(LEASE), (view) => dhcp.emit(LEASE, view, 0)),
        A4,
        B4,
        [67, 68],
      ),
    ),
    "IP 10.0.0.1.67 > 10.0.0.2.68 (ttl 64): UDP, length 300: DHCP ack, xid 0x00000abc, from 02:00:00:00:00:02, " +
      'yiaddr 10.0.0.2, siaddr 10.0.0.1, file "a\\x22\\x0a", lease seconds 3600, routers 10.0.0.1 10.0.0.9, ' +
      'host name "here", option 224 0102',
  ],
  [
    "TCP with options, of which only the pseudo-header was summed",
    packet4(PROTOCOL.TCP, SYN, {
      source: IpAddress.parse("127.0.0.1"),
      destination: IpAddress.parse("127.0.0.1"),
    }),
    "IP 127.0.0.1.50000 > 127.0.0.1.8080 (ttl 64): TCP, flags [S], partial checksum, seq 1, win 65495, " +
      "options [mss 1460, sackOK, TS val 10 ecr 0, nop, wscale 7], length 0",
  ],
  [
    "SCTP",
    packet4(
      PROTOCOL.SCTP,
      fromHex(
        "1388 1389 00000007 00000000 03000010 00000000 00000000 00000000 00030011 00000000 00000000 00000000 01 000000",
      ),
    ),
    "IP 10.0.0.1.5000 > 10.0.0.2.5001 (ttl 64): SCTP, tag 0x00000007, SACK 16, DATA 17",
  ],
  [
    "IPv6 in IPv4",
    packet4(PROTOCOL.IPV6, packet6(PROTOCOL.NONE, NONE)),
    "IP 10.0.0.1 > 10.0.0.2 (ttl 64): IP6 fe80::1 > fe80::2 (hlim 255): none, length 0",
  ],
];

/** The steering program's verdict and counter for every kind of packet, by BPF_PROG_TEST_RUN on this kernel. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Claims } from "../../ffi/xdp/claim.ts";
import { SteerProgram, type SteerStatistics } from "../../ffi/xdp/program.ts";
import {
  arp,
  authentication,
  bytes,
  ethernet,
  ETHERTYPE,
  extension,
  icmpEcho,
  ipv4,
  ipv6,
  ipv6Fragment,
  PROTOCOL,
  sctp,
  tcp,
  udp,
} from "../support/packets.ts";
import { skipUnless } from "../support/skip.ts";
import { openXskSlot, type XskSlot } from "../support/xsk-slot.ts";

const XDP_PASS = 2;
const XDP_REDIRECT = 4;
const MIN_FRAME = 14;

type Outcome = keyof SteerStatistics;

const VERDICTS: Readonly<Record<Outcome, number>> = {
  redirected: XDP_REDIRECT,
  passed: XDP_PASS,
  malformed: XDP_PASS,
  noSocket: XDP_PASS,
  earlyFragments: XDP_PASS,
};

const noRoot = skipUnless(process.getuid?.() === 0, "BPF_PROG_TEST_RUN needs root", { couldRun: true });

let program: SteerProgram;
let slot: XskSlot;

/**
 * Runs one packet; returns which counter rose, having checked that it alone did, by one, and that the verdict
 * fits. An early fragment is one of those that passed.
 */
const judge = (packet: Uint8Array): Outcome => {
  const before = program.statistics();
  const { verdict, out } = program.testRun(packet);
  const after = program.statistics();
  const rose = (Object.keys(before) as Outcome[]).filter((key) => after[key] !== before[key]);
  const [first, outcome = first] = rose;
  expect(rose).toEqual(outcome === "earlyFragments" ? ["passed", outcome] : [first!]);
  for (const each of rose) expect(after[each] - before[each]).toBe(1);
  expect(verdict).toBe(VERDICTS[outcome!]);
  expect(out).toEqual(packet);
  return outcome!;
};

const v4 = (fields: Parameters<typeof ipv4>[0], payload: Uint8Array): Uint8Array =>
  ethernet(ETHERTYPE.ipv4, ipv4(fields, payload));
const v6 = (fields: Parameters<typeof ipv6>[0], payload: Uint8Array): Uint8Array =>
  ethernet(ETHERTYPE.ipv6, ipv6(fields, payload));
const udp4 = (port: number, fields: Partial<Parameters<typeof ipv4>[0]> = {}): Uint8Array =>
  v4({ protocol: PROTOCOL.udp, ...fields }, udp(port));
const udp6 = (port: number, fields: Partial<Parameters<typeof ipv6>[0]> = {}): Uint8Array =>
  v6({ next: PROTOCOL.udp, ...fields }, udp(port));
const tagged = (tags: readonly number[], port = 9000): Uint8Array =>
  ethernet(ETHERTYPE.ipv4, ipv4({ protocol: PROTOCOL.udp }, udp(port)), { tags });
const tagged6 = (tags: readonly number[], port = 9000): Uint8Array =>
  ethernet(ETHERTYPE.ipv6, ipv6({ next: PROTOCOL.udp }, udp(port)), { tags });
const PORT: Claims = { udp: 9000 };
const { vlan, serviceVlan } = ETHERTYPE;

/** Identification of a datagram whose first fragment never came. */
const OTHER = 7;

type Fixture = readonly [name: string, claims: Claims, packet: Uint8Array, outcome: Outcome];

const basics: readonly Fixture[] = [
  ["an empty list claims nothing", [], udp4(9000), "passed"],
  ["everything claims an unknown ethertype", "everything", ethernet(0x9999, [1, 2, 3]), "redirected"],
  ["everything claims what is too short for IP", "everything", ethernet(ETHERTYPE.ipv4, []), "redirected"],
  ["IPv4 UDP port", PORT, udp4(9000), "redirected"],
  ["another port", PORT, udp4(9001), "passed"],
  ["the port's bytes the other way round", PORT, udp4(((9000 & 0xff) << 8) | (9000 >> 8)), "passed"],
  ["the same port of TCP", PORT, v4({ protocol: PROTOCOL.tcp }, tcp(9000)), "passed"],
  ["IPv6 UDP port", PORT, udp6(9000), "redirected"],
  ["IPv4 TCP port", { tcp: 80 }, v4({ protocol: PROTOCOL.tcp }, tcp(80)), "redirected"],
  ["IPv6 TCP port", { tcp: 80 }, v6({ next: PROTOCOL.tcp }, tcp(80)), "redirected"],
  ["IPv4 SCTP port", { sctp: 7 }, v4({ protocol: PROTOCOL.sctp }, sctp(7)), "redirected"],
  ["IPv6 SCTP port", { sctp: 7 }, v6({ next: PROTOCOL.sctp }, sctp(7)), "redirected"],
  ["port of any protocol: TCP", { port: 53 }, v4({ protocol: PROTOCOL.tcp }, tcp(53)), "redirected"],
  ["port of any protocol: UDP", { port: 53 }, udp6(53), "redirected"],
  ["port of any protocol: SCTP", { port: 53 }, v4({ protocol: PROTOCOL.sctp }, sctp(53)), "redirected"],
  ["port with a named protocol", { protocol: "udp", port: 53 }, udp4(53), "redirected"],
  ["port with another protocol", { protocol: "tcp", port: 53 }, udp4(53), "passed"],
  ["the highest port", { udp: 65_535 }, udp4(65_535), "redirected"],
  ["port 0 is a port like any other, and not claimed", PORT, udp4(0), "passed"],
  ["one family by ethertype: IPv4", { ethertype: 0x0800, udp: 9000 }, udp4(9000), "redirected"],
  ["one family by ethertype: not IPv6", { ethertype: 0x0800, udp: 9000 }, udp6(9000), "passed"],
  ["protocol by name", { protocol: "udp" }, udp4(1), "redirected"],
  ["protocol by number, IPv6", { protocol: 17 }, udp6(1), "redirected"],
  ["another protocol", { protocol: 89 }, udp4(1), "passed"],
  ["protocol 0 over IPv4", { protocol: 0 }, v4({ protocol: 0 }, bytes([1, 2])), "redirected"],
  ["protocol 255", { protocol: 255 }, v4({ protocol: 255 }, bytes([1])), "redirected"],
  ["ICMP", { icmp: true }, v4({ protocol: PROTOCOL.icmp }, icmpEcho(1, 1)), "redirected"],
  ["ICMP is not UDP", { icmp: true }, udp4(9000), "passed"],
  ["ICMP is not IPv6's", { icmp: true }, v6({ next: PROTOCOL.icmp }, icmpEcho(1, 1)), "passed"],
  ["ICMPv6", { icmp6: true }, v6({ next: PROTOCOL.icmp6 }, icmpEcho(1, 1)), "redirected"],
  ["ICMPv6 is not IPv4's", { icmp6: true }, v4({ protocol: PROTOCOL.icmp6 }, icmpEcho(1, 1)), "passed"],
  ["second claim of a list", [{ tcp: 1 }, { udp: 9000 }], udp4(9000), "redirected"],
];

const links: readonly Fixture[] = [
  ["ethertype", { ethertype: 0x88cc }, ethernet(0x88cc, [1, 2]), "redirected"],
  ["another ethertype", { ethertype: 0x88cc }, ethernet(0x88cd, [1, 2]), "passed"],
  ["ethertype IPv4 with a header cut short", { ethertype: 0x0800 }, ethernet(0x0800, [0x45]), "redirected"],
  ["ethertype IPv6", { ethertype: 0x86dd }, udp6(1), "redirected"],
  ["a length field is no ethertype", { ethertype: 0x0600 }, ethernet(0x0100, [1, 2]), "passed"],
  ["ethertype behind a tag", { ethertype: 0x88cc }, ethernet(0x88cc, [1, 2], { tags: [vlan] }), "redirected"],
  ["one tag", PORT, tagged([vlan]), "redirected"],
  ["one service tag", PORT, tagged([serviceVlan]), "redirected"],
  ["two tags", PORT, tagged([serviceVlan, vlan]), "redirected"],
  ["two tags of one kind", PORT, tagged([vlan, vlan]), "redirected"],
  ["three tags are not seen through", PORT, tagged([vlan, vlan, vlan]), "passed"],
  ["one tag, IPv6", PORT, tagged6([vlan]), "redirected"],
  ["two tags, IPv6", PORT, tagged6([serviceVlan, vlan]), "redirected"],
  ["two tags, another port", PORT, tagged([serviceVlan, vlan], 9001), "passed"],
  ["a tag cut short", PORT, tagged([vlan]).subarray(0, 16), "malformed"],
  ["ARP", { arp: true }, ethernet(ETHERTYPE.arp, arp("10.0.0.1", "10.0.0.2")), "redirected"],
  ["ARP is not IP", { arp: true }, udp4(1), "passed"],
  [
    "ARP for a target",
    { arp: true, destination: "10.0.0.2" },
    ethernet(ETHERTYPE.arp, arp("10.0.0.1", "10.0.0.2")),
    "redirected",
  ],
  [
    "ARP for another target",
    { arp: true, destination: "10.0.0.3" },
    ethernet(ETHERTYPE.arp, arp("10.0.0.1", "10.0.0.2")),
    "passed",
  ],
  [
    "ARP from a sender",
    { arp: true, source: "10.0.0.0/24" },
    ethernet(ETHERTYPE.arp, arp("10.0.0.1", "9.0.0.2")),
    "redirected",
  ],
  [
    "ARP from another sender",
    { arp: true, source: "10.0.0.0/24" },
    ethernet(ETHERTYPE.arp, arp("10.0.1.1", "10.0.0.2")),
    "passed",
  ],
  [
    "ARP by ethertype and target",
    { ethertype: 0x0806, destination: "10.0.0.2" },
    ethernet(ETHERTYPE.arp, arp("1.1.1.1", "10.0.0.2")),
    "redirected",
  ],
  [
    "ARP of other hardware has no IPv4 addresses",
    { arp: true, destination: "10.0.0.2" },
    ethernet(ETHERTYPE.arp, arp("10.0.0.1", "10.0.0.2", 6)),
    "passed",
  ],
  [
    "ARP cut short",
    { arp: true, destination: "10.0.0.2" },
    ethernet(ETHERTYPE.arp, arp("10.0.0.1", "10.0.0.2")).subarray(0, 30),
    "malformed",
  ],
  [
    "IP claims on addresses are not ARP's",
    { destination: "10.0.0.2" },
    ethernet(ETHERTYPE.arp, arp("10.0.0.1", "10.0.0.2")),
    "passed",
  ],
];

const headers: readonly Fixture[] = [
  ["IPv4 options", PORT, udp4(9000, { options: [1, 1, 1, 0] }), "redirected"],
  ["IPv4 with the most options", PORT, udp4(9000, { options: Array<number>(40).fill(1) }), "redirected"],
  ["IHL below 5", PORT, udp4(9000, { headerWords: 4 }), "malformed"],
  ["IHL beyond the frame", PORT, udp4(9000, { headerWords: 15 }), "malformed"],
  ["IPv4 of another version", PORT, udp4(9000, { version: 6 }), "malformed"],
  ["IPv6 of another version", PORT, udp6(9000, { version: 4 }), "malformed"],
  ["total length below the header", PORT, udp4(9000, { totalLength: 19 }), "malformed"],
  ["a port in the padding", PORT, udp4(9000, { totalLength: 22 }), "malformed"],
  ["a port in IPv6's padding", PORT, udp6(9000, { payloadLength: 2 }), "malformed"],
  ["bad headers that no claim asks for", { icmp6: true }, udp4(9000, { headerWords: 4 }), "passed"],
  ["IPv4 first fragment", PORT, udp4(9000, { moreFragments: true }), "redirected"],
  [
    "IPv4 later fragment, port claim",
    PORT,
    udp4(9000, { fragmentOffset: 1, identification: OTHER }),
    "earlyFragments",
  ],
  [
    "IPv4 later fragment, protocol claim",
    { protocol: "udp" },
    udp4(9000, { fragmentOffset: 1 }),
    "redirected",
  ],
  [
    "IPv4 later fragment, address claim",
    { destination: "10.0.0.2" },
    udp4(1, { fragmentOffset: 185, moreFragments: true }),
    "redirected",
  ],
  ["hop-by-hop", PORT, v6({ next: 0 }, extension(17, 0, udp(9000))), "redirected"],
  ["routing of 24 bytes", PORT, v6({ next: 43 }, extension(17, 2, udp(9000))), "redirected"],
  ["destination options", PORT, v6({ next: 60 }, extension(17, 1, udp(9000))), "redirected"],
  ["authentication", PORT, v6({ next: 51 }, authentication(17, 3, udp(9000))), "redirected"],
  [
    "four headers",
    PORT,
    v6({ next: 0 }, extension(43, 0, extension(60, 0, extension(51, 1, authentication(17, 4, udp(9000)))))),
    "redirected",
  ],
  ["IPv6 first fragment", PORT, v6({ next: 44 }, ipv6Fragment(17, 0, true, udp(9000))), "redirected"],
  [
    "IPv6 whole datagram in a fragment header",
    PORT,
    v6({ next: 44 }, ipv6Fragment(17, 0, false, udp(9000))),
    "redirected",
  ],
  [
    "IPv6 later fragment, port claim",
    PORT,
    v6({ next: 44 }, ipv6Fragment(17, 1, false, udp(9000), OTHER)),
    "earlyFragments",
  ],
  [
    "IPv6 later fragment, protocol claim",
    { protocol: "udp" },
    v6({ next: 44 }, ipv6Fragment(17, 1, true, udp(9000))),
    "redirected",
  ],
  [
    "a later fragment's payload is no header",
    { udp: 9000 },
    v6({ next: 44 }, ipv6Fragment(60, 1, false, extension(17, 0, udp(9000)), OTHER)),
    "earlyFragments",
  ],
  [
    "IPv6 later fragment, address claim",
    { destination: "2001:db8::2" },
    v6({ next: 44 }, ipv6Fragment(60, 9, true, bytes([255]))),
    "redirected",
  ],
  ["no next header", { protocol: 59 }, v6({ next: 59 }, bytes([])), "redirected"],
  ["no next header has no port", PORT, v6({ next: 59 }, udp(9000)), "passed"],
  [
    "an extension header beyond the frame",
    PORT,
    v6({ next: 0, payloadLength: 2000 }, bytes([17, 200], Array<number>(20).fill(0))),
    "malformed",
  ],
  [
    "an extension header beyond the datagram",
    PORT,
    v6({ next: 0, payloadLength: 8 }, bytes([17, 1], Array<number>(30).fill(0))),
    "malformed",
  ],
  [
    "broken extension headers, address claim",
    { destination: "2001:db8::/32" },
    v6({ next: 0 }, bytes([17, 200])),
    "redirected",
  ],
  ["an IPv6 datagram of unstated length", PORT, udp6(9000, { payloadLength: 0 }), "redirected"],
];

const P24: Claims = [{ destination: "10.0.0.0/24" }];
const nested: Claims = [
  { destination: "10.0.0.0/8", source: "192.168.0.0/16" },
  { destination: "10.1.0.0/16", source: "172.16.0.0/12" },
  { destination: "10.1.2.0/24", source: "1.2.3.4" },
];
const prefixes: readonly Fixture[] = [
  ["destination host", { destination: "10.0.0.2" }, udp4(1), "redirected"],
  ["another host", { destination: "10.0.0.3" }, udp4(1), "passed"],
  ["destination /24: first", P24, udp4(1, { to: "10.0.0.0" }), "redirected"],
  ["destination /24: last", P24, udp4(1, { to: "10.0.0.255" }), "redirected"],
  ["destination /24: one beyond", P24, udp4(1, { to: "10.0.1.0" }), "passed"],
  ["destination /24: one below", P24, udp4(1, { to: "9.255.255.255" }), "passed"],
  [
    "0.0.0.0/0 is every IPv4 datagram",
    { destination: "0.0.0.0/0" },
    udp4(1, { to: "255.255.255.255" }),
    "redirected",
  ],
  ["0.0.0.0/0 is no IPv6", { destination: "0.0.0.0/0" }, udp6(1), "passed"],
  ["source 0.0.0.0/0", { source: "0.0.0.0/0" }, udp4(1), "redirected"],
  ["::/0", { destination: "::/0" }, udp6(1), "redirected"],
  ["/1", { destination: "128.0.0.0/1" }, udp4(1, { to: "200.0.0.1" }), "redirected"],
  ["source prefix", { source: "10.0.0.0/30" }, udp4(1, { from: "10.0.0.3" }), "redirected"],
  ["source beyond its prefix", { source: "10.0.0.0/30" }, udp4(1, { from: "10.0.0.4" }), "passed"],
  ["IPv6 host", { destination: "2001:db8::2" }, udp6(1), "redirected"],
  ["IPv6 host, last bit", { destination: "2001:db8::2" }, udp6(1, { to: "2001:db8::3" }), "passed"],
  ["IPv6 /32", { destination: "2001:db8::/32" }, udp6(1, { to: "2001:db8:ffff::9" }), "redirected"],
  ["IPv6 /33", { destination: "2001:db8:8000::/33" }, udp6(1, { to: "2001:db8:7fff::9" }), "passed"],
  ["IPv6 /127", { destination: "2001:db8::2/127" }, udp6(1, { to: "2001:db8::3" }), "redirected"],
  ["IPv6 source", { source: "2001:db8::/64" }, udp6(1), "redirected"],
  ["port and destination", { udp: 9000, destination: "10.0.0.2" }, udp4(9000), "redirected"],
  ["port and another destination", { udp: 9000, destination: "10.0.0.3" }, udp4(9000), "passed"],
  ["destination and source", { source: "10.0.0.1", destination: "10.0.0.2" }, udp4(1), "redirected"],
  ["destination without its source", { source: "10.0.0.9", destination: "10.0.0.2" }, udp4(1), "passed"],
  [
    "nested: outer source at an inner destination",
    nested,
    udp4(1, { to: "10.1.2.9", from: "192.168.1.1" }),
    "redirected",
  ],
  [
    "nested: middle source at an inner destination",
    nested,
    udp4(1, { to: "10.1.2.9", from: "172.17.1.1" }),
    "redirected",
  ],
  ["nested: inner source", nested, udp4(1, { to: "10.1.2.9", from: "1.2.3.4" }), "redirected"],
  [
    "nested: inner source at the outer destination",
    nested,
    udp4(1, { to: "10.9.2.9", from: "1.2.3.4" }),
    "passed",
  ],
  ["nested: nobody's source", nested, udp4(1, { to: "10.1.2.9", from: "1.2.3.5" }), "passed"],
  [
    "an outer destination for any source rules the inner one",
    [{ destination: "10.0.0.0/8" }, { destination: "10.0.0.2", source: "1.1.1.1" }],
    udp4(1),
    "redirected",
  ],
  [
    "a long miss falls back to a short hit",
    [{ destination: "10.0.0.0/8" }, { destination: "10.0.0.128/25" }, { destination: "10.0.0.4/30" }],
    udp4(1),
    "redirected",
  ],
  [
    "a marker that leads nowhere keeps the shorter prefix",
    [
      { destination: "10.0.0.0/8", source: "10.0.0.0/24" },
      { destination: "10.0.0.128/25", source: "1.1.1.1" },
      { destination: "11.0.0.0/16" },
    ],
    udp4(1),
    "redirected",
  ],
  [
    "two sources of one destination",
    [
      { source: "1.1.1.1", destination: "10.0.0.2" },
      { source: "10.0.0.0/24", destination: "10.0.0.2" },
    ],
    udp4(1),
    "redirected",
  ],
  [
    "another level of exactness claims it",
    [
      { udp: 9000, source: "1.1.1.1" },
      { protocol: "udp", destination: "10.0.0.0/24" },
    ],
    udp4(9000),
    "redirected",
  ],
];

describe.skipIf(noRoot)("the steering program", () => {
  beforeAll(() => {
    program = SteerProgram.load({ queues: 2 });
    slot = openXskSlot();
    program.setSocket(0, slot.fd);
  });

  afterAll(() => {
    program?.close();
    slot?.close();
  });

  describe.each([
    ["basics", basics],
    ["links", links],
    ["headers", headers],
    ["prefixes", prefixes],
  ] as const)("%s", (_, fixtures) => {
    test.each(fixtures)("%s", (_name, claims, packet, outcome) => {
      program.setClaims(claims);
      expect(judge(packet)).toBe(outcome);
    });
  });

  test("a chain of extension headers at the limit is followed, one beyond it is malformed", () => {
    program.setClaims(PORT);
    const chain = (count: number): Uint8Array => {
      let next: number = PROTOCOL.udp;
      let packet = udp(9000);
      for (let i = 0; i < count; i++) {
        packet = extension(next, 0, packet);
        next = PROTOCOL.destination;
      }
      return v6({ next }, packet);
    };
    expect(judge(chain(8))).toBe("redirected");
    expect(judge(chain(9))).toBe("malformed");
  });

  test("a claimed frame of a queue without a socket is the kernel's, and counted", () => {
    program.setClaims(PORT);
    program.clearSocket(0);
    try {
      expect(judge(udp4(9000))).toBe("noSocket");
      expect(judge(udp4(9001))).toBe("passed");
    } finally {
      program.setSocket(0, slot.fd);
    }
    expect(judge(udp4(9000))).toBe("redirected");
  });

  /** The length from which a packet holds all that the port claim must read. */
  const whole: readonly (readonly [string, Uint8Array, number])[] = [
    ["IPv4 UDP", udp4(9000), 14 + 20 + 4],
    [
      "IPv4 UDP with options behind two tags",
      ethernet(ETHERTYPE.ipv4, ipv4({ protocol: 17, options: [1, 1, 1, 1] }, udp(9000)), {
        tags: [serviceVlan, vlan],
      }),
      14 + 8 + 24 + 4,
    ],
    ["IPv6 UDP", udp6(9000), 14 + 40 + 4],
    [
      "IPv6 UDP behind three headers",
      v6({ next: 0 }, extension(44, 1, ipv6Fragment(51, 0, true, authentication(17, 3, udp(9000))))),
      14 + 40 + 16 + 8 + 24 + 4,
    ],
  ];

  test.each(whole)("%s cut at every length", (_, packet, enough) => {
    program.setClaims(PORT);
    for (let length = MIN_FRAME; length <= packet.length; length++) {
      const expected: Outcome = length >= enough ? "redirected" : "malformed";
      expect([length, judge(packet.slice(0, length))]).toEqual([length, expected]);
    }
  });

  test("a later fragment cut at every length is redirected for its address as soon as that is whole", () => {
    program.setClaims({ destination: "10.0.0.2" });
    const packet = udp4(1, { fragmentOffset: 3 });
    for (let length = MIN_FRAME; length <= packet.length; length++) {
      expect([length, judge(packet.slice(0, length))]).toEqual([
        length,
        length >= 34 ? "redirected" : "malformed",
      ]);
    }
  });
});

/** Frames of every kind that the wire's emitters make, dissected by tshark with all checksums on: no fault. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ALL_NODES6,
  ALL_ROUTERS6,
  ANY4,
  BROADCAST4,
  IGMP_ROUTERS4,
  IpAddress,
  MLD_ROUTERS6,
} from "../../stack/wire/address.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import { ETHERTYPE } from "../../stack/wire/ethernet.ts";
import { NO_DETAILS } from "../../stack/wire/group-codes.ts";
import * as icmpv4 from "../../stack/wire/icmpv4.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import * as igmp from "../../stack/wire/igmp.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import * as mld from "../../stack/wire/mld.ts";
import type * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { skipUnless } from "../support/skip.ts";
import { dissect, tell } from "../support/wire-capture.ts";
import {
  A4,
  A6,
  B4,
  B6,
  datagram,
  discovery,
  extension,
  fill,
  frame,
  group,
  join as concat,
  listener,
  MAC1,
  message4,
  message6,
  NONE,
  packet4,
  packet6,
} from "../support/wire-frames.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-oracle-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const skip = skipUnless(Bun.which("tshark") !== null, "needs tshark (apt-get install tshark)", {
  couldRun: true,
});

/** The classic capture format: a header, and 16 bytes before each frame (pcap-savefile(5)). */
const MAGIC = 0xa1b2c3d4;
const ETHERNET_LINK = 1;
const SNAP_BYTES = 65_535;
const capture = (frames: readonly Uint8Array[]): Uint8Array => {
  const words = (...values: number[]) =>
    fill(values.length * 4, (view) => values.forEach((value, i) => view.setUint32(i * 4, value)));
  const head = words(MAGIC, 0x0002_0004, 0, 0, SNAP_BYTES, ETHERNET_LINK);
  return concat(head, ...frames.flatMap((each, i) => [words(i, 0, each.length, each.length), each]));
};

const over4 = (payload: Uint8Array) => frame(ETHERTYPE.IPV4, payload);
const over6 = (payload: Uint8Array) => frame(ETHERTYPE.IPV6, payload);

const echo = (kind: "echo-request" | "echo-reply", data: Uint8Array) =>
  ({ kind, identifier: 77, sequence: 1, data }) as const;
const DATA = Uint8Array.from({ length: 56 }, (_, i) => i);
const CAUSE4 = packet4(PROTOCOL.UDP, datagram(DATA, A4, B4, [40_000, 40_001]));
const CAUSE6 = packet6(
  PROTOCOL.UDP,
  fill(0, () => {}),
);

const errors4: readonly icmpv4.Icmpv4Record[] = [
  { kind: "destination-unreachable", code: icmpv4.UNREACHABLE.PORT, mtu: 0, quote: CAUSE4, extensions: NONE },
  {
    kind: "destination-unreachable",
    code: icmpv4.UNREACHABLE.FRAGMENTATION_NEEDED,
    mtu: 1400,
    quote: CAUSE4,
    extensions: NONE,
  },
  { kind: "time-exceeded", code: icmpv4.EXCEEDED.TRANSIT, quote: CAUSE4, extensions: NONE },
  { kind: "parameter-problem", code: 0, pointer: 20, quote: CAUSE4, extensions: NONE },
  { kind: "redirect", code: icmpv4.REDIRECT.HOST, gateway: IpAddress.parse("10.0.0.254"), quote: CAUSE4 },
  { kind: "timestamp-request", identifier: 1, sequence: 1, originate: 1000, receive: 0, transmit: 0 },
];
const errors6: readonly icmpv6.Icmpv6Record[] = [
  { kind: "destination-unreachable", code: icmpv6.UNREACHABLE.PORT, quote: CAUSE6, extensions: NONE },
  { kind: "packet-too-big", code: 0, mtu: 1280, quote: CAUSE6 },
  { kind: "time-exceeded", code: icmpv6.EXCEEDED.REASSEMBLY, quote: CAUSE6, extensions: NONE },
  { kind: "parameter-problem", code: icmpv6.PROBLEM.NEXT_HEADER, pointer: 6, quote: CAUSE6 },
];

const discoveries: readonly ndp.NdpRecord[] = [
  { kind: "router-solicitation", options: [{ kind: "source-link-layer", mac: MAC1 }] },
  {
    kind: "router-advertisement",
    hopLimit: 64,
    managed: false,
    otherConfiguration: true,
    preference: "high",
    lifetimeSeconds: 1800,
    reachableMs: 30_000,
    retransMs: 1000,
    options: [
      { kind: "source-link-layer", mac: MAC1 },
      { kind: "mtu", mtu: 1500 },
      {
        kind: "prefix-information",
        prefix: IpAddress.parse("2001:db8::"),
        prefixLength: 64,
        onLink: true,
        autonomous: true,
        validSeconds: 86_400,
        preferredSeconds: 14_400,
      },
      {
        kind: "route-information",
        prefix: IpAddress.parse("2001:db8:1::"),
        prefixLength: 48,
        preference: "low",
        lifetimeSeconds: 600,
      },
      { kind: "rdnss", lifetimeSeconds: 600, servers: [IpAddress.parse("2001:db8::53"), B6] },
      { kind: "dnssl", lifetimeSeconds: 600, domains: ["example.org", "lab.example.org"] },
    ],
  },
  {
    kind: "neighbour-solicitation",
    target: B6,
    options: [
      { kind: "source-link-layer", mac: MAC1 },
      { kind: "nonce", nonce: Uint8Array.of(1, 2, 3, 4, 5, 6) },
    ],
  },
  {
    kind: "neighbour-advertisement",
    router: false,
    solicited: true,
    override: true,
    target: IpAddress.parse("fe80::1"),
    options: [{ kind: "target-link-layer", mac: MAC1 }],
  },
  {
    kind: "redirect",
    target: IpAddress.parse("fe80::9"),
    destination: IpAddress.parse("2001:db8::9"),
    options: [{ kind: "redirected-header", packet: CAUSE6 }],
  },
];

const SSM4 = IpAddress.parse("232.1.2.3");
const SSM6 = IpAddress.parse("ff3e::8000:1");
const QUERY = { kind: "query", maxResponseMs: 10_000, ...NO_DETAILS, sources: [] } as const;
const DETAILS = { suppress: false, robustness: 2, intervalSeconds: 125 } as const;
const memberships: readonly (readonly [record: igmp.IgmpRecord, to: IpAddress])[] = [
  [{ ...QUERY, version: 1, group: ANY4 }, IpAddress.parse("224.0.0.1")],
  [{ ...QUERY, version: 2, group: SSM4 }, SSM4],
  [{ ...QUERY, ...DETAILS, version: 3, group: SSM4, sources: [A4, B4] }, SSM4],
  [{ kind: "report", version: 2, group: SSM4 }, SSM4],
  [{ kind: "leave", group: SSM4 }, IpAddress.parse("224.0.0.2")],
  [
    {
      kind: "source-report",
      records: [
        { type: igmp.RECORD.ALLOW_NEW_SOURCES, group: SSM4, sources: [A4, B4], auxiliary: NONE },
        {
          type: igmp.RECORD.CHANGE_TO_EXCLUDE,
          group: IpAddress.parse("239.9.9.9"),
          sources: [],
          auxiliary: NONE,
        },
      ],
    },
    IGMP_ROUTERS4,
  ],
];
const listeners: readonly (readonly [record: mld.MldRecord, to: IpAddress])[] = [
  [{ ...QUERY, version: 1, group: IpAddress.parse("::") }, ALL_NODES6],
  [{ ...QUERY, ...DETAILS, version: 2, group: SSM6, sources: [B6] }, SSM6],
  [{ kind: "report", group: SSM6 }, SSM6],
  [{ kind: "done", group: SSM6 }, ALL_ROUTERS6],
  [
    {
      kind: "source-report",
      records: [{ type: mld.RECORD.MODE_IS_INCLUDE, group: SSM6, sources: [B6], auxiliary: NONE }],
    },
    MLD_ROUTERS6,
  ],
];

const ALERT4 = { type: ipv4.OPTION.ROUTER_ALERT, data: new Uint8Array(2) };
const igmpFrame = ([record, to]: (typeof memberships)[number]) =>
  frame(
    ETHERTYPE.IPV4,
    packet4(PROTOCOL.IGMP, group(record), { ttl: 1, destination: to, options: [ALERT4] }),
    multicastMac(to),
  );
const mldFrame = ([record, to]: (typeof listeners)[number]) => {
  const alert = extension({
    kind: "hop-by-hop",
    nextHeader: PROTOCOL.ICMPV6,
    options: [{ type: extensions.OPTION.ROUTER_ALERT, data: new Uint8Array(2) }],
  });
  const payload = concat(alert, listener(record, to));
  const packet = packet6(PROTOCOL.HOP_BY_HOP, payload, { hopLimit: 1, destination: to });
  return frame(ETHERTYPE.IPV6, packet, multicastMac(to));
};

const DISCOVER: dhcp.DhcpRecord = {
  op: dhcp.OPERATION.REQUEST,
  xid: 0x1234_5678,
  secs: 1,
  flags: dhcp.BROADCAST,
  ciaddr: ANY4,
  yiaddr: ANY4,
  siaddr: ANY4,
  giaddr: ANY4,
  chaddr: MAC1,
  options: new Map([
    [dhcp.OPTION.MESSAGE_TYPE, Uint8Array.of(dhcp.MESSAGE.DISCOVER)],
    [dhcp.OPTION.CLIENT, Uint8Array.of(1, ...MAC1.toBytes())],
    [dhcp.OPTION.PARAMETERS, Uint8Array.of(1, 3, 6, 15, 121)],
    [dhcp.OPTION.HOST_NAME, Uint8Array.from(Buffer.from("wheel"))],
  ]),
};
/** Its name fills one field after the other. */
const OVERLOADED: dhcp.DhcpRecord = {
  ...DISCOVER,
  options: new Map([
    ...DISCOVER.options,
    [dhcp.OPTION.VENDOR_CLASS, Uint8Array.from(Buffer.from("v".repeat(230)))],
    [dhcp.OPTION.DOMAIN_NAME, Uint8Array.from(Buffer.from("d".repeat(100)))],
  ]),
};
const dhcpFrame = (record: dhcp.DhcpRecord) =>
  over4(
    packet4(
      PROTOCOL.UDP,
      datagram(
        fill(dhcp.lengthOf(record), (view) => dhcp.emit(record, view, 0)),
        ANY4,
        BROADCAST4,
        [dhcp.CLIENT_PORT, dhcp.SERVER_PORT],
      ),
      { source: ANY4, destination: BROADCAST4 },
    ),
  );

const FRAMES: readonly Uint8Array[] = [
  over4(packet4(PROTOCOL.ICMP, message4(echo("echo-request", DATA)))),
  over6(packet6(PROTOCOL.ICMPV6, message6(echo("echo-request", DATA)))),
  ...errors4.map((record) => over4(packet4(PROTOCOL.ICMP, message4(record)))),
  ...errors6.map((record) => over6(packet6(PROTOCOL.ICMPV6, message6(record)))),
  ...discoveries.map((record) => over6(packet6(PROTOCOL.ICMPV6, discovery(record)))),
  ...memberships.map(igmpFrame),
  ...listeners.map(mldFrame),
  dhcpFrame(DISCOVER),
  dhcpFrame(OVERLOADED),
];

/** Nobody answers a capture that was never sent. */
const except = /No response seen/;

describe.skipIf(skip)("tshark", () => {
  test("finds no fault with any frame", async () => {
    const file = join(folder, "good.pcap");
    writeFileSync(file, capture(FRAMES));
    const found = await dissect(file, { except });
    expect(tell(found)).toBe("");
    expect(found.frames).toBe(FRAMES.length);
  });

  test("finds one with each where a byte of its checksum is another", async () => {
    // The last byte of an ICMP, IGMP or UDP payload.
    const spoiled = FRAMES.map((each) => {
      const copy = each.slice();
      copy[copy.length - 1]! ^= 0x55;
      return copy;
    });
    const file = join(folder, "bad.pcap");
    writeFileSync(file, capture(spoiled));
    const found = await dissect(file, { except });
    expect(new Set(found.findings.map((each) => each.frame)).size).toBe(FRAMES.length);
  });

  test("reads an overloaded DHCP message as it was meant", () => {
    expect(dhcp.lengthOf(OVERLOADED)).toBeLessThanOrEqual(dhcp.DEFAULT_MAX_BYTES);
    const file = join(folder, "dhcp.pcap");
    writeFileSync(file, capture([dhcpFrame(OVERLOADED)]));
    const fields = ["dhcp.option.domain_name", "dhcp.option.vendor_class_id", "dhcp.option.hostname"];
    const words = ["tshark", "-n", "-r", file, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
    const { stdout, exitCode } = Bun.spawnSync(words);
    expect(exitCode).toBe(0);
    expect(stdout.toString().trimEnd().split("\t")).toEqual(["d".repeat(100), "v".repeat(230), "wheel"]);
  });
});

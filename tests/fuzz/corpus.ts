/**
 * Valid frames of every protocol, for a host that is 10.0.0.2, fe80::2 and 2001:db8::2 and forwards to 10.9.0.0/24.
 */
import { ANY4, ANY6, BROADCAST4, IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import { pseudoOf } from "../../stack/wire/checksum.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import { NO_DETAILS } from "../../stack/wire/group-codes.ts";
import * as icmpv4 from "../../stack/wire/icmpv4.ts";
import * as icmpv6 from "../../stack/wire/icmpv6.ts";
import type * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { BROADCAST_MAC, type MacAddress, multicastMac } from "../../stack/wire/mac.ts";
import * as mld from "../../stack/wire/mld.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as vlan from "../../stack/wire/vlan.ts";
import * as made from "../support/wire-frames.ts";
import { A4, A6, B4, B6, MAC1, MAC2, NONE } from "../support/wire-frames.ts";
import { ASK, ECHO, QUERY, SAID } from "../support/wire-lines.ts";

/** The host's groups, its address behind a router's, and somebody beyond. */
export const GROUP4 = IpAddress.parse("239.1.2.3");
export const GROUP6 = IpAddress.parse("ff05::77");
export const GLOBAL = { A6: IpAddress.parse("2001:db8::1"), B6: IpAddress.parse("2001:db8::2") } as const;
const BEYOND4 = IpAddress.parse("10.9.0.7");
const BEYOND6 = IpAddress.parse("2001:db8:9::7");
const ALL_NODES = IpAddress.parse("ff02::1");
/** Services of the host. */
export const PORT = { echo: 53, keep: 54, group: 5000, nobody: 9999 } as const;
const FAR_SECONDS = 7200;

const { ETHERTYPE } = ethernet;
const frame4 = (packet: Uint8Array, to: MacAddress = MAC2): Uint8Array =>
  made.frame(ETHERTYPE.IPV4, packet, to);
const frame6 = (packet: Uint8Array, to: MacAddress = MAC2): Uint8Array =>
  made.frame(ETHERTYPE.IPV6, packet, to);

const udp4 = (payload: Uint8Array, port: number, to = B4, more: Partial<ipv4.Ipv4Record> = {}): Uint8Array =>
  made.packet4(PROTOCOL.UDP, made.datagram(payload, more.source ?? A4, to, [1234, port]), {
    destination: to,
    ...more,
  });

const udp6 = (payload: Uint8Array, port: number, from = A6, to = B6): Uint8Array =>
  made.packet6(PROTOCOL.UDP, made.datagram(payload, from, to, [1234, port]), {
    source: from,
    destination: to,
  });

/** What the host sent, for errors that quote it. */
const LONG = new Uint8Array(1400);
const QUOTED_BYTES = 64;
const ownDatagram4 = made
  .packet4(PROTOCOL.UDP, made.datagram(LONG, B4, A4, [PORT.echo, 1234]), { source: B4, destination: A4 })
  .slice(0, QUOTED_BYTES);
const ownDatagram6 = made
  .packet6(PROTOCOL.UDP, made.datagram(LONG, B6, A6, [PORT.echo, 1234]), { source: B6, destination: A6 })
  .slice(0, QUOTED_BYTES);

const message6 = (bytes: Uint8Array, from: IpAddress, to: IpAddress): Uint8Array => {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  icmpv6.setChecksum(view, 0, copy.length, pseudoOf(from, to, PROTOCOL.ICMPV6, copy.length));
  return made.packet6(PROTOCOL.ICMPV6, copy, { source: from, destination: to });
};
const discovery = (record: ndp.NdpRecord, from = A6, to = B6): Uint8Array =>
  message6(made.discovery(record), from, to);
const listener = (record: mld.MldRecord, to = ALL_NODES): Uint8Array =>
  made.packet6(
    PROTOCOL.HOP_BY_HOP,
    made.join(
      made.extension({
        kind: "hop-by-hop",
        nextHeader: PROTOCOL.ICMPV6,
        options: [{ type: 5, data: new Uint8Array(2) }],
      }),
      made.listener(record, to),
    ),
    { hopLimit: 1, destination: to },
  );

const lease = (type: number, more: readonly (readonly [number, Uint8Array])[]): Uint8Array => {
  const address = (text: string): Uint8Array => IpAddress.parse(text).toBytes();
  const { OPTION } = dhcp;
  const record: dhcp.DhcpRecord = {
    op: dhcp.OPERATION.REPLY,
    xid: 1,
    secs: 0,
    flags: 0,
    ciaddr: ANY4,
    yiaddr: IpAddress.parse("10.5.0.2"),
    siaddr: ANY4,
    giaddr: ANY4,
    chaddr: MAC2,
    options: new Map([
      [OPTION.MESSAGE_TYPE as number, Uint8Array.of(type)],
      [OPTION.SERVER, address("10.5.0.1")],
      [OPTION.SUBNET_MASK, address("255.255.255.0")],
      [OPTION.LEASE_SECONDS, Uint8Array.of(0, 0, 0x0e, 0x10)],
      ...more,
    ]),
  };
  const payload = made.fill(dhcp.lengthOf(record), (view) => dhcp.emit(record, view, 0));
  const from = IpAddress.parse("10.5.0.1");
  return made.packet4(PROTOCOL.UDP, made.datagram(payload, from, BROADCAST4, [67, 68]), {
    source: from,
    destination: BROADCAST4,
  });
};

const leases = (): Uint8Array[] => {
  const { OPTION, MESSAGE } = dhcp;
  const many: (readonly [number, Uint8Array])[] = [
    [OPTION.ROUTERS, Uint8Array.of(10, 5, 0, 1)],
    [OPTION.NAME_SERVERS, Uint8Array.of(10, 5, 0, 1, 10, 5, 0, 3)],
    [OPTION.MTU, Uint8Array.of(5, 0)],
    [OPTION.RENEW_SECONDS, Uint8Array.of(0, 0, 0, 60)],
    [OPTION.REBIND_SECONDS, Uint8Array.of(0, 0, 0, 90)],
    [OPTION.CLASSLESS_ROUTES, Uint8Array.of(24, 10, 7, 0, 10, 5, 0, 1, 0, 10, 5, 0, 1)],
    [OPTION.DOMAIN_NAME, Uint8Array.from(Buffer.from("a.example"))],
  ];
  return [MESSAGE.OFFER, MESSAGE.ACK, MESSAGE.ACK, MESSAGE.NAK].map((type, i) =>
    frame4(lease(type, i === 1 ? [] : many), BROADCAST_MAC),
  );
};

const advertisement: ndp.RouterAdvertisement = {
  kind: "router-advertisement",
  hopLimit: 64,
  managed: false,
  otherConfiguration: false,
  preference: "low",
  lifetimeSeconds: 1800,
  reachableMs: 20_000,
  retransMs: 500,
  options: [
    { kind: "source-link-layer", mac: MAC1 },
    { kind: "mtu", mtu: 1400 },
    {
      kind: "prefix-information",
      prefix: IpAddress.parse("2001:db8:5::"),
      prefixLength: 64,
      onLink: true,
      autonomous: true,
      validSeconds: FAR_SECONDS,
      preferredSeconds: FAR_SECONDS,
    },
    {
      kind: "route-information",
      prefix: IpAddress.parse("2001:db8:77::"),
      prefixLength: 48,
      preference: "high",
      lifetimeSeconds: 600,
    },
    { kind: "rdnss", lifetimeSeconds: 600, servers: [GLOBAL.A6] },
    { kind: "dnssl", lifetimeSeconds: 600, domains: ["a.example"] },
  ],
};

const neighbours = (): Uint8Array[] => {
  const announced = { router: true, solicited: true, override: true, target: A6 };
  const own = { kind: "target-link-layer", mac: MAC1 } as const;
  return [
    discovery(advertisement, A6, ALL_NODES),
    discovery({ ...advertisement, lifetimeSeconds: 0, preference: "high" }, A6, ALL_NODES),
    discovery({ kind: "router-solicitation", options: [] }, A6, IpAddress.parse("ff02::2")),
    discovery({ kind: "neighbour-solicitation", target: B6, options: [] }, ANY6, B6.solicitedNode()),
    discovery(
      {
        kind: "neighbour-solicitation",
        target: GLOBAL.B6,
        options: [{ kind: "source-link-layer", mac: MAC1 }],
      },
      GLOBAL.A6,
      GLOBAL.B6.solicitedNode(),
    ),
    discovery({ kind: "neighbour-advertisement", ...announced, options: [own] }),
    discovery({ kind: "neighbour-advertisement", ...announced, target: B6, options: [own] }, A6, ALL_NODES),
    discovery({ kind: "neighbour-advertisement", ...announced, target: BEYOND6, options: [own] }, BEYOND6),
    discovery({
      kind: "redirect",
      target: A6,
      destination: BEYOND6,
      options: [own, { kind: "redirected-header", packet: ownDatagram6.slice(0, 48) }],
    }),
  ].map((packet) => frame6(packet));
};

const groups = (): Uint8Array[] => {
  const query = { kind: "query", ...NO_DETAILS, sources: [], maxResponseMs: 100 } as const;
  // Version 1 has one time to answer in.
  const old = (version: 1 | 2 | 3) => (version === 1 ? { version, maxResponseMs: 10_000 } : { version });
  const all4 = ([1, 2, 3] as const).map((version) =>
    made.packet4(
      PROTOCOL.IGMP,
      made.group({ ...query, ...old(version), group: version === 3 ? GROUP4 : ANY4 }),
      {
        ttl: 1,
        destination: IpAddress.parse("224.0.0.1"),
        options: [{ type: 148, data: new Uint8Array(2) }],
      },
    ),
  );
  const all6 = ([1, 2] as const).map((version) =>
    listener({ ...query, version, group: version === 2 ? GROUP6 : ANY6 }),
  );
  return [...all4.map((packet) => frame4(packet)), ...all6.map((packet) => frame6(packet))];
};

const errors = (): Uint8Array[] => {
  const too = { code: icmpv4.UNREACHABLE.FRAGMENTATION_NEEDED, mtu: 700, extensions: NONE } as const;
  const error = (record: icmpv4.Icmpv4Record) => made.packet4(PROTOCOL.ICMP, made.message4(record));
  return [
    frame4(error({ kind: "destination-unreachable", ...too, quote: ownDatagram4 })),
    frame4(error({ kind: "destination-unreachable", ...too, mtu: 0, code: 3, quote: ownDatagram4 })),
    frame4(error({ kind: "time-exceeded", code: 1, quote: ownDatagram4, extensions: NONE })),
    frame4(error({ ...ECHO, kind: "echo-reply" } as icmpv4.Icmpv4Record)),
    ...[
      made.message6({ kind: "packet-too-big", code: 0, mtu: 1300, quote: ownDatagram6 }),
      made.message6({ kind: "parameter-problem", code: 1, pointer: 6, quote: ownDatagram6 }),
      made.message6({ ...ECHO, kind: "echo-reply" } as icmpv6.Icmpv6Record),
    ].map((message) => frame6(message6(message, A6, B6))),
  ];
};

const extended = (): Uint8Array[] => {
  const inner = udp6(new Uint8Array(24), PORT.echo).slice(ipv6.HEADER_BYTES);
  const chain = (...headers: Parameters<typeof made.extension>[0][]): Uint8Array =>
    made.join(...headers.map((header) => made.extension(header)), inner);
  const last = { nextHeader: PROTOCOL.UDP } as const;
  const padding = { type: 0x3e, data: new Uint8Array(4) };
  return [
    made.packet6(
      PROTOCOL.HOP_BY_HOP,
      chain(
        { kind: "hop-by-hop", nextHeader: PROTOCOL.DESTINATION_OPTIONS, options: [padding, padding] },
        { kind: "destination-options", ...last, options: [{ type: 0x1e, data: new Uint8Array(8) }] },
      ),
    ),
    made.packet6(
      PROTOCOL.DESTINATION_OPTIONS,
      chain({ kind: "destination-options", ...last, options: [{ type: 0x9e, data: new Uint8Array(2) }] }),
    ),
    made.packet6(
      PROTOCOL.ROUTING,
      chain({ kind: "routing", ...last, routingType: 3, segmentsLeft: 0, data: new Uint8Array(4) }),
    ),
    made.packet6(
      PROTOCOL.FRAGMENT,
      chain({ kind: "fragment", ...last, offset: 0, more: false, identification: 7 }),
    ),
  ].map((packet) => frame6(packet));
};

const tagged = (frame: Uint8Array, ...types: number[]): Uint8Array => {
  const tags = types.map((type, i) =>
    made.fill(vlan.TAG_BYTES, (view) => {
      vlan.setControl(view, 0, 5, 0, false);
      const inner = new DataView(frame.buffer).getUint16(ethernet.TYPE);
      vlan.setInnerType(view, 0, types[i + 1] ?? inner);
    }),
  );
  const copy = made.join(frame.slice(0, ethernet.HEADER_BYTES), ...tags, frame.slice(ethernet.HEADER_BYTES));
  new DataView(copy.buffer).setUint16(ethernet.TYPE, types[0]!);
  return copy;
};

const asks = (): Uint8Array[] => {
  const records: arp.ArpRecord[] = [
    ASK,
    { ...ASK, senderAddress: ANY4 },
    { ...ASK, targetAddress: A4 },
    { ...ASK, operation: arp.OPERATION.REPLY, targetMac: MAC2 },
    { ...ASK, operation: arp.OPERATION.REPLY, targetMac: MAC2, senderAddress: BEYOND4 },
  ];
  return records.map((record) =>
    made.frame(
      ETHERTYPE.ARP,
      made.fill(arp.PACKET_BYTES, (view) => arp.emit(record, view, 0)),
    ),
  );
};

/** All of them, each in memory of its own. */
export const corpus = (): readonly Uint8Array[] => {
  const long = new Uint8Array(4000).fill(0x61);
  const said = SAID.map(([, packet]) => (packet[0]! >> 4 === 4 ? frame4(packet) : frame6(packet)));
  const datagrams = [
    frame4(udp4(new Uint8Array(40), PORT.echo)),
    frame4(udp4(new Uint8Array(40), PORT.keep)),
    frame4(udp4(new Uint8Array(9), PORT.nobody)),
    frame4(udp4(long, PORT.echo)),
    frame4(udp4(NONE, PORT.group, GROUP4), multicastMac(GROUP4)),
    frame4(udp4(NONE, PORT.echo, BROADCAST4), BROADCAST_MAC),
    frame4(udp4(new Uint8Array(1200), PORT.echo, BEYOND4)),
    frame4(udp4(new Uint8Array(10), PORT.echo, BEYOND4, { ttl: 1 })),
    frame4(udp4(long, PORT.echo, BEYOND4)),
    frame6(udp6(new Uint8Array(40), PORT.echo, GLOBAL.A6, GLOBAL.B6)),
    frame6(udp6(new Uint8Array(40), PORT.keep)),
    frame6(udp6(long, PORT.echo)),
    frame6(udp6(NONE, PORT.group, A6, GROUP6), multicastMac(GROUP6)),
    frame6(udp6(long, PORT.nobody, GLOBAL.A6, BEYOND6)),
  ];
  return [
    ...said,
    ...datagrams,
    ...asks(),
    ...neighbours(),
    ...groups(),
    ...errors(),
    ...extended(),
    ...leases(),
    tagged(frame4(QUERY), ETHERTYPE.VLAN),
    tagged(frame4(QUERY), ETHERTYPE.QINQ, ETHERTYPE.VLAN),
  ];
};

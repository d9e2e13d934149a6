/** The printer: what it says about real packets, that checksums are judged, and that no bytes make it stumble. */
import { describe as suite, expect, test } from "bun:test";
import fc from "fast-check";
import { ANY4, IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { describe, describeIp, MAX_LINE } from "../../stack/wire/printer.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as vlan from "../../stack/wire/vlan.ts";
import { bytes, mangled, viewOf } from "../support/records.ts";
import {
  A4,
  B4,
  datagram,
  fill,
  frame,
  group,
  join,
  message4,
  message6,
  NONE,
  packet4,
  packet6,
} from "../support/wire-frames.ts";
import { ASK, ECHO, QUERY, SAID, SYN } from "../support/wire-lines.ts";

/** How the line about each frame here begins. */
const HEAD = "02:00:00:00:00:01 > 02:00:00:00:00:02 ";
const say = (input: Uint8Array): string => describe(viewOf(input), 0, input.length);
const sayIp = (input: Uint8Array): string => describeIp(viewOf(input), 0, input.length);

suite("a line about", () => {
  for (const [what, packet, says] of SAID) {
    test(what, () => {
      const type = packet[0]! >>> 4 === 4 ? ethernet.ETHERTYPE.IPV4 : ethernet.ETHERTYPE.IPV6;
      expect(sayIp(packet)).toBe(says);
      expect(say(frame(type, packet))).toBe(HEAD + says);
    });
  }

  test("ARP", () => {
    const tell = (record: arp.ArpRecord) =>
      say(
        frame(
          ethernet.ETHERTYPE.ARP,
          fill(arp.PACKET_BYTES, (view) => arp.emit(record, view, 0)),
        ),
      ).slice(HEAD.length);
    expect(tell(ASK)).toBe("ARP request who has 10.0.0.2, tell 10.0.0.1 at 02:00:00:00:00:01");
    expect(tell({ ...ASK, senderAddress: ANY4 })).toBe("ARP probe who has 10.0.0.2, from 02:00:00:00:00:01");
    expect(tell({ ...ASK, targetAddress: A4 })).toBe("ARP announcement 10.0.0.1 is at 02:00:00:00:00:01");
    expect(tell({ ...ASK, operation: arp.OPERATION.REPLY })).toBe(
      "ARP reply 10.0.0.1 is at 02:00:00:00:00:01, to 10.0.0.2",
    );
  });

  test("tags, lengths and unknown types", () => {
    const tag = fill(vlan.TAG_BYTES, (view) => {
      vlan.setControl(view, 0, 5, 3, true);
      vlan.setInnerType(view, 0, ethernet.ETHERTYPE.IPV4);
    });
    expect(say(frame(ethernet.ETHERTYPE.VLAN, join(tag, QUERY)))).toBe(
      `${HEAD}vlan 5 priority 3 DEI ${sayIp(QUERY)}`,
    );
    expect(say(frame(0x88cc, new Uint8Array(46)))).toBe(`${HEAD}ethertype 0x88cc, length 46`);
    expect(say(frame(0x0026, new Uint8Array(46)))).toBe(`${HEAD}802.3, length 38`);
    expect(say(frame(ethernet.ETHERTYPE.IPV4, packet6(59, NONE)))).toBe(`${HEAD}IP bad version 6`);
    expect(say(new Uint8Array(13))).toBe("[|ether]");
    expect(say(NONE)).toBe("[|ether]");
  });

  test("a length of UDP that lies", () => {
    const lying = (length: number) => {
      const copy = QUERY.slice();
      new DataView(copy.buffer).setUint16(ipv4.HEADER_BYTES + 4, length);
      return sayIp(copy);
    };
    expect(lying(7)).toEndWith("UDP, bad length 7");
    expect(lying(14)).toEndWith("UDP, bad length, length 6");
    // Bytes behind the datagram are no fault.
    expect(lying(12)).toEndWith("UDP, length 4");
  });

  test("either port of DHCP", () => {
    for (const ports of [
      [67, 4000],
      [4000, 68],
    ])
      expect(sayIp(packet4(PROTOCOL.UDP, datagram(NONE, A4, B4, ports)))).toEndWith("length 0: DHCP [|dhcp]");
  });

  test("padding behind a packet, which is not of it", () => {
    expect(sayIp(join(QUERY, new Uint8Array(13).fill(0xa5)))).toBe(sayIp(QUERY));
  });

  test("a packet that is cut off, anywhere", () => {
    expect(sayIp(QUERY.slice(0, -2))).toBe(
      "IP 10.0.0.1.1234 > 10.0.0.2.53 (ttl 64): 2 bytes missing, UDP, length 5",
    );
    for (const [, packet] of SAID)
      for (let length = 0; length < packet.length; length++) {
        const said = sayIp(packet.slice(0, length));
        expect(said.length).toBeGreaterThan(0);
        expect(said).not.toContain("checksum,");
      }
    // Bytes that the view does not have are missing ones too.
    expect(describeIp(viewOf(QUERY.slice(0, 30)), 0, 1500)).toContain("3 bytes missing");
    expect(describeIp(viewOf(QUERY), 100, 20)).toBe("[|ip]");
  });
});

suite("checksums", () => {
  const flip = (packet: Uint8Array, at: number) => {
    const copy = packet.slice();
    copy[at]! ^= 1;
    return sayIp(copy);
  };
  const last = (packet: Uint8Array) => flip(packet, packet.length - 1);

  test("that are wrong are said to be", () => {
    expect(sayIp(QUERY)).not.toContain("checksum");
    expect(last(QUERY)).toContain("UDP, bad checksum 0x");
    expect(flip(QUERY, ipv4.TTL)).toContain("bad header checksum");
    expect(last(packet4(PROTOCOL.ICMP, message4(ECHO)))).toContain("bad checksum");
    expect(last(packet6(PROTOCOL.ICMPV6, message6(ECHO)))).toContain("ICMP6, bad checksum");
    const leave = packet4(PROTOCOL.IGMP, group({ kind: "leave", group: IpAddress.parse("239.1.1.1") }));
    expect(sayIp(leave)).toEndWith("IGMP leave 239.1.1.1");
    expect(last(leave)).toContain("bad checksum");
    const syn = packet4(PROTOCOL.TCP, SYN);
    expect(sayIp(syn)).toContain("bad checksum");
    const absent = QUERY.slice();
    absent.fill(0, 26, 28);
    expect(sayIp(absent)).toContain("UDP, no checksum, length 5");
  });
});

suite("any bytes", () => {
  const frames = SAID.map(([, packet]) =>
    frame(packet[0]! >>> 4 === 4 ? ethernet.ETHERTYPE.IPV4 : ethernet.ETHERTYPE.IPV6, packet),
  ).concat([
    frame(
      ethernet.ETHERTYPE.ARP,
      fill(arp.PACKET_BYTES, (view) => arp.emit(ASK, view, 0)),
    ),
  ]);

  const isLine = (said: string) =>
    said.length > 0 && said.length <= MAX_LINE && /^[\x20-\x7e]*$/.test(said) && !said.includes("undefined");

  test("are described in one line of bounded length", () => {
    fc.assert(
      fc.property(mangled(fc.constantFrom(...frames)), fc.nat(20), (input, beyond) => {
        const view = viewOf(input);
        expect(isLine(describe(view, 0, input.length + beyond))).toBe(true);
        expect(isLine(describeIp(view, 0, input.length))).toBe(true);
        expect(isLine(describeIp(view, Math.min(14, input.length), input.length))).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  test("also where a payload is another's: every protocol over every payload", () => {
    const protocols = [...Object.values(PROTOCOL), 200];
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.constantFrom(...protocols),
        bytes(40),
        (input, protocol, noise) => {
          const copy = join(input, noise);
          const six = copy[12] === 0x86;
          copy[14 + (six ? ipv6.NEXT_HEADER : ipv4.PROTOCOL)] = protocol;
          expect(isLine(say(copy))).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("of the largest packets take no longer than their line is", () => {
    const records = Array.from({ length: 4000 }, () => ({
      type: 1,
      group: B4,
      sources: [A4],
      auxiliary: NONE,
    }));
    const said = sayIp(packet4(PROTOCOL.IGMP, group({ kind: "source-report", records })));
    expect(said).toHaveLength(MAX_LINE);
    expect(said).toEndWith("...");
    const tags = new Uint8Array(60_000);
    for (let at = 0; at < tags.length; at += 4) tags.set([0x00, 0x05, 0x81, 0x00], at);
    expect(say(frame(ethernet.ETHERTYPE.VLAN, tags))).toHaveLength(MAX_LINE);
    const chunks = new Uint8Array(60_000).fill(0, 0, 12);
    for (let at = 12; at < chunks.length; at += 4) chunks.set([0, 0, 0, 4], at);
    expect(sayIp(packet4(PROTOCOL.SCTP, chunks))).toHaveLength(MAX_LINE);
    // A tunnel in a tunnel in a tunnel.
    let tunnel: Uint8Array = QUERY;
    for (let i = 0; i < 1000; i++) tunnel = packet4(PROTOCOL.IPV4, tunnel);
    expect(sayIp(tunnel)).toEndWith("...");
  });
});

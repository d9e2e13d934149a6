/** Datagrams: replies in place byte for byte, replies that must be copies, and what is sent to many. */
import { describe, expect, test } from "bun:test";
import { FrameEndedError } from "../../stack/device/frame.ts";
import type { Datagram, KeptDatagram } from "../../stack/udp/datagram.ts";
import type { DatagramHandler } from "../../stack/udp/socket.ts";
import { ALL_HOSTS4, BROADCAST4, IpAddress } from "../../stack/wire/address.ts";
import { multicastMac, BROADCAST_MAC } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import {
  ADDRESSES,
  ether,
  HOST4,
  HOST6,
  HOST_MAC,
  ip,
  pattern,
  STATION4,
  STATION6,
  STATION_MAC,
  udpFrame,
  udpOf,
} from "../support/host-frames.ts";
import { HostLab, line } from "../support/host-lab.ts";
import { extension, fill, join } from "../support/wire-frames.ts";
import type { JoinOptions } from "../../stack/ip/options.ts";
import type { LinkOptions } from "../../stack/device/memory.ts";
import type { UdpOptions } from "../../stack/udp/options.ts";

/** A host with a socket on port 53, and the station that writes to it. */
const serve = (
  lab: HostLab,
  handler: DatagramHandler,
  { join = {}, link = {}, socket = {} }: { join?: JoinOptions; link?: LinkOptions; socket?: UdpOptions } = {},
) => {
  const wired = lab.wire({ addresses: ADDRESSES, linkLocal: false, ...join }, {}, link);
  wired.station.introduce("10.0.0.1", "2001:db8::1");
  return { ...wired, socket: wired.host.udp({ port: 53, ...socket }, handler) };
};

const echo: DatagramHandler = (datagram) => void expect(datagram.reply()).toBe(true);

/** What the host should send to the station, with the header of its own sending. */
const answer = (
  payload: Uint8Array,
  six: boolean,
  more: { vlan?: number; ttl?: number; tos?: number } = {},
) => {
  const { ttl = 64, tos = 0 } = more;
  const options = six ? { from: HOST6, to: STATION6 } : { from: HOST4, to: STATION4 };
  return udpFrame(payload, {
    ...options,
    fromPort: 53,
    port: 1234,
    fromMac: HOST_MAC,
    toMac: STATION_MAC,
    ...(more.vlan === undefined ? {} : { vlan: more.vlan }),
    more4: { dontFragment: true, identification: 0, ttl, dscp: tos >> 2, ecn: tos & 3 },
    more6: { hopLimit: ttl, trafficClass: tos },
  });
};

const question = (payload: Uint8Array, six: boolean, more = {}) =>
  udpFrame(payload, { ...(six ? { to: HOST6 } : {}), ...more });

describe.each([4, 6])("a reply in place over IPv%d", (family) => {
  const six = family === 6;

  test("is the same frame the other way round", () => {
    using lab = new HostLab();
    const { station, device, socket } = serve(lab, echo);
    const chunks: number[] = [];
    for (const length of [0, 1, 2, 7, 18, 512, 1400, 1472 - (six ? 20 : 0)]) {
      const payload = pattern(length);
      const more = {
        more4: { ttl: 7, identification: 77, dscp: 10 },
        more6: { hopLimit: 3, trafficClass: 9, flowLabel: 5 },
      };
      expect(station.ask(question(payload, six, more))).toEqual([answer(payload, six)]);
      chunks.push(device.umem.accounts().pool);
    }
    expect(new Set(chunks).size).toBe(1);
    expect(socket.statistics()).toMatchObject({ received: 8, sent: 8 });
  });

  test("may be shorter or longer, and written anew", () => {
    using lab = new HostLab();
    let next = 0;
    const rooms: number[] = [];
    const { station } = serve(lab, (datagram) => {
      rooms.push(datagram.room);
      datagram.bytes.fill(0x5a, datagram.at, datagram.at + next);
      datagram.reply(next);
    });
    const most = 1500 - (six ? 48 : 28);
    for (next of [0, 3, 100, most]) {
      const payload = new Uint8Array(next).fill(0x5a);
      expect(station.ask(question(pattern(20), six, { pad: 6 }))).toEqual([answer(payload, six)]);
    }
    expect(new Set(rooms)).toEqual(new Set([most]));
  });

  test("throws for a length that it can't have, and sends nothing of others' memory", () => {
    using lab = new HostLab();
    const errors: unknown[] = [];
    let kept: KeptDatagram | undefined;
    const { station } = serve(lab, (datagram) => {
      for (const length of [-1, 1.5, NaN, datagram.room + 1]) {
        try {
          datagram.reply(length);
        } catch (error) {
          errors.push(error);
        }
      }
      kept = datagram.keep();
      expect(() => kept!.reply(kept!.room + 1)).toThrow(RangeError);
      kept.release();
    });
    expect(station.ask(question(pattern(9), six))).toEqual([]);
    expect(errors.map((error) => error instanceof RangeError)).toEqual([true, true, true, true]);
  });

  test("has no padding, comes with a socket's TTL and traffic class, and in its VLAN", () => {
    using lab = new HostLab();
    const { station } = serve(lab, echo, { join: { vlan: 7 }, socket: { ttl: 9, trafficClass: 0xb9 } });
    const asked = question(pattern(2), six, { vlan: 7, pad: 10 });
    expect(station.ask(asked)).toEqual([answer(pattern(2), six, { vlan: 7, ttl: 9, tos: 0xb9 })]);
    // Other tags, and none, are nobody's.
    expect(station.ask(question(pattern(2), six), question(pattern(2), six, { vlan: 8 }))).toEqual([]);
  });

  test("is a copy where the question came in several chunks, or in fragments", () => {
    using lab = new HostLab();
    const { station } = serve(lab, echo, { link: { chunkBytes: 512, headroomBytes: 64, mtu: 9000 } });
    const payload = pattern(3000);
    const [told] = station.ask(question(payload, six));
    expect(told).toEqual(answer(payload, six));
    const first = udpOf(payload, six ? { to: HOST6 } : {});
    const cut = 1504;
    const parts = [first.slice(0, cut), first.slice(cut)];
    const frames = parts.map((part, i) =>
      six
        ? ether(
            ip(
              PROTOCOL.FRAGMENT,
              join(
                extension({
                  kind: "fragment",
                  nextHeader: PROTOCOL.UDP,
                  offset: i * cut,
                  more: i === 0,
                  identification: 5,
                }),
                part,
              ),
              { to: HOST6 },
            ),
          )
        : ether(
            ip(PROTOCOL.UDP, part, {
              more4: { moreFragments: i === 0, fragmentOffset: i * cut, identification: 5 },
            }),
          ),
    );
    expect(station.ask(frames[1]!, frames[0]!)).toEqual([answer(payload, six)]);
  });

  test("is cut into fragments where the path has become narrow", () => {
    using lab = new HostLab();
    const { host, station } = serve(lab, echo);
    host.pathMtu.lower(six ? STATION6 : STATION4, 1300);
    expect(station.ask(question(pattern(1200), six))).toEqual([answer(pattern(1200), six)]);
    const cut = station.ask(question(pattern(1400), six));
    expect(cut.length).toBe(2);
    for (const frame of cut) expect(frame.length).toBeLessThanOrEqual(14 + 1300);
    // A path below what is believed of one gets no "don't fragment".
    if (six) return;
    host.pathMtu.lower(STATION4, 300);
    const [told] = station.ask(question(pattern(200), six));
    expect(line(told!)).not.toContain("DF");
  });

  test("is refused where the ring is full, and can be tried again", () => {
    using lab = new HostLab();
    const kept: KeptDatagram[] = [];
    const { station, socket, device } = serve(lab, (datagram) => void kept.push(datagram.keep()), {
      link: { txRing: 2 },
    });
    station.put(question(pattern(1), six));
    station.put(question(pattern(2), six));
    lab.run(0);
    station.put(question(pattern(3), six));
    lab.run(0);
    expect(kept.map((one) => one.reply())).toEqual([true, true, false]);
    expect([kept[2]!.live, socket.statistics().refusedFull]).toEqual([true, 1]);
    lab.run(0);
    expect(kept[2]!.reply()).toBe(true);
    lab.run(0);
    expect(station.take()).toHaveLength(3);
    expect(device.umem.accounts().kept).toBe(0);
  });
});

describe("a reply by copy", () => {
  test("where the IPv4 header has options", () => {
    using lab = new HostLab();
    const { station } = serve(lab, echo);
    const options = [{ type: 0x94, data: Uint8Array.of(0, 0) }];
    expect(station.ask(udpFrame(pattern(30), { more4: { options } }))).toEqual([answer(pattern(30), false)]);
  });

  test("where IPv6 has extension headers", () => {
    using lab = new HostLab();
    const { station } = serve(lab, echo);
    const header = extension({ kind: "destination-options", nextHeader: PROTOCOL.UDP, options: [] });
    const packet = ip(PROTOCOL.DESTINATION_OPTIONS, join(header, udpOf(pattern(30), { to: HOST6 })), {
      to: HOST6,
    });
    expect(station.ask(ether(packet))).toEqual([answer(pattern(30), true)]);
  });

  test("goes out of another interface where the routes say so", () => {
    using lab = new HostLab();
    const { host, station } = serve(lab, echo);
    const second = lab.attach(
      host,
      { addresses: ["10.9.0.2/24"], gateway: "10.9.0.1", linkLocal: false },
      { names: ["second", "far"] },
    );
    second.station.introduce("10.9.0.1");
    const options = [{ type: 0x94, data: Uint8Array.of(0, 0) }];
    const from = IpAddress.parse("192.0.2.9");
    expect(station.ask(udpFrame(pattern(3), { from, more4: { options } }))).toEqual([]);
    expect(second.station.lines()).toHaveLength(1);
    // In place it goes back to where it came from.
    expect(station.ask(udpFrame(pattern(3), { from }))).toHaveLength(1);
  });

  test("`replyWith` sends another payload, and the datagram stays", () => {
    using lab = new HostLab();
    const { station } = serve(lab, (datagram) => {
      expect(datagram.replyWith(pattern(5))).toBe(true);
      expect([datagram.live, datagram.length]).toEqual([true, 3]);
    });
    expect(station.ask(udpFrame(pattern(3)))).toEqual([answer(pattern(5), false)]);
  });
});

describe("what is sent to many", () => {
  const broadcast = IpAddress.parse("10.0.0.255");
  const group4 = IpAddress.parse("239.1.2.3");
  const group6 = IpAddress.parse("ff05::99");

  test("a broadcast is answered from our own address", () => {
    using lab = new HostLab();
    const seen: string[] = [];
    const { station } = serve(lab, (datagram) => {
      seen.push(`${datagram.localAddress} ${datagram.unicast}`);
      datagram.reply();
    });
    for (const to of [broadcast, BROADCAST4])
      expect(station.ask(udpFrame(pattern(4), { to, toMac: BROADCAST_MAC }))).toEqual([
        answer(pattern(4), false),
      ]);
    expect(seen).toEqual(["10.0.0.255 false", "255.255.255.255 false"]);
  });

  test("each member of a group gets it, and each can keep, change or answer it", () => {
    using lab = new HostLab();
    for (const group of [group4, group6]) {
      const { host, station } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
      station.introduce("10.0.0.1", "2001:db8::1");
      const kept: KeptDatagram[] = [];
      const texts: string[] = [];
      const handlers: DatagramHandler[] = [
        (datagram) => void kept.push(datagram.keep()),
        (datagram) => void datagram.reply(),
        (datagram) => void kept.push(datagram.keep()),
        (datagram) => void datagram.reply(),
      ];
      const sockets = handlers.map((handler) =>
        host.udp({ port: 53, reuse: true }, (datagram) => {
          texts.push(datagram.text());
          handler(datagram);
        }),
      );
      for (const socket of sockets) socket.join(group);
      // One more that is on the port and not in the group.
      host.udp({ port: 53, reuse: true }, () => texts.push("not a member"));
      lab.run(100);
      const payload = new TextEncoder().encode("hello");
      const six = group.family === 6;
      const told = station.ask(udpFrame(payload, { to: group, toMac: multicastMac(group) }));
      expect(told).toEqual([answer(payload, six), answer(payload, six)]);
      expect(texts).toEqual(["hello", "hello", "hello", "hello"]);
      // The frame has gone with the last reply: what was kept are copies.
      expect(kept.map((one) => one.text())).toEqual(["hello", "hello"]);
      expect(kept[0]!.reply()).toBe(true);
      expect(kept[0]!.live).toBe(false);
      expect(kept[1]!.reply(2)).toBe(true);
      lab.run(0);
      expect(station.take()).toEqual([answer(payload, six), answer(payload.slice(0, 2), six)]);
    }
  });

  test("the last member keeps the frame itself", () => {
    using lab = new HostLab();
    const kept: KeptDatagram[] = [];
    const { host, station, device } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    for (let i = 0; i < 2; i++)
      host.udp({ port: 53, reuse: true }, (datagram) => void kept.push(datagram.keep())).join(group4);
    lab.run(100);
    station.ask(udpFrame(pattern(4), { to: group4, toMac: multicastMac(group4) }));
    expect(device.umem.accounts().kept).toBe(1);
    expect(kept.map((one) => [...one.copy()])).toEqual([[...pattern(4)], [...pattern(4)]]);
    for (const one of kept) one.release();
  });

  test("all hosts are a group that nobody joins, and sockets do", () => {
    using lab = new HostLab();
    let seen = 0;
    const { station, socket } = serve(lab, () => void (seen += 1));
    const frame = udpFrame(pattern(1), { to: ALL_HOSTS4, toMac: multicastMac(ALL_HOSTS4) });
    station.ask(frame);
    expect(seen).toBe(0);
    socket.join("224.0.0.1", { interface: "left" });
    station.ask(frame);
    expect(seen).toBe(1);
  });
});

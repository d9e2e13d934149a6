/** Datagrams that are kept beyond their handler, and those whose checksums and lengths are looked at. */
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

describe("a kept datagram", () => {
  const keepOne = (lab: HostLab, frames: Uint8Array[] = [udpFrame(pattern(40))]) => {
    let kept: KeptDatagram | undefined;
    let lent: Datagram | undefined;
    const served = serve(lab, (datagram) => {
      lent = datagram;
      kept = datagram.keep();
      expect(() => datagram.length).toThrow(/was kept/);
    });
    served.station.ask(...frames);
    return { ...served, kept: kept!, lent: lent! };
  };

  test("says all that the lent one said, until it is released", () => {
    using lab = new HostLab();
    const { kept, station, device } = keepOne(lab);
    station.ask(...Array.from({ length: 100 }, () => udpFrame(pattern(9), { port: 7 })));
    expect([...kept.copy()]).toEqual([...pattern(40)]);
    expect([kept.remotePort, kept.localPort, `${kept.remoteAddress}`, `${kept.localAddress}`]).toEqual([
      1234,
      53,
      "10.0.0.1",
      "10.0.0.2",
    ]);
    expect([kept.ttl, kept.trafficClass, kept.unicast, kept.remoteWord]).toEqual([64, 0, true, STATION4.w3]);
    expect(kept.interface.name).toBe("left");
    expect(kept.keep()).toBe(kept);
    expect(device.umem.accounts().kept).toBe(1);
    kept.release();
    expect(device.umem.accounts().kept).toBe(0);
    for (const use of [
      () => kept.at,
      () => kept.length,
      () => kept.ttl,
      () => kept.trafficClass,
      () => kept.unicast,
      () => kept.remoteAddress,
      () => kept.localAddress,
      () => kept.remoteWord,
      () => kept.interface,
      () => kept.room,
      () => kept.copy(),
      () => kept.reply(),
      () => kept.replyWith(pattern(1)),
      () => kept.keep(),
      () => kept.release(),
    ])
      expect(use).toThrow(FrameEndedError);
  });

  test("answers later, in place", () => {
    using lab = new HostLab();
    const { kept, station, device } = keepOne(lab);
    lab.run(10_000);
    expect(kept.reply()).toBe(true);
    expect(kept.live).toBe(false);
    lab.run(0);
    expect(station.takeIp()).toEqual([answer(pattern(40), false)]);
    expect(device.umem.accounts()).toMatchObject({ kept: 0, lent: 0 });
  });

  test("that was put together from fragments holds its slot, no more", () => {
    using lab = new HostLab();
    const whole = udpOf(pattern(40));
    const parts = [0, 24].map((at) =>
      ether(
        ip(PROTOCOL.UDP, whole.slice(at, at === 0 ? 24 : undefined), {
          more4: { moreFragments: at === 0, fragmentOffset: at },
        }),
      ),
    );
    const { kept, host, station } = keepOne(lab, parts);
    expect(host.statistics().reassembly.handedOut).toBe(1);
    expect([...kept.copy()]).toEqual([...pattern(40)]);
    expect(kept.reply()).toBe(true);
    lab.run(0);
    expect(station.take()).toEqual([answer(pattern(40), false)]);
    expect([kept.live, host.statistics().reassembly.handedOut]).toEqual([false, 0]);
  });

  test("`using` releases it, also where it was replied to, and after the host has closed", () => {
    using lab = new HostLab();
    const { kept, host, station } = keepOne(lab);
    {
      using again = kept;
      expect(again.reply()).toBe(true);
    }
    let second: KeptDatagram | undefined;
    host.udp(54, (datagram) => void (second = datagram.keep()));
    station.ask(udpFrame(pattern(3), { port: 54 }));
    host.close();
    expect([...second!.copy()]).toEqual([...pattern(3)]);
    {
      using last = second!;
      expect(last.live).toBe(true);
    }
    expect(second!.live).toBe(false);
  });

  test("ends with the datagram that its handler left, or threw out of", () => {
    using lab = new HostLab();
    const seen: Datagram[] = [];
    const { station } = serve(lab, (datagram) => {
      seen.push(datagram);
      throw new Error("a handler's own");
    });
    station.ask(udpFrame(pattern(3)));
    station.ask(udpFrame(pattern(4)));
    expect(lab.errors.splice(0).map(String)).toEqual(["Error: a handler's own", "Error: a handler's own"]);
    expect(() => seen[0]!.length).toThrow(FrameEndedError);
    expect(seen[0]).not.toBe(seen[1]);
    lab.expectWhole();
  });
});

describe("checksums and lengths", () => {
  const counts = (frame: Uint8Array) => {
    using lab = new HostLab();
    const seen: string[] = [];
    const { station, host } = serve(lab, (datagram) => void seen.push(`${datagram.length}`));
    station.ask(frame);
    const { received, malformed, badChecksum, withoutChecksum } = host.statistics().udp;
    return { seen, received, malformed, badChecksum, withoutChecksum };
  };
  const good = { received: 1, malformed: 0, badChecksum: 0, withoutChecksum: 0 };

  test.each([4, 6])("over IPv%d", (family) => {
    const to = family === 6 ? HOST6 : HOST4;
    const payload = pattern(33);
    expect(counts(udpFrame(payload, { to }))).toEqual({ ...good, seen: ["33"] });
    expect(counts(udpFrame(payload, { to, checksum: "partial" }))).toEqual({ ...good, seen: ["33"] });
    const bad = { ...good, received: 0, seen: [] };
    expect(counts(udpFrame(payload, { to, checksum: "bad" }))).toEqual({ ...bad, badChecksum: 1 });
    const none = udpFrame(payload, { to, checksum: "none" });
    expect(counts(none)).toEqual(family === 4 ? { ...good, seen: ["33"] } : { ...bad, withoutChecksum: 1 });
    for (const length of [0, 7, 42, 65535])
      expect(counts(udpFrame(payload, { to, length }))).toEqual({ ...bad, malformed: 1 });
    // Too short for a header at all.
    expect(counts(ether(ip(PROTOCOL.UDP, pattern(7), { to })))).toEqual({ ...bad, malformed: 1 });
  });

  test("a length below the packet's leaves bytes behind that nobody reads", () => {
    const inner = udpOf(pattern(10));
    expect(counts(ether(ip(PROTOCOL.UDP, join(inner, pattern(6)))))).toEqual({ ...good, seen: ["10"] });
  });

  test("a sum that comes out as zero is sent as ones", () => {
    using lab = new HostLab();
    const { station } = serve(lab, echo);
    // The last word makes the reply's sum zero: its own checksum, as a part of the data.
    const zeroed = (at: number) => {
      const payload = fill(4, (view) => view.setUint16(0, at));
      const told = answer(payload, false);
      return new DataView(told.buffer).getUint16(14 + 20 + 6);
    };
    const sum = zeroed(0);
    const payload = fill(4, (view) => view.setUint16(0, sum));
    const told = station.ask(udpFrame(payload));
    expect(told).toEqual([answer(payload, false)]);
    expect(new DataView(told[0]!.buffer).getUint16(14 + 20 + 6)).toBe(0xffff);
  });
});

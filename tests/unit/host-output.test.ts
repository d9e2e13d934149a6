/** Packets on their way out: waiting for neighbours, fragments, path MTU, groups that stay here, addresses to send from. */
import { describe, expect, test } from "bun:test";
import type { DropReason } from "../../stack/transport/network.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import {
  ADDRESSES,
  ether,
  HOST4,
  HOST6,
  HOST_MAC,
  icmp4Frame,
  icmp6Frame,
  ip,
  pattern,
  STATION4,
  STATION6,
  STATION_MAC,
  udpOf,
} from "../support/host-frames.ts";
import { HostLab, line } from "../support/host-lab.ts";
import { fill, join } from "../support/wire-frames.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";

const arpReply = (address = STATION4): Uint8Array =>
  join(
    fill(ethernet.HEADER_BYTES, (view) =>
      ethernet.writeHeader(view, 0, HOST_MAC, STATION_MAC, ethernet.ETHERTYPE.ARP),
    ),
    fill(arp.PACKET_BYTES, (view) =>
      arp.emit(
        {
          operation: arp.OPERATION.REPLY,
          senderMac: STATION_MAC,
          senderAddress: address,
          targetMac: HOST_MAC,
          targetAddress: HOST4,
        },
        view,
        0,
      ),
    ),
  );

const open = (lab: HostLab, link = {}) => {
  const wired = lab.wire({ addresses: ADDRESSES, linkLocal: false }, {}, link);
  const told: string[] = [];
  const socket = wired.host.udp({ port: 5 }, () => {});
  const notice = (name: string) => ({
    sent: () => void told.push(`${name} sent`),
    dropped: (reason: DropReason) => void told.push(`${name} ${reason}`),
  });
  return { ...wired, socket, told, notice, to: socket.to("10.0.0.1", 7) };
};

describe("a neighbour that is not known yet", () => {
  test("is asked for, and what waited leaves in order when it answers", () => {
    using lab = new HostLab();
    const { socket, station, told, notice, to, device } = open(lab);
    for (const name of ["a", "b", "c"])
      expect(socket.send(to, pattern(3), { notice: notice(name) })).toBe(true);
    lab.run(0);
    expect(station.lines()).toEqual([expect.stringContaining("ARP")]);
    expect([told, device.umem.accounts().kept]).toEqual([[], 3]);
    station.put(arpReply());
    lab.run(0);
    expect(told).toEqual(["a sent", "b sent", "c sent"]);
    expect(station.takeIp()).toHaveLength(3);
    lab.expectWhole();
    expect(socket.statistics()).toMatchObject({ sent: 3, expired: 0 });
  });

  test("a lifetime ends the waiting, for each on its own", () => {
    using lab = new HostLab();
    const { socket, host, station, told, notice, to } = open(lab);
    socket.send(to, pattern(3), { notice: notice("short"), lifetimeMs: 50 });
    socket.send(to, pattern(3), { notice: notice("long"), lifetimeMs: 5000 });
    socket.send(to, pattern(3), { lifetimeMs: 60 });
    lab.run(100);
    expect(told).toEqual(["short expired"]);
    expect(socket.statistics().expired).toBe(2);
    station.put(arpReply());
    lab.run(10_000);
    expect(told).toEqual(["short expired", "long sent"]);
    expect(station.takeIp()).toHaveLength(1);
    expect(host.statistics().ip.unresolved).toBe(2);
  });

  test("silence gives everything back", () => {
    using lab = new HostLab();
    const { socket, host, told, notice, to } = open(lab);
    socket.send(to, pattern(3), { notice: notice("a") });
    socket.send(to, pattern(5000), { notice: notice("b") });
    socket.send(to, pattern(3));
    lab.run(3500);
    expect(told).toEqual(["a unreachable", "b unreachable"]);
    expect(socket.statistics().expired).toBe(3);
    expect(host.statistics().ip.unresolved).toBe(3);
    lab.expectWhole();
    // Remembered for a second, then asked again.
    socket.send(to, pattern(3), { notice: notice("c") });
    expect(told).toEqual(["a unreachable", "b unreachable", "c unreachable"]);
  });

  test("too many who wait push out the oldest", () => {
    using lab = new HostLab();
    const { socket, station, told, notice, to } = open(lab);
    for (let i = 0; i < 18; i++) socket.send(to, pattern(1), { notice: notice(`${i}`) });
    expect(told).toEqual(["0 full", "1 full"]);
    station.put(arpReply());
    lab.run(0);
    expect(told).toHaveLength(18);
  });

  test("a datagram in fragments waits as one, and arrives whole", () => {
    using lab = new HostLab();
    const { socket, station, told, notice, to, device } = open(lab);
    const sizes = [65_507, 40_000, 3000];
    for (const size of sizes)
      expect(socket.send(to, pattern(size), { notice: notice(`${size}`) })).toBe(true);
    expect(device.umem.accounts().kept).toBe(45 + 28 + 3);
    station.put(arpReply());
    lab.run(0);
    expect(told).toEqual(sizes.map((size) => `${size} sent`));
    expect(station.takeIp()).toHaveLength(45 + 28 + 3);
    expect(socket.send(to, pattern(65_507), { notice: notice("now"), lifetimeMs: 1 })).toBe(true);
    expect(told.at(-1)).toBe("now sent");
  });

  test("long datagrams that wait leave the pool its share", () => {
    using lab = new HostLab();
    const { socket, to, device } = open(lab, { chunkCount: 256 });
    let accepted = 0;
    while (socket.send(to, pattern(60_000))) accepted += 1;
    expect(accepted).toBe(5);
    expect(device.umem.available).toBeGreaterThanOrEqual(256 / 8);
    expect(socket.statistics().refusedFull).toBe(1);
    expect(socket.send(to, pattern(10))).toBe(true);
  });

  test("who hears of a drop may send at once", () => {
    using lab = new HostLab();
    const { socket, host, station, to } = open(lab);
    const other = host.udp({}, () => {});
    station.introduce("10.0.0.9");
    const seen: boolean[] = [];
    const notice = {
      sent: () => {},
      dropped: () =>
        void (other.open && seen.push(other.send({ address: "10.0.0.9", port: 9 }, pattern(5000, 3)))),
    };
    for (let i = 0; i < 17; i++) socket.send(to, pattern(4000), { notice });
    expect(seen).toEqual([true]);
    lab.run(0);
    const parts = station.takeIp();
    expect(parts).toHaveLength(4);
    expect(parts[1]!.slice(34, 60)).toEqual(udpOf(pattern(5000, 3)).slice(1480, 1506));
  });

  test("who throws at the news costs nobody else his", () => {
    using lab = new HostLab();
    const { socket, station, told, notice, to } = open(lab);
    const rude = {
      sent: () => {
        throw new Error("sent");
      },
      dropped: () => {
        throw new Error("dropped");
      },
    };
    socket.send(to, pattern(3), { notice: rude });
    socket.send(to, pattern(3), { notice: notice("polite") });
    lab.run(3500);
    expect(lab.errors.splice(0).map(String)).toEqual(["Error: dropped"]);
    lab.run(5000);
    socket.send(to, pattern(3), { notice: rude });
    socket.send(to, pattern(3), { notice: notice("polite") });
    station.put(arpReply());
    lab.run(10);
    expect(lab.errors.splice(0).map(String)).toEqual(["Error: sent"]);
    expect(told).toEqual(["polite unreachable", "polite sent"]);
  });

  test("a device that closes while packets wait has them back", () => {
    using lab = new HostLab();
    const { socket, told, notice, to, device } = open(lab);
    socket.send(to, pattern(3), { notice: notice("a") });
    socket.send(to, pattern(5000), { notice: notice("b") });
    device.close();
    lab.run(5000);
    expect(told).toEqual(["a closed", "b closed"]);
    lab.expectWhole();
  });

  test("so has the host that closes", () => {
    using lab = new HostLab();
    const { socket, host, told, notice, to } = open(lab);
    socket.send(to, pattern(3), { notice: notice("a"), lifetimeMs: 100 });
    host.close();
    expect(told).toEqual(["a closed"]);
    lab.expectWhole();
    lab.run(5000);
    expect(told).toEqual(["a closed"]);
  });
});

describe("path MTU", () => {
  const tooBig = (six: boolean, mtu: number, frame: Uint8Array): Uint8Array =>
    six
      ? icmp6Frame({ kind: "packet-too-big", code: 0, mtu, quote: frame.slice(14, 14 + 200) })
      : icmp4Frame({
          kind: "destination-unreachable",
          code: icmp4.UNREACHABLE.FRAGMENTATION_NEEDED,
          mtu,
          quote: frame.slice(14, 14 + 28),
          extensions: new Uint8Array(0),
        });

  test.each([4, 6])(
    "is lowered by a router's report, and holds for what is sent next, over IPv%d",
    (family) => {
      using lab = new HostLab();
      const six = family === 6;
      const { host, station } = open(lab);
      station.introduce("10.0.0.1", "2001:db8::1");
      const errors: unknown[] = [];
      const socket = host.udp({ onError: (error) => void errors.push([error.kind, error.mtu]) }, () => {});
      const to = socket.to(six ? STATION6 : STATION4, 7);
      const events = lab.events(host);
      socket.send(to, pattern(1400));
      lab.run(0);
      const [whole] = station.takeIp();
      expect(station.ask(tooBig(six, 1300, whole!))).toEqual([]);
      expect(errors).toEqual([["too-big", 1300]]);
      expect(events.map((event) => event.kind)).toEqual(["path-mtu", "soft-error"]);
      expect(to.destination.prepare()).toBe(0);
      expect(to.destination.mtu).toBe(1300);
      socket.send(to, pattern(1400));
      lab.run(0);
      const parts = station.takeIp();
      expect(parts).toHaveLength(2);
      for (const part of parts) expect(part.length).toBeLessThanOrEqual(14 + 1300);
      // It is forgotten after ten minutes.
      lab.run(600_000);
      station.introduce("10.0.0.1", "2001:db8::1");
      socket.send(to, pattern(1400));
      lab.run(0);
      expect(station.takeIp()).toHaveLength(1);
    },
  );

  test("reports about others, and smaller ones than may be, change nothing", () => {
    using lab = new HostLab();
    const { host, station, socket } = open(lab);
    station.introduce("10.0.0.1", "2001:db8::1");
    socket.send({ address: "10.0.0.1", port: 7 }, pattern(1400));
    socket.send({ address: "2001:db8::1", port: 7 }, pattern(1400));
    lab.run(0);
    const [four, six] = station.takeIp();
    const foreign = ether(
      ip(PROTOCOL.UDP, pattern(40), { from: IpAddress.parse("10.0.0.77"), to: STATION4 }),
    );
    station.ask(tooBig(false, 1300, foreign), tooBig(true, 1200, six!), tooBig(false, 9000, four!));
    expect(host.statistics().pathMtu.entries).toBe(0);
  });

  test("a `refuse`d fragmentation is too long rather than cut", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    station.introduce("10.0.0.1");
    const echo = host.ping("10.0.0.1", { onReply: () => {} }, { fragmentation: "refuse" });
    const header = 20 + 8;
    expect(echo.send(1, pattern(1500 - header))).toBe(0);
    expect(echo.send(2, pattern(1501 - header))).toBe(-4);
    host.pathMtu.lower(STATION4, 1000);
    expect(echo.send(3, pattern(1001 - header))).toBe(-4);
    expect(echo.send(4, pattern(1000 - header))).toBe(0);
    lab.run(0);
    expect(station.takeIp().map((frame) => frame.length)).toEqual([1514, 1014]);
  });
});

describe("what goes nowhere", () => {
  test("groups with a TTL of 0, and those of one interface, stay on the host", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const heard: string[] = [];
    const member = host.udp(
      { port: 9 },
      (datagram) => void heard.push(`${datagram.localAddress} ${datagram.length}`),
    );
    member.join("239.1.1.1");
    member.join("ff01::5");
    member.join("ff05::5");
    lab.run(5000);
    station.take();
    const socket = host.udp({ multicastTtl: 0 }, () => {});
    const wide = host.udp({}, () => {});
    for (const size of [3, 3000]) {
      for (const address of ["239.1.1.1", "ff05::5"])
        expect(socket.send({ address, port: 9 }, pattern(size))).toBe(true);
      expect(wide.send({ address: "ff01::5", port: 9 }, pattern(size))).toBe(true);
    }
    lab.run(0);
    expect(station.takeIp()).toEqual([]);
    const groups = ["239.1.1.1", "ff05::5", "ff01::5"];
    expect(heard).toEqual([3, 3000].flatMap((size) => groups.map((group) => `${group} ${size}`)));
  });

  test("a link-local address needs its link, and no router takes it", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ADDRESSES, gateway: "2001:db8::1", linkLocal: false });
    station.introduce("2001:db8::1");
    const socket = host.udp({}, () => {});
    expect(socket.send({ address: "fe80::77", port: 7 }, pattern(1))).toBe(false);
    expect(socket.send({ address: "2001:db9::77", port: 7 }, pattern(1))).toBe(true);
  });

  test("what an echo request can't be is a mistake, and the next one goes", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    station.introduce("10.0.0.1");
    const echo = host.ping("10.0.0.1", { onReply: () => {} });
    expect(() => echo.send(1, undefined as unknown as Uint8Array)).toThrow(TypeError);
    expect(() => echo.send(65_536, pattern(1))).toThrow(RangeError);
    expect(echo.send(65_535, pattern(1))).toBe(0);
    lab.run(0);
    expect(line(station.takeIp()[0]!)).toContain("echo request");
    expect(`${HOST6}`).toBe("2001:db8::2");
  });
});

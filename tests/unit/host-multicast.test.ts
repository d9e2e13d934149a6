/** Groups, broadcasts and loopback of a host: who hears what, with which filters, and what comes back to oneself. */
import { describe, expect, test } from "bun:test";
import { IpAddress } from "../../stack/wire/address.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import { ADDRESSES, pattern, STATION6, udpFrame } from "../support/host-frames.ts";
import { HostLab } from "../support/host-lab.ts";

const GROUPS = ["239.1.2.3", "ff05::123"];

const to = (group: string, from?: string): Uint8Array => {
  const address = IpAddress.parse(group);
  const source = from === undefined ? (address.family === 6 ? STATION6 : undefined) : IpAddress.parse(from);
  return udpFrame(pattern(4), {
    to: address,
    toMac: multicastMac(address),
    ...(source === undefined ? {} : { from: source }),
  });
};

describe.each(GROUPS)("the group %s", (group) => {
  const six = group.includes(":");
  const [good, bad] = six ? ["2001:db8::77", "2001:db8::78"] : ["10.0.0.77", "10.0.0.78"];

  test("is heard from the join to the leave, and routers are told", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ADDRESSES });
    lab.run(5000);
    let heard = 0;
    const socket = host.udp(53, () => void (heard += 1));
    station.ask(to(group));
    expect([heard, host.statistics().ip.noMember]).toEqual([0, 1]);
    station.take();
    socket.join(group);
    lab.run(1);
    expect(station.lines().join()).toContain(`${group} change to exclude`);
    station.ask(to(group));
    socket.leave(group);
    lab.run(5000);
    expect(station.lines().join()).toContain(`${group} change to include`);
    station.ask(to(group));
    expect([heard, host.statistics().ip.noMember]).toEqual([1, 2]);
    socket.join(group);
    socket.close();
    station.ask(to(group));
    expect(heard).toBe(1);
  });

  test("is heard from the senders that a filter lets through, each socket its own", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ADDRESSES });
    const heard: string[] = [];
    const open = (name: string) =>
      host.udp({ port: 53, reuse: true }, (datagram) => void heard.push(`${name} ${datagram.remoteAddress}`));
    const [only, allBut] = [open("only"), open("allBut")];
    only.join(group, { sources: { mode: "include", sources: [IpAddress.parse(good)] } });
    allBut.join(group, { sources: { mode: "exclude", sources: [IpAddress.parse(good)] } });
    station.ask(to(group, good), to(group, bad));
    expect(heard).toEqual([`only ${good}`, `allBut ${bad}`]);
    // A second join changes the filter.
    only.join(group);
    heard.length = 0;
    station.ask(to(group, good), to(group, bad));
    expect(heard.sort()).toEqual([`allBut ${bad}`, `only ${good}`, `only ${bad}`].sort());
    expect(host.statistics().udp.unwanted).toBe(0);
    allBut.close();
    only.join(group, { sources: { mode: "include", sources: [IpAddress.parse(good)] } });
    station.ask(to(group, bad));
    expect(host.statistics().udp.unwanted).toBe(1);
  });

  test("belongs to the interface that it was joined on", () => {
    using lab = new HostLab();
    const first = lab.wire({ name: "one", addresses: ADDRESSES });
    const second = lab.attach(first.host, { name: "two", addresses: ["10.9.0.2/24", "2001:db9::2/64"] });
    const heard: string[] = [];
    const socket = first.host.udp(53, (datagram) => void heard.push(datagram.interface.name));
    socket.join(group, { interface: "two" });
    first.station.ask(to(group));
    second.station.ask(to(group, good));
    expect(heard).toEqual(["two"]);
    socket.join(`${group}%one`);
    first.station.ask(to(group));
    socket.leave(group);
    second.station.ask(to(group, good));
    first.station.ask(to(group));
    expect(heard).toEqual(["two", "one"]);
    expect(() => socket.join(group, { interface: "three" })).toThrow(/no interface "three"/);
  });

  test("what we send to it comes back to members here, unless the sender says no", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ADDRESSES });
    lab.run(3000);
    const heard: string[] = [];
    const member = host.udp(53, (datagram) => {
      heard.push(`${datagram.interface.name} ${datagram.remoteAddress} ${datagram.length}`);
      // By copy: the frame is on loopback, and the way back is to ourselves.
      expect(datagram.reply()).toBe(true);
    });
    const back: number[] = [];
    const sender = host.udp({ multicastTtl: 5 }, (datagram) => void back.push(datagram.length));
    sender.send({ address: group, port: 53 }, pattern(3));
    lab.run(1);
    expect(heard).toEqual([]);
    member.join(group);
    lab.run(3000);
    station.take();
    for (const length of [3, 5000]) sender.send({ address: group, port: 53 }, pattern(length));
    lab.run(1);
    const source = six ? "2001:db8::2" : "10.0.0.2";
    expect(heard).toEqual([`left ${source} 3`, `left ${source} 5000`]);
    expect(back).toEqual([3, 5000]);
    // And all of it went out as well: one datagram, and four fragments.
    expect(station.takeIp()).toHaveLength(5);
    const quiet = host.udp({ multicastLoopback: false }, () => {});
    quiet.send({ address: group, port: 53 }, pattern(3));
    lab.run(1);
    expect(heard).toHaveLength(2);
    expect(station.takeIp()).toHaveLength(1);
  });

  test("a socket bound to it hears nothing else, and sends from an address of ours", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: ADDRESSES, linkLocal: false });
    const heard: string[] = [];
    const socket = host.udp(
      { port: 53, address: group },
      (datagram) => void heard.push(`${datagram.localAddress}`),
    );
    socket.join(group);
    const other = six ? "ff05::124" : "239.1.2.4";
    const second = host.udp({ port: 54 }, () => {});
    second.join(other);
    station.ask(to(group), to(other), udpFrame(pattern(1)));
    expect(heard).toEqual([group]);
    lab.run(3000);
    station.take();
    expect(socket.send({ address: group, port: 99 }, pattern(1))).toBe(true);
    lab.run(0);
    expect(station.lines().join()).toContain(six ? "2001:db8::2.53 >" : "10.0.0.2.53 >");
  });
});

describe("joining", () => {
  test("what is no group, or on no interface, is a mistake", () => {
    using lab = new HostLab();
    const alone = lab.host();
    const socket = alone.udp(53, () => {});
    expect(() => socket.join("10.0.0.1")).toThrow(/is no group/);
    expect(() => socket.join("239.1.1.1")).toThrow(/no interface to join/);
  });

  test("everybody of a network hears a broadcast: sockets of all addresses", () => {
    using lab = new HostLab();
    const [left, right] = lab.link();
    const [a, b] = [lab.host(), lab.host()];
    a.join(left, { addresses: ["10.0.0.2/24"], dad: false });
    b.join(right, { addresses: ["10.0.0.1/24"], dad: false });
    const heard: string[] = [];
    b.udp({ port: 9, reuse: true }, (datagram) => void heard.push(`any ${datagram.localAddress}`));
    b.udp({ port: 9, address: "10.0.0.1" }, () => void heard.push("bound"));
    const socket = a.udp({}, () => {});
    for (const address of ["10.0.0.255", "255.255.255.255"])
      expect(socket.send({ address, port: 9 }, pattern(2))).toBe(true);
    lab.run(10);
    expect(heard).toEqual(["any 10.0.0.255", "any 255.255.255.255"]);
    // No error comes back for a port that nobody has there.
    socket.send({ address: "10.0.0.255", port: 10 }, pattern(2));
    lab.run(10);
    expect([b.statistics().udp.unwanted, a.statistics().icmp4.errorsReceived]).toEqual([1, 0]);
  });
});

describe("to ourselves", () => {
  test("everything is answered that is answered to others, and no link hears of it", () => {
    using lab = new HostLab();
    const { host, station } = lab.wire({ addresses: [...ADDRESSES, "fe80::5/64"], linkLocal: false });
    lab.run(5000);
    station.take();
    host.udp(53, (datagram) => void datagram.reply());
    for (const address of ["127.0.0.1", "127.9.9.9", "10.0.0.2", "::1", "2001:db8::2", "fe80::5%left"]) {
      const back: string[] = [];
      const errors: string[] = [];
      const socket = host.udp(
        { onError: (error) => void errors.push(error.kind) },
        (datagram) => void back.push(`${datagram.remoteAddress} ${datagram.text()}`),
      );
      socket.send({ address, port: 53 }, new TextEncoder().encode("me"));
      socket.send({ address, port: 54 }, pattern(1));
      lab.run(1);
      expect(back).toEqual([`${address.split("%")[0]} me`]);
      expect(errors).toEqual(["port-unreachable"]);
    }
    expect(station.takeIp()).toEqual([]);
  });

  test("two who answer each other for ever leave the loop its turns", () => {
    using lab = new HostLab();
    const host = lab.host();
    let turns = 0;
    let count = 0;
    host.udp(53, (datagram) => {
      count += 1;
      if (turns < 50) datagram.reply();
    });
    const socket = host.udp({ port: 54 }, (datagram) => {
      count += 1;
      datagram.reply();
    });
    socket.send({ address: "127.0.0.1", port: 53 }, pattern(1));
    while (turns < 60) {
      lab.loop.turn();
      turns += 1;
    }
    expect(count).toBeGreaterThan(20);
    expect(count).toBeLessThan(60);
  });
});

/** Connected sockets as datagrams reach them: without a look at the socket, and as if there had been one. */
import { describe, expect, test } from "bun:test";
import { MAX_TAG } from "../../stack/udp/flow-table.ts";
import type { Datagram, KeptDatagram } from "../../stack/udp/datagram.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { ADDRESSES, HOST6, pattern, udpFrame } from "../support/host-frames.ts";
import { HostLab, line, viewOf } from "../support/host-lab.ts";

const open = (lab: HostLab) => {
  const wired = lab.wire({ addresses: ADDRESSES, linkLocal: false });
  wired.station.introduce("10.0.0.1", "2001:db8::1");
  return wired;
};

const PORT = 53;
const remote = (port: number, address = "10.0.0.1") => ({ port: PORT, remote: { address, port } });

describe("a connected socket", () => {
  test("counts what it receives, also while it is open and after its end", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    let heard = 0;
    const one = host.udp(remote(1), () => void (heard += 1));
    const two = host.udp(remote(1, "2001:db8::1"), () => void (heard += 1));
    station.ask(udpFrame(pattern(10), { fromPort: 1 }), udpFrame(pattern(7), { fromPort: 1 }));
    station.ask(udpFrame(pattern(5), { fromPort: 1, to: HOST6 }));
    expect(heard).toBe(3);
    expect(one.statistics()).toMatchObject({ received: 2, receivedBytes: 17 });
    station.ask(udpFrame(pattern(1), { fromPort: 1 }));
    expect(one.statistics()).toMatchObject({ received: 3, receivedBytes: 18 });
    one.close();
    expect(one.statistics()).toMatchObject({ received: 3, receivedBytes: 18 });
    expect(two.statistics()).toMatchObject({ received: 1, receivedBytes: 5 });
    expect(host.statistics().udp).toMatchObject({ received: 4, sockets: 1 });
  });

  test("of a service address and one of the interface's own need two ports, and hear nothing of each other's", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    host.addService("10.9.9.9");
    const heard: string[] = [];
    const connect = (address: string, port = PORT) =>
      host.udp({ address, ...remote(1), port }, () => void heard.push(`${address}:${port}`));
    const first = connect("10.9.9.9");
    expect(() => connect("10.0.0.2")).toThrow(
      "UDP port 53 of 10.0.0.2 is taken; to 10.0.0.1 port 1 there is one connected socket of a port, whichever its own address",
    );
    const own = connect("10.0.0.2", PORT + 1);
    const bound = host.udp({ port: PORT, address: "10.0.0.2" }, () => void heard.push("bound"));
    const service = IpAddress.parse("10.9.9.9");
    station.ask(
      udpFrame(pattern(1), { fromPort: 1, to: service }),
      // To the other's address: for whoever has that, connected or not, and never for the first.
      udpFrame(pattern(1), { fromPort: 1 }),
      udpFrame(pattern(1), { fromPort: 1, port: PORT + 1 }),
    );
    expect(heard).toEqual(["10.9.9.9:53", "bound", "10.0.0.2:54"]);
    first.close();
    expect(connect("10.0.0.2").localPort).toBe(PORT);
    expect([own, bound].map((socket) => socket.statistics().received)).toEqual([1, 1]);
  });

  test("closed by its own handler may still answer the datagram, or keep it", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const kept: KeptDatagram[] = [];
    const answering = host.udp(remote(1), (datagram) => {
      answering.close();
      expect(datagram.reply()).toBe(true);
    });
    const keeping = host.udp(remote(2), (datagram) => {
      keeping.close();
      kept.push(datagram.keep());
    });
    const answers = station.ask(udpFrame(pattern(3), { fromPort: 1 }), udpFrame(pattern(3), { fromPort: 2 }));
    expect(answers.map((answer) => line(answer)).join()).toContain("10.0.0.2.53 > 10.0.0.1.1 ");
    expect(kept[0]!.copy()).toEqual(pattern(3));
    expect(kept[0]!.reply()).toBe(true);
    lab.run(0);
    expect(station.lines().join()).toContain("10.0.0.2.53 > 10.0.0.1.2 ");
    expect(answering.statistics()).toMatchObject({ received: 1, sent: 1 });
    expect(keeping.statistics()).toMatchObject({ received: 1, sent: 1 });
    expect(lab.errors).toEqual([]);
  });

  test("whose place another took in the handler is not taken for him", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const first = host.udp({ ...remote(1), ttl: 11 }, (datagram) => {
      first.close();
      host.udp({ ...remote(1), ttl: 22 }, () => {});
      datagram.reply();
    });
    const [answer] = station.ask(udpFrame(pattern(3), { fromPort: 1 }));
    expect(ipv4.ttl(viewOf(answer!), ethernet.HEADER_BYTES)).toBe(11);
    expect(first.statistics().sent).toBe(1);
  });

  test("hears where it asked to: on one interface, at one address, or in one family", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const names: string[] = [];
    const say = (name: string) => () => void names.push(name);
    const second = lab.attach(host, { name: "two", addresses: ["10.9.0.2/24"] });
    host.udp({ ...remote(1), interface: "two" }, say("two alone"));
    host.udp({ ...remote(2), address: "10.9.0.2" }, say("10.9.0.2 alone"));
    host.udp({ ...remote(3), family: 4 }, say("IPv4"));
    host.udp({ port: PORT }, say("anybody"));
    station.ask(...[1, 2, 3].map((fromPort) => udpFrame(pattern(1), { fromPort })));
    expect(names).toEqual(["anybody", "anybody", "IPv4"]);
    second.station.ask(
      ...[1, 2].map((fromPort) => udpFrame(pattern(1), { fromPort, to: IpAddress.parse("10.9.0.2") })),
    );
    expect(names.slice(3)).toEqual(["two alone", "10.9.0.2 alone"]);
  });

  test("more handlers than there are numbers for are called as well", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const SOCKETS = MAX_TAG + 10;
    const heard: number[] = [];
    const sockets = Array.from({ length: SOCKETS }, (_, i) =>
      host.udp(remote(i + 1), (datagram: Datagram) => {
        expect(datagram.remotePort).toBe(i + 1);
        heard.push(i);
        datagram.reply();
      }),
    );
    for (const i of [0, MAX_TAG - 1, MAX_TAG, SOCKETS - 1])
      station.ask(udpFrame(pattern(2), { fromPort: i + 1 }));
    expect(heard).toEqual([0, MAX_TAG - 1, MAX_TAG, SOCKETS - 1]);
    expect(sockets.at(-1)!.statistics()).toMatchObject({ received: 1, receivedBytes: 2, sent: 1 });
    for (const socket of sockets) socket.close();
    expect(host.statistics().udp.sockets).toBe(0);
  });

  test("among very many hears its own, over both families, whatever else is in the burst", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const FLOWS = 20_000;
    const heard = new Map<number, number>();
    const hear = (datagram: Datagram): void =>
      void heard.set(datagram.remotePort, (heard.get(datagram.remotePort) ?? 0) + 1);
    for (let port = 1; port <= FLOWS; port++) host.udp(remote(port), hear);
    for (let port = 1; port <= 20; port++) host.udp(remote(port, "2001:db8::1"), hear);
    const ports = Array.from({ length: 40 }, (_, i) => (i < 20 ? i + 1 : FLOWS - i));
    station.ask(
      ...ports.map((fromPort) => udpFrame(pattern(1), { fromPort })),
      ...ports.map((fromPort) => udpFrame(pattern(1), { fromPort, to: HOST6 })),
      // Too short for ports, for a header, and of another protocol.
      ...[20, 33, 37].map((length) => udpFrame(pattern(9)).subarray(0, length)),
    );
    expect(ports.map((port) => heard.get(port))).toEqual(ports.map((port) => (port <= 20 ? 2 : 1)));
    expect(host.statistics().udp.noPort).toBe(20);
  });
});

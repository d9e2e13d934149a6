/** UDP sockets of a host: options, sizes, writers, full rings, soft errors as they arrive, and their end. */
import { describe, expect, test } from "bun:test";
import type { LinkOptions } from "../../stack/device/memory.ts";
import type { JoinOptions } from "../../stack/ip/options.ts";
import type { SoftError } from "../../stack/transport/network.ts";
import type { UdpOptions } from "../../stack/udp/options.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { ADDRESSES, HOST4, HOST6, pattern, STATION4, udpFrame } from "../support/host-frames.ts";
import { HostLab, line } from "../support/host-lab.ts";

const open = (lab: HostLab, join: JoinOptions = {}, link: LinkOptions = {}) => {
  const wired = lab.wire({ addresses: ADDRESSES, linkLocal: false, ...join }, {}, link);
  wired.station.introduce("10.0.0.1", "2001:db8::1");
  return wired;
};

/** Two hosts on a link; the second answers on port 7 and remembers what it heard. */
const pair = (lab: HostLab, link: LinkOptions = {}) => {
  const [left, right] = lab.link({ chunkCount: 2048, ...link });
  const [a, b] = [lab.host(), lab.host()];
  a.join(left, { addresses: ["10.0.0.2/24", "2001:db8::2/64"], dad: false });
  b.join(right, { addresses: ["10.0.0.1/24", "2001:db8::1/64"], dad: false });
  const heard: Uint8Array[] = [];
  b.udp(7, (datagram) => {
    heard.push(datagram.copy());
    datagram.reply();
  });
  lab.run(10);
  return { a, b, left, right, heard };
};

describe("options", () => {
  const lab = new HostLab();
  const { host } = open(lab);
  const wrong: readonly (readonly [UdpOptions, RegExp])[] = [
    [{ port: 70_000 }, /port is a whole number/],
    [{ port: 1.5 }, /port/],
    [{ address: "10.0.0.77" }, /no address of this host/],
    [{ address: "ten" }, /no IP address/],
    [{ remote: { address: "10.0.0.1", port: 0 } }, /port/],
    [{ address: "10.0.0.2", remote: { address: "2001:db8::1", port: 5 } }, /two families/],
    [{ ttl: 0 }, /ttl/],
    [{ multicastTtl: 256 }, /multicastTtl/],
    [{ multicastLoopback: 1 as unknown as boolean }, /multicastLoopback/],
    [{ trafficClass: -1 }, /trafficClass/],
    [{ interface: "nowhere" }, /no interface "nowhere"/],
    [{ onDrain: 5 as unknown as () => void }, /onDrain/],
    [{ prot: 5 } as unknown as UdpOptions, /no option "prot"/],
  ];
  test.each(wrong)("refuse %p", (options, text) => {
    expect(() => host.udp(options, () => {})).toThrow(text);
    expect(host.statistics().udp.sockets).toBe(0);
  });

  test("a handler is a function, and a port has one holder", () => {
    expect(() => host.udp(5, undefined as unknown as () => void)).toThrow(TypeError);
    using first = host.udp(5, () => {});
    expect(() => host.udp(5, () => {})).toThrow(/UDP port 5 of all addresses is taken/);
    first.close();
    first.close();
    using second = host.udp(5, () => {});
    expect(second.open).toBe(true);
  });

  test("a port that is not named is a dynamic one, and all of them can be had", () => {
    const sockets = Array.from({ length: 16_384 }, () => host.udp({}, () => {}));
    const ports = new Set(sockets.map((socket) => socket.localPort));
    expect([ports.size, Math.min(...ports), Math.max(...ports)]).toEqual([16_384, 49_152, 65_535]);
    expect(() => host.udp({}, () => {})).toThrow(/no UDP port is free/);
    for (const socket of sockets) socket.close();
    lab.close();
  });
});

describe("sending", () => {
  test("all sizes arrive and come back, over both families", () => {
    using lab = new HostLab();
    const { a, heard } = pair(lab);
    const back: Uint8Array[] = [];
    const socket = a.udp({}, (datagram) => void back.push(datagram.copy()));
    for (const [address, most] of [
      ["10.0.0.1", 65_507],
      ["2001:db8::1", 65_527],
    ] as const) {
      for (const length of [0, 1, 2, 3, 511, 1452, 1453, 1472, 1473, 4000, 65_506, most]) {
        const payload = pattern(length, length);
        expect(socket.send({ address, port: 7 }, payload)).toBe(true);
        lab.run(10);
        expect(heard.pop()).toEqual(payload);
        expect(back.pop()).toEqual(payload);
      }
      expect(socket.send({ address, port: 7 }, new Uint8Array(most + 1))).toBe(false);
    }
    expect(socket.statistics()).toMatchObject({ sent: 24, received: 24, refusedOther: 2, refusedFull: 0 });
  });

  test("frames of several chunks carry what the link takes", () => {
    using lab = new HostLab();
    const { a, heard } = pair(lab, { chunkBytes: 1024, headroomBytes: 64, mtu: 9000 });
    const socket = a.udp({}, () => {});
    for (const length of [900, 1000, 5000, 8972, 8973, 40_000]) {
      expect(socket.send({ address: "10.0.0.1", port: 7 }, pattern(length))).toBe(true);
      lab.run(10);
      expect(heard.pop()).toEqual(pattern(length));
    }
  });

  test("to ourselves any size goes, with the smallest bursts of a loop", () => {
    using lab = new HostLab({ burst: 18 });
    const { host } = open(lab);
    const heard: number[] = [];
    host.udp(7, (datagram) => void heard.push(datagram.length));
    const socket = host.udp({}, () => {});
    for (const address of ["127.0.0.1", "127.1.2.3", "10.0.0.2", "::1", "2001:db8::2"])
      for (const length of [0, 3000, 65_507])
        expect(socket.send({ address, port: 7 }, pattern(length))).toBe(true);
    lab.run(0);
    expect(heard).toEqual(Array.from({ length: 5 }, () => [0, 3000, 65_507]).flat());
  });

  test("nobody is sent to who can't be reached", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const socket = host.udp({}, () => {});
    const bound = host.udp({ address: "10.0.0.2" }, () => {});
    for (const address of ["192.0.2.1", "0.0.0.0", "::", "2001:db9::1"])
      expect(socket.send({ address, port: 7 }, pattern(1))).toBe(false);
    // An address of the other family is no address to send from.
    expect(bound.send({ address: "2001:db8::1", port: 7 }, pattern(1))).toBe(false);
    expect([socket.statistics().refusedOther, bound.statistics().refusedOther]).toEqual([4, 1]);
    lab.run(10);
    expect(station.takeIp()).toEqual([]);
  });

  test("what can't be a payload throws, and nothing is left half written", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const socket = host.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    expect(() => socket.send(to, "text" as unknown as Uint8Array)).toThrow(TypeError);
    expect(() => socket.send(to, 5, undefined as unknown as () => void)).toThrow(TypeError);
    for (const length of [-1, 1.5, NaN, Infinity])
      expect(() => socket.send(to, length, () => {})).toThrow(RangeError);
    expect(() => socket.send({ address: "10.0.0.1", port: 0 }, pattern(1))).toThrow(RangeError);
    expect(() => socket.send(undefined as never, pattern(1))).toThrow(TypeError);
    expect(socket.send(to, pattern(1))).toBe(true);
    lab.run(0);
    expect(station.take()).toHaveLength(1);
  });

  test("a writer fills the frame, or a part of it", () => {
    using lab = new HostLab();
    const { a, heard } = pair(lab);
    const socket = a.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    const write = (used: number | undefined) => (view: DataView, at: number, length: number) => {
      for (let i = 0; i < length; i++) view.setUint8(at + i, i & 0xff);
      return used;
    };
    const ramp = Uint8Array.from({ length: 3000 }, (_, i) => i & 0xff);
    for (const [length, used] of [
      [10, undefined],
      [10, 4],
      [10, 0],
      [3000, undefined],
      [3000, 2000],
      [3000, 9],
    ] as const) {
      expect(socket.send(to, length, write(used))).toBe(true);
      lab.run(10);
      expect(heard.pop()).toEqual(ramp.slice(0, used ?? length));
    }
    for (const length of [10, 3000]) {
      for (const used of [-1, length + 1, 0.5])
        expect(() => socket.send(to, length, write(used))).toThrow(RangeError);
      expect(() =>
        socket.send(to, length, () => {
          throw new Error("the writer's own");
        }),
      ).toThrow("the writer's own");
    }
    lab.run(10);
    expect(heard).toEqual([]);
    expect(socket.statistics().sent).toBe(6);
    lab.expectWhole();
  });

  test("a writer that sends is told so, and the next one can", () => {
    using lab = new HostLab();
    const { a, heard } = pair(lab);
    const socket = a.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    expect(() => socket.send(to, 4, () => void socket.send(to, pattern(1)))).toThrow(/a writer sent another/);
    // Nested in what happened rather than in the writer: that works.
    let nested = false;
    const notice = { sent: () => void (nested = socket.send(to, pattern(5000))), dropped: () => {} };
    expect(socket.send(to, pattern(4000), { notice })).toBe(true);
    lab.run(10);
    expect(nested).toBe(true);
    expect(heard.map((one) => one.length)).toEqual([4000, 5000]);
    expect(heard[0]).toEqual(pattern(4000));
  });

  test("a writer that takes the last place in the ring gets a false, and no chunk is lost", () => {
    using lab = new HostLab();
    const { host, station, device } = open(lab, {}, { txRing: 1 });
    const socket = host.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    const queue = device.queues[0]!;
    const sent = socket.send(to, 4, () => {
      queue.send(device.umem.take(), 60, false);
    });
    expect([sent, socket.statistics().refusedFull]).toEqual([false, 1]);
    lab.run(0);
    expect(station.take()).toHaveLength(1);
    lab.expectWhole();
  });
});

describe("a ring or pool that is full", () => {
  test("refuses, counts, and tells when there is room", () => {
    using lab = new HostLab();
    let drained = 0;
    const { host, station } = open(lab, {}, { txRing: 4 });
    const rooms: boolean[] = [];
    const socket = host.udp(
      {
        onDrain: () => {
          drained += 1;
          rooms.push(socket.send(to, pattern(1)));
        },
      },
      () => {},
    );
    const to = socket.to("10.0.0.1", 7);
    const before = host.statistics().ip.full;
    const accepted = socket.sendMany(
      to,
      Array.from({ length: 9 }, () => pattern(1)),
    );
    expect(accepted).toBe(4);
    expect(socket.send(to, pattern(1))).toBe(false);
    expect(socket.statistics()).toMatchObject({ sent: 4, refusedFull: 2 });
    expect(host.statistics().ip.full - before).toBe(2);
    lab.run(1);
    // Once for both, and not before there was room.
    expect([drained, rooms]).toEqual([1, [true]]);
    lab.run(1);
    expect(station.take()).toHaveLength(5);
  });

  test("a pool without chunks is as full, for long packets too", () => {
    using lab = new HostLab();
    const { host, device } = open(lab);
    const socket = host.udp({}, () => {});
    const to = socket.to("10.0.0.1", 7);
    const taken: number[] = [];
    while (device.umem.available > 2) taken.push(device.umem.take());
    expect(socket.send(to, pattern(6000))).toBe(false);
    expect(socket.send(to, pattern(2000))).toBe(true);
    expect(socket.send(to, pattern(20))).toBe(false);
    for (const at of taken) device.umem.release(at);
    expect(socket.statistics()).toMatchObject({ sent: 1, refusedFull: 2 });
  });

  test("a device that its owner closed is down, not full", () => {
    using lab = new HostLab();
    let drained = 0;
    const { host, device } = open(lab);
    const socket = host.udp({ onDrain: () => void (drained += 1) }, () => {});
    const to = socket.to("10.0.0.1", 7);
    device.close();
    expect(socket.send(to, pattern(1))).toBe(false);
    lab.run(100);
    expect(socket.send(to, pattern(1))).toBe(false);
    expect(socket.statistics()).toMatchObject({ refusedFull: 0, refusedOther: 2 });
    expect([drained, host.interfaces.length]).toEqual([0, 0]);
  });
});

describe("who hears", () => {
  test("a connected socket hears its own end alone, and errors about it", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    const names: string[] = [];
    host.udp(53, () => void names.push("any"));
    host.udp({ port: 53, address: "10.0.0.2" }, () => void names.push("bound"));
    const flow = host.udp(
      { port: 53, remote: { address: "10.0.0.1", port: 1234 } },
      () => void names.push("flow"),
    );
    station.ask(
      udpFrame(pattern(1)),
      udpFrame(pattern(1), { fromPort: 1 }),
      udpFrame(pattern(1), { to: HOST6 }),
    );
    expect(names).toEqual(["flow", "bound", "any"]);
    expect(flow.send(flow.remote!, pattern(2))).toBe(true);
    lab.run(0);
    expect(station.lines().join()).toContain("10.0.0.2.53 > 10.0.0.1.1234");
  });

  test("of sockets that share a port each hears what its interface brings", () => {
    using lab = new HostLab();
    const { host, station } = open(lab, { name: "one" });
    const second = lab.attach(host, { name: "two", addresses: ["10.9.0.2/24"] });
    const names: string[] = [];
    for (const name of ["one", "two"])
      host.udp(
        { port: 53, interface: name, reuse: true },
        (datagram) => void names.push(`${name} ${datagram.interface.name}`),
      );
    station.ask(udpFrame(pattern(1)));
    second.station.ask(
      udpFrame(pattern(1), { to: IpAddress.parse("10.9.0.2"), from: IpAddress.parse("10.9.0.1") }),
    );
    expect(names).toEqual(["one one", "two two"]);
  });

  test("a socket that was closed in a handler hears no more, and says so", () => {
    using lab = new HostLab();
    const { host, station } = open(lab);
    let heard = 0;
    const socket = host.udp(53, () => {
      heard += 1;
      socket.close();
    });
    station.ask(udpFrame(pattern(1)), udpFrame(pattern(1)));
    expect([heard, host.statistics().udp.noPort, socket.open]).toEqual([1, 1, false]);
    expect(() => socket.send({ address: "10.0.0.1", port: 1 }, pattern(1))).toThrow(/is closed/);
    expect(() => socket.join("239.1.1.1")).toThrow(/is closed/);
  });

  test("a port that nobody has makes a soft error at the other host", () => {
    using lab = new HostLab();
    const { a } = pair(lab);
    const errors: SoftError[] = [];
    const events = lab.events(a);
    const socket = a.udp({ onError: (error) => void errors.push(error) }, () => {});
    for (const address of ["10.0.0.1", "2001:db8::1", "127.0.0.1"])
      socket.send({ address, port: 9 }, pattern(1));
    lab.run(20);
    expect(errors.map((error) => [error.kind, `${error.remote}`, error.remotePort, error.localPort])).toEqual(
      ["127.0.0.1", "10.0.0.1", "2001:db8::1"].map((address) => [
        "port-unreachable",
        address,
        9,
        socket.localPort,
      ]),
    );
    expect(socket.statistics().softErrors).toBe(3);
    expect(events.filter((event) => event.kind === "soft-error")).toHaveLength(3);
  });

  test("whoever closes the socket at the event hears nothing of it as an error", () => {
    using lab = new HostLab();
    const { a } = pair(lab);
    let errors = 0;
    const socket = a.udp({ onError: () => void (errors += 1) }, () => {});
    a.on((event) => {
      if (event.kind === "soft-error") socket.close();
    });
    socket.send({ address: "10.0.0.1", port: 9 }, pattern(1));
    lab.run(20);
    expect([errors, socket.open]).toEqual([0, false]);
  });
});

test("the TTL, the class and the source are the socket's", () => {
  using lab = new HostLab();
  const { host, station } = open(lab, { addresses: ["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"] });
  const socket = host.udp({ port: 5, address: "10.0.0.3", ttl: 3, trafficClass: 0xb8 }, () => {});
  socket.send({ address: "10.0.0.1", port: 7 }, pattern(1));
  lab.run(0);
  expect(station.take()).toEqual([
    udpFrame(pattern(1), {
      from: IpAddress.parse("10.0.0.3"),
      to: STATION4,
      fromPort: 5,
      port: 7,
      toMac: station.mac,
      fromMac: host.interfaces[0]!.link.mac,
      more4: { ttl: 3, dscp: 46, dontFragment: true },
    }),
  ]);
  expect(line(udpFrame(pattern(1)))).toContain(`${HOST4}`);
});

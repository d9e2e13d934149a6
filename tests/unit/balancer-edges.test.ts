/** A balancer at its edges: ways and addresses that go, what was begun and failed, connections that come again, late answers. */
import { describe, expect, test } from "bun:test";
import { Balancer } from "../../stack/balance/balancer.ts";
import { BackendCheck } from "../../stack/balance/check.ts";
import { UdpProbe } from "../../stack/balance/probes.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import {
  ask,
  backendAddress,
  BalanceLab,
  backendMac,
  FLAGS,
  PORT,
  segment,
  VIP4,
} from "../support/balance-lab.ts";
import { ether, ip, pattern, udpOf } from "../support/host-frames.ts";
import { HostLab, line, Station, viewOf } from "../support/host-lab.ts";

const ETHERNET = ethernet.HEADER_BYTES;

describe("a way that goes", () => {
  test("is told to senders, and found again", () => {
    using bed = new BalanceLab({ backends: 1 });
    expect(bed.reach(ask(pattern(3)))).toEqual([1]);
    bed.far.link.device.close();
    bed.lab.run(0);
    expect(bed.reach(ask(pattern(3)))).toEqual([]);
    expect(line(bed.clients.takeIp().at(-1)!)).toContain("destination unreachable: host");
    expect(bed.balancer.statistics()).toMatchObject({ forwarded: 1, unreachable: 1 });
  });

  test("because its path is known to be down is not taken, and another one is", () => {
    const lab = new HostLab();
    using ending = lab;
    const umem = new MemoryUmem({ chunkBytes: 2048, chunkCount: 4096, headroomBytes: 128 });
    const host = lab.host();
    const wires = ["near", "left", "right"].map((name, i) => {
      const [device, far] = lab.link({ umems: [umem, umem], names: [name, `${name}-end`] });
      const on = host.join(device, { addresses: [`10.${i}.0.2/24`], dad: false, linkLocal: false });
      return { on, station: new Station(lab, far, on) };
    });
    const [near, left, right] = wires as [(typeof wires)[0], (typeof wires)[0], (typeof wires)[0]];
    host.addService(VIP4, { dad: false });
    for (const [i, { on, station }] of [left, right].entries()) {
      const gateway = IpAddress.parse(`10.${i + 1}.0.1`);
      const prefix = Prefix.parse("10.77.0.0/24");
      host.addRoute({ prefix, gateway, interface: on.index, kind: "unicast", metric: i });
      lab.run(0);
      station.introduce(gateway.toString());
    }
    near.station.introduce("10.0.0.1");
    using balancer = new Balancer(host, { interfaces: [near.on] });
    const service = balancer.service({ address: VIP4, protocol: "udp", port: PORT, mode: "tunnel" });
    service.add({ address: "10.77.0.5" });
    const went = (): string => {
      for (const { station } of wires) station.take();
      near.station.put(ask(pattern(3), { fromMac: near.station.mac, toMac: near.on.link.mac }));
      lab.run(0);
      return [left, right].map(({ station }) => station.takeIp().length).join(" ");
    };
    expect(went()).toBe("1 0");
    const path = host.paths.find({ interface: "left", gateway: IpAddress.parse("10.1.0.1") })!;
    host.paths.set(path, "down");
    expect(went()).toBe("0 1");
    host.paths.set(path, "up");
    lab.run(60_000);
    for (const [i, { station }] of [left, right].entries()) station.introduce(`10.${i + 1}.0.1`);
    near.station.introduce("10.0.0.1");
    expect(went()).toBe("1 0");
    ending.run(0);
  });
});

describe("service addresses", () => {
  test("that leave the host, and come to it, while packets do not stop", () => {
    using bed = new BalanceLab({ backends: 1 });
    const arp = (): number => bed.clients.takeIp().length;
    expect(bed.reach(ask(pattern(3)))).toEqual([1]);
    // Packets that neighbours still send go on; nobody is told of the address any more.
    bed.host.removeService(VIP4);
    bed.lab.run(0);
    expect(bed.reach(ask(pattern(3)))).toEqual([1]);
    expect(arp()).toBe(0);
    bed.host.addService(VIP4, { dad: false });
    bed.lab.run(0);
    expect(bed.reach(ask(pattern(3)))).toEqual([1]);
    for (let again = 0; again < 100; again++) {
      const port = 7000 + again;
      const service = bed.balancer.service({ address: VIP4, protocol: "udp", port });
      service.add({ address: backendAddress(2), mac: backendMac(2).toString() });
      expect(bed.reach(ask(pattern(3), { port }), ask(pattern(3)))).toEqual([2, 1]);
      service.close();
    }
    expect(bed.balancer.services).toEqual([bed.service]);
    expect(bed.balancer.statistics().flows.flows).toBe(1);
  });
});

describe("a balancer", () => {
  test("that could not begin on one interface has begun on none", () => {
    using bed = new BalanceLab();
    bed.balancer.close();
    using other = new Balancer(bed.host, { interfaces: [bed.far] });
    expect(() => new Balancer(bed.host, { interfaces: [bed.near, bed.far] })).toThrow("intercepted already");
    other.close();
    using again = new Balancer(bed.host, { interfaces: [bed.near, bed.far] });
    expect(again.services).toEqual([]);
  });

  test("lets go of an interface that left and came back, at its close and not before", () => {
    using bed = new BalanceLab({ backends: 1 });
    const { device } = bed.near.link;
    bed.host.leave(bed.near);
    const back = bed.host.join(device, { addresses: ["10.0.0.2/24"], dad: false, linkLocal: false });
    expect(back.interceptor).toBeUndefined();
    bed.balancer.listen(back);
    expect(() => bed.balancer.listen(back)).toThrow("intercepted already");
    expect(bed.reach(ask(pattern(3)))).toEqual([1]);
    bed.balancer.close();
    expect([back.interceptor, bed.far.interceptor]).toEqual([undefined, undefined]);
  });
});

describe("connections", () => {
  test("that begin with the ports of one that ended live as long as any other", () => {
    using bed = new BalanceLab({ protocol: "tcp", backends: 1 });
    bed.reach(segment({ flags: FLAGS.syn }), segment({ flags: FLAGS.fin | FLAGS.ack }));
    bed.reach(segment({ flags: FLAGS.syn }), segment());
    bed.lab.run(500_000);
    expect(bed.backend(1).flows).toBe(1);
    bed.lab.run(500_000);
    expect(bed.backend(1).flows).toBe(0);
  });
});

test("a datagram that answers the question before is no answer", () => {
  using bed = new BalanceLab({ backends: 1 });
  bed.backends.introduce(backendAddress(1));
  const probe = new UdpProbe(bed.host, IpAddress.parse(backendAddress(1)), 53, pattern(4));
  const { host, lab, backends } = bed;
  const answers: Uint8Array[] = [];
  const heard = (): void => {
    for (const frame of backends.takeIp()) {
      const view = viewOf(frame);
      if (ipv4.protocol(view, ETHERNET) !== PROTOCOL.UDP) continue;
      const from = IpAddress.parse(backendAddress(1));
      const to = ipv4.source(view, ETHERNET);
      const port = view.getUint16(ETHERNET + ipv4.HEADER_BYTES);
      answers.push(
        ether(ip(PROTOCOL.UDP, udpOf(pattern(4), { from, to, fromPort: 53, port }), { from, to }), {
          toMac: bed.far.link.mac,
        }),
      );
    }
  };
  using check = new BackendCheck(lab.loop, bed.backend(1), probe, {
    intervalMs: 100,
    timeoutMs: 40,
    fall: 3,
  });
  // Each answer comes 20 ms after the next question.
  for (let i = 0; i < 8; i++) {
    lab.run(20);
    if (i > 0) backends.put(answers.at(-1)!);
    heard();
    lab.run(80);
  }
  expect([check.verdict, answers.length]).toEqual(["down", 8]);
  // In time it is one, and the port stays.
  lab.run(1);
  for (let i = 0; i < 3; i++) {
    heard();
    backends.put(answers.at(-1)!);
    lab.run(100);
  }
  heard();
  expect(check.verdict).toBe("up");
  const ports = answers.map((frame) => viewOf(frame).getUint16(ETHERNET + ipv4.HEADER_BYTES + 2));
  expect(new Set(ports.slice(0, 9)).size).toBe(9);
  expect(new Set(ports.slice(-3)).size).toBe(1);
  expect(host.statistics().udp.sockets).toBe(1);
});

test("a check whose probe fails at once has not begun", () => {
  using bed = new BalanceLab({ backends: 1 });
  let asked = 0;
  let closed = 0;
  const probe = {
    ask(): void {
      asked += 1;
      throw new Error("no way to ask");
    },
    close: (): void => void (closed += 1),
  };
  expect(() => new BackendCheck(bed.lab.loop, bed.backend(1), probe)).toThrow("no way to ask");
  bed.lab.run(10_000);
  expect([asked, closed]).toEqual([1, 1]);
});

/** What worlds have shown to be wrong, each as small as it gets. */
import { describe, expect, test } from "bun:test";
import { createLink, type MemoryDevice } from "../../stack/device/memory.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Host } from "../../stack/ip/host.ts";
import { NeighbourMonitor } from "../../stack/ip/paths/neighbour-monitor.ts";
import type { HostOptions, JoinOptions } from "../../stack/ip/options.ts";
import { Loop } from "../../stack/loop/loop.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import { ETHERTYPE } from "../../stack/wire/ethernet.ts";
import * as icmp4 from "../../stack/wire/icmpv4.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import { describe as say } from "../../stack/wire/printer.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";
import { A4, B4, datagram, fill, frame, MAC2, packet4 } from "../support/wire-frames.ts";
import { ASK } from "../support/wire-lines.ts";

const GROUP = IpAddress.parse("239.1.2.3");
const PORT = 7;
const TO_ALL = "ff:ff:ff:ff:ff:ff";
const STEP_MS = 50;
const REASSEMBLY_MS = 31_000;
const A4_ALONE = Prefix.parse("10.0.0.1/32");
/** Says where 10.0.0.1 is, so that answers need not ask. */
const ANNOUNCED = frame(
  ETHERTYPE.ARP,
  fill(arp.PACKET_BYTES, (view) => arp.emit(ASK, view, 0)),
);

/** 10.0.0.2 alone on a link whose other end is the test's. */
class Alone {
  readonly host: Host;
  readonly near: MemoryDevice;
  readonly #clock = new VirtualClock();
  readonly #loop: Loop;
  readonly #transmitter: Transmitter;
  readonly #heard: string[] = [];

  constructor(join: JoinOptions = {}, options: HostOptions = {}) {
    const clock = this.#clock;
    this.#loop = new Loop({
      clock,
      waiter: new ManualWaiter(clock),
      onError: (error) => {
        throw error;
      },
    });
    const [near, far] = createLink({ macs: [MAC2.toBytes(), Uint8Array.of(2, 0, 0, 0, 0, 1)] });
    this.near = near;
    this.#transmitter = new Transmitter(far.queues[0]!);
    this.#loop.receive(far, ({ view, at, length }) => void this.#heard.push(say(view, at, length)));
    this.host = new Host({ loop: this.#loop, random: seededRandom(1) }, options);
    this.host.join(near, { addresses: ["10.0.0.2/24"], linkLocal: false, dad: false, ...join });
  }

  /** What the host says to this frame, ARP aside. */
  tell(bytes: Uint8Array): string[] {
    this.#transmitter.sendBytes(bytes);
    this.#loop.turn();
    this.pass(0);
    return this.heard();
  }

  heard(): string[] {
    return this.#heard.splice(0).filter((line) => line.includes(" IP "));
  }

  /** What the host asked by ARP. */
  questions(): string[] {
    return this.#heard.splice(0).filter((line) => line.includes("ARP request"));
  }

  pass(ms: number): void {
    const untilMs = this.#clock.nowMs() + ms;
    do {
      this.#clock.advance(Math.min(STEP_MS, untilMs - this.#clock.nowMs()));
      while (this.#loop.turn()) continue;
    } while (this.#clock.nowMs() < untilMs);
  }
}

describe("a host", () => {
  test("does not tell of fragments to a group that are missing, let alone in the group's name", () => {
    const alone = new Alone();
    const socket = alone.host.udp({ port: PORT, reuse: true }, () => {});
    socket.join(GROUP);
    alone.tell(ANNOUNCED);
    const first = packet4(PROTOCOL.UDP, datagram(new Uint8Array(16), A4, GROUP, [9, PORT]), {
      destination: GROUP,
      moreFragments: true,
      identification: 1,
    });
    alone.tell(frame(ETHERTYPE.IPV4, first, multicastMac(GROUP)));
    alone.pass(REASSEMBLY_MS);
    expect(alone.host.statistics().reassembly.timedOut).toBe(1);
    expect(alone.heard().filter((line) => line.includes("ICMP"))).toEqual([]);
  });

  test("tells of fragments to itself that are missing", () => {
    const alone = new Alone();
    const first = packet4(PROTOCOL.UDP, datagram(new Uint8Array(16), A4, B4, [9, PORT]), {
      moreFragments: true,
      identification: 1,
    });
    alone.tell(frame(ETHERTYPE.IPV4, first));
    alone.tell(ANNOUNCED);
    alone.pass(REASSEMBLY_MS);
    expect(alone.heard().filter((line) => line.includes("10.0.0.2 > 10.0.0.1"))).toHaveLength(1);
  });

  test("answers with all that came where its link carries less by now, in pieces", () => {
    const alone = new Alone();
    alone.host.udp(PORT, (heard) => void heard.reply());
    alone.tell(ANNOUNCED);
    alone.near.setMtu(600);
    alone.pass(10);
    const payload = new Uint8Array(1000);
    const said = alone.tell(
      frame(ETHERTYPE.IPV4, packet4(PROTOCOL.UDP, datagram(payload, A4, B4, [9, PORT]))),
    );
    expect(said).toHaveLength(2);
    expect(said[0]).toContain("10.0.0.2.7 > 10.0.0.1.9");
  });
});

describe("a host that thinks a path dead", () => {
  const ECHO_REQUEST = 8;
  const request = fill(icmp4.HEADER_BYTES, (view) => {
    icmp4.setType(view, 0, ECHO_REQUEST);
    icmp4.setChecksum(view, 0, icmp4.HEADER_BYTES);
  });

  test("answers who asks over it whether it lives, or two hosts that ask each other would wait forever", () => {
    const alone = new Alone();
    alone.host.udp(PORT, (heard) => void heard.reply());
    alone.tell(ANNOUNCED);
    const [path] = [...alone.host.paths.values()].filter(({ family }) => family === 4);
    alone.host.paths.set(path!, "down");
    const asked = alone.tell(frame(ETHERTYPE.IPV4, packet4(PROTOCOL.ICMP, request)));
    expect(asked[0]).toContain("10.0.0.2 > 10.0.0.1 ");
    expect(asked[0]).toContain("echo reply");
    // What is no question about the path stays here.
    const data = packet4(PROTOCOL.UDP, datagram(new Uint8Array(4), A4, B4, [9, PORT]));
    expect(alone.tell(frame(ETHERTYPE.IPV4, data))).toEqual([]);
  });
});

describe("who watches a neighbour", () => {
  const INTERVAL_MS = 100;
  const reply = frame(
    ETHERTYPE.ARP,
    fill(arp.PACKET_BYTES, (view) =>
      arp.emit({ ...ASK, operation: arp.OPERATION.REPLY, targetMac: MAC2, targetAddress: B4 }, view, 0),
    ),
  );

  test("asks all after the first silence: it may have moved where nobody else would hear of it", () => {
    const alone = new Alone();
    const monitor = new NeighbourMonitor(alone.host, { target: A4, intervalMs: INTERVAL_MS, count: 3 });
    alone.host.paths.watch({ family: 4, gateway: null }, monitor);
    alone.tell(reply);
    expect(monitor.verdict).toBe("up");
    alone.questions();
    alone.pass(INTERVAL_MS);
    alone.tell(reply);
    expect(alone.questions().filter((line) => line.includes(TO_ALL))).toEqual([]);
    alone.pass(2 * INTERVAL_MS);
    expect(alone.questions().filter((line) => line.includes(TO_ALL))).toHaveLength(1);
    expect(monitor.verdict).toBe("up");
  });
});

describe("a router", () => {
  const lost = packet4(PROTOCOL.UDP, datagram(new Uint8Array(4), A4, IpAddress.parse("192.0.2.1"), [9, 9]), {
    destination: IpAddress.parse("192.0.2.1"),
  });

  test("says that there is no way", () => {
    const alone = new Alone({}, { forwarding: true });
    alone.tell(ANNOUNCED);
    expect(alone.tell(frame(ETHERTYPE.IPV4, lost))[0]).toContain("10.0.0.2 > 10.0.0.1 ");
  });

  test("says nothing in a stranger's name where it has no address to speak from", () => {
    const alone = new Alone({}, { forwarding: true });
    alone.tell(ANNOUNCED);
    for (const one of alone.host.interfaces) one.addresses.remove(B4);
    alone.host.addRoute({
      prefix: A4_ALONE,
      interface: alone.host.interfaces[0]!.index,
      metric: 1,
      kind: "unicast",
    });
    expect(alone.tell(frame(ETHERTYPE.IPV4, lost))).toEqual([]);
    expect(alone.host.statistics().icmp4.errorsForbidden).toBe(1);
  });
});

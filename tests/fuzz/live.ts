/**
 * A host in virtual time that takes whatever frames come: with sockets, groups, routers, leases, and others to forward to.
 *
 * After each frame it is at rest again; what it must keep at any time is checked with `check`.
 */
import type { MemoryDevice } from "../../stack/device/memory.ts";
import { createLink } from "../../stack/device/memory.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Host } from "../../stack/ip/host.ts";
import type { KeptDatagram } from "../../stack/udp/datagram.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";
import { WatchedLoop } from "../support/watched-loop.ts";
import { MAC2 } from "../support/wire-frames.ts";
import { GLOBAL, GROUP4, GROUP6, PORT } from "./corpus.ts";
import type { Hints } from "./mutator.ts";

const CHUNKS = 256;
const MTU = 9000;
const NEIGHBOURS = 32;
const SLOTS = 8;
const MOST_KEPT = 4;
/** Turns after one frame at most: more is a circle. */
const MOST_TURNS = 1000;
/** What one host may have at most, whatever it hears: see `check`. */
const MOST_TIMERS = 1000;
const MOST_ROUTES = 400;
const MOST_ADDRESSES = 200;
const STEP_MS = 2;

interface Wire {
  readonly near: MemoryDevice;
  readonly far: MemoryDevice;
  readonly transmitter: Transmitter;
}

export class LiveHost {
  /** Answers and questions of the host. */
  emitted = 0;
  readonly #clock = new VirtualClock(1000);
  readonly #loop: WatchedLoop;
  readonly #host: Host;
  readonly #wires: readonly Wire[];
  readonly #hints: Hints;
  readonly #errors: unknown[] = [];
  readonly #kept: KeptDatagram[] = [];

  constructor(seed: number, hints: Hints) {
    this.#hints = hints;
    const clock = this.#clock;
    this.#loop = new WatchedLoop({
      clock,
      waiter: new ManualWaiter(clock),
      onError: (error) => this.#errors.push(error),
    });
    this.#host = new Host(
      { loop: this.#loop, random: seededRandom(seed) },
      { forwarding: true, reassembly: { slots: SLOTS, perSource: SLOTS >> 1 } },
    );
    this.#wires = [0, 1, 2].map((i) => this.#wire(i));
    this.#join();
    this.#serve();
    this.#settle();
  }

  /** Hands one frame to port 0, 1 or 2. Throws what went wrong. */
  feed(port: number, frame: Uint8Array): void {
    const { transmitter } = this.#wires[port]!;
    if (!transmitter.sendBytes(frame)) throw new Error("the frame found no room: chunks were lost");
    this.#settle();
  }

  /** Lets time pass. */
  pass(ms: number): void {
    const untilMs = this.#clock.nowMs() + ms;
    while (this.#clock.nowMs() < untilMs) {
      const next = Math.max(this.#loop.nextTimerMs, this.#clock.nowMs() + STEP_MS);
      this.#clock.advance(Math.min(next, untilMs) - this.#clock.nowMs());
      this.#settle();
    }
  }

  /** Throws where a chunk is missing or a table is larger than it may be. */
  check(): void {
    for (const { umem } of this.#loop.devices) {
      const { lent, tx, kept } = umem.accounts();
      if (lent !== 0 || tx !== 0) throw new Error(`${lent} chunks are lent and ${tx} being sent`);
      if (kept > MOST_KEPT + 2 * PARKED) throw new Error(`${kept} chunks are kept`);
    }
    const size = (what: string, is: number, most: number): void => {
      if (is > most) throw new Error(`${is} ${what}, which may be ${most}`);
    };
    size("timers", this.#loop.timers, MOST_TIMERS);
    size("routes", [...this.#host.routes.all()].length, MOST_ROUTES);
    const { freeSlots, pending, handedOut, abandonedSlots } = this.#host.statistics().reassembly;
    if (freeSlots + pending + handedOut + abandonedSlots !== SLOTS) throw new Error("slots are missing");
    for (const one of this.#host.interfaces) {
      size("addresses", [...one.addresses.values()].length, MOST_ADDRESSES);
      for (const family of [4, 6] as const)
        size("neighbours", [...one.neighboursOf(family).values()].length, 2 * NEIGHBOURS);
    }
    for (const complaint of this.#loop.complaints.splice(0)) throw new Error(complaint);
  }

  /** Ends it; throws where something was not given back. */
  close(): void {
    for (const kept of this.#kept.splice(0)) kept.release();
    this.#host.close();
    this.#settle();
    for (const { near, far } of this.#wires) {
      near.close();
      far.close();
    }
    this.#settle();
    for (const { umem } of this.#loop.devices) {
      const { pool, total } = umem.accounts();
      if (pool !== total) throw new Error(`${total - pool} chunks are missing at the end`);
    }
    if (this.#loop.timers !== 0) throw new Error(`${this.#loop.timers} timers are left at the end`);
    this.#loop.close();
  }

  #wire(index: number): Wire {
    const mac = MAC2.toBytes();
    const [near, far] = createLink({
      names: [`eth${index}`, `far${index}`],
      macs: [mac, mac],
      umems: [new MemoryUmem({ chunkCount: CHUNKS }), new MemoryUmem({ chunkCount: CHUNKS })],
      fillRing: CHUNKS >> 2,
      mtu: MTU,
    });
    this.#loop.receive(far, ({ view, at, length, chunks }) => {
      this.emitted += 1;
      if (chunks === 1) this.#overhear(view, at, length);
    });
    return { near, far, transmitter: new Transmitter(far.queues[0]!) };
  }

  #join(): void {
    const host = this.#host;
    const neighbours = { limit: NEIGHBOURS, unresolvedLimit: NEIGHBOURS, parkedTotal: PARKED };
    const [first, second, third] = this.#wires;
    host.join(first!.near, {
      addresses: ["10.0.0.2/24", "fe80::2/64", `${GLOBAL.B6}/64`],
      dad: false,
      slaac: true,
      neighbours,
    });
    host.join(second!.near, {
      addresses: ["10.9.0.1/24", "2001:db8:9::1/64"],
      mtu: 1400,
      dad: false,
      neighbours,
    });
    host.join(second!.near, { vlan: 5, addresses: ["10.8.0.2/24"], neighbours });
    host.join(third!.near, { dhcp: true, slaac: true, neighbours });
  }

  #serve(): void {
    const host = this.#host;
    host.udp(PORT.echo, (datagram) => void datagram.reply());
    host.udp(PORT.keep, (datagram) => {
      if (this.#kept.length >= MOST_KEPT) this.#kept.shift()!.release();
      this.#kept.push(datagram.keep());
    });
    const group = host.udp({ port: PORT.group, reuse: true }, (datagram) => {
      datagram.replyWith(datagram.copy());
    });
    host.udp({ port: PORT.group, reuse: true }, (datagram) => void datagram.text());
    group.join(GROUP4, { interface: "eth0" });
    group.join(GROUP6, {
      interface: "eth0",
      sources: { mode: "exclude", sources: [GLOBAL.A6] },
    });
  }

  /** What the DHCP client asks with is what answers must repeat. */
  #overhear(view: DataView, at: number, length: number): void {
    const ipAt = at + ethernet.HEADER_BYTES;
    const udpAt = ipAt + ipv4.HEADER_BYTES;
    const dhcpAt = udpAt + udp.HEADER_BYTES;
    if (ethernet.type(view, at) !== ethernet.ETHERTYPE.IPV4 || length < dhcpAt - at + dhcp.OPTIONS) return;
    if (ipv4.protocol(view, ipAt) !== PROTOCOL.UDP || udp.sourcePort(view, udpAt) !== dhcp.CLIENT_PORT)
      return;
    this.#hints.xid = dhcp.xid(view, dhcpAt);
  }

  #settle(): void {
    let turns = 0;
    while (this.#loop.turn(this.#clock.nowMs())) {
      turns += 1;
      if (turns > MOST_TURNS) throw new Error("one frame keeps the host busy for ever");
    }
    const [error] = this.#errors.splice(0);
    if (error !== undefined) throw error;
  }
}

/** Packets that wait in one neighbour cache. */
const PARKED = 32;

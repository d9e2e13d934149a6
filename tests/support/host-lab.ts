/**
 * Several hosts on links made of memory in one loop of virtual time, and stations: ends of a link that a test plays itself,
 * frame by frame. What is open when the lab closes is closed, and every chunk is then accounted for.
 */
import { expect } from "bun:test";
import { createLink, type LinkOptions, type MemoryDevice } from "../../stack/device/memory.ts";
import type { MemoryUmem } from "../../stack/device/pool.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { HostEvent } from "../../stack/ip/events.ts";
import { Host } from "../../stack/ip/host.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import type { HostOptions, JoinOptions } from "../../stack/ip/options.ts";
import { Loop } from "../../stack/loop/loop.ts";
import type { LoopOptions } from "../../stack/loop/options.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as icmp6 from "../../stack/wire/icmpv6.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import * as extensions from "../../stack/wire/ipv6-extensions.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { describe } from "../../stack/wire/printer.ts";
import { ManualWaiter, VirtualClock } from "./virtual.ts";

/** Turns of one `run` at most: two that answer each other for ever end here. */
const MAX_TURNS = 200_000;

export class HostLab {
  readonly clock = new VirtualClock(1000);
  readonly loop: Loop;
  /** What handlers threw; a test that expects some takes them out. */
  readonly errors: unknown[] = [];
  readonly #hosts: Host[] = [];
  readonly #umems = new Set<MemoryUmem>();
  readonly #devices = new Set<MemoryDevice>();

  constructor(options: Partial<LoopOptions> = {}) {
    const { clock } = this;
    const waiter = new ManualWaiter(clock);
    this.loop = new Loop({ clock, waiter, onError: (error) => void this.errors.push(error), ...options });
  }

  /** A host whose randomness comes from its number in the lab. */
  host(options: HostOptions = {}): Host {
    const host = new Host({ loop: this.loop, random: seededRandom(this.#hosts.length + 1) }, options);
    this.#hosts.push(host);
    return host;
  }

  /** Two ends of a link, whose memory is counted at the end. */
  link(options: LinkOptions = {}): readonly [MemoryDevice, MemoryDevice] {
    const ends = createLink({ shared: true, chunkCount: 1024, ...options });
    for (const end of ends) {
      this.#umems.add(end.umem);
      this.#devices.add(end);
    }
    return ends;
  }

  /** A host that has joined a link, and the station at its other end. */
  wire(
    join: JoinOptions = {},
    options: HostOptions = {},
    link: LinkOptions = {},
  ): { host: Host; station: Station; on: Interface; device: MemoryDevice } {
    const host = this.host(options);
    return { host, ...this.attach(host, join, link) };
  }

  /** One more interface of a host, and the station at the other end of it. */
  attach(
    host: Host,
    join: JoinOptions = {},
    link: LinkOptions = {},
  ): { station: Station; on: Interface; device: MemoryDevice } {
    const [device, far] = this.link(link);
    const on = host.join(device, { dad: false, ...join });
    const station = new Station(this, far, on);
    this.run(0);
    station.take();
    return { station, on, device };
  }

  /** Lets `ms` pass, from timer to timer; frames take no time. */
  run(ms: number): void {
    const until = this.clock.nowMs() + ms;
    let idle = 0;
    for (let turns = 0; ; turns++) {
      if (turns > MAX_TURNS) throw new Error(`more than ${MAX_TURNS} turns in ${ms} ms: somebody never ends`);
      idle = this.loop.turn(this.clock.nowMs()) ? 0 : idle + 1;
      // What an idle turn has flushed the next one receives.
      if (idle < 2) continue;
      if (this.clock.nowMs() >= until) return;
      const next = Math.min(Math.max(this.loop.nextTimerMs, this.clock.nowMs()), until);
      this.clock.advance(next - this.clock.nowMs());
    }
  }

  /** Lets time pass, a millisecond at a time, until `condition` holds; how many those were. Throws after `limitMs`. */
  runUntil(condition: () => boolean, limitMs = 10_000): number {
    for (let passed = 0; passed < limitMs; passed++) {
      if (condition()) return passed;
      this.run(1);
    }
    throw new Error(`it did not happen in ${limitMs} ms`);
  }

  /** What a host tells from now on. */
  events(host: Host): HostEvent[] {
    const events: HostEvent[] = [];
    host.on((event) => void events.push(event));
    return events;
  }

  /** Nothing is lent, kept or on its way out. */
  expectWhole(): void {
    for (const umem of this.#umems) expect(umem.accounts()).toMatchObject({ lent: 0, kept: 0, tx: 0 });
  }

  /** Closes all hosts; nothing may have been thrown, lost, or said afterwards. */
  close(): void {
    this.run(0);
    for (const host of this.#hosts) host.close();
    this.run(0);
    expect(this.errors).toEqual([]);
    this.expectWhole();
    for (const device of this.#devices) device.close();
    for (const umem of this.#umems) expect(umem.accounts().pool).toBe(umem.chunkCount);
    this.loop.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** One end of a link, which says what a test tells it and hears everything. */
export class Station {
  readonly device: MemoryDevice;
  readonly mac: MacAddress;
  readonly #lab: HostLab;
  readonly #on: Interface;
  readonly #transmitter: Transmitter;
  readonly #heard: Uint8Array[] = [];
  /** Called with each frame in place of keeping it. */
  hear: (() => void) | undefined;

  constructor(lab: HostLab, device: MemoryDevice, on: Interface) {
    this.device = device;
    this.mac = MacAddress.fromBytes(device.mac);
    this.#lab = lab;
    this.#on = on;
    this.#transmitter = new Transmitter(device.queues[0]!);
    lab.loop.receive(device, (frame) => {
      if (this.hear === undefined) this.#heard.push(frame.copy());
      else this.hear();
    });
  }

  /** Puts a frame on the link. The host sees it when the lab runs. */
  put(frame: Uint8Array): void {
    expect(this.#transmitter.sendBytes(frame)).toBe(true);
    this.device.queues[0]!.flush();
  }

  /** Puts frames on the link, and gives what the host says to them at once. */
  ask(...frames: Uint8Array[]): Uint8Array[] {
    this.take();
    for (const frame of frames) this.put(frame);
    this.#lab.run(0);
    return this.take();
  }

  /** What was heard since the last call. */
  take(): Uint8Array[] {
    return this.#heard.splice(0);
  }

  /** The same as lines of text. */
  lines(): string[] {
    return this.take().map((frame) => line(frame));
  }

  /** What was heard but for address resolution and groups: frames of IP that carry something. */
  takeIp(): Uint8Array[] {
    return this.take().filter((frame) => !isLinkTalk(frame));
  }

  /** Makes the host know this station under `addresses`, as if it had answered; gives what was waiting for that. */
  introduce(...addresses: string[]): Uint8Array[] {
    for (const text of addresses) {
      const address = IpAddress.parse(text);
      const cache = this.#on.neighboursOf(address.family) as unknown as Learner;
      cache.learn(address, this.mac, "permanent");
    }
    this.#lab.run(0);
    return this.take();
  }
}

interface Learner {
  learn(address: IpAddress, mac: MacAddress, state: "permanent"): boolean;
}

export const line = (frame: Uint8Array): string => describe(viewOf(frame), 0, frame.length);

export const viewOf = (frame: Uint8Array): DataView =>
  new DataView(frame.buffer, frame.byteOffset, frame.length);

/** True for ARP, neighbour discovery and reports of groups, tagged or not. */
const isLinkTalk = (frame: Uint8Array): boolean => {
  const view = viewOf(frame);
  const tagged = ethernet.type(view, 0) === ethernet.ETHERTYPE.VLAN;
  const at = ethernet.HEADER_BYTES + (tagged ? TAG_BYTES : 0);
  const type = tagged ? view.getUint16(at - ETHERTYPE_BYTES) : ethernet.type(view, 0);
  if (type === ethernet.ETHERTYPE.ARP) return true;
  if (type === ethernet.ETHERTYPE.IPV4) return ipv4.protocol(view, at) === PROTOCOL.IGMP;
  if (type !== ethernet.ETHERTYPE.IPV6) return false;
  const found = new extensions.Walk();
  extensions.walk(
    view,
    at + ipv6.HEADER_BYTES,
    frame.length - at - ipv6.HEADER_BYTES,
    ipv6.nextHeader(view, at),
    found,
  );
  if (found.protocol !== PROTOCOL.ICMPV6 || found.length < 1) return false;
  return LINK_TYPES.has(icmp6.type(view, found.at));
};

const TAG_BYTES = 4;
const ETHERTYPE_BYTES = 2;
const { TYPE } = icmp6;
const LINK_TYPES: ReadonlySet<number> = new Set([
  TYPE.ROUTER_SOLICITATION,
  TYPE.ROUTER_ADVERTISEMENT,
  TYPE.NEIGHBOUR_SOLICITATION,
  TYPE.NEIGHBOUR_ADVERTISEMENT,
  TYPE.REDIRECT,
  TYPE.LISTENER_QUERY,
  TYPE.LISTENER_REPORT,
  TYPE.LISTENER_DONE,
  TYPE.LISTENER_REPORT_2,
]);

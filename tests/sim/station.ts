/**
 * One host of a world with the programs on it: services that answer, keep and listen, and a client that asks.
 */
import type { FaultyDevice } from "../../stack/device/fault.ts";
import type { MemoryDevice } from "../../stack/device/memory.ts";
import { below, type Random } from "../../stack/device/random.ts";
import type { Echo } from "../../stack/ip/icmp/echoes.ts";
import { Host } from "../../stack/ip/host.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import type { Loop } from "../../stack/loop/loop.ts";
import type { Datagram, KeptDatagram } from "../../stack/udp/datagram.ts";
import type { UdpSocket } from "../../stack/udp/socket.ts";
import { ALL_NODES6, IpAddress, type Family } from "../../stack/wire/address.ts";
import { fold, pseudoOf } from "../../stack/wire/checksum.ts";
import { interfaceIdentifier, MacAddress } from "../../stack/wire/mac.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";

import type { Tap } from "../support/tap.ts";
import { KIND, type Ledger } from "./ledger.ts";
import type { Plan, PortPlan, SegmentPlan, StationPlan } from "./plan.ts";
import { AddressSet, type Suspect, type Trace } from "./witness.ts";

/** Ports of the services; nobody has the last. */
export const SERVICE = { echo: 7, sink: 9, keep: 11, group: 5000, nobody: 13 } as const;
/** Datagrams that a program keeps at most. */
const MOST_KEPT = 3;
const GROUP4 = ["239.1.2.3", "224.0.0.200"] as const;
const GROUP6 = ["ff05::77", "ff02::99"] as const;
export const GROUPS = [...GROUP4, ...GROUP6] as const;
const LINK_LOCAL = 0xfe80_0000 | 0;

/** What a station is plugged in with. */
export interface Port {
  readonly plan: PortPlan;
  readonly memory: MemoryDevice;
  readonly faulty: FaultyDevice;
  readonly tap: Tap;
}

/** What a station knows of the world. */
export interface Surroundings {
  readonly plan: Plan;
  readonly loop: Loop;
  readonly random: Random;
  readonly trace: Trace;
  readonly ledger: Ledger;
  readonly stations: readonly Station[];
  /** Randomness of its own for somebody. */
  fork(): Random;
  /** The router on the way from a station to a segment, and the port to it; undefined where it is on the segment. */
  gateway(
    from: StationPlan,
    target: SegmentPlan,
  ): { readonly out: PortPlan; readonly gateway: PortPlan } | undefined;
}

export class Station {
  readonly plan: StationPlan;
  readonly ports: readonly Port[];
  readonly suspect: Suspect;
  host: Host | undefined;
  client: UdpSocket | undefined;
  group: UdpSocket | undefined;
  readonly others: UdpSocket[] = [];
  readonly kept: { readonly datagram: KeptDatagram; readonly host: Host }[] = [];
  /** Who answered the client, as "station/family". */
  readonly answers = new Set<string>();
  /** What the next handler does besides: programs may end anything at any time. */
  surprise: (() => void) | undefined;
  readonly #world: Surroundings;
  readonly #echoes = new Map<string, Echo>();
  readonly #pinged = new Map<number, number>();
  #sequence = 0;
  readonly #joined = new Map<Port, Interface>();

  constructor(world: Surroundings, plan: StationPlan, ports: readonly Port[]) {
    this.#world = world;
    this.plan = plan;
    this.ports = ports;
    this.suspect = {
      name: `s${plan.index}`,
      forwards: plan.router,
      owned: new AddressSet(),
      asked: new AddressSet(),
      heard: new AddressSet(),
    };
    for (const { plan: port } of ports) {
      this.suspect.owned.add(IpAddress.parse(port.address4));
      this.suspect.owned.add(IpAddress.parse(port.address6));
      const [w2, w3] = interfaceIdentifier(MacAddress.fromBytes(port.mac));
      this.suspect.owned.add(IpAddress.words(LINK_LOCAL, 0, w2, w3));
      const network = IpAddress.parse(`2001:db8:${port.segment.net.toString(16)}::`);
      this.suspect.owned.add(IpAddress.words(network.w0, network.w1, w2, w3));
      // The server of leases is asked to renew them.
      this.suspect.asked.add(IpAddress.parse(`10.${port.segment.net}.0.24`));
    }
    this.suspect.asked.add(ALL_NODES6);
    for (const segment of world.plan.segments) {
      const way = world.gateway(plan, segment);
      if (way === undefined) continue;
      this.suspect.asked.add(IpAddress.parse(way.gateway.address4));
      this.suspect.asked.add(IpAddress.parse(way.gateway.address6));
    }
  }

  /** Makes the host, joins all ports and opens the services. Does nothing where it is there. */
  open(): void {
    if (this.host !== undefined) return;
    const { plan } = this;
    this.host = new Host(
      { loop: this.#world.loop, random: this.#world.fork() },
      {
        forwarding: plan.router,
        reassembly: { slots: plan.slots, perSource: Math.max(1, plan.slots >> 1) },
      },
    );
    for (const port of this.ports) this.join(port);
    this.#serve(this.host);
  }

  /** Ends the host as a program does that is told to. */
  close(): void {
    this.host?.close();
    this.host = undefined;
    this.client = undefined;
    this.group = undefined;
    this.others.length = 0;
    this.#echoes.clear();
    this.#joined.clear();
  }

  get interfaces(): readonly (readonly [Port, Interface])[] {
    return [...this.#joined];
  }

  join(port: Port): void {
    if (this.host === undefined || this.#joined.has(port)) return;
    const { plan } = port;
    const { vlan } = plan.segment;
    const configuration = plan.configured
      ? { dhcp: true, slaac: true }
      : { addresses: [`${plan.address4}/24`, `${plan.address6}/64`] };
    const limit = this.plan.neighbours;
    const made = this.host.join(port.tap, {
      ...configuration,
      ...(vlan === undefined ? {} : { vlan }),
      ...(plan.dad ? {} : { dad: false }),
      neighbours: { limit, unresolvedLimit: limit, parkedLimit: 4, parkedTotal: 16 },
    });
    this.#joined.set(port, made);
    if (!plan.configured) this.#addRoutes(port, made);
  }

  leave(port: Port): void {
    const made = this.#joined.get(port);
    if (made === undefined) return;
    this.#joined.delete(port);
    this.host!.leave(made);
  }

  /** An address of ours that others can reach; undefined where there is none yet. */
  address(family: Family): IpAddress | undefined {
    for (const made of this.#joined.values()) {
      for (const { address, state } of made.addresses.values()) {
        const good = state === "preferred" || state === "deprecated";
        if (good && address.family === family && !address.linkLocal) return address;
      }
    }
    return undefined;
  }

  /** Sends one datagram from `socket`; what becomes of it is anybody's guess. */
  send(socket: UdpSocket, kind: number, to: IpAddress, port: number, lengthBytes: number): boolean {
    const { ledger } = this.#world;
    const payload = ledger.payload(kind, this.plan.index, lengthBytes);
    this.#note(socket.localPort, to, port, payload);
    return socket.send({ address: to, port }, payload);
  }

  ping(to: IpAddress, lengthBytes: number): void {
    const key = to.toString();
    let echo = this.#echoes.get(key);
    if (echo === undefined) {
      if (this.#echoes.size >= MOST_KEPT) {
        for (const one of this.#echoes.values()) one.close();
        this.#echoes.clear();
      }
      echo = this.host!.ping(to, { onReply: (reply) => this.#ponged(reply), onError: () => {} });
      this.#echoes.set(key, echo);
    }
    this.suspect.asked.add(to);
    const payload = this.#world.ledger.payload(KIND.plain, this.plan.index, lengthBytes);
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#pinged.set(this.#sequence, Bun.hash.xxHash32(payload));
    echo.send(this.#sequence, payload);
  }

  /** Lets go of the oldest datagram that is kept: by an answer where that is possible. */
  letGo(answer: boolean): void {
    const oldest = this.kept.shift();
    if (oldest === undefined) return;
    const { datagram: kept, host } = oldest;
    // Nobody answers for a host that has ended.
    if (!answer || this.host !== host) return kept.release();
    if (kept.length > 0) kept.bytes[kept.at] = KIND.answer;
    this.#note(
      kept.localPort,
      kept.remoteAddress,
      kept.remotePort,
      kept.bytes.subarray(kept.at, kept.at + kept.length),
    );
    if (!kept.reply()) kept.release();
  }

  #addRoutes(port: Port, made: Interface): void {
    for (const segment of this.#world.plan.segments) {
      const way = this.#world.gateway(this.plan, segment);
      if (way?.out !== port.plan) continue;
      const { gateway } = way;
      const add = (prefix: string, address: string): void =>
        void this.host!.addRoute({
          prefix: Prefix.parse(prefix),
          gateway: IpAddress.parse(address),
          interface: made.index,
          metric: 10,
          kind: "unicast",
        });
      add(`10.${segment.net}.0.0/24`, gateway.address4);
      add(`2001:db8:${segment.net.toString(16)}::/64`, gateway.address6);
    }
  }

  #serve(host: Host): void {
    host.on((event) => {
      if (event.kind === "address") this.suspect.owned.add(event.address.address);
      this.#world.trace.note(`${this.suspect.name} ${event.kind}`);
    });
    host.udp(SERVICE.echo, (datagram) => this.#heard(datagram) && this.#echo(datagram));
    host.udp(SERVICE.sink, (datagram) => void this.#heard(datagram));
    host.udp(SERVICE.keep, (datagram) => {
      if (this.#heard(datagram) && this.kept.length < MOST_KEPT)
        this.kept.push({ datagram: datagram.keep(), host });
    });
    this.group = host.udp({ port: SERVICE.group, reuse: true, multicastTtl: 4 }, (datagram) => {
      if (this.#heard(datagram)) this.#echo(datagram);
    });
    // Another who hears the same: then nobody may turn a frame around.
    host.udp({ port: SERVICE.group, reuse: true }, (datagram) => void this.#heard(datagram));
    this.client = host.udp({ onError: () => {} }, (datagram) => this.answered(datagram));
  }

  /** For sockets that ask. */
  answered(datagram: Datagram): void {
    const { remoteAddress } = datagram;
    const isAnswer = datagram.length > 0 && datagram.bytes[datagram.at] === KIND.answer;
    if (!this.#heard(datagram) || !isAnswer) return;
    for (const other of this.#world.stations) {
      if (other.suspect.owned.has(remoteAddress))
        this.answers.add(`${other.plan.index}/${remoteAddress.family}`);
    }
  }

  #echo(datagram: Datagram): void {
    if (!datagram.live || datagram.length === 0 || datagram.bytes[datagram.at] !== KIND.request) return;
    const { bytes, at, length, localPort, remotePort, remoteAddress, localAddress } = datagram;
    const alone = this.suspect.owned.has(localAddress);
    const payload = alone ? bytes.subarray(at, at + length) : bytes.slice(at, at + length);
    payload[0] = KIND.answer;
    this.#note(localPort, remoteAddress, remotePort, payload);
    if (alone) datagram.reply();
    else datagram.replyWith(payload);
  }

  /** True where somebody sent just this from there to here. */
  #heard(datagram: Datagram): boolean {
    const { ledger, trace, stations } = this.#world;
    const { bytes, at, length, remoteAddress, localAddress } = datagram;
    const payload = bytes.subarray(at, at + length);
    const flow = {
      fromPort: datagram.remotePort,
      to: localAddress.toString(),
      toPort: datagram.localPort,
    };
    const senders = ledger.sendersOf(flow, payload);
    const known = [...(senders ?? [])].some(
      (index) =>
        stations[index]!.suspect.owned.has(remoteAddress) ||
        (remoteAddress.loopback && index === this.plan.index),
    );
    if (known) ledger.arrived += 1;
    else if (this.#world.plan.corrupts && mayCollide(datagram)) ledger.collisions += 1;
    else
      trace.complain(
        `${this.suspect.name} heard ${length} bytes from ${remoteAddress}:${flow.fromPort} at ${flow.to}:${flow.toPort} that ${senders === undefined ? "nobody" : "another"} sent`,
      );
    trace.note(`${this.suspect.name} heard ${length} from ${remoteAddress}`);
    const { surprise, host } = this;
    this.surprise = undefined;
    surprise?.();
    // Sockets of a host that has ended are closed: sending on them is a mistake of the program's.
    return known && datagram.live && this.host === host;
  }

  #ponged({
    packet,
    sequence,
    at,
    lengthBytes,
  }: Parameters<Parameters<Host["ping"]>[1]["onReply"]>[0]): void {
    const data = packet.bytes.subarray(at, at + lengthBytes);
    if (this.#pinged.get(sequence) === Bun.hash.xxHash32(data)) this.#world.ledger.arrived += 1;
    else if (this.#world.plan.corrupts && lengthBytes > SHORTEST_IN_PIECES)
      this.#world.ledger.collisions += 1;
    else
      this.#world.trace.complain(
        `${this.suspect.name} heard an echo of ${lengthBytes} bytes that it did not send`,
      );
  }

  #note(fromPort: number, to: IpAddress, toPort: number, payload: Uint8Array): void {
    this.suspect.asked.add(to);
    this.#world.ledger.sent(this.plan.index, { fromPort, to: to.toString(), toPort }, payload);
  }

  /** One of its sockets. */
  anySocket(): UdpSocket {
    const all = [this.client!, this.group!, ...this.others];
    return all[below(this.#world.random, all.length)]!;
  }
}

/** Datagrams above the smallest MTU travel in pieces, each of which may lose a bit: two can hide each other. */
const SHORTEST_IN_PIECES = 1200;

/** Whether a checksum may have missed that bits fell over: several did, or what is left looks like partial offload. */
const mayCollide = (datagram: Datagram): boolean => {
  if (datagram.length > SHORTEST_IN_PIECES) return true;
  const at = datagram.at - udp.HEADER_BYTES;
  const total = datagram.length + udp.HEADER_BYTES;
  const pseudo = pseudoOf(datagram.remoteAddress, datagram.localAddress, PROTOCOL.UDP, total);
  return udp.checksum(datagram.view, at) === fold(pseudo);
};

/**
 * A world in virtual time: one loop, segments made of memory, hosts on them, and the moments at which something happens.
 */
import { faulty } from "../../stack/device/fault.ts";
import { createLink, type MemoryDevice } from "../../stack/device/memory.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { seededRandom, type Random } from "../../stack/device/random.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { FloodingSwitch } from "../support/flooding-switch.ts";
import { LeaseStation } from "../support/lease-station.ts";
import { Tap } from "../support/tap.ts";
import type { VirtualClock } from "../support/virtual.ts";
import type { WatchedLoop } from "../support/watched-loop.ts";
import { Ledger } from "./ledger.ts";
import { gatewayOf, type Plan, type PortPlan, type SegmentPlan, type StationPlan } from "./plan.ts";
import { type Port, Station, type Surroundings } from "./station.ts";
import { Timeline } from "./timeline.ts";
import { Trace, Witness } from "./witness.ts";

const LEASE_SECONDS = 600;
const SERVER_CODE = 24;
/** Entries of the fill ring of those who serve. */
const RING = 32;

export class World implements Surroundings {
  readonly plan: Plan;
  readonly clock: VirtualClock;
  readonly loop: WatchedLoop;
  readonly random: Random;
  readonly trace: Trace;
  readonly ledger: Ledger;
  readonly stations: readonly Station[];
  readonly ports: Port[] = [];
  readonly umems = new Set<MemoryUmem>();
  readonly #time: Timeline;
  readonly #switches: FloodingSwitch[] = [];
  readonly #leases: LeaseStation[] = [];
  readonly #extra: MemoryDevice[] = [];

  constructor(plan: Plan, random: Random, keepsTrace: boolean) {
    this.plan = plan;
    this.random = random;
    this.#time = new Timeline({
      complain: (text) => this.trace.complain(text),
      heldMs: () => this.#heldMs(),
    });
    const { clock, loop } = this.#time;
    this.clock = clock;
    this.loop = loop;
    this.trace = new Trace(() => clock.nowMs(), keepsTrace);
    this.ledger = new Ledger(this.fork());
    const devices = this.#plugAll();
    this.stations = plan.stations.map(
      (one) =>
        new Station(
          this,
          one,
          one.ports.map((port) => this.#portOf(one, port, devices.get(port)!)),
        ),
    );
    for (const station of this.stations) station.open();
  }

  get now(): number {
    return this.clock.nowMs();
  }

  /** Randomness of its own for somebody. */
  fork(): Random {
    return seededRandom(this.random.next());
  }

  /** Lets time pass, from event to event. */
  advance(ms: number): void {
    this.#time.advance(ms);
  }

  /** The whole machine stands still, and finds that it is later. */
  stall(ms: number): void {
    this.#time.stall(ms);
  }

  /** Turns until there is nothing to do at this moment. */
  settle(): void {
    this.#time.settle();
  }

  /** Ends switches and those who serve. */
  close(): void {
    for (const one of this.#leases) one.close();
    for (const one of this.#switches) one.close();
    for (const one of this.#extra) one.close();
    this.settle();
  }

  #heldMs(): number {
    let next = Infinity;
    for (const { faulty: around } of this.ports) {
      const dueMs = around.nextDueMs;
      // What was due at this moment already waits for something else: a host to join again, room in a ring.
      if (dueMs > this.now && dueMs < next) next = dueMs;
    }
    return next;
  }

  /** Memory and devices of all ports. */
  #plugAll(): Map<PortPlan, MemoryDevice> {
    const { segments, stations } = this.plan;
    const umemOf = new Map<PortPlan, MemoryUmem>();
    for (const station of stations) {
      const together = station.ports.reduce((sum, port) => sum + port.chunkCount, 0);
      const one = station.oneUmem ? new MemoryUmem({ chunkCount: together }) : undefined;
      for (const port of station.ports)
        umemOf.set(port, one ?? new MemoryUmem({ chunkCount: port.chunkCount }));
    }
    const devices = new Map<PortPlan, MemoryDevice>();
    for (const segment of segments) {
      const here = stations.flatMap((one) => one.ports.filter((port) => port.segment === segment));
      if (segment.kind === "cable") this.#cable(segment, here, umemOf, devices);
      else this.#switch(segment, here, umemOf, devices);
    }
    for (const device of devices.values()) this.umems.add(device.umem);
    return devices;
  }

  #cable(
    segment: SegmentPlan,
    [left, right]: readonly PortPlan[],
    umemOf: ReadonlyMap<PortPlan, MemoryUmem>,
    devices: Map<PortPlan, MemoryDevice>,
  ): void {
    const umem = umemOf.get(left!)!;
    const other = right === undefined || segment.shared ? umem : umemOf.get(right)!;
    const [a, b] = createLink({
      ...linkOptions(left!, right),
      names: [`n${segment.net}a`, `n${segment.net}b`],
      macs: [left!.mac, right?.mac ?? left!.mac],
      umems: [umem, other],
    });
    devices.set(left!, a);
    if (right === undefined) this.#extra.push(b);
    else devices.set(right, b);
  }

  #switch(
    segment: SegmentPlan,
    here: readonly PortPlan[],
    umemOf: ReadonlyMap<PortPlan, MemoryUmem>,
    devices: Map<PortPlan, MemoryDevice>,
  ): void {
    const one = new FloodingSwitch(this.loop);
    this.#switches.push(one);
    for (const [i, port] of here.entries()) {
      const { mac } = port;
      const name = `n${segment.net}p${i}`;
      devices.set(port, one.plug({ ...linkOptions(port), name, mac, umem: umemOf.get(port)! }));
    }
    if (segment.served) this.#serve(segment, here, one);
  }

  #serve(segment: SegmentPlan, here: readonly PortPlan[], on: FloodingSwitch): void {
    const umem = new MemoryUmem({ chunkCount: 2 * RING });
    const mac = Uint8Array.of(2, 0, 0, 0, segment.net, SERVER_CODE);
    const { mtu, net } = segment;
    const device = on.plug({ name: `n${net}s`, mac, umem, mtu, fillRing: RING });
    this.#extra.push(device);
    const router = this.plan.stations
      .filter((one) => one.router)
      .flatMap((one) => one.ports)
      .find((port) => port.segment === segment);
    const leases = here.filter((port) => port.configured);
    this.#leases.push(
      new LeaseStation(this.loop, device, {
        server: IpAddress.parse(`10.${net}.0.${SERVER_CODE}`),
        leases: new Map(
          leases.map((port) => [MacAddress.fromBytes(port.mac).toString(), IpAddress.parse(port.address4)]),
        ),
        leaseSeconds: LEASE_SECONDS,
        prefix: IpAddress.parse(`2001:db8:${net.toString(16)}::`),
        mtu,
        router: router && {
          mac: MacAddress.fromBytes(router.mac),
          address4: IpAddress.parse(router.address4),
        },
      }),
    );
  }

  #portOf(station: StationPlan, plan: PortPlan, memory: MemoryDevice): Port {
    const { tx, rx } = plan.segment.faults;
    const around = faulty(memory, { random: this.fork(), clock: this.clock, tx, rx, holdPackets: 24 });
    const name = `s${station.index}.${memory.name}`;
    const port = {
      plan,
      memory,
      faulty: around,
      tap: new Tap(
        around,
        (view, at, head, length) => this.#witnessOf(station, name, memory).sent(view, at, head, length),
        (view, at, head, length) => this.#witnessOf(station, name, memory).received(view, at, head, length),
      ),
    };
    this.ports.push(port);
    return port;
  }

  readonly #witnesses = new Map<MemoryDevice, Witness>();

  #witnessOf(station: StationPlan, name: string, memory: MemoryDevice): Witness {
    let witness = this.#witnesses.get(memory);
    if (witness === undefined) {
      witness = new Witness(this.trace, this.stations[station.index]!.suspect, name, () => memory.mac);
      this.#witnesses.set(memory, witness);
    }
    return witness;
  }

  /** The router on the way from a station to a segment, and the port to it; undefined where it is on the segment. */
  gateway(from: StationPlan, target: SegmentPlan) {
    if (from.ports.some((port) => port.segment === target)) return undefined;
    return gatewayOf(this.plan, from, target);
  }
}

/** Where `other` is the other end of the same cable, both have rings of one size. */
const linkOptions = (port: PortPlan, other = port) => ({
  mtu: port.segment.mtu,
  rxRing: port.ring,
  txRing: port.ring,
  fillRing: Math.min(port.ring, 2 ** Math.floor(Math.log2(Math.min(port.chunkCount, other.chunkCount) / 4))),
});

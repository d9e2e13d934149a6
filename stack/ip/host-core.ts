/**
 * The parts of a host wired together: input, output, routing, ICMP, reassembly, and what each is told of the others.
 */
import type { Device, LinkEvent } from "../device/device.ts";
import type { Frame } from "../device/frame.ts";
import { LoopbackDevice } from "../device/loopback.ts";
import type { Random } from "../device/random.ts";
import type { LoopEvent } from "../loop/events.ts";
import type { Loop } from "../loop/loop.ts";
import type { Transport } from "../transport/network.ts";
import { CAST, Packet } from "../transport/packet.ts";
import type { IpAddress } from "../wire/address.ts";
import * as icmp4 from "../wire/icmpv4.ts";
import * as icmp6 from "../wire/icmpv6.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import { PortClaims } from "./claims.ts";
import { Echoes } from "./icmp/echoes.ts";
import type { HostEvent } from "./events.ts";
import { Forwarder } from "./forward.ts";
import { Frames } from "./frames.ts";
import { LoopbackOfGroups } from "./group-loopback.ts";
import { HandBack } from "./hand-back.ts";
import type { InputPolicy, ProtocolHandler } from "./handlers.ts";
import { HostNetwork } from "./host-network.ts";
import { Icmp4 } from "./icmp/icmp4.ts";
import { Icmp6 } from "./icmp/icmp6.ts";
import { TransitReports } from "./icmp/transit-reports.ts";
import { Input4 } from "./input4.ts";
import { Input6 } from "./input6.ts";
import { EVERY_INTERFACE, type Interface } from "./interface.ts";
import type { LifeHost } from "./life.ts";
import { HostPaths } from "./paths/paths.ts";
import { pathSettings } from "./paths/path-options.ts";
import { loopbackInterface } from "./loopback-life.ts";
import { LookAhead } from "./look-ahead.ts";
import type { HostOptions } from "./options.ts";
import { Output } from "./output.ts";
import { RateLimiter } from "./icmp/rate-limit.ts";
import { Reassembler } from "./fragments/reassembly.ts";
import { Routing } from "./routing.ts";
import { Services } from "./service/services.ts";
import { Slots } from "./fragments/slots.ts";
import { Strays } from "./strays.ts";

const PROTOCOLS = 256;
/** 2 MiB, in chunks of which 18, the most of one packet, hold the largest packet. */
const LOOPBACK_MEMORY = { chunkBytes: 4096, chunkCount: 512 };

export class HostCore {
  readonly packet = new Packet();
  readonly routing: Routing;
  readonly paths: HostPaths;
  readonly reassembler: Reassembler;
  readonly icmp4: Icmp4;
  readonly icmp6: Icmp6;
  readonly transit: TransitReports;
  readonly echoes: Echoes;
  readonly strays = new Strays();
  readonly network: HostNetwork;
  readonly claims: PortClaims;
  readonly loopback: Interface;
  readonly lifeHost: LifeHost;
  readonly services: Services;
  readonly #loop: Loop;
  readonly #forwarder: Forwarder | undefined;
  readonly #frames = new Map<Device, Frames>();
  readonly #transports: (Transport | undefined)[] = Array.from({ length: PROTOCOLS }, () => undefined);
  readonly #handlers: (ProtocolHandler | undefined)[] = Array.from({ length: PROTOCOLS }, () => undefined);
  readonly #lookAhead = new LookAhead();
  /** The host's own events, among those of others that share its loop. */
  readonly #own = new WeakSet<LoopEvent>();
  readonly #handBack = new HandBack();
  readonly #input4: Input4;
  readonly #input6: Input6;

  constructor(loop: Loop, random: Random, options: HostOptions) {
    this.#loop = loop;
    const environment = { timers: loop, random };
    this.routing = new Routing(environment, {
      route: (route, change) => this.#emit({ kind: "route", atMs: loop.now, route, change }),
      pathMtu: (destination, mtu) => this.#emit({ kind: "path-mtu", atMs: loop.now, destination, mtu }),
      hops: {
        added: (hop) => this.paths.added(hop),
        removed: (hop) => this.paths.removed(hop),
      },
    });
    this.paths = this.#makePaths(loop, options);
    this.reassembler = new Reassembler(environment, this.#reassemblyIo(), options.reassembly);
    const slots = new Slots(this.reassembler);
    const groups = new LoopbackOfGroups();
    const output = new Output(loop, random, groups);
    const emit = (event: HostEvent): void => this.#emit(event);
    this.claims = new PortClaims({
      watch: (source) => loop.watch(source),
      heard: (error) => (error.local.length === IPV4_BYTES ? this.icmp4 : this.icmp6).relayed(error),
    });
    this.network = new HostNetwork(loop, random, output, this.routing, this.claims, slots, emit);
    this.echoes = new Echoes(this.network);
    const icmpHost = {
      network: this.network,
      pathMtu: this.routing.pathMtu,
      echoes: this.echoes,
      limit: new RateLimiter(random, options.icmpRate),
      answersEchoes: options.echo ?? true,
      transportOf: (protocol: number) => this.#transports[protocol],
    };
    this.icmp4 = new Icmp4(icmpHost);
    this.icmp6 = new Icmp6(icmpHost);
    this.transit = new TransitReports(this.icmp4, this.icmp6);
    this.#forwarder =
      options.forwarding === true
        ? new Forwarder(this.network, this.routing, this.icmp4, this.icmp6, this.reassembler)
        : undefined;
    this.#handlers[PROTOCOL.ICMP] = this.icmp4;
    this.#handlers[PROTOCOL.ICMPV6] = this.icmp6;
    this.#handlers[PROTOCOL.IGMP] = { receive: (packet) => this.#receiveIgmp(packet) };
    const policy = this.#policy();
    this.#input4 = new Input4(this.packet, policy, this.reassembler, slots, this.routing.ownOctets);
    this.#input6 = new Input6(this.packet, policy, this.reassembler, slots);
    this.services = new Services(environment, {
      standing: (on) => this.paths.standing(on.index),
      moved: (move) => this.#emit({ kind: "service", atMs: loop.now, ...move }),
    });
    this.paths.listen(() => this.services.standingChanged());
    this.lifeHost = this.#lifeHost(environment, options.forwarding ?? false);
    const self = new LoopbackDevice(LOOPBACK_MEMORY);
    this.loopback = loopbackInterface(this.routing.nextIndex(self.name), self, environment);
    this.routing.add(this.loopback);
    this.framesOf(this.loopback.link.device).add(this.loopback);
    this.services.join(this.loopback);
    groups.use(this.loopback);
  }

  /** Gives the packets of a protocol to a transport, and errors about them. */
  install(transport: Transport): void {
    this.#transports[transport.protocol] = transport;
    this.#handlers[transport.protocol] = transport;
    this.#lookAhead.install(transport);
  }

  /** The frames of a device, made where there are none yet. */
  framesOf(device: Device): Frames {
    let frames = this.#frames.get(device);
    if (frames === undefined) {
      frames = new Frames(device, {
        input4: this.#input4,
        input6: this.#input6,
        lookAhead: this.#lookAhead,
        interfaceOf: (index) => this.routing.interfaceOf(index),
        pass: (on, frame) => this.#handBack.pass(on, frame),
      });
      this.#frames.set(device, frames);
    }
    return frames;
  }

  forgetFrames(device: Device): void {
    this.#frames.delete(device);
  }

  /** True for events of this host. */
  isOwn(event: LoopEvent): boolean {
    return this.#own.has(event);
  }

  /** True for the Ethernet address of another interface of this host than `on`, which has another. */
  #isSibling(on: Interface, macHigh: number, macLow: number): boolean {
    if (macHigh === on.link.macHigh && macLow === on.link.macLow) return false;
    for (const { link, isLoopback } of this.routing.interfaces())
      if (macHigh === link.macHigh && macLow === link.macLow && !isLoopback) return true;
    return false;
  }

  /** What happens to a link, for one interface on it. */
  linkChanged(on: Interface, change: LinkEvent): void {
    const { link } = on;
    const { kind } = change;
    if (kind === "up" || kind === "down") {
      link.up = kind === "up";
      this.routing.routes.setUsable(on.index, link.up);
    } else if (kind === "address" || kind === "mtu") link.followDevice();
    else if (kind === "gone") link.up = false;
    this.routing.bump();
    this.#emit({ kind: "link", atMs: this.#loop.now, interface: on.index, name: on.name, change });
    // Whoever heard of it may have taken the interface out, and another may have its number by now.
    if (this.routing.interfaceOf(on.index) !== on) return;
    // Before all that is said on the link: what is to be sent goes elsewhere first.
    this.paths.linkChanged(on.index, change);
    if (kind === "up" || kind === "down") on.protocols?.linkChanged(link.up);
    if (kind === "up" || kind === "down" || kind === "gone") this.services.linkChanged(on, link.up);
    if (kind !== "address") return;
    on.protocols?.macChanged();
    this.services.macChanged(on);
  }

  close(): void {
    this.paths.close();
    this.network.close();
    this.reassembler.close();
    this.loopback.close();
    this.loopback.link.device.close();
    this.routing.close();
    this.claims.close();
  }

  #emit(event: HostEvent): void {
    this.#own.add(event);
    this.#loop.emit(event);
  }

  #makePaths(loop: Loop, options: HostOptions): HostPaths {
    const { routing } = this;
    return new HostPaths(
      {
        timers: loop,
        routes: routing.routes,
        interfaces: () => routing.interfaces(),
        interfaceOf: (index) => routing.interfaceOf(index),
        abandoned: (hop) => routing.pathMtu.forgetOver(hop),
        changed: (change) => this.#emit({ kind: "path", atMs: loop.now, ...change }),
      },
      pathSettings(options.paths),
    );
  }

  #policy(): InputPolicy {
    return {
      handlers: this.#handlers,
      refused: (packet, why) => this.#refused(packet, why),
      problem: (packet, code, problemAt) =>
        this.icmp6.report(packet, icmp6.TYPE.PARAMETER_PROBLEM, code, problemAt - packet.ipAt),
      elsewhere: (packet) => this.#elsewhere(packet),
      pass: (on, frame) => this.#handBack.pass(on, frame),
      configures: (packet) => (packet.interface as Interface).protocols?.receiveDhcp(packet) ?? false,
      isOurs: (packet) => this.#isOurs(packet),
      isForged: (packet) => {
        const { s0, s1, s2, s3 } = packet;
        const forged = this.routing.isForged(s0, s1, s2, s3, packet.interface as Interface);
        return forged && !this.strays.returns(packet);
      },
      isMember: (packet) =>
        (packet.interface as Interface).groups.isJoined(packet.d0, packet.d1, packet.d2, packet.d3),
    };
  }

  #isOurs({ d0, d1, d2, d3, interface: on }: Packet): boolean {
    if (on !== this.loopback && this.#forwarder === undefined) return false;
    const linkLocal = d0 >>> LINK_LOCAL_SHIFT === LINK_LOCAL;
    return (on === this.loopback || !linkLocal) && this.routing.isLocal(d0, d1, d2, d3);
  }

  /** Nobody here takes it: the kernel beside us may, else its sender hears so (RFC 1122 section 3.2.2.1, RFC 4443 3.1). */
  #refused(packet: Packet, why: "protocol" | "port"): void {
    const on = packet.interface as Interface;
    if (on.life === "beside") {
      // The pieces of what was put together here are no frame any more.
      if (packet.frame === undefined) on.link.counters.passRefused += 1;
      else this.#handBack.pass(on, packet.frame);
    } else if (packet.cast !== CAST.unicast && why === "port") return;
    else if (packet.family === 4) {
      const { PORT, PROTOCOL: NO_PROTOCOL } = icmp4.UNREACHABLE;
      this.icmp4.report(packet, icmp4.TYPE.DESTINATION_UNREACHABLE, why === "port" ? PORT : NO_PROTOCOL);
    } else if (why === "port") {
      this.icmp6.report(packet, icmp6.TYPE.DESTINATION_UNREACHABLE, icmp6.UNREACHABLE.PORT);
    } else {
      const pointer = this.#input6.namedAt(packet) - packet.ipAt;
      this.icmp6.report(packet, icmp6.TYPE.PARAMETER_PROBLEM, icmp6.PROBLEM.NEXT_HEADER, pointer);
    }
  }

  #elsewhere(packet: Packet): void {
    const on = packet.interface as Interface;
    if (this.strays.reflects(packet)) return;
    if (on.life === "beside") this.#handBack.pass(on, packet.frame!);
    else if (this.#forwarder === undefined || on.isLoopback) on.link.counters.notOurs += 1;
    else this.#forwarder.forward(packet);
  }

  #receiveIgmp(packet: Packet): boolean {
    const on = packet.interface as Interface;
    if (on.life === "own") on.groups.receiveIgmp(packet.view, packet.ipAt, packet.at, packet.length);
    return on.life !== "beside";
  }

  #reassemblyIo() {
    return {
      /** RFC 792, RFC 4443 section 3.3: the first fragment came, the others did not. */
      expired: (view: DataView, at: number, length: number, zone: number): void => {
        const packet = this.#fragmentOf(view, at, length, zone);
        if (packet?.family === 4) {
          this.icmp4.report(packet, icmp4.TYPE.TIME_EXCEEDED, icmp4.EXCEEDED.REASSEMBLY);
        } else if (packet?.family === 6) {
          this.icmp6.report(packet, icmp6.TYPE.TIME_EXCEEDED, icmp6.EXCEEDED.REASSEMBLY);
        }
      },
      problem: (
        view: DataView,
        at: number,
        length: number,
        code: number,
        pointer: number,
        zone: number,
      ): void => {
        const packet = this.#fragmentOf(view, at, length, zone);
        if (packet !== undefined) this.icmp6.report(packet, icmp6.TYPE.PARAMETER_PROBLEM, code, pointer);
      },
    };
  }

  /** A packet for the report about a fragment that is no longer in a frame. */
  #fragmentOf(view: DataView, at: number, length: number, zone: number): Packet | undefined {
    const on = zone === EVERY_INTERFACE ? this.#anyUp() : this.routing.interfaceOf(zone);
    if (on === undefined || on.life === "beside") return undefined;
    const packet = new Packet();
    packet.view = view;
    packet.bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    packet.interface = on;
    packet.ipAt = at;
    if (view.getUint8(at) >> VERSION_SHIFT === 4) this.#input4.read(packet);
    else this.#input6.read(packet);
    packet.at = at + (packet.family === 4 ? ipv4.headerBytes(view, at) : ipv6.HEADER_BYTES);
    packet.length = at + length - packet.at;
    // One to a group or to everybody is told of by nobody, or all who missed a fragment would.
    if (!on.hasAddress(packet.d0, packet.d1, packet.d2, packet.d3)) packet.cast = CAST.multicast;
    return packet;
  }

  /** An interface to report over what came in over several. */
  #anyUp(): Interface | undefined {
    for (const one of this.routing.interfaces()) if (one.life === "own" && one.link.up) return one;
    return undefined;
  }

  #lifeHost(environment: LifeHost["environment"], forwarding: boolean): LifeHost {
    const of = (on: Interface) => ({ atMs: this.#loop.now, interface: on.index, name: on.name });
    return {
      environment,
      forwarding,
      routes: this.routing.routes,
      network: this.network,
      changed: () => this.routing.bump(),
      isSibling: (on, macHigh, macLow) => this.#isSibling(on, macHigh, macLow),
      addressChanged: (on, address, change) => {
        this.routing.bump();
        this.services.addressChanged(address, change);
        this.paths.addressesChanged(on);
        this.#emit({ kind: "address", ...of(on), address, change });
      },
      neighbourChanged: (on, { address, state, live, mac }) =>
        this.#emit({ kind: "neighbour", ...of(on), address, state, live, mac }),
      resolversChanged: (on, resolvers) => this.#emit({ kind: "resolvers", ...of(on), resolvers }),
      leaseChanged: (on, lease, reason) => this.#emit({ kind: "lease", ...of(on), lease, reason }),
      firstHop: (on, { w0, w1, w2, w3 }: IpAddress) =>
        this.routing.routes.lookup(w0, w1, w2, w3, on.index)?.gateway,
    };
  }
}

const VERSION_SHIFT = 4;
const IPV4_BYTES = 4;
/** fe80::/10 in the first word. */
const LINK_LOCAL = 0xfe80 >>> 6;
const LINK_LOCAL_SHIFT = 22;

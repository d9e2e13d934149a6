/**
 * The way of every packet to a service: whose flow it is, which backend that has, and off it goes.
 *
 * Fragments go where the first one of their packet went, because only that one has the ports. A hash of addresses alone would
 * need no memory, but would part the fragments of a flow from its other packets, and send all that comes through one translator
 * of addresses to one backend.
 */
import type { Frame } from "../device/frame.ts";
import type { TransitReports } from "../ip/icmp/transit-reports.ts";
import type { Interceptor } from "../ip/interceptor.ts";
import { CAST, type LinkInterface, Packet } from "../transport/packet.ts";
import { MAPPED } from "../wire/address.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Backend } from "./backend.ts";
import { type BalanceCounters, freshCounters } from "./counters.ts";
import { hashFlow } from "./flow-hash.ts";
import type { FlowTable } from "./flow-table.ts";
import { NOBODY } from "./maglev.ts";
import { KIND, PacketReader } from "./packet-reader.ts";
import { QuotedFlow } from "./quoted-flow.ts";
import { Sender } from "./sender.ts";
import type { BalancedService } from "./service.ts";
import type { Vip, Vips } from "./vips.ts";

const LAST_WORD = 3;

/** What a director looks things up in. */
export interface Directory {
  readonly vips: Vips;
  readonly flows: FlowTable;
  /** Backends of packets whose first fragment came, by the address's number in the place of a service. */
  readonly fragments: FlowTable;
  /** By number. */
  readonly backends: readonly (Backend | undefined)[];
  readonly seed: number;
}

export class Director implements Interceptor {
  readonly counters: BalanceCounters = freshCounters();
  readonly #directory: Directory;
  readonly #vips: Vips;
  readonly #flows: FlowTable;
  readonly #backends: readonly (Backend | undefined)[];
  readonly #seed: number;
  readonly #reports: TransitReports;
  readonly #reader = new PacketReader(new Packet());
  readonly #quoted = new QuotedFlow();
  readonly #sender: Sender;

  constructor(directory: Directory, reports: TransitReports) {
    this.#directory = directory;
    this.#vips = directory.vips;
    this.#flows = directory.flows;
    this.#backends = directory.backends;
    this.#seed = directory.seed;
    this.#reports = reports;
    this.#sender = new Sender(reports, this.counters);
  }

  take(on: LinkInterface, frame: Frame, ipAt: number, type: number): boolean {
    if (type === ETHERTYPE.IPV4) return this.#take4(on, frame, ipAt);
    return type === ETHERTYPE.IPV6 && this.#take6(on, frame, ipAt);
  }

  #take4(on: LinkInterface, frame: Frame, ipAt: number): boolean {
    const { view, at } = frame;
    if (frame.head - (ipAt - at) < ipv4.HEADER_BYTES) return false;
    const vip = this.#vips.find(0, 0, MAPPED, ipv4.destinationWord(view, ipAt));
    if (vip === undefined) return false;
    return this.#direct(on, vip, this.#reader.read4(frame, ipAt, frame.length - (ipAt - at)));
  }

  #take6(on: LinkInterface, frame: Frame, ipAt: number): boolean {
    const { view, at } = frame;
    if (frame.head - (ipAt - at) < ipv6.HEADER_BYTES) return false;
    const vip = this.#vips.find(
      ipv6.destinationWord(view, ipAt, 0),
      ipv6.destinationWord(view, ipAt, 1),
      ipv6.destinationWord(view, ipAt, 2),
      ipv6.destinationWord(view, ipAt, LAST_WORD),
    );
    if (vip === undefined) return false;
    return this.#direct(on, vip, this.#reader.read6(frame, ipAt, frame.length - (ipAt - at)));
  }

  /** The packet that the reader has read, for one of our addresses. */
  #direct(on: LinkInterface, vip: Vip, kind: number): boolean {
    const { packet } = this.#reader;
    packet.interface = on;
    packet.cast = CAST.unicast;
    if (kind === KIND.whole || kind === KIND.first) return this.#transport(vip, kind === KIND.first);
    if (kind === KIND.later) return this.#later(vip);
    return kind === KIND.icmp && this.#icmp(vip);
  }

  /** A packet, or the first fragment of one, with ports. */
  #transport(vip: Vip, first: boolean): boolean {
    const reader = this.#reader;
    const { packet, ports } = reader;
    const service = vip.serviceOf(reader.protocol, ports);
    if (service === undefined) return false;
    const { s0, s1, s2, s3 } = packet;
    const hash = hashFlow(s0, s1, s2, s3, ports, this.#seed);
    service.packets += 1;
    const backend = this.#backendOf(service, hash);
    if (backend === undefined) {
      service.unserved += 1;
      this.counters.unserved += 1;
      this.#reports.unreachable(packet);
      return true;
    }
    if (first) this.#remember(vip, backend);
    this.#sender.send(packet, backend, hash);
    return true;
  }

  /** The backend of the reader's flow: the one that it has, or the one that hashing gives it now. */
  #backendOf(service: BalancedService, hash: number): Backend | undefined {
    const { packet, ports, begins, ends } = this.#reader;
    const { s0, s1, s2, s3 } = packet;
    const flows = this.#flows;
    const at = flows.find(s0, s1, s2, s3, ports, service.number, hash);
    if (at >= 0) {
      const known = this.#backends[flows.backendAt(at)];
      // A connection that begins with the ports of an old one is a new flow to a backend that drains, and not about to end.
      if (known !== undefined && known.serves && (!begins || known.share > 0)) {
        if (begins) flows.move(at, known.number);
        else flows.touch(at, ends);
        return known;
      }
    }
    const number = service.choose(hash);
    if (number === NOBODY) return undefined;
    if (at < 0) flows.add(s0, s1, s2, s3, ports, service.number, hash, number);
    else {
      flows.move(at, number);
      service.moved += 1;
    }
    return this.#backends[number];
  }

  /** Notes where the packet's other fragments go. A number that is used again is of a newer packet. */
  #remember(vip: Vip, backend: Backend): void {
    const { packet, identification } = this.#reader;
    const { s0, s1, s2, s3 } = packet;
    const { fragments } = this.#directory;
    const hash = hashFlow(s0, s1, s2, s3, identification, this.#seed);
    const at = fragments.find(s0, s1, s2, s3, identification, vip.number, hash);
    if (at >= 0) fragments.move(at, backend.number);
    else fragments.add(s0, s1, s2, s3, identification, vip.number, hash, backend.number);
  }

  #later(vip: Vip): boolean {
    const { packet, identification } = this.#reader;
    const { s0, s1, s2, s3 } = packet;
    const { fragments } = this.#directory;
    const hash = hashFlow(s0, s1, s2, s3, identification, this.#seed);
    const at = fragments.find(s0, s1, s2, s3, identification, vip.number, hash);
    const backend = at < 0 ? undefined : this.#backends[fragments.backendAt(at)];
    if (backend === undefined || !backend.serves) {
      // It may be the host's own: of a port that is no service, or of an echo request.
      this.counters.earlyFragments += 1;
      return false;
    }
    if (this.#sender.send(packet, backend, hash)) this.counters.fragments += 1;
    return true;
  }

  /** Errors about what a backend sent are the backend's; all else, echo requests above all, is the host's. */
  #icmp(vip: Vip): boolean {
    const { packet } = this.#reader;
    const quoted = this.#quoted;
    if (!quoted.read(packet)) return false;
    const service = vip.serviceOf(quoted.protocol, quoted.ports);
    const backend = service === undefined ? undefined : this.#backendOfQuoted(service);
    if (backend === undefined) {
      this.counters.strayErrors += 1;
      return false;
    }
    const { c0, c1, c2, c3, ports } = quoted;
    if (this.#sender.send(packet, backend, hashFlow(c0, c1, c2, c3, ports, this.#seed)))
      this.counters.icmpErrors += 1;
    return true;
  }

  /** Strangers can send errors: they begin no flow, and keep none alive. */
  #backendOfQuoted(service: BalancedService): Backend | undefined {
    const { c0, c1, c2, c3, ports } = this.#quoted;
    const hash = hashFlow(c0, c1, c2, c3, ports, this.#seed);
    const at = this.#flows.find(c0, c1, c2, c3, ports, service.number, hash);
    const known = at < 0 ? undefined : this.#backends[this.#flows.backendAt(at)];
    if (known?.serves === true) return known;
    const number = service.choose(hash);
    return number === NOBODY ? undefined : this.#backends[number];
  }
}

/**
 * One Ethernet link that several interfaces of a host and other stations are on, in a lab of virtual time, and a witness who
 * hears all that is said there of addresses and asks in anybody's name.
 */
import { expect } from "bun:test";
import type { MemoryDevice } from "../../stack/device/memory.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { Host } from "../../stack/ip/host.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import type { JoinOptions } from "../../stack/ip/options.ts";
import { LINK_EVERY_MS } from "../../stack/loop/loop.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import * as arp from "../../stack/wire/arp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { BROADCAST_MAC, MacAddress, multicastMac } from "../../stack/wire/mac.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { FloodingSwitch } from "./flooding-switch.ts";
import { type HostLab, viewOf } from "./host-lab.ts";
import { fill, join } from "./wire-frames.ts";

const CHUNKS = 1024;
/** There and back over the switch, twice: a question may be asked in return. */
const HOPS = 8;
const NO_MAC = MacAddress.parse("00:00:00:00:00:00");
const ANY4 = IpAddress.parse("0.0.0.0");

/** The station with this number: 02:00:00:00:NN:NN. */
export const macOf = (number: number): MacAddress =>
  MacAddress.fromBytes(Uint8Array.of(2, 0, 0, 0, number >> 8, number & 0xff));

/** Something about an address that was said on the link. */
export interface Said {
  readonly atMs: number;
  /** The name of the port that sent it, or the Ethernet address of a stranger. */
  readonly by: string;
  /** "request" and "reply" of ARP where they are about another's address; "gratuitous" ones say where the sender's is. */
  readonly what:
    | "gratuitous request"
    | "gratuitous reply"
    | "request"
    | "reply"
    | "probe"
    | "solicitation"
    | "advertisement";
  /** The address that is announced, asked for or answered. */
  readonly address: string;
  /** "all", or the Ethernet address of the frame. */
  readonly to: string;
  /** Of advertisements. */
  readonly flags: string;
}

/** What an answer or announcement says, without its time. */
export const saying = ({ by, what, address, to, flags }: Said): string =>
  `${by}: ${what} ${address} to ${to}${flags}`;

/** One asker among many on the link. */
export interface AskerOn {
  readonly address: IpAddress;
  readonly mac: MacAddress;
}

export class SharedSegment {
  readonly #lab: HostLab;
  readonly #switch: FloodingSwitch;
  readonly #names = new Map<string, string>();
  readonly #said: Said[] = [];
  readonly #witness: Transmitter;
  readonly #witnessDevice: MemoryDevice;

  constructor(lab: HostLab) {
    this.#lab = lab;
    this.#switch = new FloodingSwitch(lab.loop);
    this.#witnessDevice = this.port("witness", macOf(0xeeee));
    this.#witness = new Transmitter(this.#witnessDevice.queues[0]!);
    lab.loop.receive(this.#witnessDevice, (frame) => this.#hear(frame.copy()));
  }

  /** A cable to a new port. */
  port(name: string, mac: MacAddress): MemoryDevice {
    this.#names.set(mac.toString(), name);
    const umem = new MemoryUmem({ chunkCount: CHUNKS });
    return this.#switch.plug({ name, mac: mac.toBytes(), umem });
  }

  /** An interface of a host on this link. `number` makes its Ethernet address. */
  join(
    host: Host,
    name: string,
    number: number,
    options: JoinOptions = {},
  ): { readonly on: Interface; readonly device: MemoryDevice } {
    const device = this.port(name, macOf(number));
    return { on: host.join(device, { dad: false, linkLocal: false, ...options }), device };
  }

  /** What was said of addresses since the last call. */
  take(): Said[] {
    return this.#said.splice(0);
  }

  /** The same in words. */
  sayings(): string[] {
    return this.take().map(saying);
  }

  /** Frames that a port had no room for. */
  get lost(): number {
    return this.#switch.lost;
  }

  /** Lets what was said arrive: to the switch, from there to all, and what they say to it back the same way. */
  settle(): void {
    for (let hop = 0; hop < HOPS; hop++) this.#lab.run(0);
  }

  /** Lets those hear who have to that links came up or went down, and what they say to it. */
  linkNews(): void {
    this.#lab.run(LINK_EVERY_MS);
    this.settle();
  }

  /** Puts frames on the link, and gives what is said of addresses at once. */
  ask(...frames: Uint8Array[]): Said[] {
    this.settle();
    this.take();
    for (const frame of frames) expect(this.#witness.sendBytes(frame)).toBe(true);
    this.#witnessDevice.queues[0]!.flush();
    this.settle();
    return this.take();
  }

  /** Asks all of the link for an address, or one station alone. */
  seek(address: string, asker: AskerOn, to?: MacAddress): Said[] {
    return this.ask(question(IpAddress.parse(address), asker, to));
  }

  close(): void {
    this.#switch.close();
    this.#witnessDevice.close();
  }

  #hear(frame: Uint8Array): void {
    const view = viewOf(frame);
    const source = MacAddress.read(view, ethernet.SOURCE).toString();
    const destination = MacAddress.read(view, ethernet.DESTINATION);
    const said = describeArp(view, frame.length) ?? describeNdp(view, frame.length);
    if (said === undefined) return;
    const by = this.#names.get(source) ?? source;
    const to = destination.multicast ? "all" : destination.toString();
    this.#said.push({ atMs: this.#lab.clock.nowMs(), by, to, ...said });
  }
}

type Content = Pick<Said, "what" | "address" | "flags">;

const describeArp = (view: DataView, length: number): Content | undefined => {
  if (ethernet.type(view, 0) !== ethernet.ETHERTYPE.ARP) return undefined;
  const at = ethernet.HEADER_BYTES;
  const packet = arp.parse(view, at, length - at);
  if (packet === undefined) return undefined;
  const { operation, senderAddress, targetAddress } = packet;
  const kind = operation === arp.OPERATION.REQUEST ? "request" : "reply";
  if (senderAddress.unspecified) return { what: "probe", address: targetAddress.toString(), flags: "" };
  if (senderAddress.equals(targetAddress))
    return { what: `gratuitous ${kind}`, address: senderAddress.toString(), flags: "" };
  const address = kind === "request" ? targetAddress : senderAddress;
  return { what: kind, address: address.toString(), flags: "" };
};

const describeNdp = (view: DataView, length: number): Content | undefined => {
  if (ethernet.type(view, 0) !== ethernet.ETHERTYPE.IPV6) return undefined;
  const ipAt = ethernet.HEADER_BYTES;
  const at = ipAt + ipv6.HEADER_BYTES;
  if (ipv6.nextHeader(view, ipAt) !== PROTOCOL.ICMPV6) return undefined;
  const message = ndp.parse(view, at, length - at);
  if (message?.kind === "neighbour-solicitation") {
    const what = ipv6.source(view, ipAt).unspecified ? "probe" : "solicitation";
    return { what, address: message.target.toString(), flags: "" };
  }
  if (message?.kind !== "neighbour-advertisement") return undefined;
  const flags = `${message.solicited ? " solicited" : ""}${message.override ? " override" : ""}`;
  return { what: "advertisement", address: message.target.toString(), flags };
};

/** A question for an address: an ARP request or a neighbour solicitation; from 0.0.0.0 or :: it is a probe. */
export const question = (target: IpAddress, asker: AskerOn, to?: MacAddress): Uint8Array => {
  if (target.family === 4) {
    const packet: arp.ArpRecord = {
      operation: arp.OPERATION.REQUEST,
      senderMac: asker.mac,
      senderAddress: asker.address,
      targetMac: NO_MAC,
      targetAddress: target,
    };
    return inFrame(
      to ?? BROADCAST_MAC,
      asker.mac,
      ethernet.ETHERTYPE.ARP,
      fill(arp.PACKET_BYTES, (view) => arp.emit(packet, view, 0)),
    );
  }
  const group = target.solicitedNode();
  const options: readonly ndp.NdpOption[] = asker.address.unspecified
    ? []
    : [{ kind: "source-link-layer", mac: asker.mac }];
  const message: ndp.NdpRecord = { kind: "neighbour-solicitation", target, options };
  const destination = to === undefined ? group : target;
  return discoveryFrame(to ?? multicastMac(group), asker.mac, asker.address, destination, message);
};

/** Somebody claims an address: a gratuitous ARP request, or a neighbour advertisement to all. */
export const claim = (address: IpAddress, mac: MacAddress): Uint8Array => {
  if (address.family === 4) return question(address, { address, mac });
  const allNodes = IpAddress.parse("ff02::1");
  return discoveryFrame(multicastMac(allNodes), mac, address, allNodes, {
    kind: "neighbour-advertisement",
    router: false,
    solicited: false,
    override: true,
    target: address,
    options: [{ kind: "target-link-layer", mac }],
  });
};

const discoveryFrame = (
  to: MacAddress,
  from: MacAddress,
  source: IpAddress,
  destination: IpAddress,
  message: ndp.NdpRecord,
): Uint8Array => {
  const length = ndp.lengthOf(message);
  const header: ipv6.Ipv6Record = {
    trafficClass: 0,
    flowLabel: 0,
    payloadLength: length,
    nextHeader: PROTOCOL.ICMPV6,
    hopLimit: ndp.HOP_LIMIT,
    source,
    destination,
  };
  const packet = fill(ipv6.HEADER_BYTES + length, (view) => {
    ndp.emit(message, view, ipv6.emit(header, view, 0), source, destination);
  });
  return inFrame(to, from, ethernet.ETHERTYPE.IPV6, packet);
};

const inFrame = (to: MacAddress, from: MacAddress, type: number, payload: Uint8Array): Uint8Array =>
  join(
    fill(ethernet.HEADER_BYTES, (view) => ethernet.writeHeader(view, 0, to, from, type)),
    payload,
  );

/** Stations of 10.0.0.0/16 and 2001:db8::/64 that ask. */
export const askerNumber = (number: number, family: 4 | 6): AskerOn => {
  const mac = macOf(0x4000 + number);
  const hex = number.toString(16);
  const text = family === 4 ? `10.0.${number >> 8}.${number & 0xff}` : `2001:db8::4:${hex}`;
  return { address: IpAddress.parse(text), mac };
};

export const nobody = (family: 4 | 6): AskerOn => ({
  address: family === 4 ? ANY4 : IpAddress.parse("::"),
  mac: macOf(0x3fff),
});

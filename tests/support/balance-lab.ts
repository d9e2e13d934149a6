/**
 * A balancer in virtual time, between a link with clients (10.0.0.0/24, 2001:db8::/64) and one with backends (10.9.0.0/24,
 * 2001:db9::/64), and the packets of its clients.
 */
import { Balancer, type BalancerOptions } from "../../stack/balance/balancer.ts";
import type { BackendMode } from "../../stack/balance/backend.ts";
import type { BalancedService } from "../../stack/balance/service.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import type { Host } from "../../stack/ip/host.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { finish, fold, pseudoOf, sum } from "../../stack/wire/checksum.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import { MacAddress } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import { ether, type EtherOptions, ip, type UdpFrameOptions, udpFrame } from "./host-frames.ts";
import { HostLab, Station, viewOf } from "./host-lab.ts";
import { fill, join } from "./wire-frames.ts";

export const VIP4 = IpAddress.parse("10.0.0.9");
export const VIP6 = IpAddress.parse("2001:db8::9");
export const CLIENT6 = IpAddress.parse("2001:db8::1");
export const PORT = 53;
/** The balancer's Ethernet address towards backends, and its own addresses there. */
export const OUT_MAC = MacAddress.parse("02:00:00:00:00:03");
export const OUT4 = IpAddress.parse("10.9.0.2");
export const OUT6 = IpAddress.parse("2001:db9::2");

/** Backend `i`, from 1: its addresses, and the Ethernet address that it has in these labs. */
export const backendAddress = (i: number, family: 4 | 6 = 4): string =>
  family === 4 ? `10.9.0.${10 + i}` : `2001:db9::${10 + i}`;
export const backendMac = (i: number): MacAddress => MacAddress.words(0x0200_0000, 0x0100 + i);

const TCP_HEADER = 20;
const TCP_OFFSET_AT = 12;
const TCP_FLAGS_AT = 13;
const TCP_CHECKSUM_AT = 16;
const FIVE_WORDS = 0x50;
const SEVERAL = { near: [1, 2], far: [3, 4] } as const;
export const FLAGS = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

export interface BalanceOptions {
  readonly balancer?: BalancerOptions;
  readonly protocol?: "udp" | "tcp";
  readonly mode?: BackendMode;
  /** Family of the service's address. */
  readonly family?: 4 | 6;
  /** Family of the backends' addresses. Default: the service's. */
  readonly backendFamily?: 4 | 6;
  readonly backends?: number;
  /** False where the balancer has to ask for Ethernet addresses. */
  readonly known?: boolean;
  readonly mtus?: readonly [number, number];
  readonly vlans?: readonly [number | undefined, number | undefined];
  readonly idleSeconds?: number;
  /** Of the interface towards the backends, instead of the usual ones. */
  readonly farAddresses?: readonly string[];
}

const tagged = (vlan: number | undefined): { readonly vlan?: number } => (vlan === undefined ? {} : { vlan });

/** A balancer with one service, and the stations at both ends. Close it by `using`. */
export class BalanceLab implements Disposable {
  readonly lab = new HostLab();
  readonly host: Host;
  readonly near: Interface;
  readonly far: Interface;
  /** Where clients are. */
  readonly clients: Station;
  /** Where all backends are. */
  readonly backends: Station;
  readonly balancer: Balancer;
  readonly service: BalancedService;

  constructor(options: BalanceOptions = {}) {
    const { lab } = this;
    const { mtus = [1500, 1500], vlans = [undefined, undefined], family = 4, known = true } = options;
    const umem = new MemoryUmem({ chunkBytes: 2048, chunkCount: 2048, headroomBytes: 128 });
    this.host = lab.host();
    const mac = (last: number) => Uint8Array.of(2, 0, 0, 0, 0, last);
    const link = (names: readonly [string, string], macs: readonly number[], mtu: number) =>
      lab.link({ umems: [umem, umem], names, macs: [mac(macs[0]!), mac(macs[1]!)], mtu });
    const [left, a] = link(["near", "a"], SEVERAL.near, mtus[0]);
    const [right, b] = link(["far", "b"], SEVERAL.far, mtus[1]);
    const join = { dad: false, linkLocal: false };
    this.near = this.host.join(left, {
      addresses: ["10.0.0.2/24", "2001:db8::2/64"],
      ...join,
      ...tagged(vlans[0]),
    });
    this.far = this.host.join(right, {
      addresses: options.farAddresses ?? [`${OUT4}/24`, `${OUT6}/64`],
      ...join,
      ...tagged(vlans[1]),
    });
    for (const vip of [VIP4, VIP6]) this.host.addService(vip, { dad: false });
    lab.run(0);
    this.clients = new Station(lab, a, this.near);
    this.backends = new Station(lab, b, this.far);
    this.clients.introduce("10.0.0.1", "2001:db8::1");
    this.balancer = new Balancer(this.host, { seed: 7, flows: 1024, ...options.balancer });
    const { protocol = "udp", mode = "direct", idleSeconds } = options;
    this.service = this.balancer.service({
      address: family === 4 ? VIP4 : VIP6,
      protocol,
      port: PORT,
      mode,
      ...(idleSeconds === undefined ? {} : { idleSeconds }),
    });
    for (let i = 1; i <= (options.backends ?? 3); i++) {
      const address = backendAddress(i, options.backendFamily ?? family);
      this.service.add({ address, ...(known ? { mac: backendMac(i).toString() } : {}) });
    }
    lab.run(0);
    this.backends.take();
  }

  /** Backend `i`, from 1. */
  backend(i: number) {
    return this.service.backends[i - 1]!;
  }

  /** Sends frames of clients; gives which backends got a frame, in order, by the frame's Ethernet address. */
  reach(...frames: Uint8Array[]): number[] {
    this.backends.take();
    for (const frame of frames) this.clients.put(frame);
    this.lab.run(0);
    return this.backends.take().map(backendOf);
  }

  [Symbol.dispose](): void {
    this.balancer.close();
    this.lab.close();
  }
}

/** Which backend a frame is for, 0 for none. */
export const backendOf = (frame: Uint8Array): number => {
  const to = ethernet.destination(viewOf(frame), 0);
  return to.high === backendMac(1).high && to.low > 0x0100 && to.low < 0x0200 ? to.low - 0x0100 : 0;
};

/** A client's datagram to the service. */
export const ask = (payload: Uint8Array, options: UdpFrameOptions & EtherOptions = {}): Uint8Array => {
  const to = options.to ?? VIP4;
  return udpFrame(payload, { ...(to.family === 6 ? { from: CLIENT6 } : {}), ...options, to });
};

export interface SegmentOptions {
  readonly fromPort?: number;
  readonly flags?: number;
  readonly to?: IpAddress;
  readonly from?: IpAddress;
  readonly partial?: boolean;
  readonly payload?: Uint8Array;
}

/** A client's TCP segment to the service. */
export const segment = (options: SegmentOptions = {}): Uint8Array => {
  const { fromPort = 1234, flags = FLAGS.ack, to = VIP4, partial = false } = options;
  const from = options.from ?? (to.family === 6 ? CLIENT6 : IpAddress.parse("10.0.0.1"));
  const payload = options.payload ?? new Uint8Array(0);
  const header = fill(TCP_HEADER, (view) => {
    view.setUint16(0, fromPort);
    view.setUint16(2, PORT);
    view.setUint8(TCP_OFFSET_AT, FIVE_WORDS);
    view.setUint8(TCP_FLAGS_AT, flags);
  });
  const whole = join(header, payload);
  const view = viewOf(whole);
  const pseudo = pseudoOf(from, to, PROTOCOL.TCP, whole.length);
  view.setUint16(TCP_CHECKSUM_AT, partial ? fold(pseudo) : finish(sum(view, 0, whole.length, pseudo)));
  return ether(ip(PROTOCOL.TCP, whole, { from, to }));
};

/** One end of two paths: a host on two interfaces, with an address that belongs to neither, routes over both, and BFD on each. */
import {
  attach,
  Bfd,
  EchoMonitor,
  Host,
  type HostOptions,
  type Loop,
  NeighbourMonitor,
  type PathMonitor,
  type XdpDevice,
} from "millrace";
import { IpAddress, parseInterfaceAddress, Prefix } from "millrace/wire";
import { claimsOf } from "../support/own-address.ts";

/** One interface of it. */
export interface Leg {
  /** The interface's name. */
  readonly device: string;
  /** Its own addresses with their lengths. None: it lives beside the kernel, whose addresses and routes it shares. */
  readonly addresses: readonly string[];
  /** Who takes packets to the far end: a router, or the far end itself. One of each family. */
  readonly gateways: readonly string[];
}

/** How often a sign of life is sent or asked for, and how many that are missing are death. */
export interface Pulse {
  readonly intervalMs: number;
  readonly count: number;
}

export interface EndOptions {
  readonly loop: Loop;
  readonly legs: readonly Leg[];
  /** Addresses of this end that live on all interfaces. */
  readonly own: readonly string[];
  /** Addresses of the far end that are reached over all of them. */
  readonly far: readonly string[];
  /** BFD with each next hop; undefined for none. */
  readonly bfd: Pulse | undefined;
  /** Questions to each next hop, by ARP and neighbour discovery; undefined for none. */
  readonly probe: Pulse | undefined;
  /** ICMP echoes over each path to the far end's address, also behind routers; undefined for none. */
  readonly echo: Pulse | undefined;
  /** True: both paths are as good as each other; false: the second is for when the first is down. */
  readonly equal: boolean;
  readonly paths?: NonNullable<HostOptions["paths"]>;
}

const IPV4_BITS = 32;
const IPV6_BITS = 128;
const FIRST_METRIC = 10;
const METRIC_STEP = 10;

export class End implements Disposable {
  readonly host: Host;
  readonly devices: readonly XdpDevice[];
  readonly #bfd: Bfd | undefined;

  constructor(options: EndOptions) {
    const { loop, legs, own, paths } = options;
    const devices: XdpDevice[] = [];
    let host: Host | undefined;
    try {
      const shared = own.map((text) => IpAddress.parse(text));
      for (const { device, addresses } of legs) {
        const here = addresses.map((text) => parseInterfaceAddress(text).address);
        // Beside the kernel claims follow the sockets.
        const claim = here.length === 0 ? [] : claimsOf([...here, ...shared]);
        devices.push(attach(device, { claim }));
      }
      host = new Host({ loop, services: own, ...(paths === undefined ? {} : { paths }) });
      this.#bfd = options.bfd === undefined ? undefined : new Bfd(host);
      for (const [i, leg] of legs.entries()) this.#join(host, devices[i]!, leg, i, options);
    } catch (error) {
      host?.close();
      for (const device of devices) device.close();
      throw error;
    }
    this.host = host;
    this.devices = devices;
  }

  /** Ends the host and lets go of the interfaces. Idempotent. */
  close(): void {
    this.host.close();
    for (const device of this.devices) device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #join(host: Host, device: XdpDevice, leg: Leg, i: number, options: EndOptions): void {
    const { addresses, gateways } = leg;
    const { far, equal } = options;
    const isBeside = addresses.length === 0;
    // The link-local address that belongs to the interface's MAC is the kernel's.
    const own = { addresses, dad: false, linkLocal: false };
    const { index, name } = isBeside ? host.beside(device) : host.join(device, own);
    const metric = FIRST_METRIC + (equal ? 0 : i * METRIC_STEP);
    for (const text of gateways) {
      const gateway = IpAddress.parse(text);
      for (const to of isBeside ? [] : far) {
        const address = IpAddress.parse(to);
        if (address.family !== gateway.family) continue;
        const prefix = Prefix.of(address, address.family === 4 ? IPV4_BITS : IPV6_BITS);
        host.addRoute({ prefix, gateway, interface: index, metric, kind: "unicast" });
      }
      for (const monitor of this.#monitors(host, name, gateway, options))
        host.paths.watch({ interface: index, gateway }, monitor);
    }
  }

  *#monitors(host: Host, name: string, gateway: IpAddress, options: EndOptions): Iterable<PathMonitor> {
    const { bfd, probe, echo, far } = options;
    if (bfd !== undefined) {
      const times = { intervalMs: bfd.intervalMs, multiplier: bfd.count };
      yield this.#bfd!.session({ peer: gateway, interface: name, ...times });
    }
    if (probe !== undefined) yield new NeighbourMonitor(host, probe);
    const target = far.find((text) => IpAddress.parse(text).family === gateway.family);
    if (echo !== undefined && target !== undefined) yield new EchoMonitor(host, { ...echo, target });
  }
}

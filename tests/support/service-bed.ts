/**
 * A host of ours with two interfaces on one Ethernet link, which is a bridge of the kernel's; the kernel at the other side of it
 * is a station. Every frame of ours that comes to the station is captured.
 *
 * `end` is the verdict: the umems' accounts are even, no handler threw, and tshark has nothing against any frame.
 */
import {
  attach,
  Host,
  type HostEvent,
  type HostOptions,
  type Interface,
  type JoinOptions,
  Loop,
  type XdpDevice,
} from "../../index.ts";
import { judge, silencing, tearDown } from "./bed-verdict.ts";
import { Lab, until } from "./lab.ts";
import type { Place } from "./peer-tools.ts";
import { WireCapture } from "./wire-capture.ts";

export const BRIDGE = "br0";
export const STATION = { 4: "10.77.0.1", 6: "fd77::1" } as const;
/** An address that moves is what tshark takes for two stations with one. */
const MOVED = /^Duplicate IP address configured/;
const LIMIT_MS = 10_000;

/** One of the host's interfaces. */
export interface Leg {
  readonly device: XdpDevice;
  readonly on: Interface;
  readonly mac: string;
  /** The bridge's port that it is plugged into. */
  readonly port: string;
}

export interface ServiceBedOptions {
  readonly host?: Omit<HostOptions, "loop">;
  readonly join?: JoinOptions;
  /** UDP ports whose payload means nothing. */
  readonly dataPorts?: readonly number[];
}

export class ServiceBed {
  readonly lab: Lab;
  readonly loop: Loop;
  readonly host: Host;
  readonly legs: Leg[];
  readonly events: HostEvent[] = [];
  readonly errors: unknown[] = [];
  readonly captures: readonly WireCapture[];
  readonly #dataPorts: readonly number[];
  readonly #join: JoinOptions;
  #open = true;

  private constructor(lab: Lab, capture: WireCapture, options: ServiceBedOptions) {
    this.lab = lab;
    this.captures = [capture];
    this.#dataPorts = options.dataPorts ?? [];
    this.loop = new Loop({ onError: (error) => void this.errors.push(error) });
    this.host = new Host({ loop: this.loop, ...options.host });
    this.host.on((event) => void this.events.push(event));
    this.#join = options.join ?? {};
    this.legs = lab.pairs.map(({ a, b }, i): Leg => {
      const device = attach(b.name, { namespace: lab.namespace("b") });
      return { device, on: this.#joinWith(device, i), mac: b.mac, port: a.name };
    });
    void this.loop.run();
  }

  /** Returns when the bridge forwards and the host runs. */
  static async start(options: ServiceBedOptions = {}): Promise<ServiceBed> {
    const lab = Lab.create({ pairs: 2, offloads: false });
    let capture: WireCapture | undefined;
    try {
      lab.exec("a", ["sh", "-ec", bridgeScript(lab)]);
      lab.exec("b", ["sh", "-ec", lab.pairs.map(({ b }) => silencing(b.name)).join("\n")]);
      const ours = lab.pairs.map(({ b }) => `ether src ${b.mac}`).join(" or ");
      capture = await WireCapture.start(lab, "a", { interface: BRIDGE, filter: ours });
      return new ServiceBed(lab, capture, options);
    } catch (error) {
      capture?.close();
      lab.close();
      throw error;
    }
  }

  get devices(): readonly XdpDevice[] {
    return this.legs.map(({ device }) => device);
  }

  /** Where the station's programs run. */
  get here(): Place {
    return { lab: this.lab, side: "a" };
  }

  /** Runs a command at the station; what it printed. Throws where it fails. */
  kernel(...words: readonly string[]): string {
    return this.lab.exec("a", words).stdout;
  }

  /** The interface that speaks for a service address. */
  speaker(service: string): Leg {
    const carriers = this.host.services.find(({ address }) => address.toString() === service)!.carriers();
    const { name } = carriers.find(({ announces }) => announces)!;
    return this.legs.find(({ on }) => on.name === name)!;
  }

  /** The one of the two that `leg` is not. */
  other(leg: Leg): Leg {
    return this.legs.find(({ port }) => port !== leg.port)!;
  }

  /** Joins again with the device of an interface that left. */
  rejoin(leg: Leg): Leg {
    const index = this.legs.indexOf(leg);
    const again = { ...leg, on: this.#joinWith(leg.device, index) };
    this.legs[index] = again;
    return again;
  }

  /** Takes the carrier from a leg, or gives it back, and waits until the host knows. */
  async carrier(leg: Leg, up: boolean): Promise<void> {
    this.kernel("ip", "link", "set", leg.port, up ? "up" : "down");
    await until(`the carrier of ${leg.on.name} ${up ? "up" : "down"}`, () => leg.on.link.up === up, LIMIT_MS);
    if (up) await until("the bridge to forward", () => this.#forwards(leg.port), LIMIT_MS);
  }

  /** The station's entry for an address, as `ip neigh` has it; empty where there is none. */
  neighbour(address: string): string {
    return this.kernel("ip", "neigh", "show", "to", address, "dev", BRIDGE).trim();
  }

  /** Sets one of the station's switches, such as "ipv4/conf/IF/arp_accept". */
  sysctl(path: string, value: number): void {
    this.kernel("sh", "-c", `echo ${value} > /proc/sys/net/${path.replace("IF", BRIDGE)}`);
  }

  /** Ends it, whatever happened before; how many frames of ours were dissected. */
  async end(): Promise<number> {
    if (!this.#open) return 0;
    this.#open = false;
    try {
      return await judge(this, { dataPorts: this.#dataPorts, except: MOVED });
    } finally {
      tearDown(this);
    }
  }

  /** The first leg has 10.77.0.11 and fd77::11, the second 10.77.0.12 and fd77::12. */
  #joinWith(device: XdpDevice, index: number): Interface {
    const addresses = [`10.77.0.${index + 11}/24`, `fd77::${index + 11}/64`];
    return this.host.join(device, { addresses, dad: false, ...this.#join });
  }

  #forwards(port: string): boolean {
    return this.kernel("bridge", "link", "show", "dev", port).includes("state forwarding");
  }
}

/** The station's interface is the bridge itself; it reaches what is not in its network on the link too. */
const bridgeScript = (lab: Lab): string =>
  [
    `ip link add ${BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    ...lab.pairs.flatMap(({ a }) => [silencing(a.name), `ip link set ${a.name} master ${BRIDGE}`]),
    `ip addr add ${STATION[4]}/24 dev ${BRIDGE}`,
    `ip addr add ${STATION[6]}/64 dev ${BRIDGE} nodad`,
    `ip link set ${BRIDGE} up`,
    `ip route add 10.9.9.0/24 dev ${BRIDGE}`,
    `ip route add fd09::/64 dev ${BRIDGE}`,
  ].join("\n");

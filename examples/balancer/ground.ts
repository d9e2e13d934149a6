/**
 * A laboratory for a balancer: clients, a switch, a place for the balancer, and kernel backends that have the service's addresses
 * but tell nobody.
 *
 * All are on one link: 10.77.0.1 and fd77::1 are the clients, 10.77.0.2 and fd77::2 are for the balancer, whose kernel says
 * nothing, .11, .12 and so on are the backends. All of it goes with the process, as with `Lab`.
 */
import { Lab, type LabOptions } from "../lab.ts";

/** Addresses of the service. */
export const VIPS = ["10.77.0.100", "fd77::100"] as const;
/** The balancer's own, with their lengths. */
export const OWN = ["10.77.0.2/24", "fd77::2/64"] as const;

const MAX_BACKENDS = 9;
const BRIDGE = "br0";

/** A backend's namespace: side b of a lab of its own, whose other end is plugged into the switch. */
export interface BackendPlace {
  readonly name: string;
  readonly lab: Lab;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
  /** Its port of the switch. */
  readonly port: string;
}

export interface GroundOptions {
  /** 3 unless given. */
  readonly backends?: number;
  readonly lab?: Pick<LabOptions, "mtu" | "offloads" | "queues">;
}

export class BalancerGround implements Disposable {
  /** Side a is the clients', b the balancer's; the switch is in the middle. */
  readonly lab: Lab;
  readonly backends: readonly BackendPlace[];
  /** The balancer's interface, in the namespace of side b, and its port of the switch. */
  readonly interface: string;
  readonly port: string;

  private constructor(lab: Lab, backends: readonly BackendPlace[]) {
    this.lab = lab;
    this.backends = backends;
    this.interface = lab.b.name;
    this.port = lab.middle!.b.name;
  }

  /** Makes it. Throws what the system refused. */
  static create(options: GroundOptions = {}): BalancerGround {
    const { backends: count = 3 } = options;
    if (!Number.isInteger(count) || count < 1 || count > MAX_BACKENDS)
      throw new RangeError(`backends is 1 to ${MAX_BACKENDS}, not ${count}`);
    const labs: Lab[] = [];
    const make = (more: LabOptions): Lab => {
      const made = Lab.create({ ...options.lab, ...more });
      labs.push(made);
      return made;
    };
    try {
      const lab = make({ middle: true });
      const places = Array.from({ length: count }, (_, i) => placeOf(i + 1, make({})));
      lab.exec("m", ["sh", "-ec", switchLines(lab)]);
      lab.exec("b", ["sh", "-ec", silenceLines(lab.b.name)]);
      for (const place of places) plugIn(lab, place);
      return new BalancerGround(lab, places);
    } catch (error) {
      for (const each of labs) each.close();
      throw error;
    }
  }

  /** Pulls a backend's cable, or puts it back. */
  plug(place: BackendPlace, inside: boolean): void {
    this.lab.exec("m", ["ip", "link", "set", place.port, inside ? "up" : "down"]);
  }

  /** Removes all of it, and ends what runs there. Idempotent. */
  close(): void {
    for (const { lab } of this.backends) lab.close();
    this.lab.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const placeOf = (i: number, lab: Lab): BackendPlace => ({
  name: `backend${i}`,
  lab,
  ipv4: `10.77.0.1${i}`,
  ipv6: `fd77::1${i}`,
  mac: `02:00:00:00:01:1${i}`,
  port: `port${i}`,
});

/** A switch of the middle's two interfaces. */
const switchLines = (lab: Lab): string =>
  [
    `ip link add name ${BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    // What the switch itself could say has no place here.
    `echo 1 > /proc/sys/net/ipv6/conf/${BRIDGE}/disable_ipv6`,
    ...[lab.middle!.a.name, lab.middle!.b.name].map((name) => `ip link set dev ${name} master ${BRIDGE}`),
    `ip link set dev ${BRIDGE} up`,
  ].join("\n");

/** The kernel on this interface neither speaks nor answers. */
const silenceLines = (name: string): string =>
  `ip addr flush dev ${name}\necho 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`;

/** Gives the backend its addresses, and those of the service on the loopback, and plugs it into the switch. */
const plugIn = (lab: Lab, { lab: own, ipv4, ipv6, mac, port }: BackendPlace): void => {
  const { name } = own.b;
  const far = own.a.name;
  own.exec("a", ["ip", "link", "set", far, "down"]);
  // Each port has an Ethernet address of its own: a switch keeps what is for one of them to itself.
  own.exec("a", ["ip", "link", "set", far, "address", mac.replace("01:1", "02:1")]);
  own.exec("a", ["ip", "link", "set", far, "netns", lab.namespace("m"), "name", port]);
  lab.exec("m", ["sh", "-ec", `ip link set dev ${port} master ${BRIDGE}\nip link set ${port} up`]);
  const lines = [
    `ip addr flush dev ${name}`,
    `ip link set ${name} down`,
    `ip link set ${name} address ${mac}`,
    `ip link set ${name} up`,
    `ip addr add ${ipv4}/24 dev ${name}`,
    `ip addr add ${ipv6}/64 dev ${name} nodad`,
    // Asked for an address of the loopback's, it says nothing; asking, it names one of the link's (ip-sysctl).
    "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore",
    "echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce",
    ...VIPS.map((vip) =>
      vip.includes(":") ? `ip addr add ${vip}/128 dev lo nodad` : `ip addr add ${vip}/32 dev lo`,
    ),
  ];
  own.exec("b", ["sh", "-ec", lines.join("\n")]);
};

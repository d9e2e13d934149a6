/** A bed whose peers are behind a router, which is the kernel of the lab's middle: a and b have networks of their own. */
import type { BesideBedOptions } from "./beside-bed.ts";
import type { Lab } from "./lab.ts";

/** The ends, and the router's addresses on their links. */
export const ROUTED = {
  4: { own: "10.78.0.2", peer: "10.79.0.2", router: "10.78.0.1", peersRouter: "10.79.0.1" },
  6: { own: "fd78::2", peer: "fd79::2", router: "fd78::1", peersRouter: "fd79::1" },
} as const;

/** Networks that the router answers for with an error. */
export const REFUSED = {
  4: { unreachable: "10.81.0.1", prohibited: "10.82.0.1" },
  6: { unreachable: "fd81::1", prohibited: "fd82::1" },
} as const;

/** The peer's link takes packets of so many bytes. */
export const NARROW_MTU = 1400;

const commands: Readonly<Record<"a" | "m" | "b", readonly string[]>> = {
  a: [
    "ip addr flush dev va scope global",
    "ip addr add 10.79.0.2/24 dev va",
    "ip -6 addr add fd79::2/64 dev va nodad",
    "ip route add default via 10.79.0.1",
    "ip -6 route add default via fd79::1",
  ],
  m: [
    "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0",
    `ip link set dev ma mtu ${NARROW_MTU}`,
    "ip addr add 10.79.0.1/24 dev ma",
    "ip addr add 10.78.0.1/24 dev mb",
    "ip -6 addr add fd79::1/64 dev ma nodad",
    "ip -6 addr add fd78::1/64 dev mb nodad",
    "ip route add unreachable 10.81.0.0/16",
    "ip route add prohibit 10.82.0.0/16",
    "ip -6 route add unreachable fd81::/64",
    "ip -6 route add prohibit fd82::/64",
  ],
  b: [
    "ip addr flush dev vb scope global",
    "ip addr add 10.78.0.2/24 dev vb",
    "ip -6 addr add fd78::2/64 dev vb nodad",
    "ip route add default via 10.78.0.1",
    "ip -6 route add default via fd78::1",
  ],
};

/** Options of such a bed. */
export const behindRouter: BesideBedOptions = {
  lab: { middle: true },
  prepare: (lab: Lab) => {
    for (const side of ["m", "a", "b"] as const)
      for (const command of commands[side]) lab.exec(side, command.split(" "));
  },
};

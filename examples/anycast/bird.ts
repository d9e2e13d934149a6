/**
 * BIRD 2, the routing daemon: what the hosts and the router are configured with, and its control socket.
 *
 * The socket speaks lines: each reply ends with one of four digits and a space; those before it have a hyphen there. Codes
 * from 8000 on are errors (BIRD's programmer's documentation, section 2.10 "Command line interface").
 */

import { type IpAddress, Prefix } from "millrace/wire";

/** The protocol instances that are switched on to announce the service's addresses, and off to withdraw them: one a family. */
export const ANNOUNCEMENTS = '"anycast*"';
/** The autonomous system of the router; host n has this one plus n (RFC 6996: private numbers). */
const ROUTER_AS = 65_000;
/** Asynchronous BFD as of RFC 5880: a neighbour that is silent for three of these is dead. */
const BFD_INTERVAL_MS = 100;
const BFD_MULTIPLIER = 3;
/** BIRD waits up to a minute before it calls again, with a network in mind that must not be flooded; this is a small one. */
const CALL_AGAIN = "connect delay time 1; connect retry time 1; error wait time 1, 1; error forget time 5;";

/** One of each family. */
export interface AddressPair {
  readonly 4: string;
  readonly 6: string;
}

/** The link between the router and one host. */
export interface Peering {
  readonly host: number;
  readonly hostAddress: AddressPair;
  readonly routerAddress: AddressPair;
  /** The router's interface to it. */
  readonly routerInterface: string;
}

const BITS = { 4: 32, 6: 128 } as const;

const bfd = (...interfaces: readonly string[]): string => {
  const names = interfaces.map((name) => `"${name}"`).join(", ");
  return `protocol bfd { interface ${names} { interval ${BFD_INTERVAL_MS} ms; multiplier ${BFD_MULTIPLIER}; }; }`;
};

/** The whole address as a prefix. */
const hostPrefix = (address: IpAddress): string => Prefix.of(address, BITS[address.family]).toString();

/**
 * For a host: announces the addresses, once somebody says that it is to. The kernel needs no route of them. One session has
 * both families (RFC 4760); it runs over IPv4, so that what leads to the host over IPv6 has to be said.
 */
export const hostConfiguration = (
  to: Peering,
  services: readonly IpAddress[],
  ownInterface: string,
): string => `
log stderr { warning, error, auth, fatal, bug };
router id ${to.hostAddress[4]};
protocol device {}
${bfd(ownInterface)}
${services
  .map(
    (service) => `protocol static anycast${service.family} {
  disabled;
  ipv${service.family};
  route ${hostPrefix(service)} blackhole;
}`,
  )
  .join("\n")}
protocol bgp upstream {
  local ${to.hostAddress[4]} as ${ROUTER_AS + to.host};
  neighbor ${to.routerAddress[4]} as ${ROUTER_AS};
  bfd;
  ${CALL_AGAIN}
${services
  .map(
    ({ family }) =>
      `  ipv${family} { import none; export where source = RTS_STATIC; next hop address ${to.hostAddress[family]}; };`,
  )
  .join("\n")}
}
`;

/** For the router: believes all hosts about these addresses, and gives the kernel one route to each, with a next hop a host. */
export const routerConfiguration = (peerings: readonly Peering[], services: readonly IpAddress[]): string => `
log stderr { warning, error, auth, fatal, bug };
router id ${peerings[0]!.routerAddress[4]};
protocol device {}
${services
  .map(
    ({ family }) => `protocol kernel {
  ipv${family} { import none; export where source = RTS_BGP; };
  merge paths;
}`,
  )
  .join("\n")}
${bfd(...peerings.map(({ routerInterface }) => routerInterface))}
${peerings
  .map(
    ({ host, hostAddress, routerAddress }) => `protocol bgp host${host} {
  local ${routerAddress[4]} as ${ROUTER_AS};
  neighbor ${hostAddress[4]} as ${ROUTER_AS + host};
  bfd;
  ${CALL_AGAIN}
${services
  .map((service) => `  ipv${service.family} { import where net = ${hostPrefix(service)}; export none; };`)
  .join("\n")}
}`,
  )
  .join("\n")}
`;

const CODE_DIGITS = 4;
const FIRST_ERROR = 8000;
const GREETING_AND_REPLY = 2;
/** A daemon that runs answers in a millisecond. */
const PATIENCE_MS = 5000;

/** Says one command to the daemon at this control socket; its reply. Rejects where nobody listens, or it refuses. */
export const tellBird = async (socketPath: string, command: string): Promise<string> => {
  const decoder = new TextDecoder();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const socket = await Bun.connect({
    unix: socketPath,
    socket: {
      data(_, chunk) {
        text += decoder.decode(chunk, { stream: true });
        const [, reply] = repliesIn(text);
        if (reply !== undefined) resolve(reply);
      },
      close: () => reject(new Error(`BIRD hung up on "${command}"`)),
      error: (_, error) => reject(error),
    },
  });
  const limit = setTimeout(() => reject(new Error(`BIRD does not answer to "${command}"`)), PATIENCE_MS);
  try {
    socket.write(`${command}\n`);
    const reply = await promise;
    const last = reply.split("\n").at(-1)!;
    if (Number(last.slice(0, CODE_DIGITS)) >= FIRST_ERROR) throw new Error(`BIRD: "${command}": ${last}`);
    return reply;
  } finally {
    clearTimeout(limit);
    socket.end();
  }
};

/** The complete replies, of which the first is the greeting. */
const repliesIn = (text: string): string[] => {
  const replies: string[] = [];
  let lines: string[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    lines.push(line);
    if (!/^\d{4} /.test(line)) continue;
    replies.push(lines.join("\n"));
    lines = [];
    if (replies.length === GREETING_AND_REPLY) break;
  }
  return replies;
};

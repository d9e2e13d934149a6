/**
 * Where an example runs: on the interfaces that it was given, or in a lab of its own with something that makes traffic.
 */
import { attach, type AttachOptions, type XdpDevice } from "millrace";
import { Lab, type Side } from "../lab.ts";
import { UsageError } from "./program.ts";

/** Packets a second that the lab's kernel sends over UDP: plenty to see, and little for two cores. */
const UDP_PPS = 10_000;
/** Seconds between two pings, the shortest that needs no flood. */
const PING_INTERVAL_S = "0.01";

/** Interfaces and how to attach to them. */
export interface Place extends Disposable {
  /** The example's own lab, if it made one. */
  readonly lab: Lab | undefined;
  readonly interfaces: readonly string[];
  attach(name: string, options?: AttachOptions): XdpDevice;
}

/** What an example's own lab is made of. */
export interface OwnLab {
  readonly make: () => Lab;
  /** The side that the example sits on, and its interfaces there. */
  readonly side: Side;
  readonly interfaces: (lab: Lab) => readonly string[];
}

/** One veth pair, millrace on its second end. The ends know each other: what an example takes may be their ARP. */
export const PAIR: OwnLab = {
  make: () => Lab.create({ neighbours: true }),
  side: "b",
  interfaces: (lab) => [lab.b.name],
};

/** The same, millrace on the first end. */
export const NEAR: OwnLab = { ...PAIR, side: "a", interfaces: (lab) => [lab.a.name] };

/** Two pairs in a row, millrace between them. */
export const BETWEEN: OwnLab = {
  make: () => Lab.create({ middle: true }),
  side: "m",
  interfaces: (lab) => (lab.middle === undefined ? [] : [lab.middle.a.name, lab.middle.b.name]),
};

/** The same, each end in a network of its own, for a router between them. */
export const ROUTED: OwnLab = { ...BETWEEN, make: () => Lab.create({ middle: true, routed: true }) };

/** The given interfaces, `least` to `most` of them, or a lab where none is given. */
export const openPlace = (given: readonly string[], own: OwnLab, least = 1, most = 1): Place => {
  if (given.length === 0) return ownPlace(own);
  if (given.length < least || given.length > most) {
    const wanted = least === most ? String(least) : `${least} to ${most}`;
    throw new UsageError(`takes ${wanted} interface${most === 1 ? "" : "s"}, or none for a lab of its own`);
  }
  return { lab: undefined, interfaces: given, attach, [Symbol.dispose]: () => {} };
};

const ownPlace = (own: OwnLab): Place => {
  const lab = own.make();
  const namespace = lab.namespace(own.side);
  return {
    lab,
    interfaces: own.interfaces(lab),
    attach: (name, options = {}) => attach(name, { ...options, namespace }),
    [Symbol.dispose]: () => lab.close(),
  };
};

/** Has the kernel on side a ping side b and send it UDP, until the lab closes. */
export const makeTraffic = (lab: Lab): void => {
  const silent = { stdout: "ignore", stderr: "ignore" } as const;
  lab.spawn("a", ["ping", "-q", "-i", PING_INTERVAL_S, lab.b.ipv4], silent);
  lab.spawn("a", ["ping", "-q", "-i", PING_INTERVAL_S, lab.b.ipv6], silent);
  lab.spawn("a", udpLoad(lab.b.ipv4, UDP_PPS), silent);
};

/** The command that sends `pps` datagrams a second through a kernel socket, to port 9000 unless given. */
export const udpLoad = (to: string, pps: number, port?: number): string[] =>
  example("support/udp-load", to, String(pps), ...(port === undefined ? [] : [String(port)]));

/** The command that runs another example, or a program beside one ("support/udp-load"). */
export const example = (name: string, ...args: readonly string[]): string[] => [
  process.execPath,
  "run",
  `${import.meta.dir}/../${name}.ts`,
  ...args,
];

/**
 * `udpSocket` with the shape of `Bun.udpSocket` (Bun 1.4.5), over a host.
 *
 * What differs: names are not looked up ("localhost" apart), nor short forms of addresses ("10.1") read; what is sent to a
 * group reaches its members alone, not every socket of the port; an ICMP error comes to the error handler at once and never
 * out of the next `send`; `drain` is called after a `send` that returned false, not also once at the beginning; an interface
 * that does not exist is an error where Bun goes by the routes; nothing is ever truncated; there is no `fd`.
 */
import type { Host } from "./ip/host.ts";
import type { DatagramHandler, UdpSocket } from "./udp/socket.ts";
import type { UdpOptions } from "./udp/options.ts";
import type { IpAddress } from "./wire/address.ts";
import { type Config, readConfig } from "./bun/config.ts";
import { type End, reaches, readHost } from "./bun/ends.ts";
import { bindError, callError, codeOfRefusal } from "./bun/errors.ts";
import { type Place, Places } from "./bun/places.ts";
import { BoundSocket } from "./bun/socket.ts";
import { Ways } from "./bun/ways.ts";

/** How many sockets are open, and how many of them keep the program alive, for whoever takes the loop's turns. */
export type Attendance = (open: number, held: number) => void;

/**
 * A `udpSocket` whose sockets live on `host`. Like Bun's it throws at once, with Bun's errors, and returns a promise that is
 * fulfilled already. The host's loop must take turns for anything to arrive; `attendance` hears when sockets come and go.
 */
export const createUdpSocket = (host: Host, attendance: Attendance = () => {}): typeof Bun.udpSocket => {
  const sockets = new Map<object, boolean>();
  const open = (options: unknown): Promise<BoundSocket> => {
    const config = readConfig(options);
    const token = {};
    const presence = (state: "held" | "loose" | "closed"): void => {
      if (state === "closed") sockets.delete(token);
      else sockets.set(token, state === "held");
      attendance(sockets.size, [...sockets.values()].filter(Boolean).length);
    };
    return Promise.resolve(openSocket(host, config, presence));
  };
  // Bun's type says by overloads what the options make of the socket.
  return open as unknown as typeof Bun.udpSocket;
};

const openSocket = (
  host: Host,
  config: Config,
  presence: (state: "held" | "loose" | "closed") => void,
): BoundSocket => {
  const own = readHost("hostname", config.hostname);
  const places = Places.of(host);
  assertBindable(host, config, own, places);
  const connect = config.connect && readHost("connect.hostname", config.connect.hostname);
  const source = connect && sourceFor(host, own, connect);
  let place: Place | undefined;
  const open = (more: UdpOptions, handler: DatagramHandler): UdpSocket => {
    const socket = bind(host, config, { ...more, ...ends(own, connect, source, config) }, handler);
    place = places.take(socket.localPort, own);
    return socket;
  };
  const leave = (state: "held" | "loose" | "closed"): void => {
    if (state === "closed") places.give(place!);
    presence(state);
  };
  return new BoundSocket({ host, config, own, source, connect, open, presence: leave });
};

const assertBindable = (host: Host, { hostname, port }: Config, own: End, places: Places): void => {
  const { address } = own;
  if (address.family === 6 && address.linkLocal && own.zone === undefined)
    throw bindError("EINVAL", hostname);
  if (!address.unspecified && !address.multicast && !host.network.isLocal(address))
    throw bindError("EADDRNOTAVAIL", hostname);
  if (port !== 0 && !places.isFree(port, own)) throw bindError("EADDRINUSE", hostname);
};

/** The address that a connected socket sends from and hears on, as it is when it connects. */
const sourceFor = (host: Host, own: End, connect: End): IpAddress => {
  if (!reaches(own, connect)) throw callError("EAFNOSUPPORT", "connect");
  const way = new Ways(host, own).find(connect, 0);
  if (way.everybody) throw callError("EACCES", "connect");
  const refused = way.destination.prepare();
  if (refused !== 0) throw callError(codeOfRefusal(refused), "connect");
  return way.destination.source!;
};

/** What the host is told of both ends. */
const ends = (
  own: End,
  connect: End | undefined,
  source: IpAddress | undefined,
  { connect: remote }: Config,
): UdpOptions => {
  const address = source ?? own.address;
  // "::" hears both families, 0.0.0.0 its own alone.
  const one = address.unspecified && address.family === 4 ? { family: 4 as const } : {};
  const zone = own.zone ?? connect?.zone;
  return {
    address,
    ...one,
    ...(zone === undefined ? {} : { interface: zone }),
    ...(connect === undefined ? {} : { remote: { address: connect.address, port: remote!.port } }),
  };
};

const bind = (host: Host, { hostname, port }: Config, options: UdpOptions, handler: DatagramHandler) => {
  try {
    return host.udp({ ...options, port }, handler);
  } catch (error) {
    // All else was looked at: what is left is that somebody has the port, or the interface is none of the host's.
    if (!(error instanceof RangeError)) throw error;
    throw bindError(options.interface === undefined ? "EADDRINUSE" : "ENODEV", hostname, error);
  }
};

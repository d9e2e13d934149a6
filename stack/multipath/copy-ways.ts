/**
 * The ways that copies to one peer take: one for each interface with a route to its address, or one for each of its addresses.
 */
import type { Host } from "../ip/host.ts";
import type { EndpointText } from "../udp/options.ts";
import type { Remote } from "../udp/remote.ts";
import type { UdpSocket } from "../udp/socket.ts";

/** One way, with counters in datagrams. */
export interface CopyWay {
  readonly remote: Remote;
  /** The interface that it is pinned to; undefined where the route says which. */
  readonly interface: string | undefined;
  /** Accepted by the host. */
  sent: number;
  /** Not tried: nothing leads there now, or only over paths that are down. */
  skipped: number;
  /** Tried, and refused: the ring was full, or the datagram too long. */
  refused: number;
}

const wayOver = (remote: Remote, interfaceName: string | undefined): CopyWay => ({
  remote,
  interface: interfaceName,
  sent: 0,
  skipped: 0,
  refused: 0,
});

export class CopyWays {
  /** Those of now. */
  list: readonly CopyWay[] = [];
  readonly #host: Host;
  readonly #socket: UdpSocket;
  readonly #remotes: readonly EndpointText[];
  readonly #interfaces: readonly string[] | undefined;

  /** Throws a TypeError or RangeError for what is no endpoint, and for an interface that `remotes` name and that is not there. */
  constructor(
    host: Host,
    socket: UdpSocket,
    remotes: readonly EndpointText[],
    interfaces: readonly string[] | undefined,
  ) {
    this.#host = host;
    this.#socket = socket;
    this.#remotes = remotes;
    this.#interfaces = interfaces;
    if (remotes.length > 1) {
      this.list = remotes.map(({ address, port }) => wayOver(socket.to(address, port), zoneOf(address)));
    } else {
      // What is wrong with the endpoint is said now, not at the first datagram.
      const { address, port } = remotes[0]!;
      socket.to(address, port);
      this.refresh();
    }
  }

  /** Looks again which interfaces there are. Ways that stay keep what they counted. */
  refresh(): void {
    if (this.#remotes.length > 1) return;
    const { address, port } = this.#remotes[0]!;
    const zone = zoneOf(address);
    const bare = String(address).replace(/%.*$/, "");
    const wanted = zone === undefined ? this.#interfaces : [zone];
    this.list = this.#host.interfaces
      .map(({ name }) => name)
      .filter((name) => wanted?.includes(name) ?? true)
      .map((name) => {
        const known = this.list.find((way) => way.interface === name);
        return known ?? wayOver(this.#socket.to(`${bare}%${name}`, port), name);
      });
  }
}

const zoneOf = (address: EndpointText["address"]): string | undefined => /%(.*)$/.exec(String(address))?.[1];

/**
 * Redundant sending: each datagram goes over all paths that live, and the receiver hands on the first copy that comes.
 *
 * Of RFC 9622's multipath policies (section 8.1) the one for what must neither be late nor lost: while one path lives, its
 * death costs nothing at all, not even a gap as long as its detection. The price is the bandwidth. A path here is an interface
 * with a route to the peer. Those that are known to be down are left out; one that is being verified gets its copy too, which
 * does no harm.
 */
import type { Host } from "../ip/host.ts";
import type { Subscription } from "../loop/subscription.ts";
import type { Datagram } from "../udp/datagram.ts";
import type { EndpointText } from "../udp/options.ts";
import type { PayloadWriter, UdpSocket, UdpSocketStatistics } from "../udp/socket.ts";
import { CopyFilter, type CopyStatistics, DROPPED } from "./copy-filter.ts";
import { checkRedundantOptions, readRemotes, type RedundantOptions } from "./redundant-options.ts";
import { RedundantRemote } from "./redundant-remote.ts";

/**
 * Called with the first copy of each datagram. Its payload are the `lengthBytes` from `at` in the datagram's memory; the
 * datagram itself begins earlier where there is a header.
 */
export type RedundantHandler = (datagram: Datagram, at: number, lengthBytes: number) => void;

export interface RedundantStatistics extends CopyStatistics {
  /** Of the socket below, which counts copies. */
  readonly socket: UdpSocketStatistics;
}

/** Events after which other interfaces may lead to a peer. */
const CHANGES: ReadonlySet<string> = new Set(["link", "address", "route"]);

/** Made by `redundant`. */
export class RedundantSocket {
  /** The socket that all copies come to and leave from. */
  readonly socket: UdpSocket;
  /** Where `send` goes, if that was said. */
  readonly remote: RedundantRemote | undefined;
  readonly #host: Host;
  readonly #filter: CopyFilter;
  readonly #interfaces: readonly string[] | undefined;
  readonly #changes: Subscription;
  /** Grows whenever ways may be others. */
  #generation = 0;

  /** For `redundant`. */
  constructor(host: Host, options: RedundantOptions, handler: RedundantHandler) {
    if (typeof handler !== "function") throw new TypeError("a datagram handler is a function");
    const checked = checkRedundantOptions(options);
    const { network } = host;
    const filter = new CopyFilter(checked, network.random);
    this.#host = host;
    this.#filter = filter;
    this.#interfaces = checked.interfaces;
    this.socket = host.udp(checked.udp, (datagram) => {
      const end = datagram.at + datagram.length;
      const at = filter.take(datagram, network.now);
      if (at !== DROPPED) handler(datagram, at, end - at);
    });
    this.#changes = host.on(({ kind }) => {
      if (CHANGES.has(kind)) this.#generation += 1;
    });
    try {
      this.remote = checked.remotes.length === 0 ? undefined : this.to(checked.remotes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** False after `close`. */
  get open(): boolean {
    return this.socket.open;
  }

  /**
   * A peer to send to: one address, over every interface with a route there, or several, each once. Each call starts a stream
   * of its own: hold what it returns. Throws a TypeError or RangeError for what is no endpoint.
   */
  to(remote: EndpointText | readonly EndpointText[]): RedundantRemote {
    return new RedundantRemote(this.#host, this.socket, readRemotes(remote), {
      headerBytes: this.#filter.headerBytes,
      interfaces: this.#interfaces,
      generation: () => this.#generation,
    });
  }

  /** Sends to the `remote` of the options; see `RedundantRemote.send`. Throws a TypeError where there is none. */
  send(payload: Uint8Array): number;
  send(lengthBytes: number, write: PayloadWriter): number;
  send(payload: Uint8Array | number, write?: PayloadWriter): number {
    if (this.remote === undefined)
      throw new TypeError("send needs a remote: name one in the options, or use to()");
    return typeof payload === "number" ? this.remote.send(payload, write!) : this.remote.send(payload);
  }

  statistics(): RedundantStatistics {
    return { ...this.#filter.statistics(), socket: this.socket.statistics() };
  }

  /** Gives the port back. Idempotent. */
  close(): void {
    this.#changes.close();
    this.socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a socket that sends each datagram over all live paths and hears each once: `handler` gets the first copy, where it lies.
 *
 *     const link = redundant(host, { port: 9000, remote: { address: "10.9.9.9", port: 9000 } }, (datagram, at, length) => {
 *       use(datagram.bytes, at, length);
 *     });
 *     link.send(bytes);
 *
 * Throws a TypeError or RangeError that names what is wrong with the options, also where the port is taken.
 */
export const redundant = (
  host: Host,
  options: RedundantOptions,
  handler: RedundantHandler,
): RedundantSocket => new RedundantSocket(host, options, handler);

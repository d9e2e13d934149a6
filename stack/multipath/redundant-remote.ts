/**
 * A peer that datagrams are sent to redundantly: the stream to it, and a copy over each way that leads there now.
 */
import type { Host } from "../ip/host.ts";
import type { EndpointText } from "../udp/options.ts";
import type { PayloadWriter, UdpSocket } from "../udp/socket.ts";
import * as header from "./copy-header.ts";
import { CopyWays } from "./copy-ways.ts";

export interface RedundantRemoteParts {
  /** Bytes in front of each payload: those of the header, or none. */
  readonly headerBytes: number;
  readonly interfaces: readonly string[] | undefined;
  /** Grows whenever ways may be others. */
  readonly generation: () => number;
}

/** Counters of one way, in datagrams. */
export interface CopyWayStatistics {
  /** "10.0.0.1:9000". */
  readonly remote: string;
  /** The interface that it is pinned to; undefined where the route says which. */
  readonly interface: string | undefined;
  readonly sent: number;
  /** Not tried: nothing led there, or only over paths that are down. */
  readonly skipped: number;
  /** Tried, and refused: the ring was full, or the datagram too long. */
  readonly refused: number;
}

export interface RedundantRemoteStatistics {
  /** Datagrams of which a copy at least was sent. */
  readonly sent: number;
  /** Datagrams of which none was. */
  readonly unsent: number;
  /** The ways of now. */
  readonly ways: readonly CopyWayStatistics[];
}

const NOTHING = new Uint8Array(0);

/** Made by `RedundantSocket.to`. */
export class RedundantRemote {
  readonly #socket: UdpSocket;
  readonly #parts: RedundantRemoteParts;
  readonly #ways: CopyWays;
  readonly #high: number;
  readonly #low: number;
  /** The generation that the ways are of. */
  #generation: number;
  #sequence = 0;
  #sent = 0;
  #unsent = 0;
  #payload: Uint8Array = NOTHING;
  #write: PayloadWriter | undefined;
  /** Writes one copy: one function for all, so that sending allocates none. */
  readonly #copy: PayloadWriter = (view, at, lengthBytes) => this.#writeCopy(view, at, lengthBytes);

  constructor(host: Host, socket: UdpSocket, remotes: readonly EndpointText[], parts: RedundantRemoteParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#generation = parts.generation();
    this.#ways = new CopyWays(host, socket, remotes, parts.interfaces);
    const { random } = host.network;
    this.#high = random.next() | 0;
    this.#low = random.next() | 0;
  }

  /**
   * Sends a copy of `payload`, or `lengthBytes` that `write` fills, over each way; returns over how many. `write` is called for
   * each copy. 0 where none could be sent, which the counters explain; the datagram then has never been.
   *
   * @throws TypeError or RangeError for what can't be a payload or a length, and where the socket is closed; an Error where it is
   * called by a writer, whose own datagram is not complete.
   */
  send(payload: Uint8Array): number;
  send(lengthBytes: number, write: PayloadWriter): number;
  send(payload: Uint8Array | number, write?: PayloadWriter): number {
    // Before anything is changed that the writer's other copies need.
    if (this.#socket.network.outgoing.busy)
      throw new Error("a writer can't send: its datagram is not complete");
    let lengthBytes = 0;
    if (typeof payload === "number") {
      if (typeof write !== "function") throw new TypeError("send needs a writer for that many bytes");
      lengthBytes = payload;
      this.#write = write;
    } else {
      if (!(payload instanceof Uint8Array)) throw new TypeError("a payload is a Uint8Array");
      lengthBytes = payload.length;
      this.#payload = payload;
      this.#write = undefined;
    }
    const copies = this.#sendCopies(lengthBytes + this.#parts.headerBytes);
    if (copies === 0) this.#unsent += 1;
    return copies;
  }

  statistics(): RedundantRemoteStatistics {
    return {
      sent: this.#sent,
      unsent: this.#unsent,
      ways: this.#ways.list.map(({ remote, interface: name, sent, skipped, refused }) => ({
        remote: remote.toString(),
        interface: name,
        sent,
        skipped,
        refused,
      })),
    };
  }

  #sendCopies(totalBytes: number): number {
    const generation = this.#parts.generation();
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#ways.refresh();
    }
    const { list } = this.#ways;
    let copies = 0;
    try {
      for (let i = 0; i < list.length; i++) {
        const way = list[i]!;
        // Asked first, so that a path that is down is no refusal of the socket's.
        if (way.remote.destination.prepare() !== 0) {
          way.skipped += 1;
        } else if (this.#socket.send(way.remote, totalBytes, this.#copy)) {
          way.sent += 1;
          copies += 1;
        } else {
          way.refused += 1;
        }
      }
    } finally {
      // Also where a writer threw at a later copy. A number that nobody was sent would look like a loss.
      if (copies > 0) {
        this.#sequence = (this.#sequence + 1) | 0;
        this.#sent += 1;
      }
    }
    return copies;
  }

  #writeCopy(view: DataView, at: number, lengthBytes: number): number | void {
    const { headerBytes } = this.#parts;
    if (headerBytes > 0) header.writeHeader(view, at, this.#high, this.#low, this.#sequence);
    const payloadAt = at + headerBytes;
    if (this.#write === undefined) {
      this.#socket.network.outgoing.bytes.set(this.#payload, payloadAt);
      return;
    }
    const written = this.#write(view, payloadAt, lengthBytes - headerBytes);
    // What makes no sense is the socket's to refuse.
    return written === undefined || !(written >= 0) ? written : headerBytes + written;
  }
}

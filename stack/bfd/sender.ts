/**
 * Small UDP datagrams that leave over exactly one interface, to whoever is on its link, whatever routes and paths say.
 */
import type { Destination, Network, Refused } from "../transport/network.ts";
import type { IpAddress } from "../wire/address.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";

/** RFC 5881 section 5: the receiver knows by it that no router was between. */
export const ONE_HOP = 255;

export interface SenderOptions {
  /** The host's number of the interface. */
  readonly interface: number;
  /** The station that frames go to. */
  readonly station: IpAddress;
  /** Where packets go to: the station, or an address of ours that it sends them back to. */
  readonly to: IpAddress;
  /** Ours; undefined for the one that is chosen by itself. */
  readonly from: IpAddress | undefined;
  readonly fromPort: number;
  readonly toPort: number;
  readonly trafficClass: number;
}

export class Sender {
  readonly destination: Destination;
  readonly #network: Network;
  readonly #fromPort: number;
  readonly #toPort: number;
  /** A packet that waited for the station's Ethernet address this long says nothing new any more, in ms. */
  readonly #lifetimeMs: number;

  constructor(network: Network, options: SenderOptions, lifetimeMs: number) {
    const { interface: index, station, to, from, trafficClass } = options;
    this.#network = network;
    this.#fromPort = options.fromPort;
    this.#toPort = options.toPort;
    this.#lifetimeMs = lifetimeMs;
    this.destination = network.destination(to, {
      source: from,
      interface: index,
      via: { interface: index, gateway: station.equals(to) ? undefined : station },
      ttl: ONE_HOP,
      trafficClass,
    });
  }

  /** Sends `lengthBytes` that `write` fills; 0, or why not. */
  send(lengthBytes: number, write: (view: DataView, bytes: Uint8Array, at: number) => void): 0 | Refused {
    const { outgoing } = this.#network;
    const total = udp.HEADER_BYTES + lengthBytes;
    const at = outgoing.begin(this.destination, PROTOCOL.UDP, total);
    if (at < 0) return at as Refused;
    const { view } = outgoing;
    write(view, outgoing.bytes, at + udp.HEADER_BYTES);
    udp.writeInFront(view, at, this.#fromPort, this.#toPort, total, outgoing.pseudoSum());
    return outgoing.end(undefined, this.#lifetimeMs);
  }
}

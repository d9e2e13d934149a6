/**
 * The messages of neighbour discovery that a host sends (RFC 4861 sections 6.3.7, 7.2 and RFC 7527), as whole packets.
 */
import { ALL_NODES6, ALL_ROUTERS6, ANY6, type IpAddress } from "../../wire/address.ts";
import { ETHERTYPE } from "../../wire/ethernet.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { type MacAddress, multicastMac } from "../../wire/mac.ts";
import * as ndp from "../../wire/ndp.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import type { Outlet } from "../environment.ts";

/** Messages that an interface sent, and those that it had no room for. */
export interface NdpSenderStatistics {
  readonly solicitationsSent: number;
  readonly advertisementsSent: number;
  readonly probesSent: number;
  readonly routerSolicitationsSent: number;
  readonly unsent: number;
}

export class NdpSender {
  /** The R flag of advertisements: the host forwards packets of others. */
  isRouter = false;
  readonly #outlet: Outlet;
  readonly #counts = {
    solicitationsSent: 0,
    advertisementsSent: 0,
    probesSent: 0,
    routerSolicitationsSent: 0,
    unsent: 0,
  };

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** Asks for `target`: the group of those who may have it, or itself at `mac` whether it is still there. */
  solicit(source: IpAddress, target: IpAddress, mac: MacAddress | undefined): boolean {
    const options: ndp.NdpOption[] = [{ kind: "source-link-layer", mac: this.#outlet.mac }];
    const group = target.solicitedNode();
    return this.#send(
      "solicitationsSent",
      mac ?? multicastMac(group),
      { source, destination: mac === undefined ? group : target },
      { kind: "neighbour-solicitation", target, options },
    );
  }

  /** Asks whether anybody has `target`, from nobody (RFC 4862 section 5.4.2). */
  probe(target: IpAddress, nonce: Uint8Array): boolean {
    const destination = target.solicitedNode();
    return this.#send(
      "probesSent",
      multicastMac(destination),
      { source: ANY6, destination },
      { kind: "neighbour-solicitation", target, options: [{ kind: "nonce", nonce }] },
    );
  }

  /**
   * Answers who asked: `destination` at `mac`, or all where that is undefined, as one without an address asked. Not
   * `solicited`: tells them without having been asked.
   */
  advertise(
    target: IpAddress,
    destination: IpAddress | undefined,
    mac: MacAddress | undefined,
    solicited = destination !== undefined,
  ): boolean {
    return this.#send(
      "advertisementsSent",
      mac ?? multicastMac(ALL_NODES6),
      { source: target, destination: destination ?? ALL_NODES6 },
      {
        kind: "neighbour-advertisement",
        router: this.isRouter,
        solicited,
        override: true,
        target,
        // Needed only in answers to a group, and useful in the others.
        options: [{ kind: "target-link-layer", mac: this.#outlet.mac }],
      },
    );
  }

  /** Asks the routers to speak. `source` undefined: from nobody. */
  solicitRouters(source: IpAddress | undefined): boolean {
    return this.#send(
      "routerSolicitationsSent",
      multicastMac(ALL_ROUTERS6),
      { source: source ?? ANY6, destination: ALL_ROUTERS6 },
      {
        kind: "router-solicitation",
        options: source === undefined ? [] : [{ kind: "source-link-layer", mac: this.#outlet.mac }],
      },
    );
  }

  statistics(): NdpSenderStatistics {
    return { ...this.#counts };
  }

  #send(
    counter: keyof NdpSenderStatistics,
    mac: MacAddress,
    { source, destination }: { readonly source: IpAddress; readonly destination: IpAddress },
    message: ndp.NdpRecord,
  ): boolean {
    const length = ndp.lengthOf(message);
    const header: ipv6.Ipv6Record = {
      trafficClass: 0,
      flowLabel: 0,
      payloadLength: length,
      nextHeader: PROTOCOL.ICMPV6,
      hopLimit: ndp.HOP_LIMIT,
      source,
      destination,
    };
    const sent = this.#outlet.send(mac, ETHERTYPE.IPV6, ipv6.HEADER_BYTES + length, (view, at) => {
      ndp.emit(message, view, at + ipv6.emit(header, view, at), source, destination);
    });
    this.#counts[sent ? counter : "unsent"] += 1;
    return sent;
  }
}

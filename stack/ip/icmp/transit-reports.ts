/**
 * What a router tells the senders of packets that it did not send on (RFC 1812 section 5.2.7, RFC 4443 section 3), for those who
 * forward on their own. Rates are limited, and nothing is said about what nothing may be said about, as for the host's own errors.
 */
import type { Packet } from "../../transport/packet.ts";
import * as icmp4 from "../../wire/icmpv4.ts";
import * as icmp6 from "../../wire/icmpv6.ts";
import type { Interface } from "../interface.ts";
import type { Icmp4 } from "./icmp4.ts";
import type { Icmp6 } from "./icmp6.ts";

export class TransitReports {
  readonly #icmp4: Icmp4;
  readonly #icmp6: Icmp6;

  constructor(icmp4: Icmp4, icmp6: Icmp6) {
    this.#icmp4 = icmp4;
    this.#icmp6 = icmp6;
  }

  /** Its time to live is over. */
  timeExceeded(packet: Packet): void {
    if (packet.family === 4) this.#tell4(packet, icmp4.TYPE.TIME_EXCEEDED, icmp4.EXCEEDED.TRANSIT);
    else this.#tell6(packet, icmp6.TYPE.TIME_EXCEEDED, icmp6.EXCEEDED.TRANSIT);
  }

  /** It is longer than the `mtu` bytes that go on from here, and must not be cut. */
  tooBig(packet: Packet, mtu: number): void {
    const { FRAGMENTATION_NEEDED } = icmp4.UNREACHABLE;
    if (packet.family === 6) this.#tell6(packet, icmp6.TYPE.PACKET_TOO_BIG, 0, mtu);
    else this.#tell4(packet, icmp4.TYPE.DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, icmp4.restOfMtu(mtu));
  }

  /** Nobody is there to take it. */
  unreachable(packet: Packet): void {
    const { HOST } = icmp4.UNREACHABLE;
    if (packet.family === 4) this.#tell4(packet, icmp4.TYPE.DESTINATION_UNREACHABLE, HOST);
    else this.#tell6(packet, icmp6.TYPE.DESTINATION_UNREACHABLE, icmp6.UNREACHABLE.ADDRESS);
  }

  #tell4(packet: Packet, type: number, code: number, rest = 0): void {
    this.#icmp4.report(packet, type, code, rest, (packet.interface as Interface).ownFor(packet));
  }

  #tell6(packet: Packet, type: number, code: number, rest = 0): void {
    this.#icmp6.report(packet, type, code, rest, (packet.interface as Interface).ownFor(packet));
  }
}

/** Who answers those that look for a service address: on one link never two interfaces of one host at once. */
import * as arp from "../../../stack/wire/arp.ts";
import * as ethernet from "../../../stack/wire/ethernet.ts";
import * as ipv6 from "../../../stack/wire/ipv6.ts";
import * as ndp from "../../../stack/wire/ndp.ts";
import * as icmp6 from "../../../stack/wire/icmpv6.ts";
import { PROTOCOL } from "../../../stack/wire/protocol.ts";

/** The address that an answer to somebody's question is about; undefined for all other frames. */
export const answeredBy = (view: DataView, at: number, head: number): string | undefined => {
  if (head < ethernet.HEADER_BYTES) return undefined;
  const ipAt = at + ethernet.HEADER_BYTES;
  const left = head - ethernet.HEADER_BYTES;
  const type = ethernet.type(view, at);
  if (type === ethernet.ETHERTYPE.ARP) {
    if (arp.check(view, ipAt, left) !== 0 || arp.operation(view, ipAt) !== arp.OPERATION.REPLY)
      return undefined;
    return arp.senderAddress(view, ipAt).toString();
  }
  if (type !== ethernet.ETHERTYPE.IPV6 || left < ipv6.HEADER_BYTES) return undefined;
  const icmpAt = ipAt + ipv6.HEADER_BYTES;
  if (ipv6.nextHeader(view, ipAt) !== PROTOCOL.ICMPV6) return undefined;
  if (icmp6.type(view, icmpAt) !== icmp6.TYPE.NEIGHBOUR_ADVERTISEMENT) return undefined;
  const said = ndp.parse(view, icmpAt, head - (icmpAt - at));
  return said?.kind === "neighbour-advertisement" && said.solicited ? said.target.toString() : undefined;
};

export class Answers {
  /** By asker and address: who answered last, and when. */
  readonly #last = new Map<string, { readonly name: string; readonly atMs: number }>();

  /** An answer leaves `name`. True where another answered the same one at this very moment. */
  doubles(asker: string, address: string, name: string, nowMs: number): boolean {
    const key = `${asker} ${address}`;
    const last = this.#last.get(key);
    this.#last.set(key, { name, atMs: nowMs });
    return last !== undefined && last.atMs === nowMs && last.name !== name;
  }
}

/**
 * A look over a burst before its first packet is handed over: what each will be looked up by is reached for at once.
 *
 * Among a hundred thousand flows every lookup misses the caches. One after the other the misses would add up; the processor
 * waits for several at a time where nothing depends on them, which is all that happens here.
 */
import type { Burst, Queue } from "../device/device.ts";
import type { Transport } from "../transport/network.ts";
import { MAPPED } from "../wire/address.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";

/** Headers without options, tags or extensions: the others are looked up without having been reached for. */
const IPV4_HEADERS = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES;
const IPV6_HEADERS = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES;
const PROTOCOLS = 256;
/** Enough of any transport's header to hold its ports. */
const PORTS_BYTES = 4;

export class LookAhead {
  readonly #transports: (Transport | undefined)[] = Array.from({ length: PROTOCOLS }, () => undefined);
  readonly #reaching: Transport[] = [];

  install(transport: Transport): void {
    if (transport.note === undefined) return;
    this.#transports[transport.protocol] = transport;
    this.#reaching.push(transport);
  }

  /** True where any transport has something to reach for. */
  get pays(): boolean {
    for (const transport of this.#reaching) if (transport.reaches) return true;
    return false;
  }

  /** Reaches for the first `count` chunks of a burst. */
  over({ umem: { view } }: Queue, { address, length }: Burst, count: number): void {
    for (let i = 0; i < count; i++) {
      const at = address[i]!;
      const bytes = length[i]!;
      if (bytes < IPV4_HEADERS + PORTS_BYTES) continue;
      const type = ethernet.type(view, at);
      if (type === ETHERTYPE.IPV4) this.#over4(view, at + ethernet.HEADER_BYTES);
      else if (type === ETHERTYPE.IPV6 && bytes >= IPV6_HEADERS + PORTS_BYTES)
        this.#over6(view, at + ethernet.HEADER_BYTES);
    }
    for (const transport of this.#reaching) transport.reach!();
  }

  #over4(view: DataView, at: number): void {
    const transport = this.#transports[ipv4.protocol(view, at)];
    transport?.note?.(view, at + ipv4.HEADER_BYTES, 0, 0, MAPPED, ipv4.sourceWord(view, at));
  }

  #over6(view: DataView, at: number): void {
    const transport = this.#transports[ipv6.nextHeader(view, at)];
    transport?.note?.(
      view,
      at + ipv6.HEADER_BYTES,
      ipv6.sourceWord(view, at, 0),
      ipv6.sourceWord(view, at, 1),
      ipv6.sourceWord(view, at, 2),
      ipv6.sourceWord(view, at, 3),
    );
  }
}

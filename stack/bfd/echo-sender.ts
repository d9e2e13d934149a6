/**
 * Sends the echoes of one session: to ourselves, by way of the peer, who forwards them (RFC 5881 section 4).
 *
 * They come from the address that they go to, though that one is of the link's network and section 4 would rather have another,
 * so that the peer sends no redirects: a host may have no other, and a router that filters by source address takes this one. A
 * redirect about our own address changes nothing here, for it is not from the first hop of any route to it.
 */
import type { Random } from "../device/random.ts";
import type { IpAddress } from "../wire/address.ts";
import * as echoPacket from "./echo-packet.ts";
import type { Sender } from "./sender.ts";

export class EchoSender {
  readonly #discriminator: number;
  readonly #nonce: number;
  readonly #over: (own: IpAddress) => Sender;
  #sender: Sender | undefined;
  /** The address that it sends to. */
  #own: IpAddress | undefined;
  /** Of the echo that is being written. */
  #sequence = 0;

  /** `over` makes the way from an address of ours by the peer to the same. */
  constructor(discriminator: number, random: Random, over: (own: IpAddress) => Sender) {
    this.#discriminator = discriminator;
    this.#nonce = random.next() >>> 0;
    this.#over = over;
  }

  /** Sends one to `own`, our address on the link; false where that is not possible. */
  send(sequence: number, own: IpAddress | undefined): boolean {
    if (own === undefined) return false;
    if (this.#sender === undefined || this.#own?.equals(own) !== true) {
      this.#sender = this.#over(own);
      this.#own = own;
    }
    this.#sequence = sequence;
    return this.#sender.send(echoPacket.ECHO_BYTES, this.#write) === 0;
  }

  /** True where an echo with this nonce is one of these. */
  sent(nonce: number): boolean {
    return nonce === this.#nonce;
  }

  readonly #write = (view: DataView, _: Uint8Array, at: number): void =>
    echoPacket.write(view, at, this.#discriminator, this.#nonce, this.#sequence);
}

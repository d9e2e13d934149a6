/**
 * Questions to neighbours whether they are there, beside those of the cache, and who waits for the answers.
 *
 * The cache notes only what changes; whoever measures a neighbour wants every answer, with its time.
 */
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import type { AdvertisedFlags, Neighbour, NeighbourLearner } from "./neighbour.ts";

/** Asks neighbours on one interface, and tells what they answer. */
export interface Inquiry {
  /** Asks `address`: the station at `mac` alone, or all where that is undefined. False where no question left. */
  ask(address: IpAddress, mac: MacAddress | undefined): boolean;
  /**
   * Calls `heard` with each answer to us, whoever asked for it, and the Ethernet address where it tells one, until the
   * returned function is called.
   *
   * @throws RangeError where MAX_LISTENERS wait.
   */
  listen(address: IpAddress, heard: (mac: MacAddress | undefined) => void): () => void;
}

/** Waiting on one interface at most: each looks at every answer, and a link has few next hops. */
export const MAX_LISTENERS = 256;

interface Listener {
  readonly address: IpAddress;
  readonly heard: (mac: MacAddress | undefined) => void;
}

/** Who waits for the answers of which neighbour. */
export class Answers {
  /** Replaced, never changed in place: `tell` may walk over it while a listener ends. */
  #listeners: readonly Listener[] = [];

  listen(address: IpAddress, heard: (mac: MacAddress | undefined) => void): () => void {
    if (this.#listeners.length >= MAX_LISTENERS)
      throw new RangeError(`at most ${MAX_LISTENERS} wait for answers of neighbours on one interface`);
    const listener: Listener = { address, heard };
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  /** `address` answered us. */
  tell(address: IpAddress, mac: MacAddress | undefined): void {
    for (const listener of this.#listeners) if (listener.address.equals(address)) listener.heard(mac);
  }
}

/** What ARP and neighbour discovery tell a cache, with each answer to us told to those who wait for it too. */
export const overheard = <P>(cache: NeighbourLearner<P>, answers: Answers): NeighbourLearner<P> => ({
  lookup: (w0, w1, w2, w3) => cache.lookup(w0, w1, w2, w3),
  resolve: (address) => cache.resolve(address),
  used: (neighbour) => cache.used(neighbour),
  solicited: (address, mac, isRouter) => cache.solicited(address, mac, isRouter),
  setRouter: (address, isRouter) => cache.setRouter(address, isRouter),
  advertised: (address: IpAddress, mac: MacAddress | undefined, flags: AdvertisedFlags) => {
    cache.advertised(address, mac, flags);
    // What is said unasked does not show that we are heard (RFC 4861 section 7.3.1).
    if (flags.solicited && mac?.multicast !== true) answers.tell(address, mac);
  },
});

/** Sends a request for one neighbour: to its Ethernet address where `unicast`, else to all. False where none left. */
export type Solicit = (neighbour: Pick<Neighbour<unknown>, "address" | "mac">, unicast: boolean) => boolean;

/** Questions over ARP and neighbour discovery of our own. */
export const inquiryOf = (answers: Answers, solicit4: Solicit, solicit6: Solicit): Inquiry => ({
  ask: (address, mac) => {
    const solicit = address.family === 4 ? solicit4 : solicit6;
    return solicit({ address, mac }, mac !== undefined);
  },
  listen: (address, heard) => answers.listen(address, heard),
});

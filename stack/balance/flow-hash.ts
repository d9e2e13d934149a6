/**
 * The hash of a flow: of its client's address and both ports, the same on every balancer with the same seed.
 */
import { hashAddress } from "../wire/address.ts";

/**
 * An int32, every bit of which depends on every bit of the address (words as in wire/address.ts), the ports and the seed.
 * `ports` is the client's in the upper half, the service's in the lower one.
 */
export const hashFlow = (
  r0: number,
  r1: number,
  r2: number,
  r3: number,
  ports: number,
  seed: number,
): number => {
  // An IPv4 address has one word that varies: that and the ports go through the mixing together.
  const word = (r0 | r1) === 0 ? r3 ^ r2 : hashAddress(r0, r1, r2, r3, seed);
  return hashAddress(0, 0, word, ports, seed);
};

/**
 * Turning a frame around where it lies: source and destination change places.
 *
 * Checksums stay right: a sum does not care for the order of what it adds.
 */
import { ethernet, ipv4, ipv6, udp } from "millrace/wire";
import { hasPorts, type Layers } from "./layers.ts";

/** Exchanges the MAC addresses and, where there are any, IP addresses and ports. */
export const reverse = (view: DataView, at: number, layers: Layers): void => {
  const { network, transport, version } = layers;
  ethernet.swapAddresses(view, at);
  if (version === 4) ipv4.swapAddresses(view, network);
  else if (version === 6) ipv6.swapAddresses(view, network);
  if (transport >= 0 && hasPorts(layers.protocol)) udp.swapPorts(view, transport);
};

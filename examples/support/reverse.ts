/**
 * Turning a frame around where it lies: source and destination change places.
 *
 * Checksums stay right: a sum does not care for the order of what it adds.
 */
import {
  ETHERNET,
  hasPorts,
  IPV4,
  IPV4_ADDRESS_BYTES,
  IPV6,
  IPV6_ADDRESS_BYTES,
  type Layers,
  MAC_BYTES,
  UDP,
} from "./packet.ts";

/** Exchanges `length` bytes at `a` with those at `b`; the lengths here are whole 16-bit words. */
const exchange = (view: DataView, a: number, b: number, length: number): void => {
  for (let i = 0; i < length; i += Uint16Array.BYTES_PER_ELEMENT) {
    const word = view.getUint16(a + i);
    view.setUint16(a + i, view.getUint16(b + i));
    view.setUint16(b + i, word);
  }
};

/** Exchanges the MAC addresses and, where there are any, IP addresses and ports. */
export const reverse = (view: DataView, at: number, layers: Layers): void => {
  exchange(view, at + ETHERNET.destination, at + ETHERNET.source, MAC_BYTES);
  const { network, transport } = layers;
  if (layers.version === 4) {
    exchange(view, network + IPV4.source, network + IPV4.destination, IPV4_ADDRESS_BYTES);
  } else if (layers.version === 6) {
    exchange(view, network + IPV6.source, network + IPV6.destination, IPV6_ADDRESS_BYTES);
  }
  if (transport >= 0 && hasPorts(layers.protocol))
    exchange(view, transport + UDP.source, transport + UDP.destination, UDP.length - UDP.destination);
};

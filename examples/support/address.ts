/**
 * Addresses as people write them, and those that an interface has.
 */
import { networkInterfaces } from "node:os";
import { isIPv4 } from "node:net";
import { probe } from "millrace";
import { MAC_BYTES } from "./packet.ts";
import { UsageError } from "./program.ts";

const HEXADECIMAL = 16;

/** The four octets of "10.0.0.1". */
export const readIpv4 = (name: string, text: string): number[] => {
  if (!isIPv4(text)) throw new UsageError(`${name} is an IPv4 address, not ${JSON.stringify(text)}`);
  return text.split(".").map(Number);
};

/** The six octets of "02:00:00:00:00:0a". */
export const readMac = (name: string, text: string): Uint8Array => {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new UsageError(`${name} is a MAC address, not ${JSON.stringify(text)}`);
  return Uint8Array.from(text.split(":"), (octet) => Number.parseInt(octet, HEXADECIMAL));
};

export const BROADCAST = new Uint8Array(MAC_BYTES).fill(0xff);

/** The MAC address of a veth's other end, or broadcast where that cannot be known. */
export const peerMac = (name: string, namespace: string | undefined): Uint8Array =>
  probe(name, namespace === undefined ? {} : { namespace }).interface?.peer?.link.mac ?? BROADCAST;

/** The first IPv4 address of an interface of this namespace. */
export const ipv4Of = (name: string): string | undefined =>
  networkInterfaces()[name]?.find((address) => address.family === "IPv4")?.address;

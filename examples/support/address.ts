/**
 * Addresses as people write them, and those that an interface has.
 */
import { networkInterfaces } from "node:os";
import { probe } from "millrace";
import { BROADCAST_MAC, IpAddress, MacAddress, Prefix } from "millrace/wire";
import { UsageError } from "./program.ts";

/** An IP address of the command line. */
export const readIp = (name: string, text: string): IpAddress => {
  const address = IpAddress.tryParse(text);
  if (address === undefined) throw new UsageError(`${name} is an IP address, not ${JSON.stringify(text)}`);
  return address;
};

/** "10.0.0.0/8". */
export const readPrefix = (name: string, text: string): Prefix => {
  try {
    return Prefix.parse(text);
  } catch {
    throw new UsageError(`${name} is a prefix such as 10.9.0.0/16, not ${JSON.stringify(text)}`);
  }
};

/** "10.0.0.1". */
export const readIpv4 = (name: string, text: string): IpAddress => {
  const address = IpAddress.tryParse(text);
  if (address?.family !== 4) throw new UsageError(`${name} is an IPv4 address, not ${JSON.stringify(text)}`);
  return address;
};

/** "02:00:00:00:00:0a". */
export const readMac = (name: string, text: string): MacAddress => {
  const mac = MacAddress.tryParse(text);
  if (mac === undefined) throw new UsageError(`${name} is a MAC address, not ${JSON.stringify(text)}`);
  return mac;
};

/** The MAC address of a veth's other end, or broadcast where that cannot be known. */
export const peerMac = (name: string, namespace: string | undefined): MacAddress => {
  const mac = probe(name, namespace === undefined ? {} : { namespace }).interface?.peer?.link.mac;
  return mac === undefined ? BROADCAST_MAC : MacAddress.fromBytes(mac);
};

/** The first IPv4 address of an interface of this namespace. */
export const ipv4Of = (name: string): string | undefined =>
  networkInterfaces()[name]?.find((address) => address.family === "IPv4")?.address;

/**
 * Addresses of a program's own on an interface that a kernel uses too: what they claim of its traffic, and nothing else.
 */
import type { Claim, Host, Interface, XdpDevice } from "millrace";
import { type IpAddress, parseInterfaceAddress } from "millrace/wire";
import { readIp } from "./address.ts";
import { UsageError } from "./program.ts";

/** "10.0.0.9/24" of the command line: an address, and how much of it is the network's. */
export const readOwn = (name: string, text: string): ReturnType<typeof parseInterfaceAddress> => {
  if (text.includes("/")) {
    try {
      return parseInterfaceAddress(text);
    } catch {
      // What is wrong with it is said below, with an example.
    }
  }
  throw new UsageError(
    `${name} is an address with a length such as 10.0.0.9/24, not ${JSON.stringify(text)}`,
  );
};

/**
 * What is meant for these addresses: packets to them, and the questions of neighbours who has them. All else, also ARP and
 * neighbour discovery for others, stays the kernel's.
 */
export const claimsOf = (addresses: readonly IpAddress[]): Claim[] =>
  addresses.flatMap((address): Claim[] => {
    const destination = address.toString();
    return address.family === 4
      ? [{ destination }, { arp: true, destination }]
      : // A neighbour asks the group that the last bits of the address name (RFC 4291 section 2.7.1).
        [{ destination }, { destination: address.solicitedNode().toString() }];
  });

/** Joins beside the kernel where no addresses of its own are given, and with these where there are some. */
export const joinAt = (
  host: Host,
  device: XdpDevice,
  addresses: readonly string[],
  gateway: readonly string[],
): Interface => {
  for (const text of gateway) readIp("--gateway", text);
  if (addresses.length === 0) return host.beside(device);
  // The link-local address that belongs to the interface's MAC is the kernel's.
  return host.join(device, { addresses, gateway, linkLocal: false });
};

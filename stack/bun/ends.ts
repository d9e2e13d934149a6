/**
 * Addresses in the texts of a socket that has one family, as the kernel's sockets do.
 *
 * A socket of IPv6 writes IPv4 addresses as "::ffff:10.0.0.1" (RFC 3493 section 3.7), and link-local ones with the name of
 * their interface behind them (RFC 4007 section 11).
 */
import type { LinkInterface } from "../transport/packet.ts";
import { type Family, IpAddress, LOOPBACK4 } from "../wire/address.ts";
import { argumentError } from "./errors.ts";

/** An address as it was written. */
export interface End {
  readonly address: IpAddress;
  /** Name of an interface behind "%". */
  readonly zone: string | undefined;
  /** Of the text: 6 also for "::ffff:10.0.0.1". */
  readonly family: Family;
}

/** The one name that needs no looking up (RFC 6761 section 6.3); Bun takes its IPv4 address. */
const LOCALHOST = "localhost";

/** Reads a numeric address; undefined for anything else. */
export const tryReadEnd = (text: string): End | undefined => {
  const percent = text.indexOf("%");
  const address = IpAddress.tryParse(percent < 0 ? text : text.slice(0, percent));
  if (address === undefined) return undefined;
  const zone = percent < 0 ? undefined : text.slice(percent + 1);
  return { address, zone, family: text.includes(":") ? 6 : 4 };
};

/** Reads what may be a name elsewhere. Throws a TypeError for names other than "localhost". */
export const readHost = (option: string, text: string): End => {
  if (text === LOCALHOST) return { address: LOOPBACK4, zone: undefined, family: 4 };
  const end = tryReadEnd(text);
  if (end !== undefined) return end;
  throw argumentError(
    `Expected "${option}" to be a numeric IP address, not ${JSON.stringify(text)}: a host looks up no names; ` +
      "resolve it first, as with lookup of node:dns/promises",
  );
};

/** True where a socket bound to `own` can send to `to`: IPv6 sockets of no address in particular reach both families. */
export const reaches = (own: End, to: End): boolean => {
  if (own.family === 4) return to.family === 4;
  if (own.address.unspecified && own.address.family === 6) return true;
  return own.address.family === to.address.family;
};

/** Writes an address as a socket of `family` does. */
export const textOf = (address: IpAddress, family: Family): string =>
  address.family === family ? address.toString() : `::ffff:${address}`;

/** Writes the sender of a datagram that came in on `on`. */
export const senderText = (address: IpAddress, family: Family, on: LinkInterface): string =>
  address.family === 6 && address.linkLocal ? `${address}%${on.name}` : textOf(address, family);

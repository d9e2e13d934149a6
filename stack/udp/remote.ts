/**
 * Somebody to send datagrams to: an address and a port, with the way there looked up once and kept.
 */
import type { Destination } from "../transport/network.ts";
import type { IpAddress } from "../wire/address.ts";

/** A remote endpoint (RFC 9622 section 6.1) of one socket. Made by `socket.to`; hold it to send without a lookup. */
export class Remote {
  readonly address: IpAddress;
  readonly port: number;
  /** The way there. For the socket. */
  readonly destination: Destination;

  constructor(destination: Destination, port: number) {
    this.address = destination.address;
    this.port = port;
    this.destination = destination;
  }

  /** "10.0.0.1:53" or "[2001:db8::1]:53". */
  toString(): string {
    return this.address.family === 4 ? `${this.address}:${this.port}` : `[${this.address}]:${this.port}`;
  }
}

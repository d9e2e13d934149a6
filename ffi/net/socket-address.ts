/**
 * Addresses of sockets as C has them: struct sockaddr_in and sockaddr_in6 of netinet/in.h, written and read.
 *
 * Port and addresses are in network order, the rest in the machine's.
 */
import { struct, type Struct } from "../sys/memory.ts";
import { addressBytes, AF_INET, AF_INET6, type SystemFamily } from "./rtnetlink.ts";

const FAMILY = 0;
const PORT = FAMILY + 2;
const ADDRESS4 = PORT + 2;
const SOCKADDR_IN_BYTES = ADDRESS4 + 12;
const FLOW_INFO = PORT + 2;
const ADDRESS6 = FLOW_INFO + 4;
const SCOPE_ID = ADDRESS6 + 16;

/** Room for an address of either family. */
export const SOCKADDR_BYTES = SCOPE_ID + 4;

const addressAt = (family: SystemFamily): number => (family === AF_INET ? ADDRESS4 : ADDRESS6);

/** One to bind to; the unspecified address unless one is given. `scope` is the interface of a link-local one, else 0. */
export const encodeSockaddr = (
  family: SystemFamily,
  address: Uint8Array | undefined,
  port: number,
  scope: number,
): Struct => {
  const made = struct(family === AF_INET ? SOCKADDR_IN_BYTES : SOCKADDR_BYTES);
  made.view.setUint16(FAMILY, family, true);
  made.view.setUint16(PORT, port);
  made.bytes.set(address ?? new Uint8Array(addressBytes(family)), addressAt(family));
  if (family === AF_INET6) made.view.setUint32(SCOPE_ID, scope, true);
  return made;
};

/** The port in the one at `at`. */
export const sockaddrPort = (view: DataView, at: number): number => view.getUint16(at + PORT);

/** A copy of the address in the one at `at`; undefined where it is of another family. */
export const sockaddrAddress = (
  { bytes, view }: Struct,
  at: number,
  family: SystemFamily,
): Uint8Array | undefined => {
  if (view.getUint16(at + FAMILY, true) !== family) return undefined;
  const from = at + addressAt(family);
  return bytes.slice(from, from + addressBytes(family));
};

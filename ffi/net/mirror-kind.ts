/**
 * What a mirrored table holds and how: keys, how a notification changes what is held under a key, and what that amounts to.
 *
 * Several of the kernel's entries can share a key of what is told (interface and address; prefix and metric), so that a key
 * holds a list, in the kernel's order.
 */
import { encodeAddressQuery, parseAddress, RTM_ADDRESS, type AddressRecord } from "./address-message.ts";
import type { Message } from "./message.ts";
import {
  encodeNeighbourQuery,
  parseNeighbour,
  RTM_NEIGHBOUR,
  type NeighbourRecord,
} from "./neighbour-message.ts";
import { encodeRouteQuery, parseRoute, RTM_ROUTE, type RouteRecord } from "./route-message.ts";
import {
  addRoute4,
  addRoute6,
  dropRoute4,
  dropRoute6,
  keyOfRoute,
  tellRoute,
  type Held,
  type Manner,
} from "./route-rules.ts";
import { AF_INET, AF_INET6, NLM_F_NEW, type SystemFamily, type Unread } from "./rtnetlink.ts";
import type { AddressChange, NeighbourChange, SystemChange } from "./system-change.ts";

export interface Kind<R> {
  /** In words that follow "list". */
  readonly name: string;
  readonly family: SystemFamily;
  readonly types: { readonly NEW: number; readonly DEL: number; readonly GET: number };
  /** The kernel also drops entries without a word. */
  readonly forgetful: boolean;
  query(): Uint8Array;
  parse(message: Message): R | Unread;
  key(record: R): string;
  add(held: readonly R[], record: R, manner: Manner): Held<R>;
  drop(held: readonly R[], record: R): Held<R>;
  /** Undefined where nothing of what is held can be used. */
  tell(held: readonly R[]): SystemChange | undefined;
}

export const mannerOf = (flags: number): Manner => ({
  replace: (flags & NLM_F_NEW.REPLACE) !== 0,
  append: (flags & NLM_F_NEW.APPEND) !== 0,
});

/** Interface and address in one text. */
export const keyOfAddress = (interfaceIndex: number, address: Uint8Array): string =>
  `${interfaceIndex} ${address.toHex()}`;

const familyName = (family: SystemFamily): string => (family === AF_INET ? "IPv4" : "IPv6");

/** IPv4 takes the same address twice on one interface, with different prefixes or peers. */
const sameAddress = (one: AddressRecord, other: AddressRecord): boolean =>
  one.prefixLength === other.prefixLength && one.peer?.toHex() === other.peer?.toHex();

const tellAddress = ([first]: readonly AddressRecord[]): AddressChange | undefined =>
  first && {
    kind: "address",
    present: true,
    interface: first.interface,
    address: first.address,
    // Beside a peer there is no network of its own; what is behind the peer is told as a route.
    prefixLength: first.peer === undefined ? first.prefixLength : first.address.length * 8,
    tentative: first.tentative,
    deprecated: first.deprecated,
    temporary: first.temporary,
  };

const addresses = (family: SystemFamily): Kind<AddressRecord> => ({
  name: `${familyName(family)} addresses`,
  family,
  types: RTM_ADDRESS,
  forgetful: false,
  query: () => encodeAddressQuery(family),
  parse: parseAddress,
  key: (record) => keyOfAddress(record.interface, record.address),
  add: (held, record) => {
    const at = held.findIndex((each) => sameAddress(each, record));
    return { records: at < 0 ? [...held, record] : held.with(at, record), doubtful: false };
  },
  drop: (held, record) => ({ records: held.filter((each) => !sameAddress(each, record)), doubtful: false }),
  tell: tellAddress,
});

const tellNeighbour = ([only]: readonly NeighbourRecord[]): NeighbourChange | undefined =>
  only === undefined || only.state === "none"
    ? undefined
    : {
        kind: "neighbour",
        present: true,
        interface: only.interface,
        address: only.address,
        mac: only.mac,
        state: only.state,
        router: only.router,
      };

const neighbours = (family: SystemFamily): Kind<NeighbourRecord> => ({
  name: `${familyName(family)} neighbours`,
  family,
  types: RTM_NEIGHBOUR,
  forgetful: false,
  query: () => encodeNeighbourQuery(family),
  parse: parseNeighbour,
  key: (record) => keyOfAddress(record.interface, record.address),
  add: (_, record) => ({ records: [record], doubtful: false }),
  drop: () => ({ records: [], doubtful: false }),
  tell: tellNeighbour,
});

const routes = (family: SystemFamily): Kind<RouteRecord> => ({
  name: `${familyName(family)} routes`,
  family,
  types: RTM_ROUTE,
  forgetful: true,
  query: () => encodeRouteQuery(family),
  parse: parseRoute,
  key: keyOfRoute,
  add: family === AF_INET ? addRoute4 : addRoute6,
  drop: family === AF_INET ? dropRoute4 : dropRoute6,
  tell: tellRoute,
});

export const ADDRESSES4 = addresses(AF_INET);
export const ADDRESSES6 = addresses(AF_INET6);
export const ROUTES4 = routes(AF_INET);
export const ROUTES6 = routes(AF_INET6);
export const NEIGHBOURS4 = neighbours(AF_INET);
export const NEIGHBOURS6 = neighbours(AF_INET6);

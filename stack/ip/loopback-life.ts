/**
 * The interface on which a host reaches itself: no neighbours, no groups of its own, the loopback addresses.
 */
import type { LoopbackDevice } from "../device/loopback.ts";
import { LOOPBACK4, LOOPBACK6 } from "../wire/address.ts";
import { AddressBook } from "./addresses/addresses.ts";
import type { Environment, Outlet } from "./environment.ts";
import { Interface } from "./interface.ts";
import { Link } from "./link.ts";
import { MirroredNeighbours } from "./neighbours/mirrored-neighbours.ts";
import { Groups } from "./groups/multicast.ts";
import type { NeighbourIo } from "./neighbours/neighbour.ts";
import type { Parked } from "./parked.ts";

const LOOPBACK4_BITS = 8;
const LOOPBACK6_BITS = 128;

/** Neighbours that nobody asks for: what would wait for one is given back. */
const NOBODY: NeighbourIo<Parked> = {
  solicit: () => {},
  send: (parked, neighbour) => parked.leave(neighbour),
  discard: (parked, _neighbour, reason) => parked.drop(reason),
  changed: () => {},
};

/** A link where nothing of a protocol's own is ever said. */
export const silent = (link: Link): Outlet => ({
  name: link.name,
  mac: link.mac,
  mtu: link.mtu,
  send: () => true,
});

export const loopbackInterface = (
  index: number,
  device: LoopbackDevice,
  environment: Environment,
): Interface => {
  const link = new Link(device, {});
  const addresses = new AddressBook(
    environment,
    {
      probe: () => true,
      announce: () => {},
      changed: () => made.addressesChanged(),
      joinGroup: () => {},
      leaveGroup: () => {},
    },
    { dad: false },
  );
  const made = new Interface({
    index,
    life: "loopback",
    link,
    addresses,
    neighbours4: new MirroredNeighbours(environment, NOBODY),
    neighbours6: new MirroredNeighbours(environment, NOBODY),
    groups: new Groups(environment, {
      outlet: silent(link),
      source4: () => undefined,
      linkLocal: () => undefined,
    }),
    protocols: undefined,
  });
  addresses.add(LOOPBACK4, LOOPBACK4_BITS, { dad: false });
  addresses.add(LOOPBACK6, LOOPBACK6_BITS, { dad: false });
  return made;
};

/**
 * What a path takes along when it dies: frames that the device had, and packets that waited for the next hop.
 */
import type { Device } from "../../device/device.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { Interface } from "../interface.ts";
import type { Path } from "./path.ts";

/** Frames that a device has taken and not completed. */
export const inFlight = ({ queues }: Device): number =>
  queues.reduce((sum, queue) => sum + (queue.inFlight ?? 0), 0);

/**
 * Gives up the packets that wait for the next hop of a dead path, whose senders hear of it at once rather than when the search
 * for it ends; returns how many. Over a path to whoever is on the link everybody's but those of gateways, which have paths of
 * their own.
 */
export const abandonParked = (
  on: Interface,
  { family, gateway, reason }: Path,
  isGateway: (address: IpAddress) => boolean,
): number => {
  const neighbours = on.neighboursOf(gateway?.family ?? family);
  const why = reason === "gone" ? "closed" : "unreachable";
  if (gateway !== undefined) {
    const { w0, w1, w2, w3 } = gateway;
    const neighbour = neighbours.lookup(w0, w1, w2, w3);
    return neighbour === undefined ? 0 : neighbours.abandon(neighbour, why);
  }
  let abandoned = 0;
  for (const neighbour of [...neighbours.values()])
    if (neighbour.parked.length > 0 && !isGateway(neighbour.address))
      abandoned += neighbours.abandon(neighbour, why);
  return abandoned;
};

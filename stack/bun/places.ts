/**
 * Which sockets of this shape have a port, with the kernel's idea of who stands in whose way.
 *
 * A host lets a socket of one address live beside one of all addresses on the same port; the kernel, and so Bun, does not.
 */
import type { End } from "./ends.ts";

/** Where a socket stands, as long as it does. */
export interface Place {
  readonly port: number;
  readonly end: End;
}

const ofHosts = new WeakMap<object, Places>();

export class Places {
  readonly #ports = new Map<number, Set<Place>>();

  /** The places on one host. */
  static of(host: object): Places {
    let places = ofHosts.get(host);
    if (places === undefined) ofHosts.set(host, (places = new Places()));
    return places;
  }

  isFree(port: number, end: End): boolean {
    for (const other of this.#ports.get(port) ?? []) if (collide(end, other.end)) return false;
    return true;
  }

  take(port: number, end: End): Place {
    const place = { port, end };
    const sharing = this.#ports.get(port);
    if (sharing === undefined) this.#ports.set(port, new Set([place]));
    else sharing.add(place);
    return place;
  }

  give(place: Place): void {
    const sharing = this.#ports.get(place.port);
    sharing?.delete(place);
    if (sharing?.size === 0) this.#ports.delete(place.port);
  }
}

const isEverything = ({ address }: End): boolean => address.unspecified && address.family === 6;

const collide = (a: End, b: End): boolean => {
  // "::" hears both families.
  if (isEverything(a) || isEverything(b)) return true;
  if (a.address.family !== b.address.family) return false;
  if (a.address.unspecified || b.address.unspecified) return true;
  return a.address.equals(b.address) && a.zone === b.zone;
};

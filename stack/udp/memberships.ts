/**
 * The groups that one socket is a member of, and which senders to them it wants to hear (RFC 3376 section 2).
 */
import type { Network, SourceFilter } from "../transport/network.ts";
import type { Packet } from "../transport/packet.ts";
import type { IpAddress } from "../wire/address.ts";

/** Groups of one socket: a reader of market data has hundreds. Linux takes 20 (IP_MAX_MEMBERSHIPS) unless told otherwise. */
export const MAX_MEMBERSHIPS = 1024;

interface Membership {
  readonly group: IpAddress;
  readonly interface: number;
  readonly filter: SourceFilter | undefined;
}

export class Memberships {
  readonly #network: Network;
  readonly #token: object;
  #list: readonly Membership[] = [];

  /** `token` stands for the member towards the host. */
  constructor(network: Network, token: object) {
    this.#network = network;
    this.#token = token;
  }

  get count(): number {
    return this.#list.length;
  }

  /**
   * A second time with another filter changes it. Returns the number of the interface that it was joined on. Throws a
   * TypeError for what is no group, a RangeError above the limit.
   */
  join(group: IpAddress, interfaceIndex: number, filter: SourceFilter | undefined): number {
    if (!group.multicast) throw new TypeError(`${group} is no group: groups are 224.0.0.0/4 and ff00::/8`);
    if (this.#list.length >= MAX_MEMBERSHIPS)
      throw new RangeError(`a socket is a member of at most ${MAX_MEMBERSHIPS} groups`);
    const joined = this.#network.joinGroup(this.#token, group, interfaceIndex, filter);
    const others = this.#list.filter((one) => !(one.interface === joined && one.group.equals(group)));
    this.#list = [...others, { group, interface: joined, filter }];
    return joined;
  }

  /** Without an interface (0), wherever it was joined. */
  leave(group: IpAddress, interfaceIndex: number): void {
    const gone = this.#list.filter(
      (one) => one.group.equals(group) && (interfaceIndex === 0 || one.interface === interfaceIndex),
    );
    this.#list = this.#list.filter((one) => !gone.includes(one));
    for (const one of gone) this.#network.leaveGroup(this.#token, group, one.interface);
  }

  /** True where the packet came to a group of this socket, from a sender that it wants. Allocates nothing. */
  wants(packet: Packet): boolean {
    for (const { group, interface: index, filter } of this.#list) {
      if (index !== packet.interface.index) continue;
      if (!group.equalsWords(packet.d0, packet.d1, packet.d2, packet.d3)) continue;
      return filter === undefined || lets(filter, packet);
    }
    return false;
  }

  close(): void {
    const list = this.#list;
    this.#list = [];
    for (const one of list) this.#network.leaveGroup(this.#token, one.group, one.interface);
  }
}

const lets = (filter: SourceFilter, packet: Packet): boolean => {
  for (const source of filter.sources) {
    if (source.equalsWords(packet.s0, packet.s1, packet.s2, packet.s3)) return filter.mode === "include";
  }
  return filter.mode === "exclude";
};

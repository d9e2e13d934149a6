/**
 * Membership in the solicited-node groups of an interface's IPv6 addresses (RFC 4291 section 2.7.1): several addresses
 * may share one.
 */
import type { IpAddress } from "../../wire/address.ts";

export interface GroupIo {
  joinGroup(group: IpAddress): void;
  leaveGroup(group: IpAddress): void;
}

export class SolicitedGroups {
  readonly #io: GroupIo;
  /** How many addresses have the group whose last word is the key; the other words are the same in all. */
  readonly #members = new Map<number, number>();

  constructor(io: GroupIo) {
    this.#io = io;
  }

  join(address: IpAddress): void {
    if (address.family === 4) return;
    const group = address.solicitedNode();
    const members = this.#members.get(group.w3) ?? 0;
    this.#members.set(group.w3, members + 1);
    if (members === 0) this.#io.joinGroup(group);
  }

  leave(address: IpAddress): void {
    if (address.family === 4) return;
    const group = address.solicitedNode();
    const members = (this.#members.get(group.w3) ?? 0) - 1;
    if (members > 0) {
      this.#members.set(group.w3, members);
      return;
    }
    this.#members.delete(group.w3);
    this.#io.leaveGroup(group);
  }
}

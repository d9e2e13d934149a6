/**
 * One service address on one interface: its entry among the addresses there, and whose turn it is to answer.
 */
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import { IPV4_BITS, IPV6_BITS } from "../../wire/prefix.ts";
import type { AddressOptions, Answerer, InterfaceAddress } from "../addresses/addresses.ts";
import type { Announcer } from "../addresses/dad.ts";
import type { Interface } from "../interface.ts";
import type { Member } from "./member.ts";

/** Gives an interface the address. Undefined where it has it in its own right, or has no room for it. */
export const give = (
  on: Interface,
  address: IpAddress,
  options: AddressOptions,
): InterfaceAddress | undefined => {
  const known = on.addresses.find(address);
  if (known !== undefined && known.origin !== "service") return undefined;
  const bits = address.family === 4 ? IPV4_BITS : IPV6_BITS;
  // Somebody has promised it to others (RFC 5227 section 2.4 c).
  return on.addresses.add(address, bits, { origin: "service", keep: true, ...options });
};

/** Takes it away again, where it is not the interface's own. */
export const withdraw = (on: Interface, address: IpAddress): void => {
  if (on.addresses.find(address)?.origin === "service") on.addresses.remove(address);
};

/** Says whether a question that came in on an interface is to be answered there. */
export type Asked = (
  member: Member,
  asker: IpAddress,
  mac: MacAddress | undefined,
  toMany: boolean,
) => boolean;

/** What a service address is asked and told by its entries. */
export interface CarrierIo {
  readonly asked: Asked;
  /** All on the link of `member` have just heard that it is there. */
  announced(member: Member): void;
}

export class Carrier implements Answerer {
  readonly member: Member;
  /** It finds out, or has found out, for all on its link whether somebody else has the address. */
  detecting = false;
  /** What tells the link and then those who have another interface. */
  announcer: Announcer | undefined;
  readonly #address: IpAddress;
  readonly #io: CarrierIo;

  constructor(member: Member, address: IpAddress, io: CarrierIo) {
    this.member = member;
    this.#address = address;
    this.#io = io;
  }

  get announces(): boolean {
    return this.member.active;
  }

  asked(asker: IpAddress, mac: MacAddress | undefined, toMany: boolean): boolean {
    return this.#io.asked(this.member, asker, mac, toMany);
  }

  announced(): void {
    this.#io.announced(this.member);
  }

  /** Undefined where it is not there, or the interface has the address in its own right. */
  get entry(): InterfaceAddress | undefined {
    const entry = this.member.on.addresses.find(this.#address);
    return entry?.origin === "service" ? entry : undefined;
  }

  get assigned(): boolean {
    const state = this.entry?.state;
    return state === "preferred" || state === "deprecated";
  }

  /** It is ours. */
  assign(): void {
    if (!this.assigned) this.#give({ dad: false });
  }

  /** Finds out whether it is ours. */
  detect(): void {
    if (this.detecting) return;
    this.detecting = true;
    this.#give({ dad: true });
  }

  /** Waits for what another on the link finds out. */
  wait(): void {
    if (this.entry !== undefined && !this.detecting) return;
    this.detecting = false;
    this.#give({ state: "tentative" });
  }

  /** It is another's. */
  lose(): void {
    if (this.entry?.state !== "duplicated") this.#give({ state: "duplicated" });
  }

  /** Whatever was found out on this link counts no more. */
  doubt(): void {
    this.detecting = false;
    this.#give({ state: "tentative" });
  }

  /** Says nothing more by itself. */
  stop(): void {
    this.announcer?.close();
    this.announcer = undefined;
  }

  #give(options: AddressOptions): void {
    give(this.member.on, this.#address, { ...options, answerer: this });
  }
}

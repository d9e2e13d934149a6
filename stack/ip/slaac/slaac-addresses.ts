/**
 * Addresses formed from advertised prefixes: creation, lifetimes and their two-hour rule (RFC 4862 section 5.5), and what
 * follows where one turns out to be a duplicate.
 */
import { IpAddress } from "../../wire/address.ts";
import { IPV6_BITS, type Prefix } from "../../wire/prefix.ts";
import type { Timer } from "../../loop/timers.ts";
import type { TimerSource } from "../environment.ts";
import { ExpiringList } from "./expiring.ts";
import { IDENTIFIER_BITS, type IdentifierSource } from "../addresses/interface-identifier.ts";

export interface AddressLifetimes {
  /** In ms of the clock; `Infinity` never ends. */
  readonly preferredUntilMs: number;
  readonly validUntilMs: number;
}

export interface SlaacAddressIo {
  /** A new address, tentative until the owner of addresses has found it to be unique. */
  addAddress(address: IpAddress, prefixLength: number, lifetimes: AddressLifetimes): void;
  setLifetimes(address: IpAddress, lifetimes: AddressLifetimes): void;
  /** Its valid lifetime is over, or it's withdrawn. */
  removeAddress(address: IpAddress): void;
}

/** Addresses on one interface that advertisements may make: the kernel's `max_addresses`. */
export const MAX_ADDRESSES = 16;
/** An advertisement cannot cut the remaining life of an address below this (RFC 4862 section 5.5.3 e). */
export const TWO_HOURS_MS = 2 * 3_600_000;
/** IDGEN_DELAY of RFC 7217 section 7: how long to wait before another identifier is tried. */
export const IDENTIFIER_DELAY_MS = 1_000;

interface Formed {
  readonly prefix: Prefix;
  preferredUntilMs: number;
  validUntilMs: number;
  /** Undefined while the next identifier is waited for, or where none is left to try. */
  address: IpAddress | undefined;
  /** Identifiers that were duplicates. */
  attempt: number;
  retry: Timer | undefined;
}

export class SlaacAddresses {
  readonly #timers: TimerSource;
  readonly #io: SlaacAddressIo;
  readonly #identifier: IdentifierSource;
  readonly #formed: ExpiringList<Formed>;
  #refused = 0;
  #duplicates = 0;

  constructor(timers: TimerSource, io: SlaacAddressIo, identifier: IdentifierSource) {
    this.#timers = timers;
    this.#io = io;
    this.#identifier = identifier;
    this.#formed = new ExpiringList(timers, MAX_ADDRESSES, (formed) => this.#withdraw(formed));
  }

  /** Prefixes that found no room. */
  get refused(): number {
    return this.#refused;
  }

  get duplicates(): number {
    return this.#duplicates;
  }

  /** Addresses that exist now. */
  addresses(): readonly IpAddress[] {
    return this.#formed.values().flatMap((formed) => formed.address ?? []);
  }

  /** A router advertised an autonomous prefix. RFC 4862 section 5.5.3, c to e. */
  advertised(prefix: Prefix, preferredMs: number, validMs: number): void {
    if (preferredMs > validMs) return;
    const known = this.#formed.get(prefix.toString());
    if (known !== undefined) this.#refresh(known, preferredMs, validMs);
    else if (validMs > 0 && prefix.length + IDENTIFIER_BITS === IPV6_BITS)
      this.#form(prefix, preferredMs, validMs);
  }

  /** Duplicate address detection found another owner. True where the address was one of these. */
  duplicate(address: IpAddress): boolean {
    const formed = this.#formed.values().find((each) => each.address?.equals(address) === true);
    if (formed === undefined) return false;
    this.#duplicates += 1;
    this.#withdraw(formed);
    formed.attempt += 1;
    if (this.#identifier(formed.prefix.address, formed.attempt) === undefined) return true;
    formed.retry = this.#timers.after(IDENTIFIER_DELAY_MS, () => this.#add(formed));
    return true;
  }

  /** Removes all of them. */
  flush(): void {
    const all = this.#formed.values();
    this.#formed.clear();
    for (const formed of all) this.#withdraw(formed);
  }

  /** Forgets all without a word. */
  close(): void {
    for (const formed of this.#formed.values()) formed.retry?.cancel();
    this.#formed.clear();
  }

  #form(prefix: Prefix, preferredMs: number, validMs: number): void {
    const { now } = this.#timers;
    const formed: Formed = {
      prefix,
      address: undefined,
      attempt: 0,
      retry: undefined,
      preferredUntilMs: now + preferredMs,
      validUntilMs: now + validMs,
    };
    if (this.#formed.set(prefix.toString(), formed, formed.validUntilMs)) this.#add(formed);
    else this.#refused += 1;
  }

  /** Forms the address with the present attempt's identifier. */
  #add(formed: Formed): void {
    const identifier = this.#identifier(formed.prefix.address, formed.attempt);
    if (identifier === undefined) return;
    const { w0, w1 } = formed.prefix.address;
    formed.address = IpAddress.words(w0, w1, ...identifier);
    this.#io.addAddress(formed.address, formed.prefix.length, lifetimesOf(formed));
  }

  #refresh(known: Formed, preferredMs: number, validMs: number): void {
    const { now } = this.#timers;
    const remainingMs = known.validUntilMs - now;
    known.preferredUntilMs = now + preferredMs;
    if (validMs > TWO_HOURS_MS || validMs > remainingMs) known.validUntilMs = now + validMs;
    else if (remainingMs > TWO_HOURS_MS) known.validUntilMs = now + TWO_HOURS_MS;
    this.#formed.set(known.prefix.toString(), known, known.validUntilMs);
    if (known.address !== undefined) this.#io.setLifetimes(known.address, lifetimesOf(known));
  }

  #withdraw(formed: Formed): void {
    formed.retry?.cancel();
    if (formed.address !== undefined) this.#io.removeAddress(formed.address);
    formed.address = undefined;
  }
}

const lifetimesOf = ({ preferredUntilMs, validUntilMs }: Formed): AddressLifetimes => ({
  preferredUntilMs,
  validUntilMs,
});

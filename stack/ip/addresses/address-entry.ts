/**
 * One address of an interface: what its owner sees of it, and what its book keeps with it.
 */
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import { IPV4_BITS, type Prefix } from "../../wire/prefix.ts";
import type { Announcer, Defence, Detection } from "./dad.ts";

export type AddressOrigin = "manual" | "link-local" | "slaac" | "dhcp" | "kernel" | "service";

/** RFC 4862 section 2, and "duplicated" for what another has. */
export type AddressState = "tentative" | "preferred" | "deprecated" | "duplicated";

/** What has become of an address; "conflict": another used it, which may or may not end it. */
export type AddressChange = "added" | AddressState | "conflict" | "removed" | "expired";

export interface InterfaceAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** The subnet. */
  readonly prefix: Prefix;
  readonly origin: AddressOrigin;
  readonly state: AddressState;
  /** In ms of the loop's clock; Infinity for never. */
  readonly preferredUntilMs: number;
  readonly validUntilMs: number;
  /** For a short while only (RFC 8981). */
  readonly temporary: boolean;
}

/** Who speaks for an address that other interfaces of the host have too, perhaps on the same link: service addresses have one. */
export interface Answerer {
  /** True where it is this interface that tells the link of the address. */
  readonly announces: boolean;
  /**
   * Somebody asks for the address: all of the link (`toMany`), or this interface alone. Their Ethernet address where it is
   * known; `asker` is unspecified where they want the address themselves. True where this interface is to answer.
   */
  asked(asker: IpAddress, mac: MacAddress | undefined, toMany: boolean): boolean;
  /** The link has been told of this interface in passing, to defend the address. */
  announced(): void;
}

export interface AddressOptions {
  /** Default: manual. */
  readonly origin?: AddressOrigin;
  /** In ms of the loop's clock. Default: never. */
  readonly preferredUntilMs?: number;
  readonly validUntilMs?: number;
  /** Default: false. */
  readonly temporary?: boolean;
  /** Whether to find out that it is unique. Default: that of the book, and false for a kernel's. */
  readonly dad?: boolean;
  /** The state that a kernel says it has; without detection. */
  readonly state?: AddressState;
  /**
   * An IPv4 address that another uses too is kept (RFC 5227 section 2.4 c), not given up. Default: true where the origin
   * is manual, as somebody has promised it to others.
   */
  readonly keep?: boolean;
  /** Default: this interface speaks for it, always. */
  readonly answerer?: Answerer;
}

/** An address that this interface shares is the last to ask from: those who hear it would look for it here. */
const OWN = 16;
const SPOKEN_FOR = 8;
const IN_SUBNET = 4;
const IN_SCOPE = 2;
const PREFERRED = 1;

/** Networks longer than this have no broadcast address (RFC 3021). */
const MAX_BROADCAST_LENGTH = IPV4_BITS - 2;

export class AddressEntry implements InterfaceAddress {
  readonly address: IpAddress;
  prefix: Prefix;
  origin: AddressOrigin = "manual";
  state: AddressState = "tentative";
  /** It is ours: preferred or deprecated. */
  assigned = false;
  preferredUntilMs = Infinity;
  validUntilMs = Infinity;
  temporary = false;
  keep = true;
  answerer: Answerer | undefined = undefined;
  detection: Detection | undefined = undefined;
  announcer: Announcer | undefined = undefined;
  defence: Defence | undefined = undefined;

  constructor(address: IpAddress, prefix: Prefix, options: AddressOptions) {
    this.address = address;
    this.prefix = prefix;
    this.update(prefix, options);
  }

  get prefixLength(): number {
    return this.prefix.length;
  }

  /** The broadcast address of its subnet. */
  get broadcast4(): number | undefined {
    const { prefix, address } = this;
    if (address.family === 6 || prefix.length > MAX_BROADCAST_LENGTH) return undefined;
    return prefix.address.w3 | ~prefix.mask3;
  }

  /** The link is to hear of it from this interface. */
  get announces(): boolean {
    return this.answerer?.announces ?? true;
  }

  /** A tentative address that nobody is finding out about. */
  get idle(): boolean {
    return this.state === "tentative" && this.detection === undefined;
  }

  update(prefix: Prefix, options: AddressOptions): void {
    this.prefix = prefix;
    this.origin = options.origin ?? "manual";
    this.validUntilMs = options.validUntilMs ?? Infinity;
    this.preferredUntilMs = Math.min(options.preferredUntilMs ?? Infinity, this.validUntilMs);
    this.temporary = options.temporary ?? false;
    this.keep = options.keep ?? this.origin === "manual";
    this.answerer = options.answerer;
  }

  /** True where the state is another now. */
  enter(state: AddressState): boolean {
    if (this.state === state) return false;
    this.state = state;
    this.assigned = state === "preferred" || state === "deprecated";
    return true;
  }

  /** How well it suits as the source of a request for `target`, 0 and up. */
  rankFor(target: IpAddress): number {
    const whose = this.origin !== "service" ? OWN : this.announces ? SPOKEN_FOR : 0;
    return (
      whose +
      (this.prefix.contains(target) ? IN_SUBNET : 0) +
      (this.address.scope === target.scope ? IN_SCOPE : 0) +
      (this.state === "preferred" ? PREFERRED : 0)
    );
  }

  /** When its next lifetime ends, after `now`; Infinity where none does. */
  nextAgeMs(now: number): number {
    return this.preferredUntilMs > now ? this.preferredUntilMs : this.validUntilMs;
  }

  /** Ends what runs for it. */
  stop(): void {
    this.detection?.close();
    this.announcer?.close();
    this.detection = undefined;
    this.announcer = undefined;
  }
}

/**
 * One address of an interface: what its owner sees of it, and what its book keeps with it.
 */
import type { IpAddress } from "../../wire/address.ts";
import { IPV4_BITS, type Prefix } from "../../wire/prefix.ts";
import type { Announcer, Defence, Detection } from "./dad.ts";

export type AddressOrigin = "manual" | "link-local" | "slaac" | "dhcp" | "kernel";

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
}

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

  update(prefix: Prefix, options: AddressOptions): void {
    this.prefix = prefix;
    this.origin = options.origin ?? "manual";
    this.validUntilMs = options.validUntilMs ?? Infinity;
    this.preferredUntilMs = Math.min(options.preferredUntilMs ?? Infinity, this.validUntilMs);
    this.temporary = options.temporary ?? false;
    this.keep = options.keep ?? this.origin === "manual";
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
    return (
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

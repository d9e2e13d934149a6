/**
 * One exchange of a DHCP client with its servers: the number that its messages share, when it began, and how they go out.
 */
import { RANDOM_RANGE } from "../../device/random.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { DhcpRecord } from "../../wire/dhcp.ts";
import { broadcast, messageOf, payloadOf, type DhcpFields, type DhcpIdentity } from "./dhcp-message.ts";
import type { DhcpIo } from "./dhcp-types.ts";
import type { Environment } from "../environment.ts";

/** What a message says beside the exchange that it belongs to. */
export type DhcpSaid = Omit<DhcpFields, "xid" | "secs">;

const SECOND_MS = 1_000;

export class DhcpExchange {
  readonly #environment: Environment;
  readonly #io: DhcpIo;
  readonly #identity: DhcpIdentity;
  #xid = 0;
  #startedAtMs = 0;
  #sentAtMs = 0;
  #sent = 0;
  #unsent = 0;

  constructor(environment: Environment, io: DhcpIo, identity: DhcpIdentity) {
    this.#environment = environment;
    this.#io = io;
    this.#identity = identity;
  }

  /** What replies to this exchange carry. */
  get xid(): number {
    return this.#xid;
  }

  /** When the last message was sent: a lease counts from there (RFC 2131 section 4.4.1). */
  get sentAtMs(): number {
    return this.#sentAtMs;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Messages that could not be sent. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Replies to what was sent before count no more. */
  begin(): void {
    this.#xid = this.#environment.random.next() >>> 0;
    this.#startedAtMs = this.#environment.timers.now;
  }

  broadcast(source: IpAddress, said: DhcpSaid): void {
    this.#count(broadcast(this.#io.outlet, source, this.#message(said)));
  }

  unicast(server: IpAddress, said: DhcpSaid): void {
    this.#count(this.#io.unicast(payloadOf(this.#message(said)), server));
  }

  /** From 0 to 1. */
  random(): number {
    return this.#environment.random.next() / RANDOM_RANGE;
  }

  #message(said: DhcpSaid): DhcpRecord {
    this.#sentAtMs = this.#environment.timers.now;
    const secs = Math.floor((this.#sentAtMs - this.#startedAtMs) / SECOND_MS);
    return messageOf(this.#identity, { ...said, xid: this.#xid, secs });
  }

  #count(sent: boolean): void {
    if (sent) this.#sent += 1;
    else this.#unsent += 1;
  }
}

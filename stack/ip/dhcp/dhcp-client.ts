/**
 * A DHCP client for one interface: the state machine of RFC 2131 section 4.4.
 *
 * It keeps the lease and its times; the address is checked for a conflict, configured and taken away by its io.
 */
import type { Timer } from "../../loop/timers.ts";
import { ANY4, type IpAddress } from "../../wire/address.ts";
import * as dhcp from "../../wire/dhcp.ts";
import { DhcpExchange } from "./dhcp-exchange.ts";
import { addressOption, isHost, isName, leaseOf, type DhcpLease } from "./dhcp-lease.ts";
import { duidIdentifier, hardwareIdentifier, isFor, type DhcpIdentity } from "./dhcp-message.ts";
import {
  BACKOFF_RANGE_MS,
  DECLINE_DELAY_MS,
  MIN_EXTENSION_MS,
  OFFER_WINDOW_MS,
  PARAMETERS,
  REBOOT_REQUESTS,
  REQUESTS,
  START_DELAY_MS,
  backoffMs,
  restartMs,
} from "./dhcp-times.ts";
import type { DhcpIo, DhcpOptions, DhcpState, DhcpStatistics, LeaseEnd } from "./dhcp-types.ts";
import type { Environment, Outlet } from "../environment.ts";

export type { DhcpLease, DhcpRoute } from "./dhcp-lease.ts";
export type { DhcpIo, DhcpOptions, DhcpState, DhcpStatistics, LeaseEnd } from "./dhcp-types.ts";

const { MESSAGE, OPTION } = dhcp;
const MAX_IDENTIFIER_BYTES = 255;
const MIN_IDENTIFIER_BYTES = 2;

export class DhcpClient {
  readonly #environment: Environment;
  readonly #io: DhcpIo;
  readonly #identity: DhcpIdentity;
  readonly #exchange: DhcpExchange;
  readonly #broadcast: boolean;
  readonly #startDelayMs: number;
  #state: DhcpState = "stopped";
  #lease: DhcpLease | undefined;
  /** The address to ask for. */
  #wanted: IpAddress | undefined;
  /** The first offer, that waits for a better one. */
  #offer: DhcpLease | undefined;
  /** The offer that is being requested. */
  #chosen: DhcpLease | undefined;
  #closed = false;
  #attempt = 0;
  #restarts = 0;
  /** Tells answers of `check` to this lease from those to an older one. */
  #checks = 0;
  #timer: Timer | undefined;
  #expiry: Timer | undefined;
  readonly #counts = {
    received: 0,
    malformed: 0,
    foreign: 0,
    unexpected: 0,
    acknowledged: 0,
    refused: 0,
    declined: 0,
    expired: 0,
    unanswered: 0,
  };

  /** @throws TypeError where the host name or the identifier cannot be sent. */
  constructor(environment: Environment, io: DhcpIo, options: DhcpOptions = {}) {
    this.#environment = environment;
    this.#io = io;
    this.#broadcast = options.broadcast ?? true;
    this.#startDelayMs = options.startDelayMs ?? START_DELAY_MS;
    const { hostName } = options;
    if (hostName !== undefined && !isName(hostName)) {
      throw new TypeError(`hostName is a domain name, not ${JSON.stringify(hostName)}`);
    }
    this.#identity = {
      mac: io.outlet.mac,
      client: identifierOf(io.outlet, options.identifier ?? "hardware"),
      hostName,
      parameters: options.parameters ?? PARAMETERS,
      maxMessageBytes: Math.max(dhcp.DEFAULT_MAX_BYTES + IP_UDP_BYTES, io.outlet.mtu),
    };
    this.#exchange = new DhcpExchange(environment, io, this.#identity);
  }

  get state(): DhcpState {
    return this.#state;
  }

  /** The lease held. */
  get lease(): DhcpLease | undefined {
    return this.#lease;
  }

  /** Begins, unless it has begun. With the address of an earlier lease asks to keep that one (INIT-REBOOT). */
  start(previous?: IpAddress): void {
    if (this.#state !== "stopped" || this.#closed) return;
    this.#wanted = previous;
    this.#restarts = 0;
    this.#init(this.#exchange.random() * this.#startDelayMs, previous !== undefined);
  }

  /** The link was away and may be another: asks whether the lease still holds, which is kept meanwhile. */
  confirm(): void {
    if (this.#state === "stopped") return;
    if (this.#lease !== undefined) this.#wanted = this.#lease.address;
    this.#init(0, this.#lease !== undefined);
  }

  /** Gives the lease back to the server and stops. */
  release(): void {
    const lease = this.#lease;
    if (lease !== undefined) {
      this.#exchange.begin();
      this.#exchange.unicast(lease.server, {
        type: MESSAGE.RELEASE,
        ciaddr: lease.address,
        server: lease.server,
      });
    }
    this.#halt("released");
  }

  /** Stops and keeps quiet: the server may keep the lease for us. */
  stop(): void {
    this.#halt("stopped");
  }

  /** Another host uses the leased address after all: declines it and begins anew. */
  conflict(): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    this.#decline(lease);
    this.#end("conflict");
  }

  /** Stops for good, without a word to anyone; idempotent. */
  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#expiry?.cancel();
    this.#state = "stopped";
    this.#lease = undefined;
  }

  statistics(): DhcpStatistics {
    const { sent, unsent } = this.#exchange;
    return { state: this.#state, sent, unsent, ...this.#counts };
  }

  /** The payload of a datagram to port 68 that came from port 67: `length` bytes at `at`. */
  receive(view: DataView, at: number, length: number): void {
    if (this.#state === "stopped") return;
    this.#counts.received += 1;
    const reply = dhcp.parse(view, at, length);
    if (reply === undefined) this.#counts.malformed += 1;
    else if (!isFor(this.#identity, reply) || reply.xid !== this.#exchange.xid) this.#counts.foreign += 1;
    else this.#handle(reply);
  }

  #handle(reply: dhcp.DhcpRecord): void {
    const type = dhcp.messageType(reply);
    const asked = this.#state !== "init" && this.#state !== "checking" && this.#state !== "bound";
    if (type === MESSAGE.OFFER && this.#state === "selecting") this.#offered(reply);
    else if (type === MESSAGE.ACK && asked && this.#state !== "selecting") this.#acknowledged(reply);
    else if (type === MESSAGE.NAK && asked && this.#state !== "selecting") this.#refused(reply);
    else this.#counts.unexpected += 1;
  }

  #offered(reply: dhcp.DhcpRecord): void {
    const offer = leaseOf(reply.yiaddr, reply.options, this.#exchange.sentAtMs);
    if (offer === undefined) {
      this.#counts.malformed += 1;
      return;
    }
    // Another offer can only be better than this one where it has the address that was asked for.
    if (this.#wanted === undefined || offer.address.equals(this.#wanted)) this.#choose(offer);
    else if (this.#offer === undefined) {
      this.#offer = offer;
      this.#later(OFFER_WINDOW_MS, () => this.#choose(offer));
    }
  }

  #choose(offer: DhcpLease): void {
    this.#state = "requesting";
    this.#chosen = offer;
    this.#attempt = 0;
    this.#request();
  }

  #acknowledged(reply: dhcp.DhcpRecord): void {
    const lease = leaseOf(reply.yiaddr, reply.options, this.#exchange.sentAtMs, this.#lease?.server);
    if (lease === undefined) {
      this.#counts.malformed += 1;
      return;
    }
    const asked =
      this.#state === "requesting" ? this.#chosen!.address : (this.#lease?.address ?? this.#wanted!);
    const otherServer = this.#state === "requesting" && !lease.server.equals(this.#chosen!.server);
    if (otherServer || !lease.address.equals(asked)) {
      this.#counts.unexpected += 1;
      return;
    }
    this.#counts.acknowledged += 1;
    if (this.#lease === undefined) this.#check(lease);
    else this.#bind(lease);
  }

  #refused(reply: dhcp.DhcpRecord): void {
    const server = addressOption(reply.options, OPTION.SERVER);
    // Whoever was asked may refuse: after a reboot and while rebinding that is any server.
    const asked =
      this.#state === "requesting" ? this.#chosen : this.#state === "renewing" ? this.#lease : undefined;
    if (server === undefined || !isHost(server) || (asked !== undefined && !asked.server.equals(server))) {
      this.#counts.unexpected += 1;
      return;
    }
    this.#counts.refused += 1;
    this.#wanted = undefined;
    this.#init(restartMs(this.#restarts++, this.#exchange.random()), false);
    this.#end("refused");
  }

  /** RFC 2131 section 4.4.1: the address is checked before it is used. */
  #check(lease: DhcpLease): void {
    this.#cancel();
    this.#state = "checking";
    const check = this.#checks;
    this.#io.check(lease.address, (conflict) => {
      if (check !== this.#checks) return;
      this.#checks += 1;
      if (conflict) this.#decline(lease);
      else this.#bind(lease);
    });
  }

  #decline({ address, server }: DhcpLease): void {
    this.#cancel();
    this.#exchange.begin();
    this.#counts.declined += 1;
    this.#wanted = undefined;
    this.#exchange.broadcast(ANY4, { type: MESSAGE.DECLINE, requested: address, server });
    this.#init(DECLINE_DELAY_MS, false);
  }

  #bind(lease: DhcpLease): void {
    const previous = this.#lease;
    this.#lease = lease;
    this.#wanted = lease.address;
    this.#restarts = 0;
    this.#expiry?.cancel();
    if (lease.expiresAtMs !== Infinity) {
      this.#expiry = this.#environment.timers.after(this.#until(lease.expiresAtMs), () => this.#expired());
    }
    this.#follow(lease);
    this.#io.configured(lease, previous);
  }

  /** Does what the lease's age asks for: nothing before T1. */
  #follow(lease: DhcpLease): void {
    this.#cancel();
    this.#state = "bound";
    if (lease.renewAtMs !== Infinity)
      this.#later(this.#until(lease.renewAtMs), () => this.#extend(lease, true));
  }

  /** Asks to extend the lease: its server from T1 on, any server from T2 on. RFC 2131 section 4.4.5. */
  #extend(lease: DhcpLease, first: boolean): void {
    if (first) this.#exchange.begin();
    const renewing = this.#until(lease.rebindAtMs) > 0;
    this.#state = renewing ? "renewing" : "rebinding";
    const fields = { type: MESSAGE.REQUEST, ciaddr: lease.address };
    if (renewing) this.#exchange.unicast(lease.server, fields);
    else this.#exchange.broadcast(lease.address, fields);
    const leftMs = this.#until(renewing ? lease.rebindAtMs : lease.expiresAtMs);
    // After T2 the expiry timer ends the last wait.
    this.#later(Math.min(leftMs, Math.max(leftMs / 2, MIN_EXTENSION_MS)), () => this.#extend(lease, false));
  }

  #expired(): void {
    this.#counts.expired += 1;
    this.#init(0, false);
    this.#end("expired");
  }

  /** Waits, then asks for an address: for the wanted one where it is ours by an earlier lease, else for any. */
  #init(delayMs: number, reboot: boolean): void {
    this.#cancel();
    this.#state = "init";
    this.#later(delayMs, () => {
      this.#exchange.begin();
      this.#attempt = 0;
      this.#state = reboot ? "rebooting" : "selecting";
      if (reboot) this.#request();
      else this.#discover();
    });
  }

  #discover(): void {
    this.#offer = undefined;
    this.#exchange.broadcast(ANY4, {
      type: MESSAGE.DISCOVER,
      broadcast: this.#broadcast,
      requested: this.#wanted,
    });
    this.#again(() => this.#discover());
  }

  /** Requests the chosen offer, or after a reboot the wanted address, of any server (RFC 2131 section 4.3.2). */
  #request(): void {
    const rebooting = this.#state === "rebooting";
    if (this.#attempt === (rebooting ? REBOOT_REQUESTS : REQUESTS)) return this.#unanswered();
    const fields = { type: MESSAGE.REQUEST, broadcast: this.#broadcast };
    if (rebooting) this.#exchange.broadcast(ANY4, { ...fields, requested: this.#wanted });
    else {
      const { address, server } = this.#chosen!;
      this.#exchange.broadcast(ANY4, { ...fields, requested: address, server });
    }
    this.#again(() => this.#request());
  }

  /** A lease that could not be confirmed is used on while it lasts (RFC 2131 section 3.2); else it begins anew. */
  #unanswered(): void {
    this.#counts.unanswered += 1;
    if (this.#lease !== undefined) this.#follow(this.#lease);
    else this.#init(0, false);
  }

  #halt(reason: LeaseEnd): void {
    this.#cancel();
    this.#state = "stopped";
    this.#end(reason);
  }

  /** Always the last step: io may stop or close the client from within. */
  #end(reason: LeaseEnd): void {
    const lease = this.#lease;
    this.#expiry?.cancel();
    this.#lease = undefined;
    if (lease !== undefined) this.#io.lost(lease, reason);
  }

  /** Repeats after a pause that doubles each time. */
  #again(fn: () => void): void {
    this.#later(backoffMs(this.#attempt++) + (this.#exchange.random() * 2 - 1) * BACKOFF_RANGE_MS, fn);
  }

  #later(ms: number, fn: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#environment.timers.after(ms, fn);
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#checks += 1;
  }

  #until(atMs: number): number {
    return Math.max(0, atMs - this.#environment.timers.now);
  }
}

/** Headers of IPv4 and UDP. */
const IP_UDP_BYTES = 28;

const identifierOf = ({ mac }: Outlet, identifier: "hardware" | "duid" | Uint8Array): Uint8Array => {
  if (identifier === "hardware") return hardwareIdentifier(mac);
  if (identifier === "duid") return duidIdentifier(mac);
  if (identifier.length < MIN_IDENTIFIER_BYTES || identifier.length > MAX_IDENTIFIER_BYTES) {
    throw new TypeError(
      `identifier has ${MIN_IDENTIFIER_BYTES} to ${MAX_IDENTIFIER_BYTES} bytes, not ${identifier.length}`,
    );
  }
  return identifier.slice();
};

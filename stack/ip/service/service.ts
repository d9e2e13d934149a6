/**
 * One service address of a host: on which interfaces it is, what is known of it on each link, and how a link hears of it.
 */
import type { IpAddress } from "../../wire/address.ts";
import {
  ANNOUNCE_COUNT4,
  ANNOUNCE_COUNT6,
  ANNOUNCE_INTERVAL4_MS,
  ANNOUNCE_INTERVAL6_MS,
  Announcer,
} from "../addresses/dad.ts";
import type { TimerSource } from "../environment.ts";
import type { Interface } from "../interface.ts";
import { Carrier, type CarrierIo, give, withdraw } from "./carrier.ts";
import type { Member } from "./member.ts";
import type { AnswerMode, ServiceAddress, ServiceCarrier } from "./service-address.ts";

export class Service implements ServiceAddress {
  readonly address: IpAddress;
  readonly answer: AnswerMode;
  readonly #dad: boolean;
  readonly #timers: TimerSource;
  readonly #io: CarrierIo;
  readonly #carriers = new Map<Member, Carrier>();
  /** Interfaces where nobody asks us for it: those beside the kernel, and the host's way to itself. */
  readonly #quiet = new Set<Interface>();

  constructor(
    checked: { readonly address: IpAddress; readonly answer: AnswerMode; readonly dad: boolean },
    timers: TimerSource,
    /** Those who have another interface of the link than the one that is announced must hear of theirs again. */
    io: CarrierIo,
  ) {
    this.address = checked.address;
    this.answer = checked.answer;
    this.#dad = checked.dad;
    this.#timers = timers;
    this.#io = io;
  }

  carriers(): readonly ServiceCarrier[] {
    const seen: ServiceCarrier[] = [];
    const all = [...this.#quiet, ...[...this.#carriers.keys()].map(({ on }) => on)];
    for (const on of all.toSorted((a, b) => a.index - b.index)) {
      const entry = on.addresses.find(this.address);
      if (on.isLoopback || entry === undefined) continue;
      const { index, name } = on;
      const announces = [...this.#carriers.values()].some((one) => one.member.on === on && one.announces);
      seen.push({ interface: index, name, state: entry.state, announces });
    }
    return seen;
  }

  /** Interfaces that should have the address and don't. */
  get refused(): number {
    const members = [...this.#carriers.keys()].map(({ on }) => on);
    return [...this.#quiet, ...members].filter((on) => on.addresses.find(this.address) === undefined).length;
  }

  /** An interface where nobody asks us has it too, without any questions. */
  joinQuietly(on: Interface): void {
    this.#quiet.add(on);
    if (on.addresses.find(this.address) === undefined) give(on, this.address, { state: "preferred" });
  }

  /** True where `member` has it as a service address that is ours. */
  has(member: Member): boolean {
    return this.#carriers.get(member)?.assigned ?? false;
  }

  /** Brings all on one link to the same knowledge; one of them finds out whether the address is ours. */
  settle(mates: readonly Member[]): void {
    const carriers = mates.map((member) => this.#carrierOf(member));
    const isOurs = !this.#dad || carriers.some((carrier) => carrier.assigned);
    const isAnothers = carriers.some((carrier) => carrier.entry?.state === "duplicated");
    for (const carrier of carriers) {
      if (isOurs) carrier.assign();
      else if (isAnothers) carrier.lose();
      else if (carrier.announces) carrier.detect();
      else carrier.wait();
    }
    for (const carrier of carriers) if (carrier.detecting && carrier.assigned) this.#proven(carrier);
  }

  /** The link may be another than before: what is not ours there is asked for again. */
  retry(mates: readonly Member[]): void {
    if (!this.#dad || mates.some((member) => this.has(member))) return;
    for (const member of mates) this.#carrierOf(member).doubt();
  }

  /** Tells the link, at once and some times more, that it is here. */
  announce(active: Member): void {
    for (const member of active.mates) this.#carriers.get(member)?.stop();
    const carrier = this.#carriers.get(active);
    if (carrier?.assigned !== true || !active.on.link.up) return;
    if (this.answer === "active") active.on.addresses.announce(this.address);
    else this.#announceThenSpread(carrier);
  }

  leave(member: Member): void {
    this.#carriers.get(member)?.stop();
    this.#carriers.delete(member);
  }

  leaveQuietly(on: Interface): void {
    this.#quiet.delete(on);
  }

  /** Takes it from all interfaces. */
  close(): void {
    for (const [{ on }, carrier] of this.#carriers) {
      carrier.stop();
      withdraw(on, this.address);
    }
    for (const on of this.#quiet) withdraw(on, this.address);
    this.#carriers.clear();
    this.#quiet.clear();
  }

  #carrierOf(member: Member): Carrier {
    let carrier = this.#carriers.get(member);
    if (carrier === undefined) {
      carrier = new Carrier(member, this.address, this.#io);
      this.#carriers.set(member, carrier);
    }
    return carrier;
  }

  /** Nobody else has it. IPv4 tells the link of that by itself; who had it before we did may still be in caches of IPv6 too. */
  #proven(carrier: Carrier): void {
    carrier.detecting = false;
    if (carrier.announces && this.address.family === 6) this.announce(carrier.member);
  }

  /** All hear of one interface first, also those who never asked; then those who have another hear of theirs again. */
  #announceThenSpread(carrier: Carrier): void {
    const [count, intervalMs] =
      this.address.family === 4
        ? [ANNOUNCE_COUNT4, ANNOUNCE_INTERVAL4_MS]
        : [ANNOUNCE_COUNT6, ANNOUNCE_INTERVAL6_MS];
    const { member } = carrier;
    carrier.announcer = new Announcer(this.#timers, count, intervalMs, () => {
      if (!member.active || !carrier.assigned) return;
      member.on.protocols?.announce(this.address);
      this.#io.announced(member);
    });
  }
}

/**
 * How the interfaces of a link share the askers of service addresses, and telling those whose interface becomes another.
 */
import type { Timer } from "../../loop/timers.ts";
import type { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import type { Environment } from "../environment.ts";
import { type Asker, Askers, chooseFor } from "./askers.ts";
import { fittest, type Member } from "./member.ts";
import type { Service } from "./service.ts";

/** Told at once, a quarter of a usual transmit ring; the rest a moment later each. */
const TOLD_AT_ONCE = 256;
const NEXT_MS = 1;
/** One frame may be lost, as with announcements to all (RFC 5227 section 1.1: ANNOUNCE_NUM). */
const TIMES = 2;
const AGAIN_MS = 1000;
/** By then a frame to all has gone through every switch of a link, whichever way frames of another interface take. */
const SPREAD_MS = 20;

export class AskerShares {
  readonly #environment: Environment;
  readonly #seed: number;
  readonly #askers: Askers<Member>;
  readonly #timers = new Set<Timer>();

  constructor(environment: Environment, limit?: number) {
    this.#environment = environment;
    this.#seed = environment.random.next();
    this.#askers = new Askers(limit);
  }

  get size(): number {
    return this.#askers.size;
  }

  get forgotten(): number {
    return this.#askers.forgotten;
  }

  /** The interface for an asker, among those of a link that have the address; undefined where none has. */
  choose(service: Service, mates: readonly Member[], asker: IpAddress): Member | undefined {
    const having = fittest(mates.filter((member) => service.has(member)));
    return chooseFor(having, service.address, asker, this.#seed);
  }

  note(service: Service, asker: IpAddress, mac: MacAddress, member: Member): void {
    this.#askers.note(service.address, asker, mac, member);
  }

  /** An interface left: its askers have to be told, by one of `mates`. */
  orphan(member: Member, mates: readonly Member[]): void {
    const [heir] = mates;
    if (heir === undefined) return this.#askers.forget((asker) => asker.member === member);
    for (const asker of this.#askers.values()) {
      if (asker.member !== member) continue;
      asker.member = heir;
      asker.told = false;
    }
  }

  /** Its Ethernet address is another. */
  readdressed(member: Member): void {
    for (const asker of this.#askers.values()) if (asker.member === member) asker.told = false;
  }

  forget(service: Service): void {
    this.#askers.forget((asker) => asker.service.equals(service.address));
  }

  /** Tells those of a service whose interface is another than it was. */
  follow(service: Service): void {
    if (service.answer === "active") return;
    const moved: Asker<Member>[] = [];
    for (const asker of this.#askers.values()) {
      if (!asker.service.equals(service.address)) continue;
      const chosen = this.choose(service, asker.member.mates, asker.address);
      if (chosen === undefined || (chosen === asker.member && asker.told)) continue;
      asker.member = chosen;
      asker.told = true;
      moved.push(asker);
    }
    this.#tell(moved, TIMES);
  }

  /** Everybody hears of `active` now: those who have another interface of that link are told of theirs after that. */
  correct(service: Service, active: Member): void {
    this.#after(SPREAD_MS, () => {
      const others = [...this.#askers.values()].filter(
        ({ service: of, member }) =>
          of.equals(service.address) && member !== active && active.mates.includes(member),
      );
      this.#tell(others, 1);
    });
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #tell(askers: readonly Asker<Member>[], times: number): void {
    const now = askers.slice(0, TOLD_AT_ONCE);
    for (const asker of now) {
      if (this.#askers.has(asker)) asker.member.on.protocols?.tell(asker.service, asker.address, asker.mac);
    }
    if (now.length < askers.length) this.#after(NEXT_MS, () => this.#tell(askers.slice(now.length), times));
    // By then each is told of whichever interface it has then.
    if (times > 1 && now.length > 0) this.#after(AGAIN_MS, () => this.#tell(now, times - 1));
  }

  #after(ms: number, fn: () => void): void {
    const timer = this.#environment.timers.after(ms, () => {
      this.#timers.delete(timer);
      fn();
    });
    this.#timers.add(timer);
  }
}

/**
 * The service addresses of a host: they live on all its interfaces, and on each link one interface, or one for each asker,
 * answers for them. When that one goes another says so at once.
 */
import type { Timer } from "../../loop/timers.ts";
import { IpAddress } from "../../wire/address.ts";
import type { MacAddress } from "../../wire/mac.ts";
import type { AddressChange, InterfaceAddress } from "../addresses/addresses.ts";
import type { Environment } from "../environment.ts";
import type { Interface } from "../interface.ts";
import type { PathState } from "../paths/path.ts";
import { AskerShares } from "./asker-shares.ts";
import { elect, Member } from "./member.ts";
import { segmentsOf } from "./segments.ts";
import { Service } from "./service.ts";
import {
  checkService,
  type ServiceAddress,
  type ServiceMove,
  type ServiceOptions,
  type ServiceStatistics,
} from "./service-address.ts";

/** Service addresses of one host at most: half of what an interface has room for. */
export const MAX_SERVICES = 128;

export interface ServicesIo {
  /** How good the paths of an interface are; `standingChanged` is to be called when that may be another. */
  standing(on: Interface): PathState;
  moved(move: ServiceMove): void;
}

/** One that begins to speak on its link, and the number of the interface that did before. */
interface Turn {
  readonly active: Member;
  readonly previous: number;
}

export class Services {
  readonly #environment: Environment;
  readonly #io: ServicesIo;
  readonly #shares: AskerShares;
  /** By their text, in the order of their addition. */
  readonly #services = new Map<string, Service>();
  readonly #members = new Map<Interface, Member>();
  readonly #quiet = new Set<Interface>();
  readonly #counts = { moves: 0, handedOn: 0 };
  /** One that spoke for a link on which no other is known is gone, or dead. */
  #lostAlone = false;
  #later: Timer | undefined;
  #open = true;

  constructor(environment: Environment, io: ServicesIo) {
    this.#environment = environment;
    this.#io = io;
    this.#shares = new AskerShares(environment);
  }

  /** In the order of their addition. */
  get all(): readonly ServiceAddress[] {
    return [...this.#services.values()];
  }

  /**
   * Adds a service address to all interfaces. Throws a TypeError or RangeError that names what is wrong with it, where it is
   * there already, or where there are `MAX_SERVICES`.
   */
  add(given: string | IpAddress, options: ServiceOptions = {}): ServiceAddress {
    const checked = checkService(given, options);
    const key = checked.address.toString();
    if (this.#services.has(key)) throw new RangeError(`${key} is a service address of this host already`);
    if (this.#services.size >= MAX_SERVICES)
      throw new RangeError(`a host has at most ${MAX_SERVICES} service addresses`);
    const service: Service = new Service(checked, this.#environment.timers, {
      asked: (member, asker, mac, toMany) => this.#asked(service, member, asker, mac, toMany),
      announced: (active) => {
        if (service.answer === "spread") this.#shares.correct(service, active);
      },
    });
    // Nobody looked after the links while there was nothing to look for.
    if (this.#services.size === 0) this.#regroup(undefined);
    this.#services.set(key, service);
    for (const on of this.#quiet) service.joinQuietly(on);
    for (const active of this.#speakers()) this.#speak(service, { active, previous: 0 });
    return service;
  }

  /** False where it was not there. Throws a TypeError for a text that is no address. */
  remove(given: string | IpAddress): boolean {
    const address = given instanceof IpAddress ? given : IpAddress.parse(given);
    const service = this.#services.get(address.toString());
    if (service === undefined) return false;
    this.#services.delete(address.toString());
    service.close();
    this.#shares.forget(service);
    return true;
  }

  /** An interface joined; `segment` names its link, where somebody named it. */
  join(on: Interface, segment?: string): void {
    if (on.protocols === undefined) {
      this.#quiet.add(on);
      for (const service of this.#services.values()) service.joinQuietly(on);
      return;
    }
    this.#members.set(on, new Member(on, segment));
    this.#reconsider(undefined);
  }

  /** An interface is about to leave; its addresses go with it. */
  leave(on: Interface): void {
    this.#quiet.delete(on);
    const member = this.#members.get(on);
    this.#members.delete(on);
    for (const service of this.#services.values()) {
      service.leaveQuietly(on);
      if (member !== undefined) service.leave(member);
    }
    if (member === undefined) return;
    const rest = member.mates.filter((mate) => mate !== member);
    if (member.active) for (const mate of rest) mate.inherited = on.index;
    this.#lostAlone ||= rest.length === 0;
    this.#shares.orphan(member, rest);
    this.#reconsider(undefined);
  }

  /** The link of an interface came up or went down. */
  linkChanged(on: Interface, up: boolean): void {
    const member = this.#members.get(on);
    if (member !== undefined) this.#reconsider(up ? member : undefined);
  }

  /** The Ethernet address of an interface is another. */
  macChanged(on: Interface): void {
    const member = this.#members.get(on);
    if (member === undefined) return;
    this.#shares.readdressed(member);
    for (const service of this.#services.values()) {
      if (member.active) service.announce(member);
      this.#shares.follow(service);
    }
  }

  /** Paths died or came back. */
  standingChanged(): void {
    for (const member of this.#members.values()) {
      if (this.#io.standing(member.on) === member.standing) continue;
      this.#reconsider(undefined);
      return;
    }
  }

  /** What became of an address of an interface, any address: it may tell which link that is on. */
  addressChanged(entry: InterfaceAddress, change: AddressChange): void {
    if (this.#services.size === 0 || !this.#open) return;
    if (change === "added" || change === "tentative" || change === "conflict") return;
    if (entry.origin === "service" && change !== "preferred" && change !== "duplicated") return;
    // Not from within the book's own call, and once for many.
    if (this.#later?.active !== true)
      this.#later = this.#environment.timers.after(0, () => this.#reconsider(undefined));
  }

  statistics(): ServiceStatistics {
    let refused = 0;
    for (const service of this.#services.values()) refused += service.refused;
    return {
      services: this.#services.size,
      ...this.#counts,
      askers: this.#shares.size,
      forgotten: this.#shares.forgotten,
      refused,
    };
  }

  /** Ends all; the addresses go with their interfaces. Idempotent. */
  close(): void {
    this.#open = false;
    this.#later?.cancel();
    this.#shares.close();
    for (const service of this.#services.values()) service.close();
    this.#services.clear();
    this.#members.clear();
    this.#quiet.clear();
  }

  /** Looks at everything anew. `fresh` has come up, perhaps on another link: that hears of all from its speaker. */
  #reconsider(fresh: Member | undefined): void {
    if (this.#services.size === 0) return;
    const turns = this.#regroup(fresh);
    const services = [...this.#services.values()];
    if (fresh?.active === true) for (const service of services) service.retry(fresh.mates);
    for (const on of this.#quiet) for (const service of services) service.joinQuietly(on);
    for (const active of this.#speakers()) for (const service of services) service.settle(active.mates);
    for (const turn of turns) for (const service of services) this.#speak(service, turn);
    for (const service of services) this.#shares.follow(service);
  }

  /** Sees who is on which link, and who speaks there. Those whose turn begins, and those that have to say so again. */
  #regroup(fresh: Member | undefined): Turn[] {
    const turns: Turn[] = [];
    let lostAlone = this.#lostAlone;
    this.#lostAlone = false;
    // Each of them is to know how it is, whatever was found of those before.
    for (const member of this.#members.values())
      if (member.stand(this.#io.standing(member.on))) lostAlone = true;
    for (const mates of segmentsOf(this.#members.values())) {
      const before = mates.filter((member) => member.active);
      const active = elect(mates);
      const previous = before.find((member) => member !== active)?.on.index ?? active.inherited;
      // Also where two links turn out to be one: whoever spoke last on it may be the wrong one.
      const isNew = before.length !== 1 || before[0] !== active;
      for (const member of mates) {
        member.mates = mates;
        member.active = member === active;
        member.inherited = 0;
      }
      // Of what it said while it was dead nobody heard, and where another is lost alone that may have been on its link after all.
      const unheard = active.revived || (lostAlone && active.standing !== "down");
      // That its paths came back may have given it its turn just now.
      const again = (fresh === active || unheard) && active.spokeMs !== this.#environment.timers.now;
      if (!isNew && !again) continue;
      active.spokeMs = this.#environment.timers.now;
      turns.push({ active, previous: isNew ? previous : active.on.index });
    }
    return turns;
  }

  #speakers(): Member[] {
    return [...this.#members.values()].filter((member) => member.active);
  }

  #speak(service: Service, { active, previous }: Turn): void {
    service.settle(active.mates);
    service.announce(active);
    const { index, name } = active.on;
    if (previous === index) return;
    if (previous !== 0) this.#counts.moves += 1;
    this.#io.moved({ address: service.address, interface: index, name, previous });
  }

  /** Whether a question for a service address that came in on `member` is to be answered there. */
  #asked(
    service: Service,
    member: Member,
    asker: IpAddress,
    mac: MacAddress | undefined,
    toMany: boolean,
  ): boolean {
    const spread = service.answer === "spread" && !asker.unspecified;
    const speaker = member.mates.find((mate) => mate.active) ?? member;
    const elected = (spread ? this.#shares.choose(service, member.mates, asker) : undefined) ?? speaker;
    // Where all look dead a question is the only sign of life, and two hosts that ask each other must not both wait for another.
    const chosen = elected.standing === "down" ? member : elected;
    if (chosen !== member && toMany) return false;
    if (mac === undefined) return true;
    if (spread) this.#shares.note(service, asker, mac, chosen);
    if (chosen === member) return true;
    // It was told of this one once, and gets to hear of the right one.
    this.#counts.handedOn += 1;
    return !(chosen.on.protocols?.tell(service.address, asker, mac) ?? false);
  }
}

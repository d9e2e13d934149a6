/**
 * Name servers and search domains that routers advertise, each for its lifetime (RFC 8106).
 */
import type { IpAddress } from "../../wire/address.ts";
import type { TimerSource } from "../environment.ts";
import { ExpiringList } from "./expiring.ts";

/** Both lists after a change. */
export interface Resolvers {
  readonly servers: readonly IpAddress[];
  readonly domains: readonly string[];
}

/** Name servers kept: RFC 8106 section 5.3.1 calls three enough. */
export const MAX_SERVERS = 8;
/** Search domains kept; resolvers read six or so. */
export const MAX_DOMAINS = 16;

export class ResolverList {
  readonly #timers: TimerSource;
  readonly #changed: (resolvers: Resolvers) => void;
  readonly #servers: ExpiringList<IpAddress>;
  readonly #domains: ExpiringList<string>;

  /** `changed` hears of both lists whenever one of them changes. */
  constructor(timers: TimerSource, changed: (resolvers: Resolvers) => void) {
    this.#timers = timers;
    this.#changed = changed;
    this.#servers = new ExpiringList(timers, MAX_SERVERS, () => this.#tell());
    this.#domains = new ExpiringList(timers, MAX_DOMAINS, () => this.#tell());
  }

  get current(): Resolvers {
    return { servers: this.#servers.values(), domains: this.#domains.values() };
  }

  /** An RDNSS option; a lifetime of 0 takes the servers back. */
  advertisedServers(servers: readonly IpAddress[], lifetimeMs: number): void {
    let changed = false;
    for (const server of servers)
      changed = this.#set(this.#servers, server.toString(), server, lifetimeMs) || changed;
    if (changed) this.#tell();
  }

  /** A DNSSL option; a lifetime of 0 takes the domains back. */
  advertisedDomains(domains: readonly string[], lifetimeMs: number): void {
    let changed = false;
    for (const domain of domains) changed = this.#set(this.#domains, domain, domain, lifetimeMs) || changed;
    if (changed) this.#tell();
  }

  /** Forgets all, and says so where there was anything. */
  flush(): void {
    const any = this.#servers.size > 0 || this.#domains.size > 0;
    this.close();
    if (any) this.#tell();
  }

  /** Forgets all without a word. */
  close(): void {
    this.#servers.clear();
    this.#domains.clear();
  }

  /** Whether what the list holds is another now. A full list gives up what ends first (RFC 8106 section 6.2). */
  #set<T>(list: ExpiringList<T>, key: string, value: T, lifetimeMs: number): boolean {
    const known = list.get(key) !== undefined;
    if (lifetimeMs === 0) {
      list.delete(key);
      return known;
    }
    if (!known && list.full) list.delete(list.soonest()!);
    list.set(key, value, this.#timers.now + lifetimeMs);
    return !known;
  }

  #tell(): void {
    this.#changed(this.current);
  }
}

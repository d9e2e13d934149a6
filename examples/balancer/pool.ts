/**
 * The backends that several services have in common, kept as a list wants them, each with one check.
 */
import {
  type Backend,
  BackendCheck,
  type BackendState,
  type BalancedService,
  type Loop,
  type Probe,
} from "millrace";
import type { Wanted } from "./words.ts";

interface Member {
  readonly wanted: Wanted;
  readonly backends: readonly Backend[];
  readonly check: BackendCheck | undefined;
  /** It is on the list no longer, and goes when its last flow has ended. */
  leaving: boolean;
}

/** A backend as people look at it, over all services. */
export interface MemberReport {
  readonly address: string;
  readonly state: BackendState;
  readonly weight: number;
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly rttMs: number | null;
}

export interface PoolOptions {
  readonly intervalMs: number;
  /** Makes what asks whether a backend lives; undefined where nobody is to ask. */
  readonly probe: ((address: string) => Probe) | undefined;
  /** Hears of each verdict. */
  readonly changed: (address: string, healthy: boolean) => void;
}

export class Pool implements Disposable {
  readonly #loop: Loop;
  readonly #services: readonly BalancedService[];
  readonly #options: PoolOptions;
  readonly #members = new Map<string, Member>();

  constructor(loop: Loop, services: readonly BalancedService[], options: PoolOptions) {
    this.#loop = loop;
    this.#services = services;
    this.#options = options;
  }

  /** Adds what is new, changes what is different, and lets what is missing drain. */
  set(list: readonly Wanted[]): void {
    for (const wanted of list) {
      const known = this.#members.get(wanted.address);
      if (known === undefined || known.wanted.mac !== wanted.mac) {
        if (known !== undefined) this.#remove(known);
        this.#add(wanted);
      }
      const member = this.#members.get(wanted.address)!;
      member.leaving = false;
      for (const backend of member.backends) {
        backend.setWeight(wanted.weight);
        if (wanted.drain) backend.drain();
        else backend.resume();
      }
    }
    for (const member of this.#members.values()) {
      if (list.some(({ address }) => address === member.wanted.address)) continue;
      member.leaving = true;
      for (const backend of member.backends) backend.drain();
    }
  }

  /** Removes what was to leave and has no flows any more. */
  tidy(): void {
    for (const member of this.#members.values())
      if (member.leaving && member.backends.every(({ flows }) => flows === 0)) this.#remove(member);
  }

  report(): MemberReport[] {
    return [...this.#members.values()].map(({ wanted: { address }, backends, check }) => {
      const sum = (key: "flows" | "packets" | "bytes"): number =>
        backends.reduce((total, backend) => total + backend[key], 0);
      const { state, weight } = backends[0]!;
      const rttMs = check?.rttMs ?? null;
      return {
        address,
        state,
        weight,
        flows: sum("flows"),
        packets: sum("packets"),
        bytes: sum("bytes"),
        rttMs,
      };
    });
  }

  [Symbol.dispose](): void {
    for (const { check } of this.#members.values()) check?.close();
  }

  #add(wanted: Wanted): void {
    const { address, mac, weight } = wanted;
    const backends = this.#services.map((service) =>
      service.add({ address, weight, ...(mac === undefined ? {} : { mac }) }),
    );
    const { probe, intervalMs, changed } = this.#options;
    const together = {
      setHealthy: (healthy: boolean) => backends.forEach((each) => each.setHealthy(healthy)),
    };
    const onChange = (healthy: boolean): void => changed(address, healthy);
    const check =
      probe === undefined
        ? undefined
        : new BackendCheck(this.#loop, together, probe(address), { intervalMs, onChange });
    this.#members.set(address, { wanted, backends, check, leaving: false });
  }

  #remove({ wanted, backends, check }: Member): void {
    check?.close();
    for (const backend of backends) backend.remove();
    this.#members.delete(wanted.address);
  }
}

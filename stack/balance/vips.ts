/**
 * The addresses of services, and which services each has.
 */
import type { Random } from "../device/random.ts";
import { AddressTable } from "../wire/address-table.ts";
import type { IpAddress } from "../wire/address.ts";
import type { BalancedService } from "./service.ts";

const PORT_BITS = 16;
const PORT_MASK = 0xffff;
/** As many as fragments can be told apart by: see `MAX_SERVICES` of the flow table. */
export const MAX_VIPS = 4096;

/** What a service of an address is found by: the protocol, and the port in the lower half of `ports`. */
const keyOf = (protocol: number, ports: number): number => (protocol << PORT_BITS) | (ports & PORT_MASK);
const NO_KEY = -1;

/** An address that belongs to services. */
export class Vip {
  readonly address: IpAddress;
  readonly number: number;
  readonly #services = new Map<number, BalancedService>();
  /** The service that was asked for last: most packets are for the one that the packet before was for. */
  #lastKey = NO_KEY;
  #last: BalancedService | undefined;

  constructor(address: IpAddress, number: number) {
    this.address = address;
    this.number = number;
  }

  get empty(): boolean {
    return this.#services.size === 0;
  }

  /** The service of a protocol (IANA's number) on the port in the lower half of `ports`. */
  serviceOf(protocol: number, ports: number): BalancedService | undefined {
    const key = keyOf(protocol, ports);
    if (key === this.#lastKey) return this.#last;
    const service = this.#services.get(key);
    this.#lastKey = key;
    this.#last = service;
    return service;
  }

  set(service: BalancedService): void {
    this.#services.set(keyOf(service.protocol, service.port), service);
    this.#lastKey = NO_KEY;
  }

  delete({ protocol, port }: BalancedService): void {
    this.#services.delete(keyOf(protocol, port));
    this.#lastKey = NO_KEY;
    this.#last = undefined;
  }
}

export class Vips {
  readonly #table: AddressTable<Vip>;
  readonly #free: number[] = [];
  #used = 0;
  /** The address that was found last. */
  #last: Vip | undefined;

  constructor(random: Random) {
    this.#table = new AddressTable<Vip>(MAX_VIPS, random.next());
  }

  find(w0: number, w1: number, w2: number, w3: number): Vip | undefined {
    const last = this.#last;
    if (last?.address.equalsWords(w0, w1, w2, w3) === true) return last;
    const found = this.#table.get(w0, w1, w2, w3);
    if (found !== undefined) this.#last = found;
    return found;
  }

  of({ w0, w1, w2, w3 }: IpAddress): Vip | undefined {
    return this.find(w0, w1, w2, w3);
  }

  /** @throws RangeError where there are too many. */
  make(address: IpAddress): Vip {
    const known = this.of(address);
    if (known !== undefined) return known;
    if (this.#table.size === MAX_VIPS)
      throw new RangeError(`a balancer has services at ${MAX_VIPS} addresses at most`);
    const vip = new Vip(address, this.#free.pop() ?? this.#used++);
    this.#table.set(address, vip);
    return vip;
  }

  delete(vip: Vip): void {
    this.#table.delete(vip.address);
    this.#free.push(vip.number);
    this.#last = undefined;
  }
}

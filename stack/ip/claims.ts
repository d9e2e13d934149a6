/**
 * Which ports are taken from the kernel beside us, and kept from its own programs while we have them.
 */
import type { EventSource, PortKeeper, Reservation, SystemSoftError } from "../device/routesource.ts";
import type { Subscription } from "../loop/subscription.ts";
import type { IpAddress } from "../wire/address.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import type { Interface } from "./interface.ts";
import type { BesideOptions, PortClaim } from "./options.ts";

/** Errors handled in one turn at most; a flood of them waits, and the kernel drops what it has no room for. */
const ERRORS_PER_TURN = 64;

/** What claims need of the host. */
export interface ClaimsIo {
  /** Asks a source in the turns of the loop. */
  watch(source: EventSource): Subscription;
  /** A kernel heard of an error about a datagram from a port of ours. */
  heard(error: SystemSoftError): void;
}

interface Taken extends PortClaim {
  /** Sockets that share it. */
  users: number;
  readonly reservations: Map<Interface, Reservation>;
}

interface Beside {
  readonly options: BesideOptions;
  readonly watch: Subscription | undefined;
}

export class PortClaims {
  readonly #io: ClaimsIo;
  readonly #beside = new Map<Interface, Beside>();
  readonly #taken = new Map<string, Taken>();

  constructor(io: ClaimsIo) {
    this.#io = io;
  }

  /**
   * An interface beside the kernel joined: it claims what is taken already. Throws a RangeError where a program of this kernel
   * has one of the ports, and what its keeper throws.
   */
  add(on: Interface, options: BesideOptions): void {
    const made = new Map<Taken, Reservation>();
    try {
      for (const taken of this.#taken.values()) {
        const reservation = reserve(on, options, taken);
        if (reservation === "taken")
          throw new RangeError(`UDP port ${taken.port} is a program's on "${on.name}"`);
        if (reservation !== undefined) made.set(taken, reservation);
      }
    } catch (error) {
      for (const reservation of made.values()) reservation.release();
      throw error;
    }
    for (const [taken, reservation] of made) taken.reservations.set(on, reservation);
    this.#beside.set(on, { options, watch: this.#listen(options.ports) });
    this.#publish(options);
  }

  /** It left: the kernel has all its ports again there. */
  remove(on: Interface): void {
    const beside = this.#beside.get(on);
    if (beside === undefined) return;
    this.#beside.delete(on);
    beside.options.claim?.([]);
    for (const { reservations } of this.#taken.values()) {
      reservations.get(on)?.release();
      reservations.delete(on);
    }
    beside.watch?.close();
    // Somebody else who has the same keeper hears its errors from now on.
    if (beside.watch !== undefined) this.#hearAgain(beside.options.ports);
  }

  /** True where the port is ours from here on, on all interfaces beside a kernel; false where a program of it has it. */
  take(protocol: number, address: IpAddress | undefined, port: number): boolean {
    const key = keyOf(protocol, address, port);
    const known = this.#taken.get(key);
    if (known !== undefined) {
      known.users += 1;
      return true;
    }
    const taken: Taken = { protocol, address, port, users: 1, reservations: new Map() };
    if (!this.#reserve(taken)) return false;
    this.#taken.set(key, taken);
    for (const { options } of this.#beside.values()) this.#publish(options);
    return true;
  }

  give(protocol: number, address: IpAddress | undefined, port: number): void {
    const key = keyOf(protocol, address, port);
    const taken = this.#taken.get(key);
    if (taken === undefined) return;
    taken.users -= 1;
    if (taken.users > 0) return;
    this.#taken.delete(key);
    // First the claim, so that the kernel has the frames again before anybody can have the port.
    for (const { options } of this.#beside.values()) this.#publish(options);
    for (const reservation of taken.reservations.values()) reservation.release();
  }

  close(): void {
    for (const { watch } of this.#beside.values()) watch?.close();
    for (const { reservations } of this.#taken.values())
      for (const one of reservations.values()) one.release();
    this.#taken.clear();
    this.#beside.clear();
  }

  /** One reservation for each interface beside a kernel; none at all, and false, where one of them says no. */
  #reserve(taken: Taken): boolean {
    let complete = false;
    try {
      for (const [on, { options }] of this.#beside) {
        const reservation = reserve(on, options, taken);
        if (reservation === "taken") return false;
        if (reservation !== undefined) taken.reservations.set(on, reservation);
      }
      complete = true;
      return true;
    } finally {
      if (!complete) for (const one of taken.reservations.values()) one.release();
    }
  }

  /** Asks a keeper for errors; once, however many interfaces share it. */
  #listen(keeper: PortKeeper | undefined): Subscription | undefined {
    if (keeper === undefined) return undefined;
    for (const { options, watch } of this.#beside.values())
      if (options.ports === keeper && watch !== undefined) return undefined;
    return this.#io.watch({
      name: "errors about kept ports",
      fds: keeper.errorFds,
      take: () => this.#takeErrors(keeper),
    });
  }

  #hearAgain(keeper: PortKeeper | undefined): void {
    for (const [on, { options }] of this.#beside) {
      if (options.ports !== keeper) continue;
      this.#beside.set(on, { options, watch: this.#listen(keeper) });
      return;
    }
  }

  #takeErrors(keeper: PortKeeper): number {
    for (let taken = 0; taken < ERRORS_PER_TURN; taken++) {
      const error = keeper.nextError();
      if (error === undefined) return taken;
      this.#io.heard(error);
    }
    return ERRORS_PER_TURN;
  }

  #publish(options: BesideOptions): void {
    options.claim?.([...this.#taken.values()]);
  }
}

/**
 * "taken" where a program has the port; undefined where nothing is to be kept: groups are shared, other addresses not there, and
 * of service addresses the kernel knows nothing.
 */
const reserve = (
  on: Interface,
  { ports, interface: index }: BesideOptions,
  { protocol, address, port }: PortClaim,
): Reservation | "taken" | undefined => {
  if (ports === undefined || protocol !== PROTOCOL.UDP || address?.multicast === true) return undefined;
  if (address !== undefined && !isKernels(on, address)) return undefined;
  return ports.reserve(address?.toBytes(), port, index) ?? "taken";
};

const isKernels = (on: Interface, { w0, w1, w2, w3 }: IpAddress): boolean =>
  on.hasAddress(w0, w1, w2, w3) && on.addresses.findWords(w0, w1, w2, w3)?.origin !== "service";

const keyOf = (protocol: number, address: IpAddress | undefined, port: number): string =>
  `${protocol} ${address?.toString() ?? "*"} ${port}`;

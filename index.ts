/**
 * The public names of millrace, and the wiring of `ffi/` to `stack/`: a loop that has a clock, sleeps and hears signals.
 */
import { type Claim, KernelMirror, KernelPorts, PollWaiter, type XdpDevice } from "./ffi/index.ts";
import {
  type Clock,
  Host as StackHost,
  type HostOptions as StackHostOptions,
  type Interface,
  type JoinOptions,
  Loop as StackLoop,
  type LoopOptions as StackLoopOptions,
  type PortClaim,
  type Random,
  type SignalSource,
} from "./stack/index.ts";

export * from "./ffi/index.ts";
export * from "./stack/index.ts";
/** The class over AF_XDP memory, which fits the seam's interface of the same name. */
export { Umem, type UmemOptions } from "./ffi/index.ts";

/** CLOCK_MONOTONIC as the runtime gives it: milliseconds since the process began, with a fraction. */
export const monotonicClock: Clock = { nowMs: () => performance.now() };

/** Signals of this process. While one is listened to, it does not end the process any more. */
export const processSignals: SignalSource = {
  listen(signal, listener) {
    process.on(signal, listener);
    return () => void process.off(signal, listener);
  },
};

/** What a loop can be told; clock, waiter and signals are the process's own unless given. */
export type LoopOptions = Partial<StackLoopOptions>;

/** A loop on this process's clock and signals, which sleeps in the kernel when there is nothing to do. */
export class Loop extends StackLoop {
  constructor(options: LoopOptions = {}) {
    super({ clock: monotonicClock, waiter: new PollWaiter(), signals: processSignals, ...options });
  }
}

/** Unguessable numbers, for ports, identifiers and the seeds of hash tables. */
export const systemRandom: Random = (() => {
  const DRAWN_AT_ONCE = 1024;
  const drawn = new Uint32Array(new ArrayBuffer(DRAWN_AT_ONCE * Uint32Array.BYTES_PER_ELEMENT));
  let next = DRAWN_AT_ONCE;
  return {
    next() {
      if (next === DRAWN_AT_ONCE) {
        crypto.getRandomValues(drawn);
        next = 0;
      }
      return drawn[next++]!;
    },
  };
})();

/** What a host can be told; its randomness is the system's unless given. */
export interface HostOptions extends StackHostOptions {
  readonly loop: StackLoop;
  readonly random?: Random;
}

/** An IP host on this process's loop. */
export class Host extends StackHost {
  /** What follows the kernel, for each interface beside it. */
  readonly #mirrors = new Map<Interface, KernelMirror>();
  /** Who keeps ports from the kernel's programs: one for each namespace, or they would keep them from each other. */
  readonly #keepers = new Map<string, KernelPorts>();

  constructor({ loop, random = systemRandom, ...options }: HostOptions) {
    super({ loop, random }, options);
  }

  /**
   * Joins an interface beside the kernel: its addresses are shared, its routes and neighbours followed, and each UDP port
   * that a socket opens is claimed from it while the socket lives. Attach the device with `claim: []`; claims that it has
   * besides stay.
   *
   * Fragments follow the first one of their datagram, which has the port; those that overtake it are the kernel's, and counted
   * (`program.earlyFragments`). ICMP errors about what we send are the kernel's to hear, which tells us. What programs of this
   * machine send to its own addresses never comes to a card: at our ports they hear nothing.
   *
   * Throws a TypeError where everything is claimed, since the kernel would then be deaf, and SystemErrors of the kernel's.
   */
  beside(device: XdpDevice, options: Omit<JoinOptions, "beside"> = {}): Interface {
    const own = device.claims;
    if (own === "everything") {
      throw new TypeError(
        `"${device.name}" claims everything: the kernel beside it would hear nothing; attach with claim: []`,
      );
    }
    const kept = Array.isArray(own) ? own : [own as Claim];
    const claim = (ports: readonly PortClaim[]): void => {
      if (device.open) device.setClaims([...kept, ...ports.map(asClaim)]);
    };
    const place = device.namespace === undefined ? {} : { namespace: device.namespace };
    const source = new KernelMirror(place);
    const key = device.namespace ?? "";
    const ports = this.#keepers.get(key) ?? new KernelPorts(place);
    this.#keepers.set(key, ports);
    try {
      const beside = { source, interface: device.ifindex, ports, claim };
      const joined = this.join(device, { ...options, beside });
      this.#mirrors.set(joined, source);
      return joined;
    } catch (error) {
      source.close();
      throw error;
    }
  }

  override leave(one: Interface): void {
    super.leave(one);
    this.#mirrors.get(one)?.close();
    this.#mirrors.delete(one);
  }

  override close(): void {
    super.close();
    for (const keeper of this.#keepers.values()) keeper.close();
    this.#keepers.clear();
  }
}

const asClaim = ({ protocol, address, port }: PortClaim): Claim => ({
  protocol,
  port,
  ...(address === undefined ? {} : { destination: address.toString() }),
});

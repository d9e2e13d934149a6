/**
 * `millrace/bun`: a program written for `Bun.udpSocket` moves by one import and one line that says over what.
 *
 *     import { udpSocket, use } from "millrace/bun";
 *     use("eth0");                                       // beside the kernel, on the interface's own addresses
 *     use("eth0", { addresses: ["10.77.0.2/24"] });      // or as a host of its own, with all of eth0's traffic
 *     use(host);                                         // or over a host that the program has made
 */
import type { AttachOptions } from "./ffi/index.ts";
import { attach, Host, type JoinOptions, Loop } from "./index.ts";
import { createUdpSocket, type Host as StackHost } from "./stack/index.ts";

export { createUdpSocket, type Host as StackHost } from "./stack/index.ts";

/** How an interface is used; as for `join`, which says what each means. */
export interface UseOptions extends Omit<JoinOptions, "beside"> {
  /** For `attach`: the queues, modes, sizes and namespace. */
  readonly attach?: AttachOptions;
}

/** What makes a host of its own of an interface. */
const OWN_LIFE = ["addresses", "dhcp", "slaac"] as const;

/** Between turns while no socket keeps the program alive: what arrives is late by so much at most. */
const IDLE_TURN_MS = 1;

let socketOn: typeof Bun.udpSocket | undefined;
const openers = new WeakMap<StackHost, typeof Bun.udpSocket>();

/**
 * Says where `udpSocket` opens sockets from here on; those that are open stay where they are. Returns the host.
 *
 * The loop runs by itself while a socket is open that keeps the program alive (`ref`), and otherwise takes a turn each
 * millisecond as long as the program lives for another reason. A loop that the program runs is left to it: run it before the
 * first socket opens. What a handler throws is an uncaught exception, as in Bun, but for hosts whose loop has an `onError`.
 *
 * A device that it attaches stays so until the process ends. Throws what `attach` and `join` throw.
 */
export const use = (where: string | StackHost, options: UseOptions = {}): StackHost => {
  const host = typeof where === "string" ? hostOn(where, options) : where;
  if (typeof host?.udp !== "function") throw new TypeError("use takes the name of an interface, or a host");
  let opener = openers.get(host);
  if (opener === undefined) {
    const driver = new Driver(host);
    opener = createUdpSocket(host, (_open, held) => driver.hold(held > 0));
    openers.set(host, opener);
  }
  socketOn = opener;
  return host;
};

/** As `Bun.udpSocket`, over the host that `use` named last. Throws a TypeError where there is none. */
export const udpSocket: typeof Bun.udpSocket = ((options: Parameters<typeof Bun.udpSocket>[0]) => {
  if (socketOn === undefined) throw new TypeError('no host: call use("eth0") or use(host) first');
  return socketOn(options);
}) as typeof Bun.udpSocket;

const hostOn = (name: string, { attach: attachOptions = {}, ...join }: UseOptions): Host => {
  const own = OWN_LIFE.some((key) => join[key] !== undefined);
  const device = attach(name, own ? attachOptions : { claim: [], ...attachOptions });
  try {
    const host = new Host({ loop: new Loop({ onError: throwUncaught }) });
    if (own) host.join(device, join);
    else host.beside(device, join);
    return host;
  } catch (error) {
    device.close();
    throw error;
  }
};

/** What an uncaught exception ends a program with. */
const EXIT_UNCAUGHT = 1;

/** Throws where nothing catches it, so that Bun prints it, or the program's listener hears of it. */
const throwUncaught = (error: unknown): void => {
  setTimeout(() => {
    throw error;
  });
  // Bun 1.4.5 prints it, and then goes on for as long as a loop has immediates.
  if (process.listenerCount("uncaughtException") === 0) setTimeout(() => process.exit(EXIT_UNCAUGHT));
};

/** Has the loop of a host take turns, in a way that keeps the program alive or in one that does not. */
class Driver {
  readonly #host: StackHost;
  #held = false;
  #running = false;
  readonly #idle: ReturnType<typeof setInterval>;

  constructor(host: StackHost) {
    this.#host = host;
    this.#idle = setInterval(() => this.#turn(), IDLE_TURN_MS);
    this.#idle.unref();
  }

  hold(held: boolean): void {
    this.#held = held;
    const { loop } = this.#host;
    if (held && !loop.running) void this.#run();
    else if (!held && this.#running) loop.stop();
  }

  async #run(): Promise<void> {
    const { loop } = this.#host;
    this.#running = true;
    await loop.run();
    this.#running = false;
    // Somebody may have opened a socket after the last one was closed, before the loop came to its end.
    if (this.#held && this.#host.open) this.hold(true);
  }

  #turn(): void {
    if (!this.#host.open) return clearInterval(this.#idle);
    if (this.#host.loop.running) return;
    try {
      this.#host.loop.turn();
    } catch (error) {
      // The loop is closed.
      clearInterval(this.#idle);
      throw error;
    }
  }
}

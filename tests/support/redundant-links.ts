/**
 * Two hosts with some links between them, in virtual time, with faults on each: one sends redundantly, the other hears.
 */
import { expect } from "bun:test";
import type { LinkOptions } from "../../stack/device/memory.ts";
import { faulty, type FaultRates } from "../../stack/device/fault.ts";
import { seededRandom } from "../../stack/device/random.ts";
import { redundant, type RedundantHandler, type RedundantSocket } from "../../stack/multipath/redundant.ts";
import type { RedundantOptions } from "../../stack/multipath/redundant-options.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import { HostLab } from "./host-lab.ts";

export const PORT = 9000;
export const NUMBER_BYTES = 4;

/** Lives on both interfaces of the receiver. */
export const PEER = "10.9.9.9";
export const PERFECT: FaultRates = {};

/** Two hosts, each with an interface on each of two links; what the second receives may suffer faults. */
export class TwoLinks {
  readonly lab = new HostLab();
  readonly sender = this.lab.host();
  readonly receiver = this.lab.host();
  readonly heard: number[] = [];
  readonly links;

  /** `options` are those of the first link. */
  constructor(
    rates: readonly [FaultRates, FaultRates] = [PERFECT, PERFECT],
    seed = 1,
    options: LinkOptions = {},
  ) {
    this.links = rates.map((rx, i) => this.#lay(i, rx, seed + i, i === 0 ? options : {}));
    this.lab.run(0);
  }

  /** One more link between the two. */
  add(): void {
    this.links.push(this.#lay(this.links.length, PERFECT, 1));
  }

  /** Opens the receiver's side, which writes down the numbers that it hears. */
  hear(options: RedundantOptions = {}, also?: RedundantHandler): RedundantSocket {
    return redundant(this.receiver, { port: PORT, ...options }, (datagram, at, length) => {
      expect(length).toBe(NUMBER_BYTES);
      this.heard.push(datagram.view.getInt32(at));
      also?.(datagram, at, length);
    });
  }

  /** Opens a sender, by default to the peer's one address. */
  open(options: RedundantOptions = {}): RedundantSocket {
    return redundant(this.sender, { remote: { address: PEER, port: PORT }, ...options }, () => {});
  }

  /** Sends these numbers, one every millisecond. */
  send(socket: RedundantSocket, numbers: readonly number[]): number[] {
    return numbers.map((n) => {
      const copies = socket.send(numbered(n));
      this.lab.run(1);
      return copies;
    });
  }

  [Symbol.dispose](): void {
    this.lab.close();
    for (const { device } of this.links) device.close();
  }

  #lay(i: number, rx: FaultRates, seed: number, options: LinkOptions = {}) {
    const { lab, sender, receiver } = this;
    const [near, far] = lab.link({ ...options, names: [`near${i}`, `far${i}`] });
    const device = faulty(far, { random: seededRandom(seed), clock: lab.clock, rx });
    const common = { linkLocal: false, dad: false };
    const from = sender.join(near, { ...common, addresses: [`10.0.${i}.1/24`] });
    const to = receiver.join(device, { ...common, addresses: [`10.0.${i}.2/24`, `${PEER}/32`] });
    sender.addRoute({
      prefix: Prefix.parse(`${PEER}/32`),
      gateway: IpAddress.parse(`10.0.${i}.2`),
      interface: from.index,
      kind: "unicast",
      metric: i,
    });
    // They know each other: what becomes of address resolution under faults is not the matter here.
    const learner = from.neighboursOf(4) as unknown as {
      learn(address: IpAddress, mac: unknown, state: "permanent"): boolean;
    };
    learner.learn(IpAddress.parse(`10.0.${i}.2`), to.link.mac, "permanent");
    return { near, far, device, from, to };
  }
}

export const numbered = (n: number): Uint8Array => {
  const payload = new Uint8Array(NUMBER_BYTES);
  new DataView(payload.buffer).setInt32(0, n);
  return payload;
};
export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A host of a world of one link: its interfaces on the link, what is wrong with each, and who watches them. */
import { Bfd } from "../../../stack/bfd/bfd.ts";
import type { MemoryDevice } from "../../../stack/device/memory.ts";
import { EchoMonitor } from "../../../stack/ip/paths/echo-monitor.ts";
import type { PathMonitor } from "../../../stack/ip/paths/monitor.ts";
import { NeighbourMonitor } from "../../../stack/ip/paths/neighbour-monitor.ts";
import type { Path } from "../../../stack/ip/paths/path.ts";
import type { Family } from "../../../stack/wire/address.ts";
import { IpAddress } from "../../../stack/wire/address.ts";
import { guestAddress, lengthOf, linkService, type LinkPlan, seatAddress } from "./link-plan.ts";
import { Party, PULSE } from "./party.ts";
import { type End, otherOf } from "./plan.ts";
import type { Port } from "./port.ts";
import type { Stage } from "./stage.ts";
import type { Weather } from "./weather.ts";

/** What may be wrong with an interface: one direction or both, the carrier, it has left, or it has no address of its own. */
export type SeatTrouble = "cutOut" | "cutIn" | "down" | "left" | "bare";

/** One interface of an end on the link. */
export interface Seat {
  readonly end: End;
  readonly index: number;
  readonly device: MemoryDevice;
  readonly port: Port;
  readonly weather: Weather<SeatTrouble>;
}

export class LinkEnd extends Party {
  readonly seats: readonly Seat[];
  readonly ports: readonly Port[];
  readonly #plan: LinkPlan;
  readonly #stage: Stage;
  readonly #bfd: Bfd;

  constructor(stage: Stage, end: End, plan: LinkPlan, seats: readonly Seat[], resumeMs: number) {
    super(stage, end, plan, resumeMs);
    this.#stage = stage;
    this.#plan = plan;
    this.seats = seats;
    this.ports = seats.map(({ port }) => port);
    this.#bfd = new Bfd(this.host);
    this.serve(true);
    for (const seat of seats) this.join(seat);
    for (const seat of seats)
      this.host.paths.watch(
        { interface: seat.port.tap.name, family: plan.family, gateway: null },
        this.#monitor(seat),
      );
  }

  own(family: Family): string {
    return linkService(this.end, family);
  }

  other(family: Family): string {
    return linkService(otherOf(this.end), family);
  }

  protected get serviceOptions() {
    return { dad: false, answer: this.#plan.answer };
  }

  pathOf(port: Port, family: Family): Path | undefined {
    return this.host.paths.find({ interface: port.tap.name, family, gateway: null });
  }

  /** The link-local network keeps a path alive over which no route leads there. */
  leadsThere(port: Port): boolean {
    const seat = this.seats.find((one) => one.port === port);
    return port.books.on !== undefined && seat?.weather.has("bare") === false;
  }

  /** The one that speaks for its service address, among those that are known to be on the link; undefined where none does. */
  get elected(): Seat | undefined {
    return this.announcers.find(({ weather }) => this.#plan.named || !weather.has("bare"));
  }

  /** All that say that they speak for it. */
  get announcers(): readonly Seat[] {
    const carriers = this.host.services.flatMap((service) => service.carriers());
    const names = new Set(carriers.filter(({ announces }) => announces).map(({ name }) => name));
    return this.seats.filter(({ port }) => names.has(port.tap.name));
  }

  join({ port, index }: Seat): void {
    if (port.books.on !== undefined) return;
    const { family, named } = this.#plan;
    const addresses = [`${seatAddress(this.end, index, family)}/${lengthOf(family)}`];
    const segment = named ? { segment: "hall" } : {};
    port.books.open(() => this.host.join(port.tap, { addresses, dad: false, ...segment }));
    port.routedMs = this.#stage.now;
  }

  leave({ port }: Seat): void {
    const { on } = port.books;
    if (on === undefined) return;
    this.host.leave(on);
    port.books.close();
    port.routedMs = this.#stage.now;
  }

  /** Gives an interface its own address, or takes it away. */
  dress({ port, index }: Seat, dressed: boolean): void {
    const { family } = this.#plan;
    const address = IpAddress.parse(seatAddress(this.end, index, family));
    const addresses = port.books.on?.addresses;
    if (addresses === undefined || dressed === (addresses.find(address) !== undefined)) return;
    if (dressed) addresses.add(address, lengthOf(family), { dad: false });
    else addresses.remove(address);
    port.routedMs = this.#stage.now;
  }

  override close(): void {
    this.#bfd.close();
    super.close();
  }

  #monitor({ index, port }: Seat): PathMonitor {
    const { family, watch } = this.#plan;
    const target = guestAddress(family);
    const { intervalMs, count } = PULSE;
    switch (watch) {
      case "service":
        return new NeighbourMonitor(this.host, { ...PULSE, target: this.other(family) });
      case "neighbour":
        return new NeighbourMonitor(this.host, { ...PULSE, target });
      case "health":
        return new EchoMonitor(this.host, { ...PULSE, target });
      case "bfd":
        return this.#bfd.session({
          peer: target,
          local: seatAddress(this.end, index, family),
          interface: port.tap.name,
          intervalMs,
          multiplier: count,
        });
    }
  }
}

/**
 * A feed in virtual time: stations that publish numbered datagrams to a group each, and a host that arbitrates them.
 */
import { FeedArbiter } from "../../stack/multipath/feed-arbiter.ts";
import type { FeedHandler, FeedOptions } from "../../stack/multipath/feed-options.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { multicastMac } from "../../stack/wire/mac.ts";
import { udpFrame } from "./host-frames.ts";
import { HostLab, type Station } from "./host-lab.ts";

export const FEED_PORT = 5000;
/** Fields of a datagram of the feed. */
const SESSION = 0;
const NUMBER = SESSION + 8;
const COUNT = NUMBER + 8;
const SENT_BYTES = COUNT + 4;

/** Reads the fields that `FeedLab` writes; NaN for what is shorter. */
export const FIELDS = {
  session: (view: DataView, at: number, length: number): number =>
    length < SENT_BYTES ? Number.NaN : view.getFloat64(at + SESSION),
  sequence: (view: DataView, at: number, length: number): number =>
    length < SENT_BYTES ? Number.NaN : view.getFloat64(at + NUMBER),
  count: (view: DataView, at: number): number => view.getInt32(at + COUNT),
} as const;

export interface Published {
  readonly count?: number;
  readonly session?: number;
}

/** What a feed told, in its order. */
export type Told =
  | { readonly kind: "datagram"; readonly sequence: number; readonly skip: number; readonly atMs: number }
  | { readonly kind: "lost"; readonly first: number; readonly count: number; readonly atMs: number }
  | { readonly kind: "reset"; readonly atMs: number };

export class FeedLab {
  readonly lab = new HostLab();
  readonly host = this.lab.host();
  readonly stations: readonly Station[];
  readonly feed: FeedArbiter;
  readonly told: Told[] = [];
  readonly #groups: readonly IpAddress[];
  readonly #startMs: number;

  /** `sides` interfaces, each with a group. `handler` is called besides. */
  constructor(
    options: Partial<FeedOptions> = {},
    { sides = 2, handler }: { sides?: number; handler?: FeedHandler } = {},
  ) {
    const { lab } = this;
    const { host } = this;
    const numbers = Array.from({ length: sides }, (_, i) => i);
    this.stations = numbers.map((i) => {
      const join = { addresses: [`10.0.${i}.2/24`], linkLocal: false };
      return lab.attach(host, join, { names: [`side${i}`, `far${i}`] }).station;
    });
    this.#groups = numbers.map((i) => IpAddress.parse(`239.1.2.${i + 1}`));
    const tell = (what: Told): void => void this.told.push(what);
    this.feed = new FeedArbiter(
      lab.loop,
      {
        sequence: FIELDS.sequence,
        onLost: (first, count) => tell({ kind: "lost", first, count, atMs: this.nowMs }),
        onReset: () => tell({ kind: "reset", atMs: this.nowMs }),
        ...options,
      },
      (datagram, sequence, skip) => {
        tell({ kind: "datagram", sequence, skip, atMs: this.nowMs });
        handler?.(datagram, sequence, skip);
      },
    );
    for (const i of numbers)
      this.feed.join(host, {
        group: this.#groups[i]!.toString(),
        port: FEED_PORT,
        interface: `side${i}`,
        name: `${i}`,
      });
    lab.run(0);
    this.#startMs = lab.loop.now;
  }

  /** Since the beginning. */
  get nowMs(): number {
    return this.lab.loop.now - this.#startMs;
  }

  /** One side brings a number, now. */
  bring(side: number, sequence: number, { count = 1, session = 0 }: Published = {}): void {
    const payload = new Uint8Array(SENT_BYTES);
    const view = new DataView(payload.buffer);
    view.setFloat64(SESSION, session);
    view.setFloat64(NUMBER, sequence);
    view.setInt32(COUNT, count);
    this.put(side, payload);
  }

  /** The same with any payload. */
  put(side: number, payload: Uint8Array): void {
    const to = this.#groups[side]!;
    const from = IpAddress.parse(`10.0.${side}.1`);
    this.stations[side]!.put(udpFrame(payload, { to, from, toMac: multicastMac(to), port: FEED_PORT }));
    this.lab.run(0);
  }

  run(ms: number): void {
    this.lab.run(ms);
  }

  /** Numbers of datagrams that were handed on, in order. */
  get delivered(): number[] {
    return this.told.flatMap((each) => (each.kind === "datagram" ? [each.sequence] : []));
  }

  /** What was told in short: "7", "lost 8-9", "reset". */
  get words(): string[] {
    return this.told.map((each) => {
      if (each.kind === "reset") return "reset";
      if (each.kind === "datagram")
        return each.skip === 0 ? `${each.sequence}` : `${each.sequence}+${each.skip}`;
      return each.count === 1 ? `lost ${each.first}` : `lost ${each.first}-${each.first + each.count - 1}`;
    });
  }

  /** Ends it; every chunk must be back. */
  [Symbol.dispose](): void {
    this.feed.close();
    this.lab.close();
  }
}

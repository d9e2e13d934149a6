/**
 * A series of pings: sends them in time, follows each to its answer or its error, and tells both.
 */
import {
  type EchoError,
  type EchoReply,
  type Host,
  type Interface,
  type Loop,
  monotonicClock,
  REFUSED,
  type Refused,
} from "millrace";
import { RoundTrips } from "./round-trips.ts";

const ICMP_BYTES = 8;
/** How often an address that may be somebody else's is looked at again: finding out takes a second or two (RFC 4862). */
const LOOK_MS = 50;

const REFUSALS: Readonly<Record<Refused, string>> = {
  [REFUSED.full]: "no room to send",
  [REFUSED.noRoute]: "no route",
  [REFUSED.noSource]: "no address of its own to send from",
  [REFUSED.tooLong]: "too long for the way",
  [REFUSED.unreachable]: "host unreachable",
  [REFUSED.down]: "the interface is down",
};

/** What is told of one request, as a record and in words. */
export type Tell = (record: Readonly<Record<string, unknown>>, words: string) => void;

export interface PingOptions {
  readonly to: string;
  readonly count: number;
  readonly intervalMs: number;
  readonly waitMs: number;
  readonly size: number;
  readonly ttl: number;
  readonly fragmentation: "allow" | "refuse";
}

/** Sends requests until there have been enough, and then waits for the last answer. */
export class Pinger {
  readonly trips = new RoundTrips();
  readonly #loop: Loop;
  readonly #options: PingOptions;
  readonly #tell: Tell;
  readonly #echo: ReturnType<Host["ping"]>;
  readonly #data: Uint8Array;

  constructor(host: Host, on: Interface, options: PingOptions, tell: Tell) {
    const { to, ttl, fragmentation, size } = options;
    this.#loop = host.loop;
    this.#options = options;
    this.#tell = tell;
    this.#data = Uint8Array.from({ length: size }, (_, i) => i);
    const handlers = {
      onReply: (reply: EchoReply) => this.#answered(reply),
      onError: (error: EchoError) => this.#failed(error),
    };
    this.#echo = host.ping(to, handlers, { ttl, fragmentation });
    this.#begin(on);
  }

  /** Waits until the addresses are known to be nobody else's. */
  #begin(on: Interface): void {
    if ([...on.addresses.values()].some(({ state }) => state === "tentative")) {
      this.#loop.after(LOOK_MS, () => this.#begin(on));
      return;
    }
    this.#send();
    if (this.#options.count > 1) this.#loop.every(this.#options.intervalMs, () => this.#send());
  }

  #send(): void {
    const { trips } = this;
    const { count, waitMs } = this.#options;
    if (trips.sent >= count) return;
    const sequence = trips.next(monotonicClock.nowMs());
    const refused = this.#echo.send(sequence, this.#data, {
      sent: () => {},
      dropped: (reason) => this.#lost(sequence, reason === "unreachable" ? "host unreachable" : reason),
    });
    if (refused !== 0) this.#lost(sequence, REFUSALS[refused]);
    if (trips.sent === count) this.#loop.after(waitMs, () => this.#loop.stop());
  }

  #answered({ packet, sequence: seq, lengthBytes }: EchoReply): void {
    const ms = this.trips.answered(seq, monotonicClock.nowMs());
    const from = packet.source.toString();
    const bytes = lengthBytes + ICMP_BYTES;
    const { ttl } = packet;
    const time = ms === undefined ? "(duplicate)" : `time=${ms.toFixed(3)} ms`;
    this.#tell({ seq, from, bytes, ttl, ms }, `${bytes} bytes from ${from}: seq=${seq} ttl=${ttl} ${time}`);
    this.#endWhenSettled();
  }

  #failed({ sequence: seq, kind, reporter, mtu }: EchoError): void {
    this.trips.failed(seq);
    const from = reporter?.toString();
    const words = kind.replaceAll("-", " ") + (kind === "too-big" ? `, the way takes ${mtu} bytes` : "");
    this.#tell({ seq, from, error: kind, mtu }, `from ${from ?? "here"}: seq=${seq} ${words}`);
    this.#endWhenSettled();
  }

  #lost(seq: number, error: string): void {
    this.trips.failed(seq);
    this.#tell({ seq, error: error.replaceAll(" ", "-") }, `seq=${seq} not sent: ${error}`);
    this.#endWhenSettled();
  }

  #endWhenSettled(): void {
    if (this.trips.sent >= this.#options.count && this.trips.settled) this.#loop.stop();
  }
}

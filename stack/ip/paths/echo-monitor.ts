/**
 * Whether a path carries packets to an address and back: ICMP echoes over exactly this path, with their round trip.
 *
 * An answer counts only where it came in on the path's own interface: one that took another way says nothing of this one.
 * Beside the kernel the device must claim ICMP (`claim: [{ protocol: 1 }]`); what is not ours of it is handed back.
 */
import { IpAddress } from "../../wire/address.ts";
import type { Echo, EchoReply } from "../icmp/echoes.ts";
import type { PathMonitor } from "./monitor.ts";
import type { Path, Verdict } from "./path.ts";
import { Pulse, type PulseStatistics } from "./pulse.ts";
import {
  checkKeys,
  PULSE_KEYS,
  type PulseOptions,
  type PulseSettings,
  pulseSettings,
} from "./pulse-options.ts";
import { assertIdle, type Changed, environmentOf, type MonitorHost } from "./watched.ts";

/** As much data as a common ping sends: some middleboxes drop echoes without any. */
const DATA_BYTES = 56;
/** An Ethernet frame carries as much with the headers of either family. */
const MAX_DATA_BYTES = 1400;

export interface EchoMonitorOptions extends PulseOptions {
  /** Who is asked: anybody whom the path leads to. Default: its gateway; a path without one needs it to be judged. */
  readonly target?: string | IpAddress;
  /** Default: 56. */
  readonly dataBytes?: number;
  /** TTL or hop limit of the echoes. Default: the interface's. */
  readonly ttl?: number;
}

export interface EchoMonitorStatistics extends PulseStatistics {
  /** Answers that came in on another interface, or from somebody else. */
  readonly astray: number;
  /** ICMP errors about echoes: each is silence. */
  readonly errors: number;
}

export class EchoMonitor implements PathMonitor {
  readonly kind = "health";
  readonly #host: MonitorHost;
  readonly #settings: PulseSettings;
  readonly #target: IpAddress | undefined;
  readonly #ttl: number | undefined;
  readonly #data: Uint8Array;
  readonly #counts = { astray: 0, errors: 0 };
  #pulse: Pulse | undefined;
  #echo: Echo | undefined;

  /** Throws a TypeError or RangeError that names the option which is no good. */
  constructor(host: MonitorHost, options: EchoMonitorOptions = {}) {
    checkKeys("an echo monitor", options, [...PULSE_KEYS, "target", "dataBytes", "ttl"]);
    const { target, dataBytes = DATA_BYTES } = options;
    if (!(Number.isInteger(dataBytes) && dataBytes >= 0 && dataBytes <= MAX_DATA_BYTES))
      throw new RangeError(`dataBytes is a whole number to ${MAX_DATA_BYTES}, not ${String(dataBytes)}`);
    this.#host = host;
    this.#settings = pulseSettings(options);
    this.#target = typeof target === "string" ? IpAddress.parse(target) : target;
    this.#ttl = options.ttl;
    this.#data = new Uint8Array(dataBytes);
  }

  get verdict(): Verdict {
    return this.#pulse?.verdict ?? "unknown";
  }

  get rttMs(): number | undefined {
    return this.#pulse?.rttMs;
  }

  /** Undefined where it asks nobody. */
  statistics(): EchoMonitorStatistics | undefined {
    const pulse = this.#pulse?.statistics();
    return pulse === undefined ? undefined : { ...pulse, ...this.#counts };
  }

  /** A path with nobody to ask, because it has no next hop and there is no `target`, stays "unknown". */
  start(path: Path, changed: Changed): void {
    assertIdle(this.kind, this.#pulse);
    const target = this.#target ?? path.gateway;
    if (target === undefined) return;
    const { interface: index, gateway } = path;
    const echo = this.#host.ping(
      target,
      {
        onReply: (reply) => this.#heard(reply, index, target),
        onError: () => void (this.#counts.errors += 1),
      },
      { via: { interface: index, gateway }, ...(this.#ttl === undefined ? {} : { ttl: this.#ttl }) },
    );
    this.#echo = echo;
    this.#pulse = new Pulse(environmentOf(this.#host), this.#settings, {
      ask: (question) => echo.send(question, this.#data) === 0,
      changed,
    });
  }

  /** Judges nothing any more; may be started again. Idempotent. */
  close(): void {
    this.#echo?.close();
    this.#pulse?.close();
    this.#echo = undefined;
    this.#pulse = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #heard({ sequence, packet }: EchoReply, index: number, target: IpAddress): void {
    const isFrom = target.equalsWords(packet.s0, packet.s1, packet.s2, packet.s3);
    if (isFrom && packet.interface.index === index) this.#pulse?.heard(sequence);
    else this.#counts.astray += 1;
  }
}

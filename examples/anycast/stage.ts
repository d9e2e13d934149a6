/** All that runs in the anycast example: ground, hosts and clients, and what these have said last. */
import type { IpAddress } from "millrace/wire";
import { example } from "../support/place.ts";
import { Ground } from "./ground.ts";
import { KeptHost } from "./kept-host.ts";
import { eachLine } from "../support/lines.ts";
import type { ClientReport, Move } from "./protocol.ts";

export interface StageOptions {
  /** Of the service, one of a family at most. Flows go to each in turn. */
  readonly addresses: readonly IpAddress[];
  readonly port: number;
  readonly hosts: number;
  readonly flows: number;
  /** Questions of each flow in a second. */
  readonly perSecond: number;
}

const LOOK_MS = 20;
const NOTHING: ClientReport = {
  sent: 0,
  answered: 0,
  lost: 0,
  late: 0,
  duplicates: 0,
  servers: [],
  moves: [],
};

export class Stage {
  readonly ground: Ground;
  readonly hosts: readonly KeptHost[];
  /** What the clients said last. */
  report: ClientReport = NOTHING;
  readonly #options: StageOptions;
  #moves: Move[] = [];
  #failure: Error | undefined;

  constructor(options: StageOptions) {
    this.#options = options;
    this.ground = new Ground(options.hosts, options.addresses);
    const failed = (error: Error): void => this.fail(error);
    const addresses = options.addresses.map(String);
    this.hosts = this.ground.hosts.map((one) => new KeptHost(one, addresses, options.port, failed));
  }

  /** Ends whoever waits for something, with this error. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Starts everything; resolves when every host is announced and every flow has had an answer. */
  async start(limitMs: number): Promise<void> {
    const { addresses, port, flows, perSecond } = this.#options;
    await this.ground.ready((ms) => this.pass(ms));
    for (const host of this.hosts) host.start();
    await this.until("the services", () => this.hosts.every(({ announced }) => announced), limitMs);
    const { front } = this.ground;
    const words = [addresses.join(), port, flows, perSecond].map(String);
    const clients = front.spawn("a", example("anycast/clients", ...words), { stderr: "inherit" });
    void clients.exited.then((code) => this.fail(new Error(`the clients ended with ${code}`)));
    void eachLine(clients.stdout, (line) => this.#hear(JSON.parse(line) as ClientReport));
    const all = (): boolean => this.shares().every((share) => share > 0) && !this.report.servers.includes(0);
    await this.until("answers from all hosts", all, limitMs);
  }

  /** The part of the flows that each host answered last, in percent: of all, or of those of one family. */
  shares(family?: 4 | 6): number[] {
    const { addresses } = this.#options;
    const servers = this.report.servers.filter(
      (_, flow) => family === undefined || addresses[flow % addresses.length]!.family === family,
    );
    const part = (number: number): number => servers.filter((one) => one === number).length;
    return this.hosts.map(({ number }) => (100 * part(number)) / Math.max(servers.length, 1));
  }

  /** Flows that have changed hosts since this was asked last. */
  takeMoves(): readonly Move[] {
    const moves = this.#moves;
    this.#moves = [];
    return moves;
  }

  /** Resolves when `holds` does; rejects after `limitMs`, and when something has failed. */
  async until(what: string, holds: () => boolean, limitMs: number): Promise<void> {
    const end = performance.now() + limitMs;
    while (!holds()) {
      if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
      await this.pass(LOOK_MS);
    }
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    const end = performance.now() + ms;
    do {
      if (this.#failure !== undefined) throw this.#failure;
      await Bun.sleep(Math.min(LOOK_MS, end - performance.now()));
    } while (performance.now() < end);
  }

  /** Ends everything. Idempotent. */
  close(): void {
    for (const host of this.hosts) host.end();
    this.ground.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #hear(report: ClientReport): void {
    this.report = report;
    this.#moves.push(...report.moves);
  }
}

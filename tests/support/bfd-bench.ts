/**
 * One BFD session on a bench: no socket, no clock; a test is the peer and the time, and sees each packet with its moment.
 */
import { seededRandom } from "../../stack/device/random.ts";
import { Machine, type Reception, type Transition } from "../../stack/bfd/machine.ts";
import { type BfdSessionOptions, checkBfdOptions } from "../../stack/bfd/options.ts";
import * as bfd from "../../stack/wire/bfd.ts";
import { bytesOf } from "./records.ts";

/** Where packets begin in the memory that they are written to. */
const AT = 5;
const ROOM = 80;

export interface SentPacket extends bfd.BfdRecord {
  readonly atMs: number;
}

export const PEERS_DISCRIMINATOR = 0x2222;
export const OUR_DISCRIMINATOR = 0x1111;

/** What a peer says that has nothing special about it. */
export const PEER: bfd.BfdRecord = {
  diagnostic: 0,
  state: bfd.STATE.DOWN,
  poll: false,
  final: false,
  independent: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: PEERS_DISCRIMINATOR,
  yourDiscriminator: OUR_DISCRIMINATOR,
  desiredMinTxUs: 10_000,
  requiredMinRxUs: 10_000,
  requiredMinEchoRxUs: 0,
  authentication: undefined,
};

export class Bench {
  nowMs: number;
  readonly machine: Machine;
  readonly transitions: (Transition & { readonly atMs: number })[] = [];
  readonly echoes: { readonly sequence: number; readonly atMs: number }[] = [];
  /** The bytes of the packet that was sent last. */
  last = new Uint8Array(0);
  #sent: SentPacket[] = [];

  constructor(options: Partial<BfdSessionOptions> = {}, seed = 1, startMs = 1000) {
    this.nowMs = startMs;
    const checked = checkBfdOptions({
      peer: "10.0.0.1",
      interface: "eth0",
      intervalMs: 10,
      ...options,
    });
    this.machine = new Machine(checked, OUR_DISCRIMINATOR, seededRandom(seed), {
      send: () => this.#keep(),
      echo: (sequence) => void this.echoes.push({ sequence, atMs: this.nowMs }),
      changed: (transition) => void this.transitions.push({ ...transition, atMs: this.nowMs }),
    });
  }

  /** One that runs. */
  static started(options: Partial<BfdSessionOptions> = {}, seed = 1): Bench {
    const bench = new Bench(options, seed);
    bench.machine.enable(bench.nowMs);
    bench.take();
    return bench;
  }

  /** One that is up, and has its poll sequence behind it. */
  static up(options: Partial<BfdSessionOptions> = {}, peer: Partial<bfd.BfdRecord> = {}): Bench {
    const bench = Bench.started(options);
    bench.hear({ state: bfd.STATE.INIT, ...peer });
    bench.hear({ state: bfd.STATE.UP, final: true, ...peer });
    bench.hear({ state: bfd.STATE.UP, ...peer });
    bench.take();
    bench.transitions.length = 0;
    return bench;
  }

  /** What was sent since the last call. */
  take(): SentPacket[] {
    return this.#sent.splice(0);
  }

  /** The peer says this; what was sent at once. */
  hear(more: Partial<bfd.BfdRecord> = {}): Reception {
    return this.hearBytes(bytesOf(bfd, { ...PEER, ...more }));
  }

  hearBytes(data: Uint8Array): Reception {
    const bytes = new Uint8Array(AT + data.length);
    bytes.set(data, AT);
    return this.machine.receive(new DataView(bytes.buffer), bytes, AT, this.nowMs);
  }

  /** Lets time pass, moment by moment as the machine wants it. */
  run(ms: number): void {
    const until = this.nowMs + ms;
    for (let turns = 0; this.machine.nextMs <= until; turns++) {
      if (turns > 100_000) throw new Error("the machine never ends");
      this.nowMs = Math.max(this.nowMs, this.machine.nextMs);
      this.machine.advance(this.nowMs);
    }
    this.nowMs = until;
  }

  /** The same while the peer says `more` every `everyMs`. */
  runHearing(ms: number, everyMs: number, more: Partial<bfd.BfdRecord>): void {
    for (let passed = 0; passed < ms; passed += everyMs) {
      this.run(everyMs);
      this.hear(more);
    }
  }

  #keep(): void {
    const { machine } = this;
    const length = machine.packetBytes;
    const bytes = new Uint8Array(ROOM).fill(0xa5);
    machine.write(new DataView(bytes.buffer), bytes, AT);
    this.last = bytes.slice(AT, AT + length);
    const record = bfd.parse(new DataView(bytes.buffer), AT, length);
    if (record === undefined) throw new Error(`sent what is no packet: ${this.last.toHex()}`);
    if (record.poll && record.final) throw new Error("sent a poll that is an answer");
    this.#sent.push({ ...record, atMs: this.nowMs });
  }
}

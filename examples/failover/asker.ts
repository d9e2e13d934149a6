/** The client: questions at a steady rate, in one flow or many, each flow from a port of its own. */
import type { Datagram, Host, Loop, Remote, Timer, UdpSocket } from "millrace";
import { Ledger } from "./ledger.ts";
import { FLOW_AT, HEARD_ON_AT, NUMBER_AT, QUESTION_BYTES, writeQuestion } from "./question.ts";

const MS_PER_S = 1000;
/** A timer is no finer; at higher rates several questions go at once. */
const TICK_MS = 1;
/** An asker that was held up asks no more at once than this, and goes on from there. */
const MAX_AT_ONCE = 64;

export interface AskerOptions {
  readonly service: string;
  readonly port: number;
  /** The address of ours that questions come from: one that outlives the interfaces. */
  readonly source: string;
  readonly flows: number;
  /** Questions a second, of all flows together. */
  readonly rate: number;
  readonly multipath: "handover" | "spread";
}

interface Flow {
  readonly socket: UdpSocket;
  readonly to: Remote;
}

export class Asker {
  readonly ledger: Ledger;
  readonly #loop: Loop;
  readonly #flows: readonly Flow[];
  readonly #perMs: number;
  readonly #timer: Timer;
  #flow = 0;
  #number = 0;
  #startMs: number;
  #asked = 0;
  #unsent = 0;

  constructor(host: Pick<Host, "udp" | "loop">, options: AskerOptions) {
    const { service, port, source, flows, rate, multipath } = options;
    this.#loop = host.loop;
    this.#perMs = rate / MS_PER_S;
    this.ledger = new Ledger(flows, host.loop.now);
    this.#flows = Array.from({ length: flows }, () => {
      const remote = { address: service, port };
      const socket = host.udp({ address: source, remote, multipath }, this.#hear);
      return { socket, to: socket.remote! };
    });
    this.#startMs = host.loop.now;
    this.#timer = host.loop.every(TICK_MS, () => this.#tick());
  }

  /** Questions that could not leave: there was no way, or no room. They count as lost. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Asks no more; what is on its way is still heard. */
  stop(): void {
    this.#timer.cancel();
  }

  close(): void {
    this.stop();
    for (const { socket } of this.#flows) socket.close();
  }

  #tick(): void {
    const { now } = this.#loop;
    let due = Math.floor((now - this.#startMs) * this.#perMs) - this.#asked;
    if (due > MAX_AT_ONCE) {
      this.#startMs = now;
      this.#asked = 0;
      due = MAX_AT_ONCE;
    }
    for (let i = 0; i < due; i++) this.#ask(now);
    this.#asked += due;
  }

  #ask(nowMs: number): void {
    const flow = this.#flow;
    this.#flow = flow + 1 === this.#flows.length ? 0 : flow + 1;
    const { socket, to } = this.#flows[flow]!;
    this.#number = this.ledger.ask(flow, nowMs);
    if (!socket.send(to, QUESTION_BYTES, this.#write)) this.#unsent += 1;
  }

  readonly #write = (view: DataView, at: number): void => {
    writeQuestion(view, at, this.#number, this.#flowOf(this.#number));
  };

  /** Flows ask one after the other. */
  #flowOf(number: number): number {
    return number % this.#flows.length;
  }

  readonly #hear = (datagram: Datagram): void => {
    if (datagram.length !== QUESTION_BYTES) return;
    const { view, at } = datagram;
    const flow = view.getUint32(at + FLOW_AT);
    if (flow >= this.#flows.length) return;
    this.ledger.answer(
      view.getUint32(at + NUMBER_AT),
      flow,
      view.getUint32(at + HEARD_ON_AT),
      this.#loop.now,
    );
  };
}

/**
 * The responder behind UDP port 53 of a host: answers go out in the frames that the questions came in.
 */
import type { Datagram, Host, UdpSocket } from "millrace";
import type { CompiledZone } from "./compile.ts";
import { Responder, type ResponderStatistics, ROOM_BYTES } from "./responder.ts";

export const PORT = 53;

export interface ServerStatistics extends ResponderStatistics {
  /** Answers that did not go out, because the ring was full or nothing leads back to the asker. */
  readonly lost: number;
  /** Queries that are none: to a group or to everybody, or from port 0, where nobody is. */
  readonly unanswerable: number;
}

/** A name server on all addresses of a host. Close it to give the port back. */
export class Server {
  readonly #responder: Responder;
  readonly #socket: UdpSocket;
  /** Where an answer is made that may not grow where its question lies: in a datagram that came in fragments. */
  readonly #scratch = new Uint8Array(ROOM_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);
  #lost = 0;
  #unanswerable = 0;

  constructor(host: Pick<Host, "udp">, zone: CompiledZone) {
    this.#responder = new Responder(zone);
    this.#socket = host.udp(PORT, this.#answer);
  }

  statistics(): ServerStatistics {
    return { ...this.#responder.statistics(), lost: this.#lost, unanswerable: this.#unanswerable };
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  readonly #answer = (datagram: Datagram): void => {
    if (!datagram.unicast || datagram.remotePort === 0) {
      this.#unanswerable += 1;
      return;
    }
    if (datagram.room < ROOM_BYTES) {
      this.#answerElsewhere(datagram);
      return;
    }
    const length = this.#responder.respond(datagram.view, datagram.at, datagram.length);
    if (length > 0 && !datagram.reply(length)) this.#lost += 1;
  };

  /** The same in memory of our own. Allocates. */
  #answerElsewhere(datagram: Datagram): void {
    const query = datagram.copy();
    this.#scratch.set(query.subarray(0, ROOM_BYTES));
    const length = this.#responder.respond(this.#scratchView, 0, query.length);
    if (length > 0 && !datagram.replyWith(this.#scratch.subarray(0, length))) this.#lost += 1;
  }
}

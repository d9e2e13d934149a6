/** The service: answers each question in the very frame that it came in. */
import type { Datagram, Host, UdpSocket } from "millrace";
import { HEARD_ON_AT, QUESTION_BYTES } from "./question.ts";

export class Service {
  readonly #socket: UdpSocket;
  #strange = 0;

  /** Answers on `port`, at all addresses of the host, from the one that was asked. */
  constructor(host: Pick<Host, "udp">, port: number) {
    this.#socket = host.udp(port, this.#answer);
  }

  /** Questions heard, answers sent, answers that found no way out, and what was no question. */
  get figures(): {
    readonly heard: number;
    readonly answered: number;
    readonly lost: number;
    readonly strange: number;
  } {
    const { received, sent, refusedFull, refusedOther } = this.#socket.statistics();
    return { heard: received, answered: sent, lost: refusedFull + refusedOther, strange: this.#strange };
  }

  close(): void {
    this.#socket.close();
  }

  readonly #answer = (datagram: Datagram): void => {
    if (!datagram.unicast || datagram.length !== QUESTION_BYTES) {
      this.#strange += 1;
      return;
    }
    datagram.view.setUint32(datagram.at + HEARD_ON_AT, datagram.interface.index);
    datagram.reply();
  };
}

/** A conversation between two hosts of this process: numbered questions, their answers, and how often each came. */
import { expect } from "bun:test";
import type { Host, Loop } from "../../index.ts";

const PORT = 4242;
const NUMBER_BYTES = 4;
/** A question this often, in ms: far below what emulated cards carry. */
const ASK_EVERY_MS = 5;

/** The addresses that they converse between. */
export interface Speakers {
  readonly near: string;
  readonly far: string;
}

/** Goes on until its loop ends. */
export class Conversation {
  /** Questions that were sent. */
  sent = 0;
  /** How often each number was heard at the far end, and answered at the near one. */
  readonly heard: number[] = [];
  readonly answered: number[] = [];
  /** The near interface that each answer came in by. */
  readonly by: string[] = [];

  constructor(loop: Loop, near: Host, far: Host, speakers: Speakers) {
    far.udp({ port: PORT, address: speakers.far }, (datagram) => {
      count(this.heard, datagram.view.getUint32(datagram.at));
      void datagram.reply();
    });
    const socket = near.udp({ address: speakers.near }, (datagram) => {
      count(this.answered, datagram.view.getUint32(datagram.at));
      this.by.push(datagram.interface.name);
    });
    const to = { address: speakers.far, port: PORT };
    loop.every(ASK_EVERY_MS, () => {
      const written = socket.send(to, NUMBER_BYTES, (view, at) => view.setUint32(at, this.sent));
      if (written) this.sent += 1;
    });
  }

  /** Nothing was heard twice or answered twice, and nothing was that was never sent. */
  judge(): void {
    for (const counts of [this.heard, this.answered]) {
      expect(counts.length).toBeLessThanOrEqual(this.sent);
      expect(counts.findIndex((times) => times > 1)).toBe(-1);
    }
  }
}

const count = (counts: number[], number: number): void => {
  counts[number] = (counts[number] ?? 0) + 1;
};

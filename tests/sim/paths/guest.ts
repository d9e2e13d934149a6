/** Another station on the link of a world: an ordinary one, which watches nobody, asks both ends, and is asked by their monitors. */
import { Bfd } from "../../../stack/bfd/bfd.ts";
import { Host } from "../../../stack/ip/host.ts";
import { guestAddress, lengthOf, linkService, type LinkPlan, seatAddress } from "./link-plan.ts";
import { PULSE } from "./party.ts";
import { type End, endName, FAR, NEAR } from "./plan.ts";
import type { Port } from "./port.ts";
import { plainAsker } from "./programs.ts";
import type { Company, Stage } from "./stage.ts";

/** By what name it asks which end. */
export const askerOf = (end: End): string => `guest of ${endName(end)}`;

/** One question in so many of the others' is enough to see who answers. */
const ASK_EVERY = 3;

export class Guest {
  readonly host: Host;
  readonly companies: readonly Company[];
  readonly #bfd: Bfd;
  readonly #port: Port;

  constructor(stage: Stage, plan: LinkPlan, port: Port) {
    const { family, seats, watch } = plan;
    this.#port = port;
    this.host = new Host({ loop: stage.loop, random: stage.fork() });
    this.#bfd = new Bfd(this.host);
    const addresses = [`${guestAddress(family)}/${lengthOf(family)}`];
    port.books.open(() => this.host.join(port.tap, { addresses, dad: false }));
    const { name } = port.tap;
    const { intervalMs, count: multiplier } = PULSE;
    for (const [end, count] of [
      [NEAR, seats.near],
      [FAR, seats.far],
    ] as const) {
      for (let index = 0; index < (watch === "bfd" ? count : 0); index++)
        this.#bfd.session({ peer: seatAddress(end, index, family), interface: name, intervalMs, multiplier });
    }
    this.companies = ([FAR, NEAR] as const).map((end) => ({
      name: askerOf(end),
      everyRounds: ASK_EVERY,
      askers: [plainAsker(this.host, {}, linkService(end, family), (number) => stage.questions.take(number))],
    }));
  }

  /** What its books say. */
  get wrong(): string | undefined {
    return this.#port.books.wrong;
  }

  close(): void {
    this.#bfd.close();
    this.host.close();
    this.#port.books.close();
  }
}

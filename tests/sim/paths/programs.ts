/** The programs of a world of paths: one that asks, one that answers; over the path that is chosen, or over all of them. */
import type { Host } from "../../../stack/ip/host.ts";
import { redundant } from "../../../stack/multipath/redundant.ts";
import type { Family } from "../../../stack/wire/address.ts";
import type { POLICIES } from "./plan.ts";

/** Where questions go, and where redundant ones come from too: a copy has to find the other end as well as the first. */
export const QUESTION_PORT = 7;
/** The number of a question. */
export const NUMBER_AT = 0;
export const QUESTION_BYTES = 32;

/** A host that asks or answers, and how. */
export interface Speaker {
  readonly host: Host;
  readonly families: readonly Family[];
  readonly policy: (typeof POLICIES)[number];
  /** Of each family, to ask with. */
  readonly sockets: number;
  /** Questions are turned around in their frames. */
  readonly inPlace: boolean;
  /** The service addresses of this end and the other. */
  own(family: Family): string;
  other(family: Family): string;
}

/** Sends a question; false where it was refused. */
export type Asker = (question: Uint8Array) => boolean;

const ignored = { onError: (): void => {} };

/** Ways to ask the other end's service, each by a socket of its own; `answered` hears the number of each answer. */
export const askersOf = (speaker: Speaker, answered: (number: number) => void): Asker[] =>
  speaker.families.flatMap((family) => {
    const { policy, sockets } = speaker;
    if (policy === "redundant") return [redundantAsker(speaker, family, answered)];
    return Array.from({ length: sockets }, () => {
      const options = { address: speaker.own(family), multipath: policy, ...ignored };
      const socket = speaker.host.udp(options, ({ view, at }) => answered(view.getUint32(at + NUMBER_AT)));
      const to = socket.to(speaker.other(family), QUESTION_PORT);
      return (question: Uint8Array) => socket.send(to, question);
    });
  });

const redundantAsker = (speaker: Speaker, family: Family, answered: (number: number) => void): Asker => {
  const link = redundant(speaker.host, redundantOptions(speaker, family), ({ view }, at) =>
    answered(view.getUint32(at + NUMBER_AT)),
  );
  return (question) => link.send(question) > 0;
};

/** Between both service addresses, over whatever interfaces lead there. */
const redundantOptions = (speaker: Speaker, family: Family) => ({
  port: QUESTION_PORT,
  address: speaker.own(family),
  remote: { address: speaker.other(family), port: QUESTION_PORT },
  ...ignored,
});

/** Answers questions: in their frames, by answers of its own, or over all paths. `heard` hears the number of each. */
export const answerAll = (speaker: Speaker, heard: (number: number) => void): void => {
  const { host, policy, families, inPlace } = speaker;
  if (policy !== "redundant") {
    host.udp(QUESTION_PORT, (question) => {
      const { bytes, view, at, length } = question;
      heard(view.getUint32(at + NUMBER_AT));
      if (inPlace) question.reply();
      else question.replyWith(bytes.slice(at, at + length));
    });
    return;
  }
  for (const family of families) {
    const link = redundant(host, redundantOptions(speaker, family), ({ bytes, view }, at, length) => {
      heard(view.getUint32(at + NUMBER_AT));
      link.send(bytes.slice(at, at + length));
    });
  }
};

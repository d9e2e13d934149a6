/** The programs of a world of paths: one that asks, one that answers; over the path that is chosen, or over all of them. */
import type { Host } from "../../../stack/ip/host.ts";
import { redundant } from "../../../stack/multipath/redundant.ts";
import type { Family } from "../../../stack/wire/address.ts";
import type { POLICIES } from "./plan.ts";

/** Where questions go. */
export const QUESTION_PORT = 7;
/** Where redundant ones go, and come from too: a copy has to find the other end as well as the first. */
export const COPIES_PORT = 9;
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
  /** So many copies of a datagram left at once, of one that goes over all ways. */
  copied(copies: number, family: Family): void;
}

/** Sends a question; false where it was refused. */
export type Asker = (question: Uint8Array) => boolean;

const ignored = { onError: (): void => {} };

/** Ways to ask the other end's service, each by a socket of its own; `answered` hears the number of each answer. */
export const askersOf = (speaker: Speaker, answered: (number: number) => void): Asker[] =>
  speaker.families.flatMap((family) => {
    const { policy, sockets, host } = speaker;
    if (policy === "redundant") return [redundantAsker(speaker, family, answered)];
    const address = speaker.own(family);
    return Array.from({ length: sockets }, () =>
      plainAsker(host, { address, multipath: policy }, speaker.other(family), answered),
    );
  });

/** A way to ask `to` by a socket of its own. */
export const plainAsker = (
  host: Host,
  options: { readonly address?: string; readonly multipath?: "handover" | "spread" },
  to: string,
  answered: (number: number) => void,
): Asker => {
  const socket = host.udp({ ...options, ...ignored }, ({ view, at }) =>
    answered(view.getUint32(at + NUMBER_AT)),
  );
  const remote = socket.to(to, QUESTION_PORT);
  return (question) => socket.send(remote, question);
};

const redundantAsker = (speaker: Speaker, family: Family, answered: (number: number) => void): Asker => {
  const link = redundant(speaker.host, redundantOptions(speaker, family), ({ view }, at) =>
    answered(view.getUint32(at + NUMBER_AT)),
  );
  return (question) => {
    const copies = link.send(question);
    speaker.copied(copies, family);
    return copies > 0;
  };
};

/** Between both service addresses, over whatever interfaces lead there. */
const redundantOptions = (speaker: Speaker, family: Family) => ({
  port: COPIES_PORT,
  address: speaker.own(family),
  remote: { address: speaker.other(family), port: COPIES_PORT },
  ...ignored,
});

/** Answers questions: in their frames, or by answers of its own. `heard` hears the number of each. */
export const answerAll = ({ host, inPlace }: Speaker, heard: (number: number) => void): void => {
  host.udp(QUESTION_PORT, (question) => {
    const { bytes, view, at, length } = question;
    heard(view.getUint32(at + NUMBER_AT));
    if (inPlace) question.reply();
    else question.replyWith(bytes.slice(at, at + length));
  });
};

/** Answers questions that come over all paths over all of them. */
export const answerCopies = (speaker: Speaker, heard: (number: number) => void): void => {
  for (const family of speaker.families) {
    const link = redundant(speaker.host, redundantOptions(speaker, family), ({ bytes, view }, at, length) => {
      heard(view.getUint32(at + NUMBER_AT));
      speaker.copied(link.send(bytes.slice(at, at + length)), family);
    });
  }
};

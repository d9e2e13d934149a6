/** What leaves a host of a world of paths: questions and answers go over paths that are not known dead, and over good ones first. */
import type { Path } from "../../../stack/ip/paths/path.ts";
import { HEADER_BYTES as COPY_HEADER_BYTES } from "../../../stack/multipath/copy-header.ts";
import type { Family } from "../../../stack/wire/address.ts";
import * as ethernet from "../../../stack/wire/ethernet.ts";
import * as ipv4 from "../../../stack/wire/ipv4.ts";
import * as ipv6 from "../../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../../stack/wire/protocol.ts";
import * as udp from "../../../stack/wire/udp.ts";
import { COPIES_PORT, NUMBER_AT, QUESTION_PORT } from "./programs.ts";

/** A question or an answer on the wire; reused for the next. */
export interface Spoken {
  family: Family;
  number: number;
  sourcePort: number;
}

const spoken: Spoken = { family: 4, number: 0, sourcePort: 0 };

/** The question or answer that a frame carries; undefined for all that hosts say besides, to find out how things are. */
export const carriedBy = (view: DataView, at: number, head: number): Spoken | undefined => {
  if (head < ethernet.HEADER_BYTES) return undefined;
  const ipAt = at + ethernet.HEADER_BYTES;
  const left = head - ethernet.HEADER_BYTES;
  const type = ethernet.type(view, at);
  if (type === ethernet.ETHERTYPE.IPV4) {
    if (ipv4.check(view, ipAt, left) !== 0 || ipv4.protocol(view, ipAt) !== PROTOCOL.UDP) return undefined;
    if (!read(view, ipAt + ipv4.headerBytes(view, ipAt))) return undefined;
    spoken.family = 4;
    return spoken;
  }
  if (type !== ethernet.ETHERTYPE.IPV6) return undefined;
  if (ipv6.check(view, ipAt, left) !== 0 || ipv6.nextHeader(view, ipAt) !== PROTOCOL.UDP) return undefined;
  if (!read(view, ipAt + ipv6.HEADER_BYTES)) return undefined;
  spoken.family = 6;
  return spoken;
};

/** Reads a datagram where it is one of those. */
const read = (view: DataView, at: number): boolean => {
  const from = udp.sourcePort(view, at);
  const to = udp.destinationPort(view, at);
  const copied = from === COPIES_PORT && to === COPIES_PORT;
  if (!copied && from !== QUESTION_PORT && to !== QUESTION_PORT) return false;
  const dataAt = at + udp.HEADER_BYTES + (copied ? COPY_HEADER_BYTES : 0);
  spoken.number = view.getUint32(dataAt + NUMBER_AT);
  spoken.sourcePort = from;
  return true;
};

/** What was to go over a path waits so long for its next hop at most: three questions, a second apart (RFC 4861 section 10). */
export const PARKED_MS = 3000;

/**
 * What is wrong with data that leaves over `taken` now, where `others` lead there too; undefined where nothing is. What is on
 * trial is taken where nothing else is up, and what waits for a neighbour then does not turn back.
 */
export const wrongWith = (
  taken: Path,
  others: readonly (Path | undefined)[],
  nowMs: number,
): string | undefined => {
  if (taken.state === "down") return `${taken} is down: ${taken.reason}`;
  if (taken.state === "up") return undefined;
  const better = others.find((other) => other?.state === "up" && other.changedMs < nowMs - PARKED_MS);
  return better === undefined ? undefined : `${taken} is ${taken.state} while ${better} is up`;
};

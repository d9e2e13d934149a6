/** What leaves a host of a world of paths: questions and answers go over paths that are not known dead, and over good ones first. */
import type { Path } from "../../../stack/ip/paths/path.ts";
import type { Family } from "../../../stack/wire/address.ts";
import * as ethernet from "../../../stack/wire/ethernet.ts";
import * as ipv4 from "../../../stack/wire/ipv4.ts";
import * as ipv6 from "../../../stack/wire/ipv6.ts";
import { PROTOCOL } from "../../../stack/wire/protocol.ts";
import * as udp from "../../../stack/wire/udp.ts";
import { QUESTION_PORT } from "./programs.ts";

/** The family of a question or an answer; undefined for all that hosts say besides, to find out how things are. */
export const carriedBy = (view: DataView, at: number, head: number): Family | undefined => {
  if (head < ethernet.HEADER_BYTES) return undefined;
  const ipAt = at + ethernet.HEADER_BYTES;
  const left = head - ethernet.HEADER_BYTES;
  const type = ethernet.type(view, at);
  if (type === ethernet.ETHERTYPE.IPV4) {
    if (ipv4.check(view, ipAt, left) !== 0 || ipv4.protocol(view, ipAt) !== PROTOCOL.UDP) return undefined;
    return isQuestion(view, ipAt + ipv4.headerBytes(view, ipAt)) ? 4 : undefined;
  }
  if (type !== ethernet.ETHERTYPE.IPV6) return undefined;
  if (ipv6.check(view, ipAt, left) !== 0 || ipv6.nextHeader(view, ipAt) !== PROTOCOL.UDP) return undefined;
  return isQuestion(view, ipAt + ipv6.HEADER_BYTES) ? 6 : undefined;
};

const isQuestion = (view: DataView, at: number): boolean =>
  udp.sourcePort(view, at) === QUESTION_PORT || udp.destinationPort(view, at) === QUESTION_PORT;

/** What was to go over a path waits so long for its next hop at most: three questions, a second apart (RFC 4861 section 10). */
const PARKED_MS = 3000;

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

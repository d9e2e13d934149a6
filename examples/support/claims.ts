/**
 * Claims from the command line: `--claim udp=9000 --claim icmp --claim source=10.0.0.0/8,tcp=443`.
 *
 * Each --claim is one claim; the parts between its commas must all hold. The names are those of `Claim`.
 */
import type { Claim, Claims } from "millrace";
import { UsageError } from "./program.ts";

/** Members that stand alone, that hold a number, and that hold a text. */
const FLAGS = ["arp", "icmp", "icmp6"] as const;
const NUMBERS = ["udp", "tcp", "sctp", "port", "ethertype"] as const;
const TEXTS = ["source", "destination"] as const;

export const CLAIM_USAGE = `  --claim C     what to take, repeatable; default everything. C is one or more, comma-separated, of
                udp=PORT tcp=PORT sctp=PORT port=PORT icmp icmp6 arp protocol=NAME|N
                ethertype=N source=PREFIX destination=PREFIX`;

/** The claims that the words of --claim stand for; everything where there are none. */
export const readClaims = (words: readonly string[] | undefined): Claims =>
  words === undefined || words.length === 0 ? "everything" : words.map(readClaim);

const readClaim = (word: string): Claim =>
  word.split(",").reduce<Claim>((claim, part) => ({ ...claim, ...readPart(part) }), {});

const readPart = (part: string): Claim => {
  const [key = "", value] = part.split("=", 2);
  if (value === undefined) {
    const flag = FLAGS.find((name) => name === key);
    if (flag !== undefined) return { [flag]: true };
  } else {
    const number = NUMBERS.find((name) => name === key);
    if (number !== undefined) return { [number]: numberIn(part, value) };
    const text = TEXTS.find((name) => name === key);
    if (text !== undefined) return { [text]: value };
    if (key === "protocol") return { protocol: readProtocol(part, value) };
  }
  throw new UsageError(`--claim does not know ${JSON.stringify(part)}`);
};

/** Decimal or 0x. */
const numberIn = (part: string, value: string): number => {
  const number = Number(value);
  if (value !== "" && Number.isInteger(number)) return number;
  throw new UsageError(`--claim ${part}: ${JSON.stringify(value)} is not a whole number`);
};

const readProtocol = (part: string, value: string): NonNullable<Claim["protocol"]> =>
  (["tcp", "udp", "sctp", "icmp", "icmp6"] as const).find((name) => name === value) ?? numberIn(part, value);

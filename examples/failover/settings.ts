/** What the two ends of the failover example are told on the command line. */
import { readIp } from "../support/address.ts";
import { UsageError, wholeNumber } from "../support/program.ts";
import type { EndOptions, Pulse } from "./end.ts";
import { PORT } from "./question.ts";
import { readLeg, readPulse } from "./text.ts";

export const USAGE = `usage: bun run examples/failover.ts [serve|ask LEG LEG] [options]
  LEG          IFACE,ADDRESS/LEN,GATEWAY[,ADDRESS/LEN,GATEWAY]: the gateway may be the far end itself; without addresses it
               lives beside the kernel, and uses the kernel's addresses and routes
  --own A      address of this end that lives on both interfaces, repeatable
  --far A      the same of the far end, repeatable; ask asks the first
  --bfd MSxN   watch each path with BFD (RFC 5880): a packet every MS, dead after N that are missing
  --probe MSxN the same by asking the next hop over ARP and neighbour discovery, which needs nothing of it
  --echo MSxN  the same by ICMP echoes to the far end's address, also behind routers; not beside the kernel
  --verify MS  how long a path that comes back is watched before it is used, 1000 unless given
  --undamped   use a path again as soon as it is back, however often it goes down
  --spread     use both paths at once, a flow on each, instead of one after the other
  --port P     UDP port of the service, ${PORT} unless given
  --rate N     questions a second, 1000 unless given
  --flows N    asked in so many flows, each from a port of its own, 1 unless given
  --json       one line of JSON a second, and for each change of a path
  --windows    ask: count from a line "begin" on standard input to a line "end", and print that alone`;

export const OPTIONS = {
  own: { type: "string", multiple: true, default: [] as string[] },
  far: { type: "string", multiple: true, default: [] as string[] },
  bfd: { type: "string" },
  probe: { type: "string" },
  echo: { type: "string" },
  verify: { type: "string" },
  undamped: { type: "boolean", default: false },
  spread: { type: "boolean", default: false },
  port: { type: "string", default: String(PORT) },
  rate: { type: "string", default: "1000" },
  flows: { type: "string", default: "1" },
  json: { type: "boolean", default: false },
  windows: { type: "boolean", default: false },
} as const;

const MAX_PORT = 65_535;
const MAX_RATE = 100_000;
const MAX_FLOWS = 10_000;
const MAX_MS = 86_400_000;
const LEGS = 2;

/** Values of `OPTIONS` as they were read. */
export interface Values {
  readonly own: readonly string[];
  readonly far: readonly string[];
  readonly bfd?: string | undefined;
  readonly probe?: string | undefined;
  readonly echo?: string | undefined;
  readonly verify?: string | undefined;
  readonly undamped: boolean;
  readonly spread: boolean;
  readonly port: string;
  readonly rate: string;
  readonly flows: string;
}

/** What an end is made of, but for its loop. Throws a UsageError that says what makes no sense. */
export const readEnd = (values: Values, words: readonly string[]): Omit<EndOptions, "loop"> => {
  const { own, far, verify, undamped, spread } = values;
  if (words.length !== LEGS) throw new UsageError(`${LEGS} legs are needed`);
  if (own.length === 0 || far.length === 0) throw new UsageError("--own and --far are needed");
  for (const text of own) readIp("--own", text);
  for (const text of far) readIp("--far", text);
  const pulse = (name: "bfd" | "probe" | "echo"): Pulse | undefined => {
    const text = values[name];
    return text === undefined ? undefined : readPulse(`--${name}`, text);
  };
  return {
    legs: words.map(readLeg),
    own,
    far,
    equal: spread,
    bfd: pulse("bfd"),
    probe: pulse("probe"),
    echo: pulse("echo"),
    paths: {
      ...(verify === undefined ? {} : { verifyMs: wholeNumber("--verify", verify, 0, MAX_MS) }),
      ...(undamped ? { damping: false } : {}),
    },
  };
};

/** The port, and what is asked there. */
export const readFlow = ({ port, rate, flows, spread }: Values) => ({
  port: wholeNumber("--port", port, 1, MAX_PORT),
  rate: wholeNumber("--rate", rate, 1, MAX_RATE),
  flows: wholeNumber("--flows", flows, 1, MAX_FLOWS),
  multipath: spread ? ("spread" as const) : ("handover" as const),
});

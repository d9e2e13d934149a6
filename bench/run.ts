/**
 * The bench: `bun run bench/run.ts [--only NAME,...] [--pairs N] [--cables NAME-NAME,...] [--json]`, as root.
 *
 * `--cables` names pairs of cards that are joined and free to be measured on, for `zc.*`; MILLRACE_CABLES does, too.
 * Prints one JSON line for each measurement with --json, else a table at the end; progress goes to stderr. Everything it
 * starts and every namespace it makes ends with it, also on SIGINT.
 */
import { parseArgs } from "node:util";
import { Lab } from "../examples/lab.ts";
import { build } from "./build.ts";
import { measureClaims } from "./measure/claims.ts";
import { measureDns } from "./measure/dns.ts";
import { measureEcho, measureFlood } from "./measure/echo.ts";
import { measureLink, measureSilent } from "./measure/failover.ts";
import { measureHost } from "./measure/host.ts";
import { measureRing } from "./measure/ring.ts";
import { measureRtt } from "./measure/rtt.ts";
import {
  measure1500,
  measure9000,
  measureBalancer,
  measureForward,
  measureSend,
  measureSmall,
} from "./measure/traffic.ts";
import { measureAttach, measureIdle, measureWakeup } from "./measure/wait.ts";
import { cablesOf, ZERO_COPY } from "./measure/zero-copy.ts";
import { type Line, table } from "./report.ts";

type Measurement = (pairs: number, cables: ReturnType<typeof cablesOf>) => Promise<Line[]>;

const MEASUREMENTS: Readonly<Record<string, Measurement>> = {
  "ring.rx": measureRing,
  "veth.rx": measureSmall,
  "veth.tx": measureSend,
  "veth.forward": measureForward,
  "veth.rx.1500": measure1500,
  "veth.rx.9000": measure9000,
  "steer.claims": measureClaims,
  "attach.first": measureAttach,
  "wait.idle": measureIdle,
  "wait.wakeup": measureWakeup,
  "host.rx": measureHost,
  "udp.echo": measureEcho,
  "udp.echo.flood": measureFlood,
  "udp.rtt": measureRtt,
  "dns.answers": measureDns,
  "balancer.forward": measureBalancer,
  "failover.link": measureLink,
  "failover.silent": measureSilent,
  ...ZERO_COPY,
};

/** A median of fewer says little on a machine that does other things too. */
const DEFAULT_PAIRS = 7;
const MAX_PAIRS = 1000;

interface Arguments {
  readonly only: readonly string[];
  readonly pairs: number;
  readonly cables: ReturnType<typeof cablesOf>;
  readonly json: boolean;
}

const readArguments = (): Arguments => {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      pairs: { type: "string", default: String(DEFAULT_PAIRS) },
      cables: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const names = Object.keys(MEASUREMENTS);
  const only = values.only?.split(",").map((name) => name.trim()) ?? names;
  for (const name of only) {
    if (!names.includes(name))
      throw new RangeError(`there is no measurement "${name}"; there are ${names.join(", ")}`);
  }
  const pairs = Number(values.pairs);
  if (!Number.isInteger(pairs) || pairs < 1 || pairs > MAX_PAIRS) {
    throw new RangeError(`--pairs is a whole number from 1 to ${MAX_PAIRS}, not "${values.pairs}"`);
  }
  return { only, pairs, cables: cablesOf(values.cables), json: values.json };
};

/** Runs what was asked for; a measurement that fails is named on stderr and the others go on. */
const run = async ({ only, pairs, cables, json }: Arguments): Promise<boolean> => {
  const lines: Line[] = [];
  let failed = false;
  for (const name of only) {
    try {
      const measured = await MEASUREMENTS[name]!(pairs, cables);
      lines.push(...measured);
      if (json) for (const line of measured) console.log(JSON.stringify(line));
    } catch (error) {
      failed = true;
      console.error(`${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (!json && lines.length > 0) console.log(table(lines));
  return !failed;
};

const main = async (): Promise<number> => {
  let given: Arguments;
  try {
    given = readArguments();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 2;
  }
  const reason = Lab.unavailable();
  if (reason !== undefined) {
    console.error(`cannot run the bench: ${reason}`);
    return 1;
  }
  build();
  return (await run(given)) ? 0 : 1;
};

process.exit(await main());

/**
 * demo-failover: a conversation that outlives each of its two paths. `make demo-failover` runs it.
 *
 *   bun run examples/demo-failover.ts [--bfd MSxN] [--json]
 *
 * A client asks a service a thousand times a second; both live on two interfaces, joined by two paths in a laboratory of
 * network namespaces. The first path dies in five ways: its carrier goes; every question is lost silently, then every
 * answer; its route is withdrawn; it flaps. You should see a picture for each, with a lane for each path and one sign for each
 * question, and in it the cut, when it was seen, and the change to the other path: a few tens are lost where a path dies
 * silently, since nobody can know of that sooner than three packets of BFD are missing, and next to none where somebody tells. The client lives beside the kernel, whose routes it follows; the service has its addresses to
 * itself. The exit code is 0 if the conversation went on each time and nothing was answered twice.
 *
 * A line of --json has: act (which way to die); sent, answered and lost questions, duplicated and reordered answers; unsent (of all
 * so far: those that found no way out); gapMs, the longest time without an answer, and gaps, how many there were by length
 * (bounds in failover/ledger.ts); heardOn, answers by the service's interface; and changes, each of a path: at which end, which,
 * its state and the one before, the reason, silentMs since its last sign of life, stranded frames, atMs since 1970.
 */
import { ACTS, type Act, type Outcome, play, wentOn } from "./failover/acts.ts";
import type { Pulse } from "./failover/end.ts";
import { Pair } from "./failover/pair.ts";
import { showOutcome, showScene, showTable } from "./failover/stage-view.ts";
import { readPulse } from "./failover/text.ts";
import { dim } from "./support/paint.ts";
import { Panel } from "./support/panel.ts";
import { print, program, unlessEnded, UsageError } from "./support/program.ts";

const USAGE = `usage: bun run examples/demo-failover.ts [options]
  --bfd MSxN  the pulse of each path: a packet every MS, dead after N that are missing; 10x3 unless given,
              which asks for a machine that lets every program run within 30 ms
  --json      one line of JSON for each way to die: what became of the questions, and each change of a path; times in ms`;
const VERIFY_MS = 200;
/** A session of BFD that was down needs some seconds to be up again (RFC 5880 section 6.8.3), and damping its time. */
const BACK_LIMIT_MS = 30_000;
const LOOK_MS = 20;
const STEADY_MS = 500;
const WARMUP_MS = 2000;
/** Five programs share what may be two cores, and one that does not run is as silent as a dead path. */
const NICE = ["nice", "-n", "-19"];

/** Resolves when the client uses the first path again, and the service does. */
const settled = async ({ lab, changes }: Pair): Promise<void> => {
  const [path] = lab.paths;
  const names = { client: path.client, host: path.host };
  const isUp = (end: "client" | "host"): boolean => {
    const name = `${names[end].name} via ${names[end].gateways[4]}`;
    const last = changes.findLast((change) => change.end === end && change.path === name);
    return last === undefined || last.state === "up";
  };
  const limit = performance.now() + BACK_LIMIT_MS;
  while (!(isUp("client") && isUp("host")) && performance.now() < limit) await Bun.sleep(LOOK_MS);
  await Bun.sleep(VERIFY_MS + STEADY_MS);
};

/** The whole of it; true if the conversation went on each time. */
const demonstrate = async (bfd: string, pulse: Pulse, json: boolean): Promise<boolean> => {
  using panel = new Panel();
  const meanwhile = (text: string): void => {
    if (!json) panel.draw(text === "" ? [] : ["", dim(`  ${text} …`)]);
  };
  meanwhile("a client, a service and two paths between them are made");
  using pair = await Pair.start({
    lab: { client: "kernel" },
    both: ["--bfd", bfd, "--verify", String(VERIFY_MS)],
    prefix: { client: NICE, host: NICE },
  });
  await Bun.sleep(WARMUP_MS);
  await settled(pair);
  meanwhile("");
  if (!json) showScene(pair.lab, pulse);
  const all: (readonly [Act, Outcome])[] = [];
  for (const [i, act] of ACTS.entries()) {
    meanwhile(act.words);
    const outcome = await play(pair, act);
    meanwhile("");
    all.push([act, outcome]);
    if (json) print(JSON.stringify(recordOf(act, outcome)));
    else showOutcome(i + 1, act, outcome);
    meanwhile("path 1 is healed, and tried out before it is used again");
    await pair.lab.heal();
    // Nobody waits for a path that no one needs any more.
    if (i + 1 < ACTS.length) await settled(pair);
    meanwhile("");
  }
  if (!json) showTable(all);
  return all.every(([, outcome]) => wentOn(outcome));
};

/** For programs: without the single questions. */
const recordOf = ({ name }: Act, { figures, changes }: Outcome): object => {
  const { trace: _, beganAtMs: __, ...counts } = figures;
  return { act: name, ...counts, changes };
};

await program(
  USAGE,
  { bfd: { type: "string", default: "10x3" }, json: { type: "boolean", default: false } },
  async ({ bfd, json }, words) => {
    if (words.length > 0) throw new UsageError(`takes no words, not ${JSON.stringify(words[0])}`);
    const pulse = readPulse("--bfd", bfd);
    const good = await unlessEnded(() => demonstrate(bfd, pulse, json));
    if (good === undefined) {
      if (!json) print("\n  Ended by hand: it is torn down.");
      return 0;
    }
    if (!json) print("\n  Torn down: no program and no namespace is left.");
    return good ? 0 : 1;
  },
);

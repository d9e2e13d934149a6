/**
 * failover: a service that lives on two interfaces, and a client of it that lives on two interfaces as well.
 *
 *   bun run examples/failover.ts serve LEG LEG --own ADDRESS --far ADDRESS [--bfd MSxN] ...
 *   bun run examples/failover.ts ask LEG LEG --own ADDRESS --far ADDRESS [--rate N] [--flows N] ...
 *   bun run examples/failover.ts
 *
 * A LEG is an interface with its own addresses and next hops, such as eth0,10.0.0.2/24,10.0.0.1. Both ends have an address
 * besides, which belongs to no interface: the conversation is between those, and goes over whichever path lives. You should
 * see a thousand answers a second, a line for each path that dies or comes back, with the reason and how long it took to see,
 * and no longer silence than that. Alone it makes a laboratory of two paths, serves in it, starts a client, and takes the
 * first path away for a second out of three: its carrier, then every frame silently.
 *
 * With --json each line is one thing: a change of a path (path, state, previous, reason, silentMs since its last sign of life,
 * stranded frames, atMs since 1970); a second of the client (sent, answered, lost, duplicated, reordered, gapMs, ...) or of the
 * service (heard, answered, lost, strange); ready, when every path lives; a device's chunks by owner at the end. Alone it says
 * besides which end spoke (end), and what was done to the paths (did).
 */
import { type HostEvent, Loop } from "millrace";
import { Asker } from "./failover/asker.ts";
import { End } from "./failover/end.ts";
import { Service } from "./failover/service.ts";
import { OPTIONS, readEnd, readFlow, USAGE, type Values } from "./failover/settings.ts";
import { endArguments, figuresText, pathRecord, pathText } from "./failover/text.ts";
import { Teller, type Told } from "./failover/teller.ts";
import { obey } from "./failover/windows.ts";
import { eachLine } from "./support/lines.ts";
import { example } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, unlessEnded, UsageError } from "./support/program.ts";
import { TwoPathLab } from "./two-path-lab.ts";

const EVERY_MS = 1000;
const LOOK_MS = 10;
/** In its own laboratory: as fast as the bench's. */
const LAB_ARGUMENTS = ["--bfd", "10x3", "--verify", "200", "--undamped"];
const CUT_EVERY_MS = 3000;
const CUT_FOR_MS = 1000;

/** Tells something as JSON or in words. */
type Tell = (record: Readonly<Record<string, unknown>>, text: string) => void;

/** Calls `then` once every path that is watched was seen alive. */
const whenAllLive = (loop: Loop, { host }: End, then: () => void): void => {
  const looking = loop.every(LOOK_MS, () => {
    for (const { monitors } of host.paths.values())
      if (monitors.some(({ verdict }) => verdict !== "up")) return;
    looking.cancel();
    then();
  });
};

/** Asks, and tells once a second what became of it, or when it is told to. What it returns is called when every path lives. */
const ask = (
  loop: Loop,
  { host }: End,
  values: Values & { readonly windows: boolean },
  tell: Tell,
): (() => void) => {
  const { own, far, windows } = values;
  const asker = new Asker(host, { service: far[0]!, source: own[0]!, ...readFlow(values) });
  if (windows) {
    obey(loop, asker);
    return () => {};
  }
  loop.every(EVERY_MS, () => {
    const figures = asker.ledger.figures(loop.now);
    tell({ ...figures, unsent: asker.unsent }, figuresText(figures));
    asker.ledger.begin(loop.now);
  });
  return () => asker.ledger.begin(loop.now);
};

/** Answers, and tells once a second how often. */
const serve = (loop: Loop, { host }: End, values: Values, tell: Tell): (() => void) => {
  const service = new Service(host, readFlow(values).port);
  loop.every(EVERY_MS, () => {
    const { figures } = service;
    const { heard, answered, lost } = figures;
    tell(figures, `${heard} questions, ${answered} answered, ${lost} without a way back`);
  });
  return () => {};
};

/** A laboratory with both ends in it, whose first path dies again and again, loudly and silently in turn. */
const play = async (json: boolean): Promise<number> => {
  using lab = TwoPathLab.create({ client: "program" });
  using loop = new Loop();
  stopOnSignals(loop);
  const teller = new Teller(lab, json);
  teller.begin();
  for (const [role, end, side] of [
    ["serve", "host", "b"],
    ["ask", "client", "a"],
  ] as const) {
    const command = example("failover", role, ...endArguments(lab, end), ...LAB_ARGUMENTS, "--json");
    const { stdout, exited } = lab.lab.spawn(side, command, { stderr: "inherit" });
    void eachLine(stdout, (line) => teller.hear(end, JSON.parse(line) as Told));
    void exited.then(() => loop.stop());
  }
  // The laboratory may go while a cut is under way: what its shells say then is of no interest.
  const quietly = (work: Promise<void>): void => void work.catch(() => {});
  let silent = false;
  loop.every(CUT_EVERY_MS, () => {
    teller.did(silent ? "every frame of path 1 is lost silently" : "the carrier of path 1 goes");
    quietly(silent ? lab.drop(0, "both") : lab.carrier(0, "both", false));
    silent = !silent;
    loop.after(CUT_FOR_MS, () => {
      teller.did("path 1 is healed");
      quietly(lab.heal());
    });
  });
  await loop.run();
  return 0;
};

await program(USAGE, OPTIONS, async (values, [role, ...words]) => {
  if (role === undefined) return (await unlessEnded(() => play(values.json))) ?? 0;
  if (role !== "serve" && role !== "ask")
    throw new UsageError(`takes serve or ask, not ${JSON.stringify(role)}`);
  using loop = new Loop();
  stopOnSignals(loop);
  using end = new End({ loop, ...readEnd(values, words) });
  for (const device of end.devices) stopWhenGone(loop, device);
  const tell: Tell = (record, text) => print(values.json ? JSON.stringify(record) : text);
  end.host.on((event: HostEvent) => {
    if (event.kind === "path") tell(pathRecord(event), pathText(event));
  });
  const begin = role === "ask" ? ask(loop, end, values, tell) : serve(loop, end, values, tell);
  whenAllLive(loop, end, () => {
    tell({ ready: true }, "every path lives");
    begin();
  });
  await loop.run();
  end.host.close();
  if (values.json)
    for (const { name, umem } of end.devices) print(JSON.stringify({ device: name, ...umem.accounts() }));
  return end.devices.every((device) => device.open) ? 0 : 1;
});

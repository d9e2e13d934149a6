/**
 * anycast: one service's addresses on two hosts, announced with BGP by BIRD; whichever goes, its share of the flows moves.
 *
 *   bun run examples/anycast.ts [--address A ...] [--port P] [--flows N] [--rate PPS] [--forever] [--json]
 *
 * You should see 64 flows, half of them of IPv4 and half of IPv6, spread over two hosts, and what each of four ends of a host costs: ended by its operator, killed,
 * hung, and a machine that stands still; then each coming back. It is all in namespaces: a client, a router with BIRD and a route
 * of several next hops (ECMP by addresses and ports), and two hosts with BIRD and a service on millrace. The service lives
 * beside the kernel: the daemon's BGP and BFD stay the kernel's, only the service's port is taken. A keeper has the
 * address announced while the service answers; a machine that stands still is noticed by the router's BFD. The exit code is 0
 * if every share moved and came back, and no flow was disturbed whose host lived. Needs BIRD (apt-get install bird2).
 *
 * With --json there are three kinds of lines. Each second: pps and answeredPps, lost so far, established (BGP sessions), and
 * for each host announced, shares and byFamily (percent of the flows). After each turn: what became of which host, the shares
 * before, after and back, moved and disturbed flows, gaps in ms, and lost, late and duplicate answers. Last: done, and good.
 */
import type { IpAddress } from "millrace/wire";
import { Ground } from "./anycast/ground.ts";
import { Stage } from "./anycast/stage.ts";
import { type Figures, play, TURNS } from "./anycast/story.ts";
import { View } from "./anycast/view.ts";
import { readIp } from "./support/address.ts";
import { bold, columns, flow, green, red } from "./support/paint.ts";
import { Panel } from "./support/panel.ts";
import { print, program, unlessEnded, UsageError, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/anycast.ts [options]
  --address A   the service's, one or one of each family; 10.9.9.9 and fd99::9 unless given
  --port P      UDP port, 9000 unless given
  --flows N     flows of the clients, 64 unless given
  --rate PPS    questions of each flow in a second, 50 unless given
  --forever     over and over, until Ctrl-C
  --json        a line of JSON a second, and one for each thing that happened`;
const HOSTS = 2;
const MAX_PORT = 65_535;
/** Fewer might all fall to one host. */
const MIN_FLOWS = 16;
const MAX_FLOWS = 1024;
const MAX_RATE = 1000;
/** Programs that take longer to start do not start. */
const START_LIMIT_MS = 20_000;
const DRAW_EVERY_MS = 500;
const RECORD_EVERY_MS = 1000;

/** Whether a turn went as it should. */
const isGood = ({ before, after, back, host, disturbed, what, lost }: Figures): boolean =>
  before[host - 1]! > 0 &&
  after[host - 1] === 0 &&
  back[host - 1]! > 0 &&
  disturbed === 0 &&
  // Who says goodbye first loses nothing.
  (what !== "drained" || lost === 0);

/** Plays every turn; what each came to. */
const playAll = async (stage: Stage, view: View, forever: boolean): Promise<Figures[]> => {
  const all: Figures[] = [];
  do {
    for (const turn of TURNS) {
      view.begins(`host ${turn.host} ${turn.tells}`);
      const figures = await play(stage, turn);
      view.ended(figures);
      all.push(figures);
    }
  } while (forever);
  return all;
};

/** What is there, in as many lines as it takes. */
const introduce = (addresses: readonly IpAddress[], port: string, flows: string): void => {
  const words = `${bold(addresses.join(" and "))}, ${port}, on ${HOSTS} hosts; ${flows}`;
  for (const line of flow(words.split(" "), columns())) print(line);
};

/** Draws again and again; what it returns ends that. */
const keepDrawing = (stage: Stage, view: View, everyMs: number): (() => void) => {
  let established = 0;
  const drawing = setInterval(() => {
    view.draw(established);
    void stage.ground.established().then((count) => (established = count));
  }, everyMs);
  return () => clearInterval(drawing);
};

/** All of it; whether it went as it should. */
const perform = async (
  stage: Stage,
  view: View,
  { forever, json }: { readonly forever: boolean; readonly json: boolean },
): Promise<boolean> => {
  view.begins("starting");
  await stage.start(START_LIMIT_MS);
  const all = await playAll(stage, view, forever);
  const good = all.every(isGood);
  view.end();
  if (json) print(JSON.stringify({ done: true, good }));
  else print(good ? green("every share moved and came back") : red("not all went as it should"));
  return good;
};

await program(
  USAGE,
  {
    address: { type: "string", multiple: true, default: ["10.9.9.9", "fd99::9"] },
    port: { type: "string", default: "9000" },
    flows: { type: "string", default: "64" },
    rate: { type: "string", default: "50" },
    forever: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
  async (values, words) => {
    if (words.length > 0) throw new UsageError(`takes no words, not ${JSON.stringify(words[0])}`);
    const addresses = values.address.map((text) => readIp("--address", text));
    if (new Set(addresses.map(({ family }) => family)).size < addresses.length)
      throw new UsageError(`--address is one of each family at most, not ${addresses.join(" and ")}`);
    const port = wholeNumber("--port", values.port, 1, MAX_PORT);
    const flows = wholeNumber("--flows", values.flows, MIN_FLOWS, MAX_FLOWS);
    const perSecond = wholeNumber("--rate", values.rate, 1, MAX_RATE);
    const reason = Ground.unavailable();
    if (reason !== undefined) throw new Error(reason);
    using rest = new DisposableStack();
    const good = await unlessEnded(async () => {
      if (!values.json)
        introduce(addresses, `port ${port}`, `${flows} flows ask ${perSecond} times a second each`);
      const stage = rest.use(new Stage({ addresses, port, hosts: HOSTS, flows, perSecond }));
      const view = new View(stage, rest.use(new Panel()), values.json);
      rest.defer(keepDrawing(stage, view, values.json ? RECORD_EVERY_MS : DRAW_EVERY_MS));
      return perform(stage, view, values);
    });
    // Who ends it by hand has seen what there was to see.
    return good === false ? 1 : 0;
  },
);

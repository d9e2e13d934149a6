/**
 * anycast: one service address on two hosts, announced with BGP by BIRD; whichever goes, its share of the flows moves.
 *
 *   bun run examples/anycast.ts [--address A] [--port P] [--flows N] [--rate PPS] [--forever] [--json]
 *
 * You should see 64 flows spread over two hosts, and what each of four ends of a host costs: ended by its operator, killed,
 * hung, and a machine that stands still; then each coming back. It is all in namespaces: a client, a router with BIRD and a route
 * of several next hops (ECMP by addresses and ports), and two hosts with BIRD and a service on millrace. The service lives
 * beside the kernel: the daemon's BGP and BFD stay the kernel's, only the service's port is taken. A keeper has the
 * address announced while the service answers; a machine that stands still is noticed by the router's BFD. The exit code is 0
 * if every share moved and came back, and no flow was disturbed whose host lived. Needs BIRD (apt-get install bird2).
 */
import { Ground } from "./anycast/ground.ts";
import { Stage } from "./anycast/stage.ts";
import { type Figures, play, TURNS } from "./anycast/story.ts";
import { View } from "./anycast/view.ts";
import { readIpv4 } from "./support/address.ts";
import { bold, green, red } from "./support/paint.ts";
import { Panel } from "./support/panel.ts";
import { print, program, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/anycast.ts [options]
  --address A   the service's, 10.9.9.9 unless given
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

const INTERRUPTED = new Error("interrupted");

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

await program(
  USAGE,
  {
    address: { type: "string", default: "10.9.9.9" },
    port: { type: "string", default: "9000" },
    flows: { type: "string", default: "64" },
    rate: { type: "string", default: "50" },
    forever: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
  async (values) => {
    const address = readIpv4("--address", values.address).toString();
    const port = wholeNumber("--port", values.port, 1, MAX_PORT);
    const flows = wholeNumber("--flows", values.flows, MIN_FLOWS, MAX_FLOWS);
    const perSecond = wholeNumber("--rate", values.rate, 1, MAX_RATE);
    const reason = Ground.unavailable();
    if (reason !== undefined) throw new Error(reason);
    using stage = new Stage({ address, port, hosts: HOSTS, flows, perSecond });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stage.fail(INTERRUPTED));
    using panel = new Panel();
    const view = new View(stage, panel, values.json);
    if (!values.json)
      print(`${bold(address)} port ${port} on ${HOSTS} hosts, ${flows} flows of ${perSecond} pps`);
    let established = 0;
    const drawing = setInterval(
      () => {
        view.draw(established);
        void stage.ground.established().then((count) => (established = count));
      },
      values.json ? RECORD_EVERY_MS : DRAW_EVERY_MS,
    );
    try {
      view.begins("starting");
      await stage.start(START_LIMIT_MS);
      const all = await playAll(stage, view, values.forever);
      const good = all.every(isGood);
      if (values.json) print(JSON.stringify({ done: true, good }));
      else print(good ? green("every share moved and came back") : red("not all went as it should"));
      return good ? 0 : 1;
    } catch (error) {
      if (error === INTERRUPTED) return 0;
      throw error;
    } finally {
      clearInterval(drawing);
    }
  },
);

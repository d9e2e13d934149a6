/**
 * multicast-feed: one numbered feed in two multicast groups over two interfaces, put together to one without gaps.
 *
 *   bun run examples/multicast-feed.ts [IFACE IFACE] [--group G:P ...] [--wait MS] [--address A/LEN ...] [--json]
 *   bun run examples/multicast-feed.ts --publish IFACE IFACE [--group G:P ...] [--rate N] [--loss PERCENT] ...
 *
 * You should see how many datagrams a second are handed on in order, which side was first with how many and by how much, how
 * many gaps of one side the other filled, and what both lost: in the lab, where each side leaves out 5 % at random, some 2.5
 * of a thousand. Take an interface away and nothing is lost that the other brings. It lives beside the kernel, which joins the
 * groups for it; with --address each interface has an address of its own. In its own lab a second millrace publishes.
 */
import { FeedArbiter, Host, Loop, type XdpDevice } from "millrace";
import { Lab } from "./lab.ts";
import { readSides } from "./multicast-feed/groups.ts";
import * as message from "./multicast-feed/message.ts";
import { publish } from "./multicast-feed/publish.ts";
import { FeedView } from "./multicast-feed/view.ts";
import { joinAt, readOwn } from "./support/own-address.ts";
import { Panel } from "./support/panel.ts";
import { example, openPlace, type OwnLab } from "./support/place.ts";
import { print, program, stopOnSignals, UsageError, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/multicast-feed.ts [IFACE IFACE] [options]
  --publish      send the feed; without it, hear it
  --group G:P    of the next interface: 239.77.0.1:9100, then 239.77.0.2:9100 unless given; IPv6 as [ff15::77]:9100
  --address A    of the next interface: one of its own with its length (10.0.0.9/24); the kernel's unless given
  --wait MS      how long a gap is waited for, 10 unless given
  --rate N       publish so many a second, 1000 unless given
  --size B       bytes of a datagram, 64 unless given
  --loss P       leave out P % on each side at random, 0 unless given; 5 in a lab of its own
  --count N      end after N datagrams; endless unless given
  --json         one line of JSON a second`;
const INTERFACES = 2;
const EVERY_MS = 1000;
/** Redrawing five times a second is smooth, and costs nothing. */
const DRAW_EVERY_MS = 200;
const WHOLE_PERCENT = 100;
const LAB_LOSS = "5";
const MAX_RATE = 10_000_000;
const MAX_SIZE = 1400;
const MAX_WAIT_MS = 60_000;

const PAIRS: OwnLab = {
  make: () => Lab.create({ pairs: INTERFACES }),
  side: "b",
  interfaces: (lab) => lab.pairs.map((pair) => pair.b.name),
};

/** Ends the loop when the last interface is gone: one alone still brings the feed. */
const stopWhenAllAreGone = (loop: Loop, devices: readonly XdpDevice[]): void => {
  for (const device of devices) {
    loop.link(device, (event) => {
      if (event.kind !== "gone") return;
      console.error(`millrace: interface "${device.name}" is gone: ${event.reason}`);
      if (devices.every((one) => !one.open || one === device)) loop.stop();
    });
  }
};

const OPTIONS = {
  publish: { type: "boolean", default: false },
  group: { type: "string", multiple: true, default: [] as string[] },
  address: { type: "string", multiple: true, default: [] as string[] },
  wait: { type: "string", default: "10" },
  rate: { type: "string", default: "1000" },
  size: { type: "string", default: "64" },
  loss: { type: "string" },
  count: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

await program(USAGE, OPTIONS, async (values, given) => {
  if (values.publish && given.length === 0) throw new UsageError("--publish needs two interfaces");
  const whole = (name: "wait" | "rate" | "size", least: number, most: number): number =>
    wholeNumber(`--${name}`, values[name], least, most);
  const waitMs = whole("wait", 0, MAX_WAIT_MS);
  const pps = whole("rate", 1, MAX_RATE);
  const size = whole("size", message.HEADER_BYTES, MAX_SIZE);
  const loss = wholeNumber("--loss", values.loss ?? "0", 0, WHOLE_PERCENT) / WHOLE_PERCENT;
  const count = wholeNumber(
    "--count",
    values.count ?? `${Number.MAX_SAFE_INTEGER}`,
    1,
    Number.MAX_SAFE_INTEGER,
  );
  using place = openPlace(given, PAIRS, INTERFACES, INTERFACES);
  const { interfaces, lab } = place;
  const sides = readSides(values.group, interfaces);
  if (values.address.length !== 0 && values.address.length !== interfaces.length)
    throw new UsageError(`one --address for each interface, or none: not ${values.address.length}`);
  for (const text of values.address) readOwn("--address", text);

  using devices = new DisposableStack();
  using loop = new Loop();
  stopOnSignals(loop);
  using host = new Host({ loop });
  const claim = values.address.length === 0 ? [] : ("everything" as const);
  const opened = interfaces.map((name) => devices.use(place.attach(name, { claim })));
  stopWhenAllAreGone(loop, opened);
  for (const [i, device] of opened.entries()) joinAt(host, device, values.address.slice(i, i + 1), []);

  if (values.publish) {
    publish(host, loop, sides, { pps, size, loss, count, json: values.json });
    await loop.run();
    return opened.some(({ open }) => open) ? 0 : 1;
  }
  const { histograms, onLead } = FeedView.leads(sides.length);
  let left = count;
  using feed = new FeedArbiter(
    loop,
    { sequence: message.number, session: message.session, waitMs, onLead },
    () => {
      left -= 1;
      if (left === 0) loop.stop();
    },
  );
  for (const side of sides) feed.join(host, side);
  using panel = new Panel();
  const view = new FeedView(feed, histograms, panel, values.json, loop.now);
  loop.every(DRAW_EVERY_MS, () => view.draw(loop.now));
  loop.every(EVERY_MS, () => view.second(loop.now));
  if (!values.json)
    print(
      `${sides.map(({ group, port, interface: name }) => `${group} port ${port} on ${name}`).join(", ")}; Ctrl-C ends`,
    );
  if (lab !== undefined) {
    const far = lab.pairs.map((pair) => pair.a.name);
    const how = ["--rate", values.rate, "--size", values.size, "--loss", values.loss ?? LAB_LOSS];
    const groups = values.group.flatMap((group) => ["--group", group]);
    const silent = { stdout: "ignore", stderr: "ignore" } as const;
    lab.spawn("a", example("multicast-feed", "--publish", ...far, ...how, ...groups), silent);
  }
  await loop.run();
  view.summary();
  return opened.some(({ open }) => open) ? 0 : 1;
});

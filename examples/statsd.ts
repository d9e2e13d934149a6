/**
 * statsd: takes StatsD lines off the wire, and shows what they add up to on a page for Prometheus.
 *
 *   bun run examples/statsd.ts [IFACE] [--port P] [--page HOST:PORT] [--address A/LEN ...] [--json]
 *
 * You should see lines and datagrams per second, and at http://127.0.0.1:9102/metrics the counters, gauges, sets and summaries
 * that they make. Lines are read where they lie in the frame: a name that is known costs no allocation. The page is served by
 * `Bun.serve`, on a kernel socket of the same process, beside the loop. In its own lab a kernel socket sends 20 000 lines a
 * second.
 */
import { Host, Loop } from "millrace";
import { CONTENT_TYPE, Metrics, type OwnMetric } from "./statsd/metrics.ts";
import { bitRate, grouped, Meter, packetRate, scaled } from "./support/meter.ts";
import { claimsOf, joinAt, readOwn } from "./support/own-address.ts";
import { example, openPlace, PAIR } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, UsageError, wholeNumber } from "./support/program.ts";
import { StatsdLines } from "./statsd/line.ts";

const USAGE = `usage: bun run examples/statsd.ts [IFACE] [options]
  --port P       UDP port, 8125 unless given
  --page H:P     where the page is served, 127.0.0.1:9102 unless given; port 0 takes a free one
  --address A    an address of its own with its length (10.0.0.9/24), repeatable; the kernel's unless given
  --gateway G    router of such an address, repeatable
  --json         one line of JSON a second`;
const EVERY_MS = 1000;
const MAX_PORT = 65_535;
const LAB_LINES = "20000";

/** Where the page is: a host and a port. */
const readPage = (words: string): { hostname: string; port: number } => {
  const [, hostname, port] = /^(.+):(\d+)$/.exec(words) ?? [];
  if (hostname === undefined || port === undefined)
    throw new UsageError(`--page is HOST:PORT, not ${JSON.stringify(words)}`);
  return { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: wholeNumber("--page", port, 0, MAX_PORT) };
};

await program(
  USAGE,
  {
    port: { type: "string", default: "8125" },
    page: { type: "string", default: "127.0.0.1:9102" },
    address: { type: "string", multiple: true, default: [] },
    gateway: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
  async (values, interfaces) => {
    const port = wholeNumber("--port", values.port, 1, MAX_PORT);
    const at = readPage(values.page);
    const own = values.address.map((text) => readOwn("--address", text).address);
    using place = openPlace(interfaces, PAIR);
    using device = place.attach(place.interfaces[0]!, { claim: claimsOf(own) });
    using loop = new Loop();
    stopOnSignals(loop);
    stopWhenGone(loop, device);
    using host = new Host({ loop });
    joinAt(host, device, values.address, values.gateway);

    const metrics = new Metrics();
    const lines = new StatsdLines();
    const socket = host.udp(port, (datagram) => {
      const { bytes } = datagram;
      lines.begin(bytes, datagram.at, datagram.length);
      while (lines.next()) metrics.add(bytes, lines);
    });

    const totals = () => {
      const { received, receivedBytes } = socket.statistics();
      return { pps: received, values: metrics.accepted, bytes: receivedBytes };
    };
    const troubles = () => ({
      malformed: lines.malformed + metrics.malformed,
      refused: metrics.refused,
      dropped: device.statistics().rxDropped,
    });
    const server = Bun.serve({
      ...at,
      routes: {
        "/metrics": () => {
          const { pps: datagrams, values: taken } = totals();
          const { malformed, refused, dropped } = troubles();
          const counter = (name: string, help: string, value: number): OwnMetric => ({
            name: `${name}_total`,
            type: "counter",
            help,
            value,
          });
          const page = metrics.page([
            counter("datagrams", "Datagrams that came", datagrams),
            counter("values", "Values that were taken", taken),
            counter("malformed", "Lines and values that made no sense", malformed),
            counter("refused", "Values of series beyond the limits, or of two types", refused),
            counter("dropped", "Frames that found no room", dropped),
            { name: "series", type: "gauge", help: "Series on this page", value: metrics.series },
          ]);
          return new Response(page, { headers: { "content-type": CONTENT_TYPE } });
        },
      },
      fetch: () => new Response("the page is at /metrics\n", { status: 404 }),
    });
    using serving = new DisposableStack();
    serving.defer(() => void server.stop(true));
    const page = new URL("/metrics", server.url).href;

    const meter = new Meter(loop.now, totals());
    loop.every(EVERY_MS, () => {
      const now = totals();
      const rates = meter.rates(loop.now, now);
      const { malformed, refused, dropped } = troubles();
      if (values.json) {
        const record = { pps: rates.pps, valuesPerSecond: rates.values, bytesPerSecond: rates.bytes };
        const counts = { datagrams: now.pps, values: now.values, series: metrics.series };
        print(JSON.stringify({ ...record, ...counts, malformed, refused, dropped, page }));
        return;
      }
      print(
        `${scaled(rates.values).padStart(7)}values/s   ${packetRate(rates.pps).padStart(10)}   ${bitRate(rates.bytes).padStart(12)}   ` +
          `${grouped(metrics.series)} series, ${malformed} malformed, ${refused} refused, ${dropped} dropped`,
      );
    });
    if (place.lab !== undefined) {
      const to = own[0]?.toString() ?? place.lab.b.ipv4;
      const load = example("statsd/load", to, String(port), LAB_LINES);
      place.lab.spawn("a", load, { stdout: "ignore", stderr: "ignore" });
    }
    if (!values.json) print(`StatsD on ${device.name}, UDP port ${port}; ${page}; Ctrl-C ends`);
    await loop.run();
    return device.open ? 0 : 1;
  },
);

/**
 * The examples of the host, each alone and then against programs that know nothing of millrace: the kernel, ping, arping,
 * ndisc6, socat, curl, traceroute, mtr and tracepath; tshark looks at every frame that they send.
 */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { descendants, Example } from "../support/example.ts";
import { isQuoted } from "../support/host-bed.ts";
import { Lab, type Side, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { dissect, tell, WireCapture } from "../support/wire-capture.ts";

const LIMIT_MS = 60_000;
/** Addresses that no kernel has. */
const OWN = "10.77.0.200";
const OWN_6 = "fd77::200";
const OWN_ADDRESSES = ["--address", `${OWN}/24`, "--address", `${OWN_6}/64`];
const ROUTER_ADDRESSES = [
  ...["--address", "10.77.0.254/24,fd77::fe/64"],
  ...["--address", "10.77.1.254/24,fd77:0:0:1::fe/64"],
];
const READY_LIMIT_MS = 10_000;
const TRIES = 4;
const MEGABYTE = 2 ** 20;

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need(...names);

/** An example in a lab's namespace, once it says that it runs. */
const start = async (lab: Lab, side: Side, name: string, ...args: string[]): Promise<Example> => {
  const example = new Example(name, args, { prefix: lab.enter(side) });
  await example.line("its first words", () => true);
  return example;
};

/** The records of --json, with what else than numbers is in them. */
const records = (example: Example): Record<string, unknown>[] => example.records;

/** Nothing is wrong with what came from a station, and there was something. */
const expectGood = async (
  file: string,
  mac: string,
  least: number,
  options: { readonly dataPorts?: readonly number[]; readonly except?: RegExp } = {},
): Promise<void> => {
  const dissection = await dissect(file, { mac, ...options });
  expect(tell(dissection)).toBe("");
  expect(dissection.frames).toBeGreaterThanOrEqual(least);
};

/** Waits until an address answers: IPv6 ones are first looked for on the link for a second or two. */
const answers = (here: tools.Place, to: string): Promise<boolean> =>
  until(
    `${to} to answer`,
    async () => (await tools.ping(here, to, { count: 1, wait: 0.2 })).received === 1,
    READY_LIMIT_MS,
  );

/**
 * Pings until every answer of a series came in time: after the first answer ping waits for the last one only for two of the
 * round trips that it has seen (iputils, -W), which are less than a busy machine may stand still.
 */
const pingAll = async (
  here: tools.Place,
  to: string,
  options: tools.PingOptions = {},
): Promise<tools.Exchange> => {
  let last = await tools.ping(here, to, options);
  for (let again = 0; again < TRIES && last.received < last.sent; again++)
    last = await tools.ping(here, to, options);
  return last;
};

const socat = (lab: Lab, to: string, words: string): string =>
  lab.exec("a", ["socat", "-t", "2", "-", to], { stdin: words }).stdout;

describe.skipIf(noLab)("alone", () => {
  test.each(["udp-echo", "statsd", "router"])(
    "%s --json counts packets, and Ctrl-C ends it without a trace",
    async (name) => {
      using example = new Example(name, ["--json", ...(name === "statsd" ? ["--page", "127.0.0.1:0"] : [])]);
      const busy = await example.record("packets", ({ pps }) => (pps ?? 0) > 0);
      expect(busy.pps).toBeGreaterThan(100);
      expect(descendants(example.child.pid).length).toBeGreaterThan(0);
      expect(await example.end()).toBe(0);
      expect(await example.stderr).toBe("");
    },
    LIMIT_MS,
  );

  test(
    "ping --json pings the kernel and is pinged by it, over both families",
    async () => {
      for (const to of ["10.77.0.1", "fd77::1"]) {
        using example = new Example("ping", ["--json", "--to", to, "--interval", "100"]);
        await example.record("an answer", (each) => (each as Record<string, unknown>)["from"] === to);
        await example.record("a question", (each) => (each as Record<string, unknown>)["askedBy"] === to);
        expect(await example.end()).toBe(0);
        expect(records(example).at(-1)).toMatchObject({ done: true, to, lossPercent: 0, errors: 0 });
        expect(await example.stderr).toBe("");
      }
    },
    LIMIT_MS,
  );

  test(
    "text for people",
    async () => {
      using echo = new Example("udp-echo", []);
      await echo.line("answers", (line) => /[1-9][\d,]* of [\d,]+ answered, 0 lost/.test(line));
      expect(echo.lines[0]).toContain("echoing UDP port 9000 on vb, beside the kernel");
      expect(await echo.end("SIGTERM")).toBe(0);
      using ping = new Example("ping", ["--count", "3", "--interval", "10"]);
      expect(await ping.ended()).toBe(0);
      expect(ping.text).toMatch(/64 bytes from 10\.77\.0\.1: seq=2 ttl=64 time=[\d.]+ ms/);
      expect(ping.text).toMatch(
        /3 sent, 3 received, 0 % loss\nround trips min\/avg\/max\/mdev = ([\d.]+\/){3}/,
      );
      using router = new Example("router", []);
      await router.line("an interface", (line) => /mb +in [\d,]+, out [1-9][\d,]*, refused 0/.test(line));
      expect(await router.end()).toBe(0);
    },
    LIMIT_MS,
  );
});

describe.skipIf(noLab)("mistakes", () => {
  const cases: readonly [string, string, readonly string[], RegExp][] = [
    ["no address", "ping", ["vb", "--to", "10.0.0.1"], /--address is needed/],
    ["nobody to ping", "ping", ["vb", "--address", "10.0.0.2/24"], /--to is needed, or --respond/],
    ["an address without a length", "udp-echo", ["vb", "--address", "10.0.0.2"], /such as 10\.0\.0\.9\/24/],
    ["a gateway that is none", "udp-echo", ["--gateway", "there"], /--gateway is an IP address, not "there"/],
    ["a page without a port", "statsd", ["--page", "localhost"], /--page is HOST:PORT/],
    ["one address for two interfaces", "router", ["va", "vb", "--address", "10.0.0.1/24"], /2, not 1/],
    ["a route to no network", "router", ["--route", "here=10.77.0.1"], /is a prefix such as/],
    ["a route by nobody's network", "router", ["--route", "10.9.0.0/16=10.9.0.1"], /no interface is in/],
  ];
  test.each(cases)(
    "%s is told in words",
    async (_, name, args, says) => {
      using example = new Example(name, args);
      expect(await example.ended()).toBe(2);
      const said = await example.stderr;
      expect(said).toMatch(says);
      expect(said).not.toMatch(/^\s+at /m);
    },
    LIMIT_MS,
  );

  test.each(["ping", "udp-echo", "statsd", "router"])(
    "%s --help says how it is used",
    async (name) => {
      using example = new Example(name, ["--help"]);
      expect(await example.ended()).toBe(0);
      expect(example.lines[0]).toStartWith(`usage: bun run examples/${name}.ts`);
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("ping", "tcpdump", "tshark"))("ping", () => {
  test(
    "of the kernel: every size, over both families, and nothing is wrong with what it sends",
    async () => {
      using lab = Lab.create({ offloads: false });
      using capture = await WireCapture.start(lab, "a");
      for (const to of [lab.a.ipv4, lab.a.ipv6]) {
        for (const size of ["0", "1472", "20000"]) {
          const how = ["--count", "5", "--interval", "10", "--size", size, "--to", to, "--json"];
          using example = new Example("ping", [lab.b.name, ...OWN_ADDRESSES, ...how], {
            prefix: lab.enter("b"),
          });
          expect(await example.ended()).toBe(0);
          const last = records(example).at(-1)!;
          expect(last).toMatchObject({ done: true, sent: 5, received: 5, errors: 0, duplicates: 0 });
          expect(last["minMs"]).toBeLessThanOrEqual(last["avgMs"] as number);
          expect(records(example)[0]).toMatchObject({ seq: 0, from: to, ttl: 64, bytes: Number(size) + 8 });
        }
      }
      await expectGood(await capture.stop(), lab.b.mac, 2 * 3 * 5);
    },
    LIMIT_MS,
  );

  test(
    "ICMP errors of a router are told by name: no network, time exceeded, too big",
    async () => {
      using lab = Lab.create({ pairs: 2 });
      const [near, far] = lab.pairs as [Lab["pairs"][number], Lab["pairs"][number]];
      lab.exec("a", ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
      lab.exec("a", ["ip", "link", "set", "dev", far.a.name, "mtu", "1300"]);
      const ask = async (...how: string[]): Promise<Record<string, unknown>[]> => {
        const own = ["--address", `${OWN}/24`, "--gateway", near.a.ipv4, "--count", "1", "--json"];
        using example = new Example("ping", [near.b.name, ...own, ...how], { prefix: lab.enter("b") });
        expect(await example.ended()).toBe(1);
        return records(example);
      };
      const from = near.a.ipv4;
      expect((await ask("--to", "10.99.0.1"))[0]).toMatchObject({ from, error: "network-unreachable" });
      expect((await ask("--to", far.b.ipv4, "--ttl", "1"))[0]).toMatchObject({
        from,
        error: "time-exceeded",
      });
      const big = await ask("--to", far.b.ipv4, "--whole", "--size", "1400");
      expect(big[0]).toMatchObject({ from, error: "too-big", mtu: 1300 });
      expect((await ask("--to", "10.77.0.99", "--wait", "5000"))[0]).toMatchObject({
        error: "host-unreachable",
      });
    },
    LIMIT_MS,
  );

  test.skipIf(without("arping", "ndisc6"))(
    "--respond answers ping, ARP and neighbour discovery, says who asks, and leaves the kernel its own",
    async () => {
      using lab = Lab.create({ offloads: false });
      const here = { lab, side: "a" } as const;
      using example = new Example("ping", [lab.b.name, "--respond", ...OWN_ADDRESSES, "--json"], {
        prefix: lab.enter("b"),
      });
      using capture = await WireCapture.start(lab, "a");
      // Until it has attached, and knows that nobody else has its IPv6 address.
      await answers(here, OWN_6);
      for (const to of [OWN, OWN_6, lab.b.ipv4, lab.b.ipv6]) {
        for (const size of [0, 56, 1472, 30_000])
          expect(await pingAll(here, to, { size, count: 5 })).toMatchObject({ sent: 5, received: 5 });
      }
      expect((await tools.arping(here, lab.a.name, OWN)).macs).toEqual([lab.b.mac, lab.b.mac]);
      expect(await tools.ndisc6(here, lab.a.name, OWN_6)).toBe(lab.b.mac);
      expect(await tools.ndisc6(here, lab.a.name, lab.b.ipv6)).toBe(lab.b.mac);
      await example.record("20 questions or more", () => {
        const asked = records(example).filter((each) => each["askedBy"] === lab.a.ipv4);
        return asked.reduce((sum, each) => sum + (each["packets"] as number), 0) >= 20;
      });
      expect(await example.end()).toBe(0);
      await expectGood(await capture.stop(), lab.b.mac, 80);
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("socat", "ping", "tcpdump", "tshark"))("udp-echo", () => {
  test.each([true, false])(
    "beside the kernel, offloads %p: socat hears its words, and the kernel keeps ping and TCP",
    async (offloads) => {
      using lab = Lab.create({ offloads });
      using capture = await WireCapture.start(lab, "a");
      using example = await start(lab, "b", "udp-echo", lab.b.name);
      const tcp = lab.spawn("b", ["socat", "TCP-LISTEN:9000,reuseaddr,fork", "EXEC:cat"]);
      await until("the listener", () => lab.exec("b", ["ss", "-ltn"]).stdout.includes(":9000"));
      for (const to of [`UDP4:${lab.b.ipv4}:9000`, `UDP6:[${lab.b.ipv6}]:9000`, `TCP:${lab.b.ipv4}:9000`])
        expect(socat(lab, to, `who is at ${to}?`)).toBe(`who is at ${to}?`);
      expect(await pingAll({ lab, side: "a" }, lab.b.ipv4)).toMatchObject({ received: 3 });
      tcp.kill();
      expect(await example.end()).toBe(0);
      // With offloads the kernel beside it leaves its own sums to a device that is not there.
      const dissection = await dissect(await capture.stop(), { mac: lab.b.mac, dataPorts: [9000] });
      expect(dissection.frames).toBeGreaterThan(8);
      expect(dissection.findings.filter(({ info }) => info.includes(":udp:"))).toEqual([]);
      if (!offloads) expect(tell(dissection)).toBe("");
    },
    LIMIT_MS,
  );

  test(
    "at addresses of its own",
    async () => {
      using lab = Lab.create({ offloads: false });
      using capture = await WireCapture.start(lab, "a");
      using example = await start(lab, "b", "udp-echo", lab.b.name, "--port", "7", ...OWN_ADDRESSES);
      expect(socat(lab, `UDP4:${OWN}:7`, "four")).toBe("four");
      await until("IPv6", () => socat(lab, `UDP6:[${OWN_6}]:7`, "six") === "six", 15_000);
      expect(await pingAll({ lab, side: "a" }, lab.b.ipv4)).toMatchObject({ received: 3 });
      expect(await example.end()).toBe(0);
      await expectGood(await capture.stop(), lab.b.mac, 5, { dataPorts: [7] });
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("socat", "curl"))("statsd", () => {
  test(
    "lines of socat's are on the page that curl gets from the same process",
    async () => {
      using lab = Lab.create();
      const where = ["--page", "127.0.0.1:9102", "--json"];
      using example = await start(lab, "b", "statsd", lab.b.name, ...where);
      let sent = 0;
      const send = async (to: string, lines: string): Promise<void> => {
        lab.exec("a", ["socat", "-u", "-", to], { stdin: lines });
        sent += 1;
        await example.record(`datagram ${sent}`, ({ datagrams }) => datagrams === sent);
      };
      const to4 = `UDP4:${lab.b.ipv4}:8125`;
      await send(to4, "shop.sales:3|c|#town:Bonn\nshop.sales:2|c|@0.5|#town:Bonn\nshop.stock:12|g\n");
      await send(to4, "shop.stock:-2|g\nnonsense\nshop.wait:250|ms\n");
      await send(
        `UDP6:[${lab.b.ipv6}]:8125`,
        "shop.visitors:ann|s\nshop.visitors:bob|s\nshop.visitors:ann|s\n",
      );
      const page = lab.exec("b", ["curl", "-sf", "http://127.0.0.1:9102/metrics"]).stdout;
      for (const line of [
        "# TYPE shop_sales counter",
        'shop_sales{town="Bonn"} 7',
        "# TYPE shop_stock gauge",
        "shop_stock 10",
        "# TYPE shop_wait summary",
        "shop_wait_sum 0.25",
        "shop_wait_count 1",
        "shop_visitors 2",
        "millrace_statsd_datagrams_total 3",
        "millrace_statsd_malformed_total 1",
      ])
        expect(page.split("\n")).toContain(line);
      const head = lab.exec("b", ["curl", "-si", "http://127.0.0.1:9102/"]).stdout;
      expect(head).toStartWith("HTTP/1.1 404");
      expect(await example.end()).toBe(0);
      expect(await example.stderr).toBe("");
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("socat", "ping", "traceroute", "mtr", "tracepath", "tcpdump", "tshark"))(
  "router",
  () => {
    const route = (lab: Lab, ...more: string[]): Promise<Example> =>
      start(
        lab,
        "m",
        "router",
        lab.middle!.a.name,
        lab.middle!.b.name,
        ...ROUTER_ADDRESSES,
        "--json",
        ...more,
      );
    const routed = (offloads = true): Lab => Lab.create({ middle: true, routed: true, offloads });

    test.each([true, false])(
      "carries ping, UDP and TCP of two kernels, byte for byte, with offloads %p",
      async (offloads) => {
        using lab = routed(offloads);
        const folder = mkdtempSync(join(tmpdir(), "millrace-"));
        try {
          using example = await route(lab);
          const here = { lab, side: "a" } as const;
          await answers(here, lab.b.ipv6);
          using capture = await WireCapture.start(lab, "b");
          for (const to of [lab.b.ipv4, lab.b.ipv6])
            for (const size of [56, 1472, 20_000])
              expect(await pingAll(here, to, { size })).toMatchObject({ sent: 3, received: 3 });
          const sent = join(folder, "sent");
          writeFileSync(
            sent,
            new Uint8Array(2 * MEGABYTE).map((_, i) => (i * 2_654_435_761) >>> 13),
          );
          const digest = (path: string): string =>
            createHash("sha256").update(readFileSync(path)).digest("hex");
          for (const [listen, to, from] of [
            ["TCP4-LISTEN:47017,reuseaddr", `TCP4:${lab.b.ipv4}:47017`, "a"],
            ["TCP6-LISTEN:47017,reuseaddr", `TCP6:[${lab.b.ipv6}]:47017`, "a"],
            ["TCP4-LISTEN:47017,reuseaddr", `TCP4:${lab.a.ipv4}:47017`, "b"],
          ] as const) {
            const got = join(folder, `got-${listen.slice(0, 4)}-${from}`);
            const there = from === "a" ? "b" : "a";
            const server = lab.spawn(there, ["socat", "-u", listen, `CREATE:${got}`]);
            await until("the listener", () => lab.exec(there, ["ss", "-ltn"]).stdout.includes(":47017"));
            lab.exec(from, ["socat", "-u", `OPEN:${sent}`, to]);
            expect(await server.exited).toBe(0);
            expect(digest(got)).toBe(digest(sent));
          }
          // The kernel sees to it that nothing above the MTU comes to a native program.
          const features = lab.exec("a", ["ethtool", "-k", lab.a.name]).stdout;
          expect(features).toContain("tx-tcp-segmentation: off [fixed]");
          const file = await capture.stop();
          expect(await example.end()).toBe(0);
          const last = records(example).at(-1)! as { interfaces: { dropped: number }[] };
          expect(last.interfaces.map(({ dropped }) => dropped)).toEqual([0, 0]);
          // That tshark saw a segment late or twice says nothing of its bytes.
          await expectGood(file, lab.middle!.b.mac, 2000, {
            except: /segment|retransmission|window|keep-alive|SACK|duplicate/i,
          });
        } finally {
          rmSync(folder, { recursive: true });
        }
      },
      LIMIT_MS,
    );

    test(
      "is a hop for traceroute, mtr and tracepath, and says what cannot be reached",
      async () => {
        using lab = routed();
        using capture = await WireCapture.start(lab, "a");
        using example = await route(lab);
        const here = { lab, side: "a" } as const;
        await answers(here, lab.b.ipv6);
        for (const [to, hop] of [
          [lab.b.ipv4, lab.a.gateways[0]!],
          [lab.b.ipv6, lab.a.gateways[1]!],
        ] as const) {
          const way = [
            { ttl: 1, address: hop },
            { ttl: 2, address: to },
          ];
          expect(await tools.traceroute(here, to)).toEqual(way);
          expect(await tools.traceroute(here, to, ["-I"])).toEqual(way);
          expect(await tools.mtr(here, to, 3)).toEqual(way.map((each) => ({ ...each, lossPercent: 0 })));
          expect(await tools.tracepath(here, to)).toEqual({ pmtu: 1500, hops: 2, reached: true });
        }
        const gone = await tools.ping(here, "10.77.1.99", { count: 1, wait: 5 });
        expect(gone.text).toContain(`From ${lab.a.gateways[0]} icmp_seq=1 Destination Host Unreachable`);
        const nowhere = await tools.ping(here, "10.99.0.1", { count: 1 });
        expect(nowhere.text).toContain("Destination Net Unreachable");
        const errors = await example.record("its errors", ({ icmpErrors }) => (icmpErrors ?? 0) >= 6);
        expect(errors.forwarded).toBeGreaterThan(10);
        expect(await example.end()).toBe(0);
        const dissection = await dissect(await capture.stop(), { mac: lab.middle!.a.mac });
        expect(dissection.frames).toBeGreaterThan(20);
        // The sum of a packet that is quoted is its sender's, who had left it to the device.
        expect(tell({ ...dissection, findings: dissection.findings.filter((each) => !isQuoted(each)) })).toBe(
          "",
        );
      },
      LIMIT_MS,
    );

    test(
      "a smaller MTU on the way: tracepath finds it, and IPv4 that may be cut is cut",
      async () => {
        using lab = routed();
        lab.exec("m", ["ip", "link", "set", "dev", lab.middle!.b.name, "mtu", "1400"]);
        lab.exec("b", ["ip", "link", "set", "dev", lab.b.name, "mtu", "1400"]);
        using example = await route(lab);
        const here = { lab, side: "a" } as const;
        await answers(here, lab.b.ipv6);
        // First of all, while the kernel knows nothing of the path.
        const cut = await pingAll(here, lab.b.ipv4, { size: 1450, more: ["-M", "dont"] });
        expect(cut).toMatchObject({ sent: 3, received: 3 });
        for (const to of [lab.b.ipv4, lab.b.ipv6])
          expect(await tools.tracepath(here, to)).toEqual({ pmtu: 1400, hops: 2, reached: true });
        expect(await example.end()).toBe(0);
      },
      LIMIT_MS,
    );

    test(
      "--route leads to networks behind other routers, and forwarded packets are those that the kernel counts",
      async () => {
        using lab = routed();
        lab.exec("b", ["ip", "addr", "add", "10.9.0.1/32", "dev", "lo"]);
        using example = await route(lab, "--route", `10.9.0.0/16=${lab.b.ipv4}`);
        const here = { lab, side: "a" } as const;
        const received = (): number => {
          const said = lab.exec("b", ["ip", "-j", "-s", "link", "show", lab.b.name]).stdout;
          return (JSON.parse(said) as { stats64: { rx: { packets: number } } }[])[0]!.stats64.rx.packets;
        };
        expect(await pingAll(here, "10.9.0.1", { count: 10 })).toMatchObject({ received: 10 });
        const out = (record: unknown): number =>
          (record as { interfaces: { forwarded: number }[] }).interfaces[1]!.forwarded;
        // After a second without traffic all that was forwarded is in the record.
        const quiet = await example.record("rest", (each) => each.pps === 0 && out(each) >= 10);
        const before = received();
        lab.exec("a", ["ping", "-f", "-q", "-c", "2000", "10.9.0.1"]);
        await example.record("all of them", (each) => out(each) === out(quiet) + 2000);
        // Some neighbour discovery goes on beside them.
        expect(received() - before).toBeWithin(2000, 2030);
        expect(await example.end()).toBe(0);
      },
      LIMIT_MS,
    );
  },
);

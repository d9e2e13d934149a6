/** What changes in the kernel changes for a host beside it, while traffic flows: neighbours, addresses, routes. */
import { describe, expect, test } from "bun:test";
import { attach, Host, type HostEvent, KernelMirror, KernelPorts, Loop } from "../../index.ts";
import { type BesideBed, onBed } from "../support/beside-bed.ts";
import { behindRouter, ROUTED } from "../support/beside-router.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const TEST_MS = 60_000;
const LIMIT_MS = 20_000;
const OURS = 9000;
const families = [4, 6] as const;

const echo = (bed: BesideBed) => bed.host.udp(OURS, (datagram) => void datagram.reply());

/** A program at a that counts what comes to port 7000, in both families; `count` asks it. */
const counter = async (bed: BesideBed): Promise<{ count(): number }> => {
  const script = [
    "import socket",
    "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)",
    "s.bind(('::', 7000))",
    "while True:",
    "  s.recv(70000)",
    "  print('.', end='', flush=True)",
  ];
  const program = bed.lab.spawn("a", ["python3", "-u", "-c", script.join("\n")]);
  let count = 0;
  void (async () => {
    for await (const part of program.stdout) count += part.length;
  })();
  await until("the counter", () => bed.run("a", "ss -Hnlu").includes(":7000 "), LIMIT_MS);
  return { count: () => count };
};

/** A socket that sends to the counter every few ms. */
const sender = (bed: BesideBed, address: string) => {
  const socket = bed.host.udp({ port: 0 }, () => {});
  const to = socket.to(address, 7000);
  const ticks = bed.loop.every(20, () => void socket.send(to, new Uint8Array(10)));
  return { socket, to, stop: () => ticks.cancel() };
};

/** What the kernel at b thinks of a neighbour: "10.77.0.1 lladdr ... REACHABLE". */
const neighbourAtB = (bed: BesideBed, address: string): string =>
  bed.run("b", ["ip", "neigh", "show", address, "dev", "vb"]).trim();

const peerOf = (bed: BesideBed, family: 4 | 6): string => (family === 4 ? bed.lab.a.ipv4 : bed.lab.a.ipv6);

/** The neighbour states that the host told of an address. */
const statesOf = (bed: BesideBed, address: string): string[] => {
  const states: string[] = [];
  bed.host.on((event: HostEvent) => {
    if (event.kind === "neighbour" && String(event.address) === address) states.push(event.state);
  });
  return states;
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a host follows the kernel beside it: neighbours", () => {
  test.each(families)(
    "IPv%d: an unknown one is asked for by the kernel, which then knows it too",
    (family) =>
      onBed({}, async (bed) => {
        const peer = peerOf(bed, family);
        const received = await counter(bed);
        bed.run("b", "ip neigh flush dev vb");
        expect(neighbourAtB(bed, peer)).toBe("");
        const socket = bed.host.udp(OURS, () => {});
        expect(socket.send({ address: peer, port: 7000 }, new Uint8Array(10))).toBe(true);
        await until("the datagram", () => received.count() === 1);
        expect(neighbourAtB(bed, peer)).toContain(`lladdr ${bed.lab.a.mac}`);
        // Nobody: the kernel gives up after three requests, and what waited is dropped.
        const nobody = family === 4 ? "10.77.0.77" : "fd77::77";
        expect(socket.send({ address: nobody, port: 7000 }, new Uint8Array(10))).toBe(true);
        await until("the search to end", () => socket.statistics().expired === 1, LIMIT_MS);
        expect(neighbourAtB(bed, nobody)).toMatch(/FAILED|INCOMPLETE|^$/);
      }),
    TEST_MS,
  );

  test.each(families)(
    "IPv%d: a stale one is kept alive while we send, and only then",
    (family) =>
      onBed(
        {
          prepare: (lab) => {
            // "Reachable" for half a second to a second and a half, instead of half a minute, and asked one second after.
            for (const each of ["ipv4", "ipv6"]) {
              const folder = `net.${each}.neigh.vb`;
              lab.exec("b", [
                "sysctl",
                "-qw",
                `${folder}.base_reachable_time_ms=1000`,
                `${folder}.delay_first_probe_time=1`,
              ]);
            }
          },
        },
        async (bed) => {
          const peer = peerOf(bed, family);
          const received = await counter(bed);
          const states = statesOf(bed, peer);
          const { stop } = sender(bed, peer);
          // By way of "stale", or of "delay" alone where the kernel itself has just written to the peer.
          const confirmed = (): number => states.filter((state) => state === "reachable").length;
          await until("three confirmations", () => confirmed() >= 4, LIMIT_MS);
          const before = received.count();
          await until("more datagrams", () => received.count() > before + 20, LIMIT_MS);
          expect(states).not.toContain("failed");
          stop();
          await until("it to be stale for good", () => neighbourAtB(bed, peer).endsWith("STALE"), LIMIT_MS);
        },
      ),
    TEST_MS,
  );

  test.each(families)(
    "IPv%d: the peer has another Ethernet address from now on",
    (family) =>
      onBed({}, async (bed) => {
        const peer = peerOf(bed, family);
        const received = await counter(bed);
        const { stop } = sender(bed, peer);
        await until("datagrams", () => received.count() > 10, LIMIT_MS);
        const mac = "02:00:00:00:77:77";
        bed.run("a", ["ip", "link", "set", "dev", "va", "address", mac]);
        // The peer asks who we are, and the kernel learns who asked.
        bed.run("a", "ip neigh flush dev va");
        await until(
          "the kernel to know",
          async () => {
            await bed.python("a", [
              `s = socket.socket(socket.AF_INET${family === 6 ? "6" : ""}, socket.SOCK_DGRAM)`,
              `s.sendto(b'x', ("${family === 4 ? bed.lab.b.ipv4 : bed.lab.b.ipv6}", 9))`,
            ]);
            return neighbourAtB(bed, peer).includes(mac);
          },
          LIMIT_MS,
        );
        const before = received.count();
        await until("datagrams at the new address", () => received.count() > before + 20, LIMIT_MS);
        stop();
        const { neighbours4, neighbours6 } = bed.eth;
        const known = [...(family === 4 ? neighbours4 : neighbours6).values()].find(
          ({ address }) => String(address) === peer,
        );
        expect(String(known?.mac)).toBe(mac);
      }),
    TEST_MS,
  );

  test(
    "one that is entered for good is used as it is, and one that is removed is asked for anew",
    () =>
      onBed({}, async (bed) => {
        const received = await counter(bed);
        bed.run("b", `ip neigh replace 10.77.0.1 lladdr 02:00:00:00:66:66 dev vb nud permanent`);
        const { socket, stop } = sender(bed, bed.lab.a.ipv4);
        await until("frames", () => socket.statistics().sent > 5);
        expect(received.count()).toBe(0);
        bed.run("b", "ip neigh del 10.77.0.1 dev vb");
        await until("datagrams", () => received.count() > 5, LIMIT_MS);
        stop();
      }),
    TEST_MS,
  );
});

describe.skipIf(skipWithoutLab(Lab.unavailable()))(
  "a host follows the kernel beside it: addresses, routes",
  () => {
    test(
      "addresses that are added, removed and renumbered",
      () =>
        onBed({}, async (bed) => {
          echo(bed);
          const answers = (address: string): Promise<boolean> =>
            bed.ask(address, OURS, 8, { timeoutS: 0.3 }).then((answer) => answer === `${address} ${OURS} 8`);
          const rounds = [
            ["10.77.0.20/24", "10.77.0.20"],
            ["fd77::20/64", "fd77::20"],
          ] as const;
          for (const [entry, address] of rounds) {
            bed.run("b", [
              "ip",
              "address",
              "add",
              entry,
              "dev",
              "vb",
              ...(entry.includes(":") ? ["nodad"] : []),
            ]);
            await until(`an answer of ${address}`, () => answers(address), LIMIT_MS);
            bed.run("b", ["ip", "address", "del", entry, "dev", "vb"]);
            await until(
              "it to be gone",
              () => ![...bed.eth.addresses.values()].some((each) => String(each.address) === address),
            );
            expect(await answers(address)).toBe(false);
          }
          // All at once: another network on the same link.
          bed.run("b", "ip address flush dev vb scope global");
          bed.run("b", "ip address add 10.88.0.2/24 dev vb");
          bed.run("a", "ip address add 10.88.0.1/24 dev va");
          await until("an answer from the new network", () => answers("10.88.0.2"), LIMIT_MS);
          const socket = bed.host.udp({ port: 0 }, () => {});
          expect(String(socket.to("10.88.0.1", 1).destination.prepare())).toBe("0");
          expect(socket.to("10.77.0.1", 1).destination.prepare()).not.toBe(0);
        }),
      TEST_MS,
    );

    test(
      "an address that is still being looked for elsewhere is not used before that ended",
      () =>
        onBed(
          {
            prepare: (lab) =>
              void lab.exec("b", [
                "sysctl",
                "-qw",
                "net.ipv6.conf.vb.accept_dad=1",
                "net.ipv6.conf.vb.dad_transmits=1",
              ]),
          },
          async (bed) => {
            const states: string[] = [];
            bed.host.on((event) => {
              if (event.kind === "address" && String(event.address.address) === "fd77::30")
                states.push(event.address.state);
            });
            bed.run("b", "ip address add fd77::30/64 dev vb");
            await until("it to be known", () => states.includes("preferred"), LIMIT_MS);
            expect(states[0]).toBe("tentative");
          },
        ),
      TEST_MS,
    );

    test.each(families)(
      "IPv%d: the default route is withdrawn, comes back, changes, and is overruled by a blackhole",
      (family) =>
        onBed(behindRouter, async (bed) => {
          const { peer, router } = ROUTED[family];
          const ip = family === 4 ? "ip" : "ip -6";
          const received = await counter(bed);
          const { to, socket, stop } = sender(bed, peer);
          const arrives = async (): Promise<void> => {
            const before = received.count();
            await until("datagrams", () => received.count() > before + 5, LIMIT_MS);
          };
          const refused = async (): Promise<void> => {
            await until("the route to be gone", () => to.destination.prepare() !== 0, LIMIT_MS);
            const before = socket.statistics().refusedOther;
            await until("refusals", () => socket.statistics().refusedOther > before + 3, LIMIT_MS);
          };
          await arrives();
          bed.run("b", `${ip} route del default`);
          await refused();
          bed.run("b", `${ip} route add default via ${router}`);
          await arrives();
          const network = family === 4 ? "10.79.0.0/24" : "fd79::/64";
          bed.run("b", `${ip} route add blackhole ${network}`);
          await refused();
          bed.run("b", `${ip} route del blackhole ${network}`);
          await arrives();
          const other = family === 4 ? "10.78.0.9" : "fd78::9";
          bed.run(
            "m",
            `${ip} addr add ${other}/${family === 4 ? "24" : "64 nodad"} dev mb`.replace(
              "/64 nodad dev mb",
              "/64 dev mb nodad",
            ),
          );
          bed.run("b", `${ip} route replace default via ${other}`);
          const { w0, w1, w2, w3 } = to.destination.address;
          await until(
            "the other router",
            () => String(bed.host.routes.lookup(w0, w1, w2, w3)?.gateway) === other,
            LIMIT_MS,
          );
          await arrives();
          expect(neighbourAtB(bed, other)).toContain("lladdr");
          // A route of its own source address and size.
          const source = family === 4 ? "10.78.0.40" : "fd78::40";
          bed.run("b", [
            "ip",
            "address",
            "add",
            `${source}/${family === 4 ? 24 : 64}`,
            "dev",
            "vb",
            ...(family === 6 ? ["nodad"] : []),
          ]);
          bed.run("b", `${ip} route add ${network} via ${router} src ${source} mtu 1300`);
          await until(
            "the source",
            () => to.destination.prepare() === 0 && String(to.destination.source) === source,
            LIMIT_MS,
          );
          expect(to.destination.mtu).toBe(1300);
          await arrives();
          stop();
        }),
      TEST_MS,
    );

    test(
      "the link goes down and comes up: the kernel's routes go and come, and so do ours",
      () =>
        onBed({}, async (bed) => {
          echo(bed);
          const received = await counter(bed);
          const { to, stop } = sender(bed, bed.lab.a.ipv4);
          await until("datagrams", () => received.count() > 5, LIMIT_MS);
          bed.run("b", "ip link set dev vb down");
          await until("no way", () => to.destination.prepare() !== 0, LIMIT_MS);
          bed.run("b", "ip link set dev vb up");
          const before = received.count();
          await until("datagrams again", () => received.count() > before + 5, LIMIT_MS);
          expect(await bed.ask(bed.lab.b.ipv4, OURS)).toBe(`${bed.lab.b.ipv4} ${OURS} 8`);
          stop();
        }),
      TEST_MS,
    );

    test(
      "notifications that the kernel had to drop are made up for while traffic flows",
      async () => {
        using lab = Lab.create();
        const namespace = lab.namespace("b");
        using loop = new Loop();
        const device = attach(lab.b.name, { namespace, claim: [] });
        const source = new KernelMirror({ namespace, receiveBufferBytes: 4096 });
        using ports = new KernelPorts({ namespace });
        using host = new Host({ loop });
        try {
          const claim = (): void => device.setClaims({ udp: OURS });
          const eth = host.join(device, { beside: { source, interface: device.ifindex, ports, claim } });
          let answered = 0;
          host.udp(OURS, (datagram) => {
            answered += 1;
            datagram.reply();
          });
          void loop.run();
          const flow = lab.spawn("a", [
            "python3",
            "-u",
            "-c",
            [
              "import socket, sys, time",
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
              "s.settimeout(2)",
              `s.connect(("${lab.b.ipv4}", ${OURS}))`,
              "n = 0",
              "while not n or n < 2000:",
              "  s.send(b'x'); s.recv(10); n += 1",
              "print(n)",
            ].join("\n"),
          ]);
          const added: string[] = [];
          const removed: string[] = [];
          for (let i = 1; i <= 200; i++) {
            const lines = [
              `address VERB 10.99.${i}.1/24 dev vb`,
              `route VERB 10.100.${i}.0/24 via 10.77.0.1`,
            ];
            added.push(...lines.map((line) => line.replace("VERB", "add")));
            if (i % 2 === 0) removed.push(...lines.map((line) => line.replace("VERB", "del")));
          }
          const batch = (lines: readonly string[]): unknown =>
            lab.exec("b", ["ip", "-batch", "-"], { stdin: lines.join("\n") });
          for (let round = 1; round <= 3; round++) {
            // Nobody takes notifications meanwhile: the call blocks this process.
            batch(added);
            await until("an overrun", () => source.statistics().overruns >= round, LIMIT_MS);
            batch(removed);
            if (round < 3)
              batch(
                added
                  .filter((line) => !removed.includes(line.replace(" add ", " del ")))
                  .map((line) => line.replace(" add ", " del ")),
              );
          }
          const kernels = (): string[] =>
            (
              JSON.parse(lab.exec("b", ["ip", "-j", "address", "show", "dev", "vb"]).stdout) as {
                addr_info: { local: string }[];
              }[]
            )
              .flatMap(({ addr_info }) => addr_info.map(({ local }) => local))
              .sort();
          const ours = (): string[] =>
            [...eth.addresses.values()].map(({ address }) => String(address)).sort();
          await until("the same addresses", () => ours().join() === kernels().join(), LIMIT_MS);
          const routed = (text: string): boolean =>
            [...host.routes.all()].some(({ prefix }) => String(prefix) === text);
          await until(
            "the routes that are left",
            () => routed("10.100.199.0/24") && !routed("10.100.200.0/24"),
            LIMIT_MS,
          );
          expect((await flow.stdout.text()).trim()).toBe("2000");
          expect(answered).toBeGreaterThanOrEqual(2000);
        } finally {
          loop.stop();
          host.close();
          source.close();
          device.close();
        }
      },
      TEST_MS,
    );
  },
);

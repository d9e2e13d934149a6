/** What changes in the kernel changes for a host beside it, while traffic flows: addresses, routes, the link. */
import { describe, expect, test } from "bun:test";
import { attach, Host, KernelMirror, KernelPorts, Loop } from "../../index.ts";
import { type BesideBed, onBed } from "../support/beside-bed.ts";
import { counter, neighbourAtB, sender } from "../support/beside-stream.ts";
import { behindRouter, ROUTED } from "../support/beside-router.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";

const TEST_MS = 60_000;
const LIMIT_MS = 20_000;
const OURS = 9000;
const families = [4, 6] as const;

const echo = (bed: BesideBed) => bed.host.udp(OURS, (datagram) => void datagram.reply());

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

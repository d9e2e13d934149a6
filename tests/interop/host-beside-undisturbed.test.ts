/**
 * The kernel's own traffic beside a host's on the same address: a web page without end, ssh and ping go on through everything
 * that a host does, and through its death.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Host, Loop } from "../../index.ts";
import { attachBeside } from "../support/beside-bed.ts";
import { type Flow, httpFlow, pingFlow, skipWithoutSsh, sshFlow } from "../support/kernel-flows.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { startFile } from "../support/subprocess.ts";

const TEST_MS = 120_000;
const LIMIT_MS = 10_000;
const PORT = 9000;
const CHILD = join(import.meta.dir, "..", "support", "beside-child.ts");
/**
 * No news of a flow for longer is a stall. A lost segment costs TCP 200 ms (tcp_rto_min), one that is lost twice 600, and this
 * machine has other work; a connection that hangs waits for seconds.
 */
const STALL_MS = 1000;
const ROUNDS = 30;
const KILLS = 6;

/** Datagrams for our port from a, as many as a script makes, whoever answers. */
const load = (lab: Lab): { stop(): void } => {
  const script = [
    "import socket, time",
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "s.setblocking(False)",
    `where = ("${lab.b.ipv4}", ${PORT})`,
    "while True:",
    "  for i in range(20):",
    "    try: s.sendto(bytes(200), where)",
    "    except OSError: pass",
    "    try: s.recv(1000)",
    "    except OSError: pass",
    "  time.sleep(0.01)",
  ];
  const program = lab.spawn("a", ["python3", "-c", script.join("\n")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  return { stop: () => program.kill("SIGKILL") };
};

/** "answer", or the errno's name of a connected socket at a that asks our port once. */
const ask = (lab: Lab): string =>
  lab
    .exec("a", [
      "python3",
      "-c",
      [
        "import errno, socket",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "s.settimeout(1)",
        `s.connect(("${lab.b.ipv4}", ${PORT}))`,
        "s.send(b'hello')",
        "try: s.recv(100); print('answer')",
        "except OSError as e: print(errno.errorcode.get(e.errno, 'timeout'))",
      ].join("\n"),
    ])
    .stdout.trim();

const start = async (lab: Lab): Promise<Readonly<Record<string, Flow>>> => ({
  "web page": await httpFlow(lab),
  "web page over IPv6": await httpFlow(lab, lab.b.ipv6, 8081),
  ssh: await sshFlow(lab),
  ping: pingFlow(lab),
  ping6: pingFlow(lab, lab.b.ipv6),
});

/** Ends all flows, and says of each what it should not have felt. */
const judge = async (flows: Readonly<Record<string, Flow>>): Promise<void> => {
  for (const [name, flow] of Object.entries(flows)) {
    const { count, stallMs, error } = await flow.stop();
    expect(`${name}: ${error}`).toBe(`${name}: `);
    expect(count).toBeGreaterThan(0);
    if (stallMs > STALL_MS) throw new Error(`${name}: no news for ${stallMs} ms`);
  }
};

describe.skipIf(skipWithoutLab(Lab.unavailable()) || skipWithoutSsh())(
  "the kernel's flows beside a host",
  () => {
    test.each([true, false])(
      "with offloads %p: attach, join, sockets that come and go, leave, detach, again and again",
      async (offloads) => {
        using lab = Lab.create({ offloads });
        const flows = await start(lab);
        const sender = load(lab);
        let answered = 0;
        for (let round = 0; round < ROUNDS; round++) {
          using loop = new Loop({ onError: (error) => void console.error(error) });
          const device = attachBeside(lab, lab.b);
          using host = new Host({ loop });
          const eth = host.beside(device);
          const running = loop.run();
          const socket = host.udp(PORT, (datagram) => {
            answered += 1;
            datagram.reply();
          });
          const before = answered;
          await until("datagrams", () => answered > before + 20, LIMIT_MS);
          for (let i = 0; i < 10; i++) {
            const other = host.udp({ port: PORT + 1 + i }, () => {});
            if (i % 2 === 0) await Bun.sleep(1);
            other.close();
          }
          if (round % 3 === 0) socket.close();
          if (round % 2 === 0) host.leave(eth);
          device.close();
          loop.stop();
          await running;
        }
        sender.stop();
        await judge(flows);
        // The kernel says so to one and the same once a second at most (net.ipv4.icmp_ratelimit).
        await until("the kernel's refusal", () => ask(lab) === "ECONNREFUSED", LIMIT_MS);
      },
      TEST_MS,
    );

    test(
      "kill -9 of the host's program, again and again: the kernel has everything back, the port too",
      async () => {
        using lab = Lab.create();
        const flows = await start(lab);
        expect(ask(lab)).toBe("ECONNREFUSED");
        for (let kill = 0; kill < KILLS; kill++) {
          const child = startFile(CHILD, { args: [lab.b.name, lab.namespace("b"), String(PORT)] });
          const { value } = await child.stdout.getReader().read();
          if (value === undefined) throw new Error(`the program ended: ${await child.stderr.text()}`);
          const sender = load(lab);
          await until("an answer of the host's", () => ask(lab) === "answer", LIMIT_MS);
          child.kill("SIGKILL");
          await child.exited;
          sender.stop();
          await until("the kernel's refusal", () => ask(lab) === "ECONNREFUSED", LIMIT_MS);
        }
        await judge(flows);
      },
      TEST_MS,
    );
  },
);

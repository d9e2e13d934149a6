/**
 * The kernel's own ping, TCP and UDP through a millrace device: handed on frame by frame, beside claimed traffic while the
 * claims change, tagged, over IPv6, and in fragments.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach, type AttachOptions, type Frame, Loop, Transmitter, type XdpDevice } from "../../index.ts";
import { Lab, until, type LabOptions } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";
import { ethernet, ETHERTYPE as ETHERTYPES, ipv4, MAC_A, PROTOCOL, udp } from "../support/packets.ts";
import { settleAccounts, turnUntil } from "../support/stream.ts";
import { startSnippet } from "../support/subprocess.ts";

const TCP_PORT = 8022;
const UDP_PORT = 7777;
const LIMIT_MS = 30_000;
const MEBIBYTE = 2 ** 20;

const DESTINATION_MAC = 0;
const SOURCE_MAC = DESTINATION_MAC + 6;
const ETHERTYPE = SOURCE_MAC + 6;
const VLAN = 0x8100;
const TAG_BYTES = 4;
const HEADER = ETHERTYPE + 2;
const MAC_BYTES = 6;
const IPV4_FRAGMENT = HEADER + 6;
const IPV4_PROTOCOL = HEADER + 9;
const IPV4_SOURCE = HEADER + 12;
const IPV4_DESTINATION = IPV4_SOURCE + 4;
const IPV4_UDP = IPV4_DESTINATION + 4;
const IPV6_SOURCE = HEADER + 8;
const IPV6_DESTINATION = IPV6_SOURCE + 16;
const IPV6_UDP = IPV6_DESTINATION + 16;
const PORT_BYTES = 2;
const FRAGMENT_MASK = 0x1fff;

const runs =
  !skipWithoutLab(Lab.unavailable()) &&
  !skipUnless(
    ["socat", "ping"].every((tool) => Bun.which(tool) !== null),
    "socat or ping is not installed",
    { couldRun: true },
  );

/** Exchanges `length` bytes at `at` with those behind them: addresses and ports, which leaves every checksum as it is. */
const exchange = (frame: Frame, at: number, length: number): void => {
  const { bytes } = frame;
  for (let i = at; i < at + length; i++) {
    const one = bytes[i]!;
    bytes[i] = bytes[i + length]!;
    bytes[i + length] = one;
  }
};

/** Answers a UDP datagram, also a tagged one, with itself. */
const echo = (frame: Frame): void => {
  const { at, view } = frame;
  const tag = view.getUint16(at + ETHERTYPE) === VLAN ? TAG_BYTES : 0;
  const six = view.getUint16(at + tag + ETHERTYPE) === 0x86dd;
  exchange(frame, at + DESTINATION_MAC, MAC_BYTES);
  exchange(frame, at + tag + (six ? IPV6_SOURCE : IPV4_SOURCE), six ? 16 : 4);
  exchange(frame, at + tag + (six ? IPV6_UDP : IPV4_UDP), PORT_BYTES);
  frame.send();
};

/** A UDP client in the lab's first namespace: sends `count` datagrams one by one and prints how many came back whole. */
const udpClient = (lab: Lab, address: string, count: number) =>
  startSnippet(
    `let answered = 0;
     let wake = () => {};
     let wanted = "";
     const socket = await Bun.udpSocket({ hostname: "${address.includes(":") ? "::" : "0.0.0.0"}", socket: { data(_socket, data) {
       if (data.toString() === wanted) { answered += 1; wake(); }
     } } });
     for (let n = 0; n < ${count}; n++) {
       wanted = "datagram " + n + " " + "x".repeat(n % 1000);
       const { promise, resolve } = Promise.withResolvers();
       wake = resolve;
       const late = setTimeout(resolve, 5000);
       socket.send(wanted, ${UDP_PORT}, "${address}");
       await promise;
       clearTimeout(late);
     }
     socket.close();
     console.log(answered);`,
    { prefix: lab.enter("a") },
  );

const sha256 = (data: Uint8Array): string => new Bun.CryptoHasher("sha256").update(data).digest("hex");

/** Sends `size` bytes by TCP from a to b, both the kernel's; returns the hashes of what went and what came. */
const transfer = async (lab: Lab, size: number): Promise<[string, string]> => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-"));
  try {
    const data = new Uint8Array(size).map((_, i) => (i * 31 + (i >> 11)) & 0xff);
    await Bun.write(join(folder, "in"), data);
    const server = lab.spawn("b", [
      "socat",
      "-u",
      `TCP-LISTEN:${TCP_PORT},reuseaddr`,
      `CREATE:${join(folder, "out")}`,
    ]);
    await until("the server to listen", () =>
      lab.exec("b", ["ss", "-Hltn"]).stdout.includes(`:${TCP_PORT} `),
    );
    const client = lab.spawn("a", [
      "socat",
      "-u",
      `OPEN:${join(folder, "in")}`,
      `TCP:${lab.b.ipv4}:${TCP_PORT},connect-timeout=5`,
    ]);
    const words = await client.stderr.text();
    if ((await client.exited) !== 0) throw new Error(`socat: ${words}`);
    await server.exited;
    return [sha256(data), sha256(await Bun.file(join(folder, "out")).bytes())];
  } finally {
    rmSync(folder, { recursive: true });
  }
};

/** A VLAN device on both ends, with the tag in the packet. */
const tagBoth = (lab: Lab): void => {
  for (const [side, host] of [
    ["a", 1],
    ["b", 2],
  ] as const) {
    const { name } = lab[side];
    // Else the tag travels beside the packet, where no XDP program sees it.
    lab.exec(side, ["ethtool", "-K", name, "txvlan", "off", "rxvlan", "off"]);
    lab.exec(side, ["ip", "link", "add", "link", name, "name", "tagged", "type", "vlan", "id", "7"]);
    lab.exec(side, ["ip", "addr", "add", `10.88.0.${host}/24`, "dev", "tagged"]);
    lab.exec(side, ["ip", "link", "set", "tagged", "up"]);
  }
};

/** True where this kernel makes no VLAN devices. */
const noVlan = (): boolean => {
  if (!runs) return true;
  using lab = Lab.create({ quiet: true });
  const { code } = lab.exec("a", ["ip", "link", "add", "link", lab.a.name, "type", "vlan", "id", "7"], {
    check: false,
  });
  return skipUnless(code === 0, "this kernel makes no VLAN devices (CONFIG_VLAN_8021Q)", { couldRun: false });
};

describe.skipIf(!runs).each(["generic", "native"] as const)("%s mode", (xdp) => {
  /** Attaches at b in a lab whose kernel completes its checksums, and plays with the loop running. */
  const play = async (
    options: AttachOptions,
    handler: (frame: Frame) => void,
    act: (lab: Lab, device: XdpDevice, loop: Loop) => Promise<void>,
    labOptions: LabOptions = {},
    before: (lab: Lab) => void = () => undefined,
  ): Promise<void> => {
    using lab = Lab.create({ offloads: false, ...labOptions });
    before(lab);
    using device = attach(lab.b.name, { namespace: lab.namespace("b"), xdp, ...options });
    const errors: unknown[] = [];
    using loop = new Loop({ onError: (error) => void errors.push(error) });
    loop.receive(device, handler);
    const running = loop.run();
    await act(lab, device, loop);
    expect(errors).toEqual([]);
    loop.stop();
    await running;
    // The kernel at the other end may have sent a frame after the last turn.
    turnUntil(loop, "every frame that was redirected to be seen, and no other", () => {
      const { program, rxPackets, rxDropped } = device.statistics();
      return program.redirected > 0 && rxPackets + rxDropped === program.redirected;
    });
    settleAccounts(device);
  };

  const ping = (lab: Lab, ...words: string[]) => lab.spawn("a", ["ping", ...words]);
  const expectAnswers = async (program: ReturnType<typeof ping>, count: number): Promise<void> => {
    expect(await program.stdout.text()).toContain(
      `${count} packets transmitted, ${count} received, 0% packet loss`,
    );
  };

  test(
    "every frame claimed and handed on with pass(): the kernel's ping and TCP work through it",
    async () => {
      let refused = 0;
      await play(
        {},
        (frame) => void (refused += Number(!frame.pass())),
        async (lab, device) => {
          await expectAnswers(ping(lab, "-c20", "-i0.01", lab.b.ipv4), 20);
          await expectAnswers(ping(lab, "-c20", "-i0.01", lab.b.ipv6), 20);
          const [sent, came] = await transfer(lab, MEBIBYTE);
          expect(came).toBe(sent);
          expect(refused).toBe(0);
          const { rxPackets, queues } = device.statistics();
          expect(rxPackets).toBeGreaterThan(MEBIBYTE / 1500);
          // Each frame once: one that is handed on must not come back to us.
          expect(queues[0]!.passed).toBeGreaterThan(MEBIBYTE / 1500);
          expect(rxPackets).toBeLessThan(20_000);
        },
      );
    },
    LIMIT_MS,
  );

  test(
    "one UDP port is ours: TCP and ping beside it are undisturbed while the claims change 100 times",
    async () => {
      const CHANGES = 100;
      const DATAGRAMS = 300;
      await play({ claim: [{ udp: UDP_PORT }] }, echo, async (lab, device, loop) => {
        let changes = 0;
        loop.every(10, () => {
          if (changes === CHANGES) return;
          changes += 1;
          device.setClaims([
            { udp: UDP_PORT },
            ...Array.from({ length: changes % 7 }, (_, i) => ({ tcp: 100 + i })),
          ]);
        });
        const client = udpClient(lab, lab.b.ipv4, DATAGRAMS);
        const pings = ping(lab, "-c200", "-i0.005", lab.b.ipv4);
        const [sent, came] = await transfer(lab, 4 * MEBIBYTE);
        expect(came).toBe(sent);
        await expectAnswers(pings, 200);
        expect(await client.stdout.text()).toBe(`${DATAGRAMS}\n`);
        await until("100 changes of the claims", () => changes === CHANGES, LIMIT_MS);
        // The port is still ours, and nothing else ever was.
        const again = udpClient(lab, lab.b.ipv4, 10);
        expect(await again.stdout.text()).toBe("10\n");
        expect(device.statistics()).toMatchObject({ rxPackets: DATAGRAMS + 10, txPackets: DATAGRAMS + 10 });
      });
    },
    LIMIT_MS,
  );

  test("UDP over IPv6 is steered by a port, and neighbour discovery stays the kernel's", async () => {
    await play({ claim: [{ udp: UDP_PORT }] }, echo, async (lab, device) => {
      const client = udpClient(lab, lab.b.ipv6, 50);
      expect(await client.stdout.text()).toBe("50\n");
      await expectAnswers(ping(lab, "-c5", "-i0.01", lab.b.ipv6), 5);
      expect(device.statistics().rxPackets).toBe(50);
    });
  });

  test("VLAN-tagged UDP is steered by a port, the tag in place; what is tagged and not claimed is the kernel's", async () => {
    const FRAMES = 50;
    const tags: number[] = [];
    await play(
      { claim: [{ udp: UDP_PORT }] },
      (frame) => {
        tags.push(frame.view.getUint16(frame.at + ETHERTYPE));
        echo(frame);
      },
      async (lab, device, loop) => {
        using peer = attach(lab.a.name, { namespace: lab.namespace("a"), xdp });
        const back: Uint8Array[] = [];
        loop.receive(peer, (frame) => {
          if (frame.view.getUint16(frame.at + ETHERTYPE) === VLAN) back.push(frame.copy());
        });
        const sender = new Transmitter(peer.queues[0]!);
        const tagged = (port: number): Uint8Array =>
          ethernet(ETHERTYPES.ipv4, ipv4({ protocol: PROTOCOL.udp, to: lab.b.ipv4 }, udp(port)), {
            tags: [VLAN],
          });
        const { passed } = device.statistics().program;
        for (let n = 0; n < FRAMES; n++) {
          sender.sendBytes(tagged(UDP_PORT));
          sender.sendBytes(tagged(UDP_PORT + 1));
        }
        await until("every frame to come back", () => back.length === FRAMES);
        expect(tags).toEqual(Array<number>(FRAMES).fill(VLAN));
        expect(device.statistics().program.passed - passed).toBeGreaterThanOrEqual(FRAMES);
        const echoed = back[0]!;
        expect([...echoed.subarray(0, MAC_BYTES)]).toEqual([...MAC_A]);
        expect(echoed.length).toBe(tagged(UDP_PORT).length);
        expect(loop.statistics().handlerErrors).toBe(0);
        settleAccounts(peer);
      },
    );
  });

  test.skipIf(noVlan())("UDP through VLAN devices of the kernel; tagged ping stays its own", async () => {
    await play(
      { claim: [{ udp: UDP_PORT }] },
      echo,
      async (lab) => {
        const client = udpClient(lab, "10.88.0.2", 50);
        expect(await client.stdout.text()).toBe("50\n");
        await expectAnswers(ping(lab, "-c5", "-i0.01", "10.88.0.2"), 5);
      },
      {},
      tagBoth,
    );
  });

  test("fragments of the kernel follow a claim on the address", async () => {
    const PINGS = 5;
    const offsets: number[] = [];
    await play(
      { claim: [{ destination: "10.77.0.2", protocol: "icmp" }] },
      (frame) => {
        offsets.push((frame.view.getUint16(frame.at + IPV4_FRAGMENT) & FRAGMENT_MASK) * 8);
        expect(frame.view.getUint8(frame.at + IPV4_PROTOCOL)).toBe(1);
      },
      async (lab) => {
        // Nobody answers: the fragments are ours.
        const program = ping(lab, `-c${PINGS}`, "-i0.05", "-W0.1", "-s4000", lab.b.ipv4);
        expect(await program.stdout.text()).toContain(`${PINGS} packets transmitted, 0 received`);
        await until("every fragment", () => offsets.length === PINGS * 3);
        expect(offsets).toEqual(Array.from({ length: PINGS }, () => [0, 1480, 2960]).flat());
      },
    );
  });

  test("fragments of the kernel, claimed by address and handed on: the kernel puts them together", async () => {
    await play(
      { claim: [{ destination: "10.77.0.2" }] },
      (frame) => void frame.pass(),
      async (lab) => {
        await expectAnswers(ping(lab, "-c10", "-i0.02", "-s4000", lab.b.ipv4), 10);
      },
    );
  });
});

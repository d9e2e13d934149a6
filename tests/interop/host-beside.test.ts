/** A host beside the kernel on one address: it has its ports, and the kernel everything else. */
import { describe, expect, test } from "bun:test";
import { attach, KernelMirror, SystemError } from "../../index.ts";
import { attachBeside, type BesideBed, onBed } from "../support/beside-bed.ts";
import { httpFlow } from "../support/kernel-flows.ts";
import { Lab, until } from "../support/lab.ts";
import { ping } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { WireCapture } from "../support/wire-capture.ts";

const TEST_MS = 60_000;
const OURS = 9000;
const THEIRS = 9001;
/** pcap's file header. */
const PCAP_HEADER_BYTES = 24;

const echo = (bed: BesideBed, options: { port?: number; address?: string } = {}) =>
  bed.host.udp({ port: OURS, ...options }, (datagram) => void datagram.reply());

/** A program of the kernel's that answers at a port of b, of all addresses or one; returns when it does. */
const kernelsEcho = async (bed: BesideBed, port: number, address?: string): Promise<{ kill(): void }> => {
  const family = address?.includes(":") === false ? 4 : 6;
  const bind = address === undefined ? "" : `,bind=${family === 6 ? `[${address}]` : address}`;
  const program = bed.lab.spawn("b", ["socat", `UDP${family}-RECVFROM:${port}${bind},fork`, "PIPE"]);
  await until("the kernel's program", () => bed.run("b", "ss -Hnlu").includes(`:${port} `));
  return program;
};

/** What a program at b hears that wants a port: "free", or the errno's name. */
const tryPort = (bed: BesideBed, address: string, port: number): Promise<string> =>
  bed.python("b", [
    `where = socket.getaddrinfo("${address}", ${port}, type=socket.SOCK_DGRAM)[0]`,
    "s = socket.socket(where[0], socket.SOCK_DGRAM)",
    "try: s.bind(where[4]); print('free')",
    "except OSError as e: print(errno.errorcode[e.errno])",
  ]);

/** What a group and a broadcast bring to a program of the kernel's. */
const groupAndBroadcast = async (bed: BesideBed): Promise<void> => {
  const heard = bed.python("b", [
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "s.bind(('', 9300))",
    `request = socket.inet_aton("239.9.9.9") + socket.inet_aton("${bed.lab.b.ipv4}")`,
    "s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)",
    "s.settimeout(10)",
    "print(sorted([s.recv(100).decode(), s.recv(100).decode()]))",
  ]);
  await until("the program", () => bed.run("b", "ss -Hnlu").includes(":9300 "));
  await bed.python("a", [
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)",
    `s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("${bed.lab.a.ipv4}"))`,
    "s.sendto(b'group', ('239.9.9.9', 9300))",
    "s.sendto(b'broadcast', ('10.77.0.255', 9300))",
  ]);
  expect(await heard).toBe("['broadcast', 'group']");
};

/** A frame of a VLAN that is no interface of ours. */
const tagged = async (bed: BesideBed): Promise<void> => {
  using capture = await WireCapture.start(bed.lab, "b", { filter: "vlan 5" });
  await bed.python("a", [
    "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "s.bind(('va', 0))",
    "udp = struct.pack('!HHHH', 40000, 9000, 9, 0) + b'x'",
    "addresses = socket.inet_aton('10.5.0.1') + socket.inet_aton('10.5.0.2')",
    "ip = struct.pack('!BBHHHBBH', 0x45, 0, 29, 1, 0, 64, 17, 0) + addresses",
    `macs = bytes.fromhex("${(bed.lab.b.mac + bed.lab.a.mac).replaceAll(":", "")}")`,
    "s.send(macs + struct.pack('!HHH', 0x8100, 5, 0x0800) + ip + udp)",
  ]);
  const { received } = bed.host.statistics().udp;
  await until("the frame at the kernel", () => Bun.file(capture.file).size > PCAP_HEADER_BYTES);
  expect(bed.host.statistics().udp.received).toBe(received);
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("a host beside the kernel", () => {
  test.each([true, false])(
    "with offloads %p: answers at its ports from each of the interface's addresses, and the kernel at its own",
    (offloads) =>
      onBed({ lab: { offloads } }, async (bed) => {
        echo(bed);
        await kernelsEcho(bed, THEIRS);
        const { ipv4, ipv6 } = bed.lab.b;
        const zone = `%${bed.lab.a.name}`;
        const own = bed.linkLocal();
        for (const [address, answerer] of [
          [ipv4, ipv4],
          [ipv6, ipv6],
          [`${own}${zone}`, own],
        ] as const) {
          for (const bytes of [0, 1, 512, 1452]) {
            if (bytes > 0 || address === ipv4)
              expect(await bed.ask(address, OURS, bytes)).toBe(`${answerer} ${OURS} ${bytes}`);
          }
          expect(await bed.ask(address, THEIRS)).toBe(`${answerer} ${THEIRS} 8`);
          expect(await ping({ lab: bed.lab, side: "a" }, address)).toMatchObject({ sent: 3, received: 3 });
        }
        expect(await bed.ask(ipv4, 9002)).toBe("ECONNREFUSED");
        const { program } = bed.device.statistics();
        expect(program.redirected).toBe(bed.host.statistics().udp.received);
        expect(bed.host.statistics().ip.passed).toBe(0);
      }),
    TEST_MS,
  );

  test(
    "a program of the kernel's that has the port keeps it; one that comes later does not get ours",
    () =>
      onBed({}, async (bed) => {
        const program = await kernelsEcho(bed, OURS);
        expect(() => echo(bed)).toThrow(/UDP port 9000 of all addresses is taken/);
        expect(bed.device.claims).toEqual([]);
        const { ipv4, ipv6 } = bed.lab.b;
        expect(await bed.ask(ipv4, OURS)).toBe(`${ipv4} ${OURS} 8`);
        expect(bed.device.statistics().program.redirected).toBe(0);
        program.kill();
        const socket = await until("the port to be free", () => {
          try {
            return echo(bed);
          } catch {
            return undefined;
          }
        });
        for (const address of ["0.0.0.0", ipv4, "::", ipv6])
          expect(await tryPort(bed, address, OURS)).toBe("EADDRINUSE");
        expect(await bed.ask(ipv4, OURS)).toBe(`${ipv4} ${OURS} 8`);
        socket.close();
        for (const address of ["0.0.0.0", "::"]) expect(await tryPort(bed, address, OURS)).toBe("free");
        await kernelsEcho(bed, OURS);
        expect(await bed.ask(ipv4, OURS)).toBe(`${ipv4} ${OURS} 8`);
        expect(bed.host.statistics().udp.received).toBe(1);
      }),
    TEST_MS,
  );

  test(
    "a socket of one address leaves the port of the others to the kernel",
    () =>
      onBed({}, async (bed) => {
        const { ipv4, ipv6 } = bed.lab.b;
        const socket = echo(bed, { address: ipv4 });
        expect(await tryPort(bed, ipv4, OURS)).toBe("EADDRINUSE");
        const theirs = await kernelsEcho(bed, OURS, ipv6);
        expect(await bed.ask(ipv4, OURS)).toBe(`${ipv4} ${OURS} 8`);
        expect(await bed.ask(ipv6, OURS)).toBe(`${ipv6} ${OURS} 8`);
        expect(bed.host.statistics().udp.received).toBe(1);
        theirs.kill();
        await until("the port of the other address", async () => (await tryPort(bed, ipv6, OURS)) === "free");
        const six = echo(bed, { address: ipv6 });
        expect(await bed.ask(ipv6, OURS)).toBe(`${ipv6} ${OURS} 8`);
        expect(bed.host.statistics().udp.received).toBe(2);
        const zoned = echo(bed, { address: bed.linkLocal() });
        expect(await bed.ask(`${bed.linkLocal()}%${bed.lab.a.name}`, OURS)).toBe(
          `${bed.linkLocal()} ${OURS} 8`,
        );
        expect(() => echo(bed, { address: "192.0.2.1" })).toThrow(/192\.0\.2\.1 is no address of this host/);
        for (const each of [socket, six, zoned]) each.close();
        expect(bed.device.claims).toEqual([]);
      }),
    TEST_MS,
  );

  test(
    "ephemeral ports are free with the kernel too, and shared ports are kept once",
    () =>
      onBed({}, async (bed) => {
        const sockets = Array.from({ length: 20 }, () => echo(bed, { port: 0 }));
        const ports = sockets.map(({ localPort }) => localPort);
        expect(new Set(ports).size).toBe(20);
        for (const port of ports.slice(0, 2)) {
          expect(await tryPort(bed, "0.0.0.0", port)).toBe("EADDRINUSE");
          expect(await bed.ask(bed.lab.b.ipv4, port)).toBe(`${bed.lab.b.ipv4} ${port} 8`);
        }
        for (const each of sockets) each.close();
        const [one, two] = [1, 2].map(() =>
          bed.host.udp({ port: OURS, reuse: true }, (datagram) => void datagram.reply()),
        );
        one!.close();
        expect(await tryPort(bed, "::", OURS)).toBe("EADDRINUSE");
        expect(await bed.ask(bed.lab.b.ipv4, OURS)).toBe(`${bed.lab.b.ipv4} ${OURS} 8`);
        two!.close();
        expect(await tryPort(bed, "::", OURS)).toBe("free");
        expect(bed.device.claims).toEqual([]);
      }),
    TEST_MS,
  );

  test(
    "two interfaces beside one kernel: each answers for its own, and one that leaves takes its claims along",
    () =>
      onBed({ lab: { pairs: 2 } }, async (bed) => {
        const [first, second] = bed.lab.pairs.map(({ b }) => b);
        const socket = echo(bed);
        for (const end of [first!, second!]) {
          expect(await bed.ask(end.ipv4, OURS)).toBe(`${end.ipv4} ${OURS} 8`);
          expect(await bed.ask(end.ipv6, OURS, 5000)).toBe(`${end.ipv6} ${OURS} 5000`);
        }
        const counts = bed.devices.map((device) => device.statistics().program.redirected);
        expect(counts.every((count) => count > 0)).toBe(true);
        bed.host.leave(bed.interfaces[1]!);
        expect(bed.devices.map((device) => device.claims)).toEqual([[{ protocol: 17, port: OURS }], []]);
        expect(await bed.ask(second!.ipv4, OURS)).toBe("ECONNREFUSED");
        expect(await bed.ask(first!.ipv4, OURS)).toBe(`${first!.ipv4} ${OURS} 8`);
        expect(await tryPort(bed, "0.0.0.0", OURS)).toBe("EADDRINUSE");
        const again = bed.host.beside(bed.devices[1]!);
        expect(await bed.ask(second!.ipv6, OURS)).toBe(`${second!.ipv6} ${OURS} 8`);
        // Errors are heard on as many interfaces as there are, whichever joined first.
        bed.host.leave(bed.interfaces[0]!);
        const errors: string[] = [];
        const client = bed.host.udp({ port: 9100, onError: ({ kind }) => errors.push(kind) }, () => {});
        client.send({ address: bed.lab.pairs[1]!.a.ipv4, port: 4 }, new Uint8Array(1));
        await until("the error", () => errors[0] === "port-unreachable");
        socket.close();
        client.close();
        bed.host.leave(again);
        expect(await tryPort(bed, "0.0.0.0", OURS)).toBe("free");
      }),
    TEST_MS,
  );

  test(
    "an interface that joins later is refused where a program there has a port of ours",
    () =>
      onBed({}, async (bed) => {
        bed.host.leave(bed.eth);
        const program = await kernelsEcho(bed, OURS);
        const socket = echo(bed);
        expect(() => bed.host.beside(bed.device)).toThrow(/UDP port 9000 is a program's on "vb"/);
        expect(bed.host.interfaces).toEqual([]);
        expect(await bed.ask(bed.lab.b.ipv4, OURS)).toBe(`${bed.lab.b.ipv4} ${OURS} 8`);
        expect(bed.host.statistics().udp.received).toBe(0);
        program.kill();
        await until("the port", async () => (await tryPort(bed, "::", OURS)) === "free");
        bed.host.beside(bed.device);
        expect(await bed.ask(bed.lab.b.ipv4, OURS)).toBe(`${bed.lab.b.ipv4} ${OURS} 8`);
        expect(socket.statistics().received).toBe(1);
      }),
    TEST_MS,
  );

  test(
    "an address of our own on one interface and the kernel's on another, in one host",
    () =>
      onBed({}, async (bed) => {
        using other = Lab.create();
        const device = attach(other.b.name, { namespace: other.namespace("b") });
        try {
          bed.host.join(device, { addresses: ["10.77.0.50/24"], linkLocal: false });
          echo(bed);
          // Only we have it: nothing is to be kept from the kernel's programs.
          const alone = echo(bed, { port: 9100, address: "10.77.0.50" });
          expect(await tryPort(bed, "0.0.0.0", 9100)).toBe("free");
          const program = other.spawn("a", [
            "sh",
            "-c",
            `for port in ${OURS} 9100; do echo hello | socat -t2 -T2 - UDP4:10.77.0.50:$port; done`,
          ]);
          expect(await program.stdout.text()).toBe("hello\nhello\n");
          expect(await bed.ask(bed.lab.b.ipv4, OURS)).toBe(`${bed.lab.b.ipv4} ${OURS} 8`);
          expect(await bed.ask(bed.lab.b.ipv4, 9100)).toBe("ECONNREFUSED");
          alone.close();
        } finally {
          bed.host.close();
          device.close();
        }
      }),
    TEST_MS,
  );

  test.each([
    ["239.1.2.3", "10.77.0.1", "igmp"],
    ["ff05::7", "fd77::1", "icmp6 and ip6[40] == 0 or ip6[48] == 143"],
  ] as const)(
    "a socket in group %s: the kernel joins and reports, and leaves with it",
    (group, from, filter) =>
      onBed({}, async (bed) => {
        using capture = await WireCapture.start(bed.lab, "a", { filter });
        const six = group.includes(":");
        const member = (): boolean => bed.run("b", "ip maddr show dev vb").includes(` ${group}`);
        const came: string[] = [];
        const socket = bed.host.udp(OURS, (datagram) => void came.push(datagram.text()));
        expect(member()).toBe(false);
        socket.join(group, { interface: "vb" });
        expect(member()).toBe(true);
        await bed.python("a", [
          `s = socket.socket(socket.AF_INET${six ? "6" : ""}, socket.SOCK_DGRAM)`,
          `s.bind(("${from}", 0))`,
          six
            ? "s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex('va'))"
            : `s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("${from}"))`,
          `s.sendto(b"hello", ("${group}", ${OURS}))`,
        ]);
        await until("the datagram", () => came.length === 1);
        const second = bed.host.udp({ port: THEIRS }, () => {});
        second.join(group, { interface: "vb" });
        socket.leave(group, { interface: "vb" });
        expect(member()).toBe(true);
        second.close();
        expect(member()).toBe(false);
        socket.join(group, { interface: "vb" });
        bed.host.leave(bed.eth);
        expect(member()).toBe(false);
        const file = await capture.stop();
        const shown = Bun.spawnSync(["tshark", "-n", "-r", file, "-V"]).stdout.toString();
        expect(shown).toContain(group);
      }),
    TEST_MS,
  );

  test(
    "what further claims bring and we don't serve goes to the kernel, with whole checksums",
    () =>
      onBed(
        {
          lab: { offloads: true },
          attach: {
            claim: [{ protocol: "udp" }, { tcp: 8080 }, { icmp: true }, { icmp6: true }, { arp: true }],
          },
        },
        async (bed) => {
          echo(bed);
          const { ipv4, ipv6 } = bed.lab.b;
          await kernelsEcho(bed, THEIRS);
          for (const address of [ipv4, ipv6]) {
            expect(await bed.ask(address, OURS)).toBe(`${address} ${OURS} 8`);
            expect(await bed.ask(address, THEIRS)).toBe(`${address} ${THEIRS} 8`);
            expect(await bed.ask(address, 9002)).toBe("ECONNREFUSED");
            expect(await ping({ lab: bed.lab, side: "a" }, address)).toMatchObject({ sent: 3, received: 3 });
          }
          const flow = await httpFlow(bed.lab);
          bed.run("a", "ip neigh flush dev va");
          bed.run("b", "ip neigh flush dev vb");
          expect(await bed.ask(ipv4, THEIRS)).toBe(`${ipv4} ${THEIRS} 8`);
          expect(await bed.ask(ipv6, THEIRS)).toBe(`${ipv6} ${THEIRS} 8`);
          const felt = await flow.stop();
          expect(felt.error).toBe("");
          expect(felt.count).toBeGreaterThan(0);
          // The kernel's own questions are answered: to its neighbour discovery, and to its ping.
          for (const address of [bed.lab.a.ipv4, bed.lab.a.ipv6]) {
            bed.run("b", "ip neigh flush dev vb");
            expect(await ping({ lab: bed.lab, side: "b" }, address)).toMatchObject({ sent: 3, received: 3 });
          }
          await groupAndBroadcast(bed);
          await tagged(bed);
          const { passed, passRefused } = bed.host.statistics().ip;
          expect(passed).toBeGreaterThan(30);
          expect(passRefused).toBe(0);
          // With ICMP claimed our own pings work too.
          const replies: number[] = [];
          using series = bed.host.ping(bed.lab.a.ipv4, { onReply: ({ sequence }) => replies.push(sequence) });
          series.send(1, new Uint8Array(8));
          await until("the reply", () => replies.length === 1);
        },
      ),
    TEST_MS,
  );

  test(
    "everything claimed is no life beside anybody; a host that closed gives all back",
    () =>
      onBed({}, async (bed) => {
        using other = Lab.create();
        const device = attach(other.b.name, { namespace: other.namespace("b") });
        try {
          expect(() => bed.host.beside(device)).toThrow(/claims everything/);
          device.setClaims([]);
          bed.host.beside(device);
        } finally {
          bed.host.close();
          device.close();
        }
        expect(() => new KernelMirror({ namespace: "mr-none" })).toThrow(SystemError);
        const again = attachBeside(other, other.b);
        expect(again.claims).toEqual([]);
        again.close();
      }),
    TEST_MS,
  );
});

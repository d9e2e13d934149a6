/**
 * Each example on an interface of a lab that the test made, judged by programs that know nothing of millrace: ping, hping3,
 * socat, dumpcap, tshark, capinfos, and the kernel's own counters.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Example } from "../support/example.ts";
import { Lab, type LabOptions, until } from "../support/lab.ts";
import { program } from "../support/readme.ts";
import { startFile } from "../support/subprocess.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 60_000;
const TOOLS = ["ping", "hping3", "socat", "dumpcap", "tshark", "capinfos"] as const;
const missing = TOOLS.filter((tool) => Bun.which(tool) === null);
const PORT = 9000;

/** Runs a program here and returns what it printed; a failure is an error with its words. */
const run = (...command: string[]): string => {
  const done = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" });
  if (done.exitCode !== 0)
    throw new Error(`${command.join(" ")}: ${done.exitCode}: ${done.stderr.toString()}`);
  return done.stdout.toString();
};

/** With every checksum checked; what is sent to our port means nothing, whatever tshark knows behind the port it came from. */
const tshark = (file: string, ...args: string[]): string[] =>
  run(
    "tshark",
    "-r",
    file,
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-d",
    `udp.port==${PORT},data`,
    ...args,
  )
    .split("\n")
    .filter((line) => line !== "");

describe.skipIf(
  skipWithoutLab(Lab.unavailable()) ||
    skipUnless(missing.length === 0, `not installed: ${missing.join(", ")}`, { couldRun: true }),
)("on an interface of ours", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** An example in a lab's namespace, once it says that it runs. */
  const start = async (
    lab: Lab,
    side: "a" | "m" | "b",
    name: string,
    ...args: string[]
  ): Promise<Example> => {
    const example = new Example(name, args, { prefix: lab.enter(side) });
    await example.line("its first words", () => true);
    return example;
  };
  const lab = (options: LabOptions = {}): Lab => Lab.create({ neighbours: true, ...options });
  const ping = (where: Lab, count: number, ...args: string[]): string =>
    where.exec("a", ["ping", "-c", String(count), "-i", "0.005", "-W", "2", ...args, where.b.ipv4]).stdout;
  const hping = (where: Lab, count: number, ...args: string[]): void => {
    const words = ["hping3", "--udp", "-q", "-c", String(count), "-i", "u1000", "-p", String(PORT), ...args];
    // It ends with 1 where nothing answers, which is as it should be.
    where.exec("a", [...words, where.b.ipv4], { check: false });
  };

  test(
    "count sees every ping that the kernel counts, and the kernel answers them all",
    async () => {
      using where = lab();
      const requests = (): number =>
        Number(/^IcmpInEchos\s+(\d+)/m.exec(where.exec("b", ["nstat", "-asz", "IcmpInEchos"]).stdout)?.[1]);
      const before = requests();
      using example = await start(where, "b", "count", where.b.name, "--json");
      expect(ping(where, 50)).toContain("50 packets transmitted, 50 received");
      const seen = (record: Record<string, number>): { icmp: number; udp: number } =>
        (record as unknown as { protocols: { icmp: number; udp: number } }).protocols;
      const record = await example.record("50 pings", (each) => seen(each).icmp >= 50);
      expect(seen(record).icmp).toBe(50);
      expect(requests() - before).toBe(50);
      expect(await example.end()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "count of one port leaves the rest to the kernel",
    async () => {
      using where = lab();
      using example = await start(
        where,
        "b",
        "count",
        where.b.name,
        "--json",
        "--take",
        "--claim",
        `udp=${PORT}`,
      );
      hping(where, 200);
      hping(where, 50, "-p", String(PORT + 1));
      expect(ping(where, 10)).toContain("10 received");
      const record = await example.record("200 datagrams", ({ packets }) => (packets ?? 0) >= 200);
      expect(record).toMatchObject({ packets: 200, protocols: { udp: 200, icmp: 0 }, sources: 1 });
      expect(await example.end()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "capture: tshark reads every packet, with nanoseconds, and the kernel still answers",
    async () => {
      using where = lab();
      const file = join(folder, "one.pcapng");
      using example = await start(where, "b", "capture", where.b.name, "--json", "--file", file);
      expect(ping(where, 20)).toContain("20 received");
      hping(where, 30, "-d", "100");
      await example.record("all of them", ({ packets }) => (packets ?? 0) >= 50);
      expect(await example.end()).toBe(0);
      const facts = run("capinfos", "-M", file);
      expect(facts).toContain("nanoseconds (9)");
      expect(/Number of packets:\s+(\d+)/.exec(facts)?.[1]).toBe(String(example.records.at(-1)?.packets));
      expect(tshark(file, "-Y", "icmp.type==8").length).toBe(20);
      expect(tshark(file, "-Y", `udp.dstport==${PORT} && udp.length==108`).length).toBe(30);
      expect(tshark(file, "-Y", "_ws.expert.severity >= error")).toEqual([]);
      const times = tshark(file, "-T", "fields", "-e", "frame.time_epoch");
      // Some of the last three digits differ from 0: the clock is finer than microseconds.
      expect(times.some((time) => !time.endsWith("000"))).toBe(true);
      expect(Math.abs(Number(times[0]) - Date.now() / 1000)).toBeLessThan(60);
    },
    LIMIT_MS,
  );

  test(
    "capture of two interfaces, cut short: each packet under its interface's name",
    async () => {
      using where = lab({ pairs: 2 });
      const names = where.pairs.map(({ b }) => b.name);
      const file = join(folder, "two.pcapng");
      using example = await start(
        where,
        "b",
        "capture",
        ...names,
        "--json",
        "--file",
        file,
        "--snaplen",
        "60",
        "--claim",
        "icmp",
      );
      for (const { a, b } of where.pairs)
        where.exec("a", ["ping", "-c", "5", "-i", "0.01", "-I", a.name, b.ipv4]);
      await example.record("both", ({ packets }) => packets === 10);
      expect(await example.end()).toBe(0);
      const rows = tshark(
        file,
        "-T",
        "fields",
        "-e",
        "frame.interface_name",
        "-e",
        "frame.cap_len",
        "-e",
        "frame.len",
      );
      const expected = names.flatMap((name) => Array.from({ length: 5 }, () => `${name}\t60\t98`));
      expect(rows).toEqual(expected);
    },
    LIMIT_MS,
  );

  test(
    "capture in a ring: the oldest files are overwritten, and each is whole",
    async () => {
      using where = lab({ quiet: true });
      const options = [
        "--file",
        join(folder, "ring.pcapng"),
        "--files",
        "3",
        "--size",
        "1",
        "--take",
        "--json",
      ];
      using example = await start(where, "b", "capture", where.b.name, ...options);
      // 8 MB in files of one MiB.
      using load = new Example(
        "generate",
        [where.a.name, "--count", "6000", "--size", "1400", "--rate", "5000"],
        {
          prefix: where.enter("a"),
        },
      );
      expect(await load.ended()).toBe(0);
      const { files } = await example.record("every packet", ({ packets }) => packets === 6000);
      expect(files).toBeGreaterThan(6);
      expect(await example.end()).toBe(0);
      let kept = 0;
      for (let i = 0; i < 3; i++) {
        const path = join(folder, `ring-${i}.pcapng`);
        expect(statSync(path).size).toBeLessThan(2 ** 20 + 2000);
        const numbers = tshark(path, "-T", "fields", "-e", "udp.payload").map((hex) =>
          Number.parseInt(hex.slice(0, 8), 16),
        );
        numbers.forEach((number, at) => at > 0 && expect(number).toBe(numbers[at - 1]! + 1));
        kept += numbers.length;
      }
      expect(kept).toBeGreaterThan(1400);
      expect(existsSync(join(folder, "ring-3.pcapng"))).toBe(false);
    },
    LIMIT_MS,
  );

  test(
    "reflect answers a kernel's UDP socket with its own words",
    async () => {
      using where = lab();
      using example = await start(where, "b", "reflect", where.b.name, "--json");
      for (const [address, words] of [
        [`UDP4:${where.b.ipv4}:5555`, "who is there?"],
        [`UDP6:[${where.b.ipv6}]:5555`, "an odd number of bytes"],
      ] as const) {
        const answer = where.exec("a", ["socat", "-t", "1", "-", address], { stdin: words });
        expect(answer.stdout).toBe(words);
      }
      expect(await example.end()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "reflect without neighbour entries: ARP still reaches the kernel",
    async () => {
      using where = lab({ neighbours: false });
      using example = await start(where, "b", "reflect", where.b.name);
      const answer = where.exec("a", ["socat", "-t", "2", "-", `UDP4:${where.b.ipv4}:7`], { stdin: "found" });
      expect(answer.stdout).toBe("found");
      expect(await example.end()).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "bridge carries the kernel's ping and TCP, byte for byte",
    async () => {
      using where = lab({ middle: true, neighbours: false });
      const { a, b } = where.middle!;
      using example = await start(where, "m", "bridge", a.name, b.name, "--json");
      expect(ping(where, 20)).toContain("20 received");
      expect(where.exec("a", ["ping", "-6", "-c", "3", "-i", "0.01", where.b.ipv6]).stdout).toContain(
        "3 received",
      );
      const sent = join(folder, "sent");
      const got = join(folder, "got");
      writeFileSync(sent, crypto.getRandomValues(new Uint8Array(65_536)));
      for (let i = 0; i < 5; i++)
        writeFileSync(sent, Buffer.concat([readFileSync(sent), readFileSync(sent)]));
      const server = where.spawn("b", ["socat", "-u", "TCP-LISTEN:8080,reuseaddr", `CREATE:${got}`]);
      await until("the listener", () => where.exec("b", ["ss", "-ltn"]).stdout.includes(":8080"));
      where.exec("a", ["socat", "-u", `OPEN:${sent}`, `TCP:${where.b.ipv4}:8080`]);
      expect(await server.exited).toBe(0);
      const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
      expect(statSync(got).size).toBe(2 ** 21);
      expect(digest(got)).toBe(digest(sent));
      expect(await example.end()).toBe(0);
      expect(example.records.at(-1)?.lost).toBe(0);
    },
    LIMIT_MS,
  );

  test.each([
    ["udp", 60, "udp.payload"],
    ["udp", 1001, "udp.payload"],
    ["arp", 60, "arp.dst.hw_mac"],
    ["raw", 200, "data.data"],
  ] as const)(
    "generate: tshark finds no fault in %s of %d bytes, and the numbers go up",
    async (template, size, field) => {
      using where = lab({ quiet: true });
      const count = 300;
      const file = join(folder, `${template}-${size}.pcap`);
      const dump = where.spawn("b", [
        "dumpcap",
        "-q",
        "-f",
        `ether src ${where.a.mac}`,
        "-i",
        where.b.name,
        "-c",
        String(count),
        "-w",
        file,
      ]);
      await until("dumpcap to listen", () => existsSync(file));
      const options = [
        "--template",
        template,
        "--size",
        String(size),
        "--count",
        String(count),
        "--rate",
        "2000",
      ];
      using example = new Example("generate", [where.a.name, ...options, "--to", where.b.ipv4, "--json"], {
        prefix: where.enter("a"),
      });
      expect(await example.ended()).toBe(0);
      expect(example.records.at(-1)).toMatchObject({ packets: count, done: true });
      await dump.exited;
      // Hundreds of questions in a second are a storm, and meant to be.
      const faults = new Set(tshark(file, "-Y", "_ws.expert", "-T", "fields", "-e", "_ws.expert.message"));
      expect([...faults].filter((fault) => !fault.startsWith("ARP packet storm detected"))).toEqual([]);
      const rows = tshark(file, "-T", "fields", "-e", "frame.len", "-e", field);
      const numbers = rows.map((row) =>
        Number.parseInt(
          row
            .split("\t")[1]!
            .replace(/^00:00:|:/g, "")
            .slice(0, 8),
          16,
        ),
      );
      expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(new Set(rows.map((row) => row.split("\t")[0]))).toEqual(new Set([String(size)]));
      if (template === "udp")
        expect(tshark(file, "-Y", "udp.checksum.status == 1 && ip.checksum.status == 1").length).toBe(count);
    },
    LIMIT_MS,
  );

  test(
    "generate keeps its rate, by the receiving kernel's own counter",
    async () => {
      using where = lab({ quiet: true });
      const received = (): number =>
        (
          JSON.parse(where.exec("b", ["ip", "-j", "-s", "link", "show", where.b.name]).stdout) as {
            stats64: { rx: { packets: number } };
          }[]
        )[0]!.stats64.rx.packets;
      const before = received();
      using example = new Example("generate", [where.a.name, "--count", "4000", "--rate", "2000", "--json"], {
        prefix: where.enter("a"),
      });
      expect(await example.ended()).toBe(0);
      expect(received() - before).toBe(4000);
      const last = example.records.at(-1)!;
      expect(last.pps).toBeGreaterThan(1800);
      expect(last.pps).toBeLessThan(2200);
    },
    LIMIT_MS,
  );

  test(
    "the program on the README's first screen counts the ports that write to it",
    async () => {
      const root = join(import.meta.dir, "..", "..");
      // Below the project, so that "millrace" is found as a user's program finds it.
      const own = join(root, ".cache", `readme-run-${process.pid}`);
      mkdirSync(own, { recursive: true });
      try {
        using where = lab();
        const file = join(own, "program.ts");
        writeFileSync(file, program(readFileSync(join(root, "README.md"), "utf8")));
        const child = startFile(file, { prefix: where.enter("b") });
        try {
          await until("its program", () =>
            where.exec("b", ["ip", "link", "show", where.b.name]).stdout.includes("xdp"),
          );
          hping(where, 20, "-s", "4321", "-k");
          expect(ping(where, 5)).toContain("5 received");
          let said = "";
          const decoder = new TextDecoder();
          for await (const chunk of child.stdout) {
            said += decoder.decode(chunk, { stream: true });
            if (said.includes("4321: 20")) child.kill("SIGINT");
          }
          expect(said).toContain("4321: 20");
          expect(await child.exited).toBe(0);
        } finally {
          child.kill("SIGKILL");
        }
      } finally {
        rmSync(own, { recursive: true });
      }
    },
    LIMIT_MS,
  );
});

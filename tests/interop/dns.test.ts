/**
 * The name server of the examples before programs that others wrote: dig, kdig and dnsperf ask it, nsd serves the same file beside it
 * and is asked the same, tshark reads every frame.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fullName, NAMES, ORIGIN, TEST_ZONE, TYPES } from "../support/dns-zone.ts";
import { Example } from "../support/example.ts";
import { Lab, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { dissect, tell, WireCapture } from "../support/wire-capture.ts";

const LIMIT_MS = 60_000;
/** Where nsd listens, on the same address. */
const NSD_PORT = 5353;
const START_LIMIT_MS = 15_000;
const OWN = { v4: "10.77.0.9", v6: "fd77::9" } as const;

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need(...names);

/** Every question of this file: names there and not, each with all types. */
const QUESTIONS = [
  ...NAMES.flatMap((name) => [...TYPES, "ANY"].map((type) => `${fullName(name)} ${type}`)),
  ...["www.other. A", ". NS", "test. SOA", `x${ORIGIN}. A`],
];

const nsdConfig = (folder: string, zoneFile: string, addresses: readonly string[]): string => {
  const at = (name: string): string => JSON.stringify(join(folder, name));
  return [
    "server:",
    "  server-count: 1",
    ...addresses.map((address) => `  ip-address: ${address}@${NSD_PORT}`),
    '  username: ""',
    '  chroot: ""',
    '  database: ""',
    `  pidfile: ${at("nsd.pid")}`,
    `  xfrdfile: ${at("xfrd.state")}`,
    `  zonelistfile: ${at("zone.list")}`,
    `  xfrdir: ${JSON.stringify(folder)}`,
    "  rrl-ratelimit: 0",
    "  rrl-whitelist-ratelimit: 0",
    // Without it answers also have the zone's own servers, which nobody asked for.
    "  minimal-responses: yes",
    "remote-control:",
    "  control-enable: no",
    "zone:",
    `  name: ${ORIGIN}`,
    `  zonefile: ${JSON.stringify(zoneFile)}`,
    "",
  ].join("\n");
};

/** What dig shows of one answer: header and sections, each with its records in order; names in small letters. */
interface Shown {
  readonly head: string;
  readonly sections: ReadonlyMap<string, readonly string[]>;
}

const shown = (text: string): Shown => {
  const line = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? "";
  const sections = new Map(
    [...text.matchAll(/^;; (\w+) (?:PSEUDO)?SECTION:\n((?:(?!;;)[^\n]+\n)*)/gm)].map((match) => [
      match[1]!,
      match[2]!
        .split("\n")
        .filter((each) => each !== "")
        .map((each) => each.replace(/\s+/g, " ").toLowerCase())
        .sort(),
    ]),
  );
  return { head: `${line(/opcode: (\w+, status: \w+)/)}; ${line(/flags: ([^;]*);/)}`, sections };
};

const questionOf = ({ sections }: Shown): string => sections.get("QUESTION")?.[0] ?? "";

describe.skipIf(without("dig", "kdig", "dnsperf", "nsd", "tcpdump", "tshark"))("beside the kernel", () => {
  let folder: string;
  let lab: Lab;
  let server: Example;
  let nsd: ReturnType<Lab["spawn"]>;
  const here = (): tools.Place => ({ lab, side: "a" });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "millrace-dns-"));
    lab = Lab.create({ neighbours: true });
    const zoneFile = join(folder, "test.zone");
    writeFileSync(zoneFile, TEST_ZONE);
    const config = join(folder, "nsd.conf");
    writeFileSync(config, nsdConfig(folder, zoneFile, [lab.b.ipv4, lab.b.ipv6]));
    nsd = lab.spawn("b", ["nsd", "-d", "-c", config], { stdout: "ignore", stderr: "ignore" });
    server = new Example("dns", [lab.b.name, "--zone", zoneFile, "--json"], { prefix: lab.enter("b") });
    const answers = async (port: number): Promise<boolean> => {
      const { status } = await tools.dig(here(), lab.b.ipv4, ["-p", String(port), fullName("@"), "SOA"]);
      return status === "NOERROR";
    };
    await until(
      "both servers to answer",
      async () => (await answers(53)) && (await answers(NSD_PORT)),
      START_LIMIT_MS,
    );
  }, LIMIT_MS);

  afterAll(async () => {
    // Its children end with it only where it is told to end.
    nsd?.kill("SIGTERM");
    await nsd?.exited;
    server?.[Symbol.dispose]();
    lab?.close();
    rmSync(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  /** Has dig ask all questions, one after the other. */
  const askAll = async (to: string, port: number, words: readonly string[]): Promise<Shown[]> => {
    const file = join(folder, "questions");
    writeFileSync(file, `${QUESTIONS.join("\n")}\n`);
    const how = ["+tries=2", "+time=2", "+nocookie", "+ignore", "+notcp", "-p", String(port)];
    const { stdout } = await tools.runTool(here(), ["dig", "-f", file, `@${to}`, ...how, ...words], LIMIT_MS);
    return stdout.split(";; Got answer:\n").slice(1).map(shown);
  };

  const SECTIONS = ["QUESTION", "ANSWER", "AUTHORITY", "ADDITIONAL", "OPT"] as const;

  /** Where the two may differ, and why; anything else is a mistake. */
  const explained = (ours: Shown, theirs: Shown, section: (typeof SECTIONS)[number]): boolean => {
    const question = questionOf(ours);
    const type = question.split(" ").at(-1);
    const [mine, others] = [ours.sections.get(section) ?? [], theirs.sections.get(section) ?? []];
    // To ANY each picks one of the name's sets (RFC 8482 section 4.1); nsd the first, which at the origin is SOA.
    if (type === "any" && question.startsWith(`;${ORIGIN}.`)) return section !== "QUESTION";
    // nsd told to be minimal leaves out what MX and SRV records lead to.
    if (section === "ADDITIONAL" && others.length === 0)
      return ["mx", "srv", "any"].includes(type ?? "") && mine.every((each) => / in (?:a|aaaa) /.test(each));
    // nsd adds why it refuses (RFC 8914).
    if (section === "OPT") return mine.join() === others.filter((each) => !each.startsWith("; ede:")).join();
    return false;
  };

  test.each([
    ["without EDNS", ["+noedns", "+norec"]],
    ["with EDNS", ["+edns=0", "+bufsize=4096", "+norec"]],
    ["with the least EDNS, RD, DO and CD", ["+bufsize=512", "+dnssec", "+cdflag"]],
  ] as const)(
    "says what nsd says, %s, over IPv4 and IPv6",
    async (_, words) => {
      for (const to of [lab.b.ipv4, lab.b.ipv6]) {
        const ours = await askAll(to, 53, words);
        const theirs = await askAll(to, NSD_PORT, words);
        expect(ours.map(questionOf)).toEqual(theirs.map(questionOf));
        expect(ours).toHaveLength(QUESTIONS.length);
        const trouble = ours.flatMap((mine, i) => {
          const other = theirs[i]!;
          const heads =
            mine.head === other.head ? [] : [`${questionOf(mine)}: ${mine.head}, nsd ${other.head}`];
          const wrong = SECTIONS.filter(
            (section) =>
              JSON.stringify(mine.sections.get(section)) !== JSON.stringify(other.sections.get(section)) &&
              !explained(mine, other, section),
          );
          return [
            ...heads,
            ...wrong.map(
              (section) =>
                `${questionOf(mine)}: ${section}: ${mine.sections.get(section)?.join()}, nsd ${other.sections.get(section)?.join()}`,
            ),
          ];
        });
        expect(trouble).toEqual([]);
      }
    },
    LIMIT_MS,
  );

  test(
    "answers dig and kdig, in every way that they ask",
    async () => {
      for (const ask of [tools.dig, tools.kdig]) {
        for (const to of [lab.b.ipv4, lab.b.ipv6]) {
          const get = (...words: string[]) => ask(here(), to, words);
          expect((await get(fullName("many"), "A")).answers).toHaveLength(3);
          expect((await get(fullName("many"), "A", "+edns")).text).toMatch(/udp: 1232|UDP size: 1232/);
          expect(await get(fullName("nothing"), "A", "+noedns")).toMatchObject({ status: "NXDOMAIN" });
          const cut = await get(fullName("longer"), "TXT", "+bufsize=600", "+ignore");
          expect(cut).toMatchObject({ status: "NOERROR", answers: [] });
          expect(cut.flags).toContain("tc");
          expect((await get(fullName("longer"), "TXT", "+bufsize=1232", "+ignore")).answers).toHaveLength(2);
          const norec = await get(fullName("many"), "A", "+norec");
          expect(norec.flags).toEqual(["qr", "aa"]);
          expect((await get(fullName("many"), "A", "+rec")).flags).toEqual(["qr", "aa", "rd"]);
          expect((await get("www.example.", "A")).status).toBe("REFUSED");
        }
      }
    },
    LIMIT_MS,
  );

  test(
    "refuses other classes, opcodes and versions, and has no TCP",
    async () => {
      const get = (...words: string[]) => tools.dig(here(), lab.b.ipv4, words);
      expect((await get("-c", "CH", "version.bind.", "TXT")).status).toBe("REFUSED");
      expect((await get(fullName("many"), "A", "+opcode=STATUS")).status).toBe("NOTIMP");
      expect((await get(fullName("many"), "A", "+opcode=NOTIFY")).status).toBe("NOTIMP");
      expect((await get(fullName("many"), "A", "+edns=1", "+noednsnegotiation")).status).toBe("BADVERS");
      expect((await get("+header-only")).status).toBe("FORMERR");
      // Options that it does not know: a cookie, a client's network, padding.
      const optioned = await get(fullName("many"), "A", "+cookie", "+subnet=192.0.2.0/24", "+padding=64");
      expect(optioned).toMatchObject({ status: "NOERROR", answers: { length: 3 } });
      // TCP is the kernel's, where nobody listens.
      expect((await get(fullName("many"), "A", "+tcp")).status).toBeUndefined();
    },
    LIMIT_MS,
  );

  test(
    "answers dnsperf, all that it asks, while the kernel of the same address answers ping",
    async () => {
      const file = join(folder, "dnsperf");
      const questions = ["many A", "nothing A", "a.wild A", "www.child A", "@ MX", "alias2 AAAA", "long TXT"];
      writeFileSync(file, questions.map((each) => each.replace(/^\S+/, fullName)).join("\n"));
      const asked = tools.dnsperf(here(), lab.b.ipv4, ["-d", file, "-l", "2", "-Q", "5000", "-e"]);
      const pings = await tools.ping(here(), lab.b.ipv4, { count: 20 });
      expect(pings).toMatchObject({ sent: 20, received: 20 });
      const { sent, received, text } = await asked;
      expect(sent).toBeGreaterThan(1000);
      expect(received).toBe(sent);
      const codes = /Response codes:\s+(.*)/.exec(text)?.[1] ?? "";
      const counts = [...codes.matchAll(/(\w+) (\d+) \(/g)].map(
        ([, name, count]) => [name, Number(count)] as const,
      );
      expect(counts.map(([name]) => name).sort()).toEqual(["NOERROR", "NXDOMAIN"]);
      expect(Math.abs(new Map(counts).get("NXDOMAIN")! - sent / questions.length)).toBeLessThan(2);
    },
    LIMIT_MS,
  );

  test(
    "sends nothing that tshark has a word against, and counts what it said",
    async () => {
      const before = (await server.record("a record", () => true)) && server.records.at(-1)!;
      using capture = await WireCapture.start(lab, "a");
      for (const to of [lab.b.ipv4, lab.b.ipv6]) {
        const answers = await askAll(to, 53, ["+bufsize=1232"]);
        expect(answers).toHaveLength(QUESTIONS.length);
      }
      const file = await capture.stop();
      for (const address of [lab.b.ipv4, lab.b.ipv6]) {
        const dissection = await dissect(file, { address });
        expect(tell(dissection)).toBe("");
        expect(dissection.frames).toBeGreaterThanOrEqual(QUESTIONS.length);
      }
      const after = await server.record("its count", (record) => {
        return record["queries"]! >= before["queries"]! + 2 * QUESTIONS.length;
      });
      expect(after).toMatchObject({ lost: 0, unanswerable: 0 });
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("dig", "ping"))("as a host of its own", () => {
  test(
    "answers on addresses that the kernel does not know",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-dns-"));
      try {
        using lab = Lab.create();
        const file = join(folder, "test.zone");
        writeFileSync(file, TEST_ZONE);
        const addresses = ["--address", `${OWN.v4}/24`, "--address", `${OWN.v6}/64`];
        using server = new Example("dns", [lab.b.name, "--zone", file, ...addresses], {
          prefix: lab.enter("b"),
        });
        await server.line("its first words", (line) => line.startsWith(`serving ${ORIGIN}.`));
        const here = { lab, side: "a" } as const;
        for (const to of [OWN.v4, OWN.v6]) {
          // An IPv6 address is looked for on the link first, which takes a second.
          await until(
            `an answer from ${to}`,
            async () => (await tools.dig(here, to, [fullName("many"), "A"])).answers.length === 3,
            START_LIMIT_MS,
          );
          expect(await tools.ping(here, to)).toMatchObject({ sent: 3, received: 3 });
        }
        // The kernel goes on with its own beside it.
        for (const to of [lab.b.ipv4, lab.b.ipv6])
          expect(await tools.ping(here, to)).toMatchObject({ sent: 3, received: 3 });
        expect(await server.end()).toBe(0);
        expect(await server.stderr).toBe("");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    LIMIT_MS,
  );
});

describe.skipIf(noLab)("the program", () => {
  const run = async (...args: string[]) => {
    using server = new Example("dns", args);
    const code = await server.ended();
    return { code, text: await server.stderr };
  };

  test(
    "says what is wrong with its arguments and its file",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-dns-"));
      try {
        const file = join(folder, "bad.zone");
        writeFileSync(file, "$ORIGIN x.\n$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 1.2.3\n");
        expect(await run("lo", "--zone", file)).toEqual({
          code: 1,
          text: `millrace: zone file "${file}": line 5: "1.2.3" is no IPv4 address\n`,
        });
        expect(await run("lo")).toMatchObject({ code: 2, text: expect.stringContaining("--zone is needed") });
        expect(await run("lo", "--zone", join(folder, "none"))).toMatchObject({ code: 1 });
        expect(await run("lo", "--zone", file, "--help")).toEqual({ code: 0, text: "" });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    LIMIT_MS,
  );

  test(
    "serves and asks itself in a lab of its own",
    async () => {
      using server = new Example("dns", []);
      await server.line(
        "what dig was told",
        (line) => line.includes("IN A 192.0.2.80") || line.startsWith("in "),
      );
      await server.line("its rate", (line) => /answered +\S+ k?pps/.test(line) && line.includes("NXDOMAIN"));
      expect(await server.end()).toBe(0);
      expect(await server.stderr).toBe("");
    },
    LIMIT_MS,
  );
});

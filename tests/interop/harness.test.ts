/**
 * The harness of the interoperability tests, with the kernel on both sides: a good conversation is found to be good, and what
 * is planted in it is found.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { dissect, tell, WireCapture } from "../support/wire-capture.ts";

const LIMIT_MS = 30_000;
/** Nobody has these. */
const ABSENT = "10.77.0.9";
const ABSENT_6 = "fd77::99";

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need(...names);

describe.skipIf(without("tcpdump", "tshark", "ping", "nping"))("what crossed the wire", () => {
  test(
    "of a good conversation has nothing against it, offloads off",
    async () => {
      using lab = Lab.create({ offloads: false });
      const here = { lab, side: "a" } as const;
      using capture = await WireCapture.start(lab, "a");
      for (const size of [0, 56, 1472, 1473, 20_000, 65_507]) {
        expect(await tools.ping(here, lab.b.ipv4, { size })).toMatchObject({ sent: 3, received: 3 });
        expect(await tools.ping(here, lab.b.ipv6, { size })).toMatchObject({ sent: 3, received: 3 });
      }
      const unreachable = await tools.nping(here, lab.b.ipv4, ["--udp", "-p", "9000", "-c", "2"]);
      expect(unreachable.answers.length).toBe(2);
      const file = await capture.stop();
      for (const mac of [lab.a.mac, lab.b.mac]) {
        const dissection = await dissect(file, { mac });
        expect(tell(dissection)).toBe("");
        // 65507 bytes are 45 fragments, thrice and in both families.
        expect(dissection.frames).toBeGreaterThan(6 * 45);
      }
    },
    LIMIT_MS,
  );

  test(
    "is all there: every frame of a burst",
    async () => {
      using lab = Lab.create({ quiet: true, neighbours: true });
      using capture = await WireCapture.start(lab, "a", { filter: "icmp" });
      // All at once, so that the last are still with the kernel when ping has counted them.
      const count = 10_000;
      const burst = { count, interval: 0, more: ["-q", "-l", String(count)] };
      expect(await tools.ping({ lab, side: "a" }, lab.b.ipv4, burst)).toMatchObject({ sent: count });
      const file = await capture.stop();
      for (const address of [lab.a.ipv4, lab.b.ipv4])
        expect((await dissect(file, { address })).frames).toBe(count);
    },
    LIMIT_MS,
  );

  test(
    "shows a wrong checksum of IPv4, UDP and TCP, and whose it is",
    async () => {
      using lab = Lab.create({ offloads: false });
      const here = { lab, side: "a" } as const;
      // By itself the kernel fills in the sum of the IPv4 header, whatever is there.
      for (const options of [
        ["--send-eth", "--icmp", "--badsum-ip"],
        ["--udp", "-p", "9", "--badsum"],
        ["--tcp", "-p", "9", "--badsum"],
      ]) {
        using capture = await WireCapture.start(lab, "b");
        await tools.nping(here, lab.b.ipv4, ["-c", "1", ...options]);
        const file = await capture.stop();
        const { findings } = await dissect(file, { mac: lab.a.mac });
        expect(findings).toHaveLength(1);
        expect(findings[0]).toMatchObject({ severity: "error" });
        expect(findings[0]!.message).toContain("Bad checksum");
        expect(tell(await dissect(file, { mac: lab.b.mac }))).toBe("");
      }
    },
    LIMIT_MS,
  );

  test(
    "shows a byte of an echo that is not the one that was summed, ICMP and ICMPv6",
    async () => {
      using lab = Lab.create({ offloads: false });
      for (const [filter, to] of [
        ["icmp", lab.b.ipv4],
        ["icmp6 and (ip6[40] == 128 or ip6[40] == 129)", lab.b.ipv6],
      ] as const) {
        using capture = await WireCapture.start(lab, "a", { filter });
        await tools.ping({ lab, side: "a" }, to, { count: 2 });
        const file = await capture.stop();
        const bytes = new Uint8Array(await Bun.file(file).arrayBuffer());
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(file, bytes);
        const { frames, findings } = await dissect(file, { address: to });
        expect(frames).toBe(2);
        expect(findings).toMatchObject([{ frame: 4 }]);
        expect(findings[0]!.message).toContain("Bad checksum");
      }
    },
    LIMIT_MS,
  );

  test(
    "shows the sum that a kernel has not completed, with offloads on",
    async () => {
      using lab = Lab.create({ offloads: true, quiet: true });
      using capture = await WireCapture.start(lab, "a");
      lab.exec("a", ["bash", "-c", `echo text > /dev/udp/${lab.b.ipv4}/9`]);
      const file = await capture.stop();
      const { findings } = await dissect(file, { mac: lab.a.mac });
      expect(findings.map(({ severity }) => severity)).toEqual(["error"]);
      // Port 9 in what comes back quotes the same sum, which is not the fault of who quotes it.
      expect(tell(await dissect(file, { mac: lab.b.mac, except: /Bad checksum/ }))).toBe("");
    },
    LIMIT_MS,
  );

  test("is refused where the file is cut short", async () => {
    using lab = Lab.create({ quiet: true, neighbours: true });
    using capture = await WireCapture.start(lab, "a");
    await tools.ping({ lab, side: "a" }, lab.b.ipv4, { count: 1 });
    const file = await capture.stop();
    const whole = new Uint8Array(await Bun.file(file).arrayBuffer());
    writeFileSync(file, whole.subarray(0, whole.length - 10));
    await expect(dissect(file)).rejects.toThrow("tshark cannot dissect");
  });

  test("needs an interface that is there, and says what tcpdump said", async () => {
    using lab = Lab.create({ quiet: true });
    await expect(WireCapture.start(lab, "a", { interface: "none0" })).rejects.toThrow("none0");
  });
});

describe.skipIf(noLab)("the tools", () => {
  let lab: Lab;
  const here = (): tools.Place => ({ lab, side: "a" });
  beforeAll(() => void (lab = Lab.create()));
  afterAll(() => lab.close());

  test.skipIf(without("ping"))("ping counts what does not come back", async () => {
    const lost = await tools.ping(here(), ABSENT, { count: 2, wait: 0.2 });
    expect(lost).toMatchObject({ sent: 2, received: 0 });
  });

  test.skipIf(without("fping"))("fping tells addresses apart", async () => {
    const answers = await tools.fping(here(), [lab.b.ipv4, ABSENT], { size: 100 });
    expect(answers.get(lab.b.ipv4)).toMatchObject({ sent: 3, received: 3 });
    expect(answers.get(ABSENT)).toMatchObject({ sent: 3, received: 0 });
  });

  test.skipIf(without("arping"))("arping names who answers", async () => {
    const { name } = lab.a;
    expect((await tools.arping(here(), name, lab.b.ipv4)).macs).toEqual([lab.b.mac, lab.b.mac]);
    expect(await tools.arping(here(), name, ABSENT)).toMatchObject({ received: 0, macs: [] });
  });

  test.skipIf(without("ndisc6"))("ndisc6 names who answers", async () => {
    expect(await tools.ndisc6(here(), lab.a.name, lab.b.ipv6)).toBe(lab.b.mac);
    expect(await tools.ndisc6(here(), lab.a.name, ABSENT_6)).toBeUndefined();
  });

  test.skipIf(without("traceroute", "mtr", "tracepath"))(
    "traceroute, mtr and tracepath find the one hop",
    async () => {
      expect(await tools.traceroute(here(), lab.b.ipv4)).toEqual([{ ttl: 1, address: lab.b.ipv4 }]);
      expect(await tools.traceroute(here(), lab.b.ipv6)).toEqual([{ ttl: 1, address: lab.b.ipv6 }]);
      const silent = await tools.traceroute(here(), ABSENT, ["-m", "1"]);
      expect(silent[0]?.address === undefined || silent[0].address === lab.a.ipv4).toBe(true);
      expect(await tools.mtr(here(), lab.b.ipv4)).toEqual([{ ttl: 1, address: lab.b.ipv4, lossPercent: 0 }]);
      expect(await tools.tracepath(here(), lab.b.ipv4)).toEqual({ pmtu: 1500, hops: 1, reached: true });
    },
    LIMIT_MS,
  );

  test.skipIf(without("nmap", "socat", "ss"))(
    "nmap tells a port that is served from one that is not",
    async () => {
      const server = lab.spawn("b", ["socat", "TCP-LISTEN:7000,fork", "/dev/null"]);
      await until("socat", () => lab.exec("b", ["ss", "-Hltn", "sport = 7000"]).stdout !== "");
      const states = await tools.nmap(here(), lab.b.ipv4, ["-sS", "-p", "9,7000"]);
      expect([...states]).toEqual([
        ["9/tcp", "closed"],
        ["7000/tcp", "open"],
      ]);
      server.kill("SIGKILL");
    },
  );

  test.skipIf(without("dig", "kdig", "dnsperf", "dnsmasq"))(
    "dig, kdig and dnsperf read a name server's answers",
    async () => {
      const words = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"];
      const record = ["--address=/www.millrace.test/192.0.2.80", "--local=/millrace.test/", "--user=root"];
      const server = lab.spawn("b", ["dnsmasq", ...words, ...record, "--pid-file="]);
      const folder = mkdtempSync(join(tmpdir(), "millrace-"));
      const queries = join(folder, "queries");
      try {
        const question = ["www.millrace.test", "A"];
        const ask = () => tools.dig(here(), lab.b.ipv4, question);
        const first = await until("dnsmasq", async () => {
          const answer = await ask();
          return answer.status === undefined ? undefined : answer;
        });
        expect(first).toMatchObject({ status: "NOERROR", answers: ["www.millrace.test. 0 IN A 192.0.2.80"] });
        expect(first.flags).toContain("qr");
        const second = await tools.kdig(here(), lab.b.ipv4, question);
        expect(second).toMatchObject({ status: "NOERROR", answers: first.answers });
        expect(second.flags).toContain("qr");
        const none = await tools.kdig(here(), lab.b.ipv4, ["none.millrace.test", "A"]);
        expect(none).toMatchObject({ status: "NXDOMAIN", answers: [] });
        expect((await tools.dig(here(), ABSENT, question)).status).toBeUndefined();
        writeFileSync(queries, "www.millrace.test A\n");
        const load = await tools.dnsperf(here(), lab.b.ipv4, ["-d", queries, "-n", "100"]);
        expect(load).toMatchObject({ sent: 100, received: 100 });
      } finally {
        server.kill("SIGKILL");
        await server.exited;
        rmSync(folder, { recursive: true });
      }
    },
    LIMIT_MS,
  );

  test("a tool that does not end is ended, and named", async () => {
    await expect(tools.runTool(here(), ["sleep", "60"], 100)).rejects.toThrow(
      "sleep 60 took longer than 100 ms",
    );
  });

  test("a tool that is missing is no reason to skip in CI", () => {
    expect(tools.need("ip")).toBe(false);
    const { CI } = process.env;
    try {
      process.env.CI = "true";
      expect(() => tools.need("ip", "no-such-tool")).toThrow("not installed: no-such-tool");
    } finally {
      if (CI === undefined) delete process.env.CI;
      else process.env.CI = CI;
    }
  });
});

/** What the probe finds is what the system's own tools say, and it changes nothing. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Finding } from "../../ffi/finding.ts";
import { FLOORS, machineFindings, type MachineFacts } from "../../ffi/machine.ts";
import { probe } from "../../ffi/probe.ts";
import {
  parseCapabilities,
  parseHugePages,
  parseKernelVersion,
  parseMemlockLimit,
} from "../../ffi/sys/machine.ts";
import { compilePass, hasBpfCompiler } from "../support/bpf-object.ts";
import { Lab, openFds, type LabOptions } from "../support/lab.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const named = (findings: readonly Finding[], name: string): Finding => {
  const found = findings.find((each) => each.name === name);
  if (found === undefined)
    throw new Error(`no finding "${name}" among ${findings.map((each) => each.name).join(", ")}`);
  return found;
};

const onInterface = (lab: Lab, name: string): Finding =>
  named(probe("vb", { namespace: lab.namespace("b") }).interface!.findings, name);

/** A machine that lacks everything. */
const POOR: MachineFacts = {
  kernel: parseKernelVersion("5.3.0"),
  capabilities: new Set(),
  memlockBytes: 65536,
  btf: false,
  bpffs: false,
  jit: 0,
  hugePages: { free: 0, total: 0, sizeBytes: 2 ** 21 },
};
/** One of which nothing can be read. */
const DARK: MachineFacts = {
  kernel: undefined,
  capabilities: undefined,
  memlockBytes: undefined,
  btf: false,
  bpffs: false,
  jit: undefined,
  hugePages: undefined,
};

const unbounded = skipUnless(
  process.getuid?.() === 0 && Bun.which("setpriv") !== null,
  "needs root and setpriv",
  {
    couldRun: true,
  },
);

describe("the machine", () => {
  test("the facts are those of the system's own tools", () => {
    const { facts } = probe();
    const run = (...command: string[]): string => Bun.spawnSync(command).stdout.toString().trim();
    expect(facts.kernel?.text).toBe(run("uname", "-r"));
    const limit = run("sh", "-c", "ulimit -l");
    expect(facts.memlockBytes).toBe(limit === "unlimited" ? Infinity : Number(limit) * 1024);
    expect(facts.bpffs).toBe(readFileSync("/proc/self/mounts", "utf8").includes(" /sys/fs/bpf bpf "));
    expect(facts.btf).toBe(run("sh", "-c", "test -e /sys/kernel/btf/vmlinux && echo yes") === "yes");
  });

  test("every finding has its reason, and every refusal a remedy", () => {
    for (const facts of [probe().facts, POOR, DARK]) {
      for (const { answer, detail, name, remedy } of machineFindings(facts)) {
        expect(detail).not.toBe("");
        expect(name).not.toBe("");
        if (answer === "yes") expect(remedy).toBeUndefined();
        if (answer === "no") expect(remedy).toBeString();
      }
    }
  });

  test("a machine that lacks everything, and one that tells nothing", () => {
    expect(
      machineFindings(POOR)
        .filter((each) => each.answer === "yes")
        .map((each) => each.name),
    ).toEqual([
      "safe transmit in copy mode",
      "a full completion ring is told",
      "a bad packet of several chunks is dropped whole",
    ]);
    expect(machineFindings(DARK).filter((each) => each.answer === "yes")).toEqual([]);
    expect(named(machineFindings(DARK), "CAP_BPF").answer).toBe("unknown");
    expect(named(machineFindings(POOR), "CAP_BPF").answer).toBe("no");
  });

  test.each([
    ["5.4.0", 1],
    ["5.9", 2],
    ["5.15.0-91-generic", 4],
    ["6.1.0-18-amd64", 4],
    ["6.6.1", 5],
    ["6.12.57+deb13-rt-amd64", 6],
    ["6.18.44", 6],
    ["7.2-rc1", 6],
    ["10.0", 6],
  ])("kernel %s has %d of the features", (text, count) => {
    const findings = machineFindings({ ...DARK, kernel: parseKernelVersion(text) });
    const features = FLOORS.map((floor) => named(findings, floor.name));
    expect(features.filter((each) => each.answer === "yes")).toHaveLength(count);
    expect(features.filter((each) => each.answer === "no")).toHaveLength(FLOORS.length - count);
  });

  test("reading /proc: capabilities beyond 32 bits, limits, huge pages, nonsense", () => {
    expect(parseCapabilities("CapEff:\t0000008000000000\n")).toEqual(new Set(["CAP_BPF"]));
    expect(parseCapabilities("CapInh:\t0\nCapEff:\t0000000000003000\n")).toEqual(
      new Set(["CAP_NET_ADMIN", "CAP_NET_RAW"]),
    );
    expect(parseCapabilities("Name: x")).toBeUndefined();
    expect(
      parseMemlockLimit("Max locked memory         unlimited            unlimited            bytes"),
    ).toBe(Infinity);
    expect(
      parseMemlockLimit("Max locked memory         8388608              8388608              bytes"),
    ).toBe(8388608);
    expect(parseMemlockLimit("")).toBeUndefined();
    expect(parseHugePages("HugePages_Total: 8\nHugePages_Free: 3\nHugepagesize: 2048 kB\n")).toEqual({
      free: 3,
      total: 8,
      sizeBytes: 2 ** 21,
    });
    expect(parseHugePages("MemTotal: 1 kB")).toBeUndefined();
    expect(parseKernelVersion("Darwin")).toBeUndefined();
  });

  test.skipIf(unbounded)("a bounded capability set is seen, and named", () => {
    const source = `import { probe } from "${import.meta.dir}/../../ffi/probe.ts";
      const report = probe();
      console.log(JSON.stringify(report.machine.filter((each) => each.answer === "no").map((each) => each.name)));`;
    const drop = [
      "setpriv",
      "--bounding-set",
      "-net_raw,-bpf,-ipc_lock",
      "--inh-caps",
      "-net_raw,-bpf,-ipc_lock",
    ];
    const child = Bun.spawnSync([
      "sh",
      "-c",
      'ulimit -l 64 && exec "$@"',
      "sh",
      ...drop,
      process.execPath,
      "-e",
      source,
    ]);
    expect(child.stderr.toString()).toBe("");
    const missing = JSON.parse(child.stdout.toString()) as string[];
    expect(missing).toContain("CAP_NET_RAW");
    expect(missing).toContain("CAP_BPF");
    expect(missing).toContain("locked memory");
    expect(missing).not.toContain("CAP_NET_ADMIN");
  });
});

const compiler = skipUnless(hasBpfCompiler(), "needs clang for a BPF object", { couldRun: true });
describe.skipIf(skipWithoutLab(Lab.unavailable()))("an interface", () => {
  const mtus: [LabOptions, string][] = [
    [{ mtu: 1500 }, "yes"],
    [{ mtu: 3506 }, "yes"],
    [{ mtu: 3507 }, "no"],
    [{ mtu: 9000 }, "no"],
  ];
  test.skipIf(compiler).each(mtus)(
    "native XDP without multi-buffer with %j: %s, as the kernel itself answers",
    (options, answer) => {
      using lab = Lab.create(options);
      expect(onInterface(lab, "native XDP at this MTU without multi-buffer").answer).toBe(answer as "yes");
      expect(onInterface(lab, "native XDP with multi-buffer").answer).toBe("yes");
    },
  );

  test("queues: fewer than the peer's are named with both numbers", () => {
    using lab = Lab.create({ queues: { a: 4, b: 2 } });
    const native = onInterface(lab, "native XDP");
    expect(native.answer).toBe("no");
    expect(native.detail).toBe('its peer "va" has 4 tx queues, more than its own 2 rx queues');
    expect(native.remedy).toContain("ethtool -L");
    expect(onInterface(lab, "queues").detail).toBe("2 rx, 2 tx in use");
    using enough = Lab.create({ queues: { a: 2, b: 4 } });
    expect(onInterface(enough, "native XDP").answer).toBe("yes");
  });

  test("partial checksums: as the peer's offload is set", () => {
    using lab = Lab.create();
    const name = "complete checksums on arrival";
    expect(onInterface(lab, name)).toMatchObject({
      answer: "no",
      remedy: "ethtool -K va tx off, where it lives",
    });
    lab.exec("a", ["ethtool", "-K", "va", "tx", "off"]);
    expect(onInterface(lab, name).answer).toBe("yes");
  });

  test("down, without carrier, and up", () => {
    using lab = Lab.create();
    expect(onInterface(lab, "link up").answer).toBe("yes");
    lab.exec("a", ["ip", "link", "set", "dev", "va", "down"]);
    expect(onInterface(lab, "link up").detail).toContain("no carrier");
    lab.exec("b", ["ip", "link", "set", "dev", "vb", "down"]);
    expect(onInterface(lab, "link up")).toMatchObject({ answer: "no", remedy: "ip link set vb up" });
  });

  test("interfaces without a driver, and kinds nothing is known of, are answered too", () => {
    using lab = Lab.create();
    const namespace = lab.namespace("b");
    const lo = probe("lo", { namespace }).interface!;
    expect(named(lo.findings, "native XDP").answer).toBe("no");
    expect(named(lo.findings, "queues").answer).toBe("unknown");
    expect(named(lo.findings, "complete checksums on arrival").answer).toBe("no");
    lab.exec("b", ["ip", "link", "add", "br0", "type", "bridge"]);
    const bridge = probe("br0", { namespace }).interface!;
    expect(named(bridge.findings, "complete checksums on arrival").answer).toBe("unknown");
    for (const report of [lo, bridge]) for (const { detail } of report.findings) expect(detail).not.toBe("");
  });

  test("trials of modes run inside the namespace and join the report", () => {
    using lab = Lab.create();
    const modes: Finding[] = [{ name: "copy", answer: "yes", detail: "bound" }];
    const report = probe("vb", {
      namespace: lab.namespace("b"),
      modes: ({ link }) => (probe(link.name).interface === undefined ? [] : modes),
    });
    expect(report.interface?.modes).toEqual(modes);
    expect(probe("vb", { namespace: lab.namespace("b") }).interface?.modes).toEqual([]);
  });

  test("no such interface or namespace: SystemError", () => {
    expect(() => probe("nosuchlink")).toThrow(/ENODEV/);
    expect(() => probe("vb", { namespace: "no-such-namespace" })).toThrow(/ENOENT/);
  });

  test("it changes nothing and leaves no descriptor", () => {
    using lab = Lab.create({ queues: 2 });
    const state = (): string =>
      lab.exec("b", ["sh", "-c", "ip -d addr; ip route; ethtool -k vb; ethtool -l vb; bpftool -j net"])
        .stdout;
    probe("vb", { namespace: lab.namespace("b") });
    const before = state();
    const fds = openFds();
    for (let i = 0; i < 100; i++) probe("vb", { namespace: lab.namespace("b") });
    expect(openFds()).toBeLessThanOrEqual(fds);
    expect(state()).toBe(before);
  });
});

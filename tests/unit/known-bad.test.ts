/** The known-bad list: which kernels an entry means, and the version that a distribution's kernel really has. */
import { describe, expect, test } from "bun:test";
import {
  driverKnownBad,
  hiddenQueues,
  judge,
  kernelKnownBad,
  KNOWN_BAD,
  type KnownBad,
} from "../../ffi/known-bad.ts";
import { machineFindings } from "../../ffi/machine.ts";
import { compareVersions, parseKernelVersion, parsePossibleProcessors } from "../../ffi/sys/machine.ts";

const version = (text: string, build?: string) => parseKernelVersion(text, build)!;

describe("the version of a kernel", () => {
  test.each([
    ["6.18.44-fc-v669", "", "6.18.44"],
    ["7.2-rc1", "", "7.2"],
    ["6.1.0-50-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)", "6.1.176"],
    ["6.1.0-50-amd64", "", "6.1.0"],
    ["6.12.94+deb12-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.94-1~bpo12+1 (2026-06-01)", "6.12.94"],
    ["7.2-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 7.2-1~exp1 (2026-09-01)", "7.2"],
    ["5.15.0-91-generic", "#101-Ubuntu SMP\nUbuntu 5.15.0-91.101-generic 5.15.131", "5.15.131"],
    // A compiler's version, or another kernel's: not this kernel's.
    ["6.18.44", "gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "6.18.44"],
    ["6.18.44", "built on Debian 6.1.176-1", "6.18.44"],
  ])("%s with %j is %s", (text, build, upstream) => {
    const found = version(text, build);
    expect(found).toMatchObject({ text, upstream });
    expect(
      `${found.major}.${found.minor}${upstream.split(".")[2] === undefined ? "" : `.${found.patch}`}`,
    ).toBe(upstream);
  });

  test("versions are compared by numbers, not as text", () => {
    const order = ["5.9", "5.15.131", "6.1", "6.1.9", "6.1.176", "6.12", "6.12.1", "7.0"].map((text) =>
      version(text),
    );
    for (let i = 0; i < order.length; i++) {
      for (let j = 0; j < order.length; j++)
        expect(Math.sign(compareVersions(order[i]!, order[j]!))).toBe(Math.sign(i - j));
    }
  });
});

describe("the known-bad list", () => {
  const entry = (name: string): KnownBad => KNOWN_BAD.find((each) => each.name === name)!;

  test.each([
    ["6.16.11", "yes"],
    ["6.16.12", "no"],
    ["6.17.0-5-generic", "no"],
    ["6.17", "no"],
    ["6.17.12", "unknown"],
    ["6.18.0", "yes"],
    ["6.1.0", "yes"],
  ])("kernel %s sends safely: %s", (text, answer) => {
    const found = judge(entry("safe transmit in copy mode"), version(text));
    expect(found.answer).toBe(answer as "yes");
    if (answer === "no") expect(found.detail).toContain("panics");
    expect(kernelKnownBad(version(text))).toContainEqual(found);
    expect(machineFindings({ ...NOTHING, kernel: version(text) })).toContainEqual(found);
  });

  test("a distribution's kernel is judged by its real version", () => {
    const build = "#1 SMP Debian 6.16.12-1 (2025-10-20)";
    const found = judge(entry("safe transmit in copy mode"), version("6.16.0-3-amd64", build));
    expect(found).toMatchObject({ answer: "no", detail: expect.stringContaining("Linux 6.16.12 panics") });
  });

  test.each([
    ["virtio_net", "6.1.176", "without zero-copy"],
    ["virtio_net", "6.12.94", "does not send so"],
    ["virtio_net", "6.13", undefined],
    ["igb", "6.13.12", "without zero-copy"],
    ["igb", "6.14", undefined],
    ["veth", "6.1", undefined],
    ["", "6.1", undefined],
  ])("driver %j on %s: %p", (driver, text, trouble) => {
    const found = driverKnownBad(version(text), driver).filter(({ name }) => name.startsWith("zero-copy"));
    expect(found).toHaveLength(trouble === undefined ? 0 : 1);
    if (trouble === undefined) return;
    expect(found[0]).toMatchObject({ answer: "no", detail: expect.stringContaining(trouble) });
    expect(found[0]!.remedy).toBeString();
  });

  test("what millrace handles is good news, with the trouble beside it", () => {
    const ring = entry("a full completion ring is told");
    for (const text of ["6.1.176", "6.12.94", "6.17.9"])
      expect(judge(ring, version(text))).toMatchObject({
        answer: "yes",
        detail: expect.stringContaining("emptied"),
      });
    expect(judge(ring, version("6.18.1")).detail).not.toContain("emptied");
  });

  test("igb with zero-copy cuts frames in chunks of 2048, on every kernel that has it", () => {
    for (const [text, count] of [
      ["6.12", 0],
      ["6.14", 1],
      ["7.3.4", 1],
    ] as const) {
      const found = driverKnownBad(version(text), "igb").filter(({ name }) =>
        name.startsWith("whole frames"),
      );
      expect(found).toHaveLength(count);
      if (count === 1)
        expect(found[0]).toMatchObject({ answer: "yes", detail: expect.stringContaining("4096") });
    }
  });

  test("an unknown kernel gets an honest answer, and none about drivers", () => {
    expect(kernelKnownBad(undefined).every(({ answer }) => answer === "unknown")).toBe(true);
    expect(driverKnownBad(undefined, "igb")).toEqual([]);
  });

  test("virtio_net: queues that a native program adds are named, with the setting that leaves none to add", () => {
    const at = (combined: number, processors?: number) =>
      hiddenQueues("virtio_net", { combined, maxCombined: 4 }, processors, "eth0");
    expect(at(1, 2)).toMatchObject({
      answer: "no",
      detail: expect.stringContaining("1 queues 3"),
      remedy: expect.stringContaining("ethtool -L eth0 combined 4"),
    });
    expect(at(2, 2)?.answer).toBe("no");
    expect(at(3, 2)?.answer).toBe("yes");
    expect(at(4, 8)?.answer).toBe("yes");
    expect(at(1)).toBeUndefined();
    expect(hiddenQueues("igb", { combined: 1, maxCombined: 4 }, 2, "eth0")).toBeUndefined();
    expect(hiddenQueues("virtio_net", undefined, 2, "eth0")).toBeUndefined();
  });

  test.each([
    ["0", 1],
    ["0-3\n", 4],
    ["0,2-5", 6],
    ["", undefined],
  ])("possible processors %j are %p", (text, count) => {
    expect(parsePossibleProcessors(text)).toBe(count);
  });

  test("every entry has its reason, remedy and source; its ranges go upwards and do not overlap", () => {
    expect(new Set(KNOWN_BAD.map(({ name }) => name)).size).toBe(KNOWN_BAD.length);
    for (const { kernels, remedy, source } of KNOWN_BAD) {
      expect(remedy).not.toBe("");
      expect(source).not.toBe("");
      expect(kernels.length).toBeGreaterThan(0);
      let reached = version("0.0");
      for (const { from, before, trouble } of kernels) {
        expect(trouble).not.toBe("");
        const start = version(from ?? "0.0");
        expect(compareVersions(start, reached)).toBeGreaterThanOrEqual(0);
        const end = version(before ?? "9999.0");
        expect(compareVersions(end, start)).toBeGreaterThan(0);
        reached = end;
      }
    }
  });
});

/** A machine of which nothing else can be read. */
const NOTHING = {
  kernel: undefined,
  capabilities: undefined,
  memlockBytes: undefined,
  btf: false,
  bpffs: false,
  jit: undefined,
  hugePages: undefined,
} as const;

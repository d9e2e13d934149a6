/** The kernel matrix: findings as lines, several kernels as a table, and the README with the table in its place. */
import { describe, expect, test } from "bun:test";
import { type Found, formatFound, formatKernel, parseFound, parseKernel } from "../vm/found.ts";
import { kernelTable, replaceBlock, type Survey } from "../vm/matrix.ts";

const OLD = { release: "6.1.0-50-amd64", upstream: "6.1.176" };
const NEW = { release: "7.2-amd64", upstream: "7.2" };

const works = (feature: string, device: string): Found => ({
  feature,
  device,
  answer: "works",
  detail: "seen",
});
const refused = (feature: string, device: string, remedy: string): Found => ({
  feature,
  device,
  answer: "refused",
  errno: "EOPNOTSUPP",
  remedy,
  detail: "cannot",
});

const textOf = (...surveys: readonly Survey[]): string => kernelTable(surveys, { emulator: "10.0.2" });
/** The cells of the table's rows below its head. */
const rowsOf = (text: string): string[][] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

describe("a finding as a line", () => {
  test("what is written is read again, and other lines are none", () => {
    const found = refused("bind", "veth", 'use "copy"\nor not');
    const line = formatFound(found);
    expect(line).not.toContain("\n");
    expect(parseFound(line)).toEqual(found);
    expect(parseKernel(formatKernel(OLD))).toEqual(OLD);
    for (const other of ["", "found nothing", "kernel panic", formatKernel(OLD)])
      expect(parseFound(other)).toBeUndefined();
    expect(parseKernel("kernel panic")).toBeUndefined();
    expect(() => parseFound('found {"feature":"x"}')).toThrow("not a finding");
    expect(() => parseFound(line.replace("refused", "perhaps"))).toThrow("not a finding");
  });
});

describe("the table", () => {
  test("a column a kernel; devices that answer alike share a row; a feature is named once", () => {
    const text = textOf(
      {
        kernel: OLD,
        found: [
          works("send", "veth"),
          works("send", "igb"),
          refused("bind", "veth", "copy"),
          refused("bind", "igb", "newer"),
        ],
      },
      {
        kernel: NEW,
        found: [
          works("send", "veth"),
          works("send", "igb"),
          refused("bind", "veth", "copy"),
          works("bind", "igb"),
        ],
      },
    );
    expect(text.split("\n").find((line) => line.startsWith("| feature"))).toMatch(/6\.1\.176 +\| 7\.2 +\|$/);
    expect(rowsOf(text)).toEqual([
      ["send", "all", "yes", "yes"],
      ["bind", "veth", "no: EOPNOTSUPP (1)", "no: EOPNOTSUPP (1)"],
      ["", "igb", "no: EOPNOTSUPP (2)", "yes"],
    ]);
    expect(text).toContain("\n1. Copy.\n2. Newer.");
  });

  test("the conditions stand above it: kernels by both their numbers, and the emulator", () => {
    const text = textOf({ kernel: OLD, found: [works("send", "veth")] }, { kernel: NEW, found: [] });
    expect(text.split("\n\n")[0]).toContain("Linux 6.1.176 (6.1.0-50-amd64), 7.2-amd64");
    expect(text.split("\n\n")[0]).toContain("QEMU 10.0.2");
  });

  test("wrong, absent and not reached are told apart", () => {
    const bad: Found = {
      feature: "tags",
      device: "igb",
      answer: "wrong",
      remedy: "turn it off",
      detail: "the tag is lost",
    };
    const plain: Found = { feature: "tags", device: "veth", answer: "wrong", detail: "no frame came" };
    const absent: Found = { feature: "told", device: "igb", answer: "absent", detail: "too old" };
    const text = textOf(
      { kernel: OLD, found: [bad, plain, absent] },
      { kernel: NEW, found: [works("told", "igb")] },
    );
    expect(rowsOf(text)).toEqual([
      ["tags", "igb", "wrong (1)", "?"],
      ["", "veth", "wrong (2)", "?"],
      ["told", "igb", "-", "yes"],
    ]);
    expect(text).toContain("1. The tag is lost: turn it off.\n2. No frame came.");
  });

  test("what no kernel has is left out", () => {
    const absent: Found = { feature: "told", device: "igb", answer: "absent", detail: "too old" };
    expect(rowsOf(textOf({ kernel: OLD, found: [absent, works("send", "igb")] }))).toEqual([
      ["send", "all", "yes"],
    ]);
  });

  test("its columns are as wide as their widest cell", () => {
    const text = textOf({ kernel: OLD, found: [refused("a", "veth", "x"), works("long feature", "veth")] });
    const lengths = text
      .split("\n")
      .filter((line) => line.startsWith("|"))
      .map((line) => line.length);
    expect(new Set(lengths).size).toBe(1);
  });
});

describe("the README", () => {
  const readme = "above\n\n<!-- kernels: begin -->\n\nold\n\n<!-- kernels: end -->\n\nbelow\n";

  test("the block is replaced, all else stays, and twice is once", () => {
    const once = replaceBlock(readme, "kernels", "new");
    expect(once).toBe("above\n\n<!-- kernels: begin -->\n\nnew\n\n<!-- kernels: end -->\n\nbelow\n");
    expect(replaceBlock(once, "kernels", "new")).toBe(once);
  });

  test("a README without the block is refused", () => {
    expect(() => replaceBlock(readme, "figures", "new")).toThrow("no block");
    expect(() => replaceBlock("<!-- kernels: end --><!-- kernels: begin -->", "kernels", "new")).toThrow(
      "no block",
    );
  });
});

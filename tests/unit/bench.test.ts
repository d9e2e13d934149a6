/** What the bench does with text: cables from an argument, interrupts from the kernel's table, lines to JSON and back. */
import { describe, expect, test } from "bun:test";
import { interruptsOf } from "../../bench/interrupts.ts";
import { lineOf, median, parseLine, table } from "../../bench/report.ts";
import { parseCables } from "../../examples/lab-cables.ts";

describe("cables", () => {
  test("are pairs of names, apart by commas", () => {
    expect(parseCables("vn0-vn1, ig0-ig1")).toEqual([
      { a: "vn0", b: "vn1" },
      { a: "ig0", b: "ig1" },
    ]);
  });

  test("may be none", () => {
    expect(parseCables("")).toEqual([]);
    expect(parseCables(" , ")).toEqual([]);
  });

  test("are refused in any other form, quoted", () => {
    for (const wrong of ["vn0", "vn0-", "-vn1", "vn0-vn1-vn2"])
      expect(() => parseCables(`va-vb,${wrong}`)).toThrow(JSON.stringify(wrong));
  });
});

describe("interrupts", () => {
  const TABLE = [
    "            CPU0       CPU1       ",
    "   0:         37          0   IO-APIC    2-edge      timer",
    "  35:          1          1  PCI-MSIX-0000:00:05.0    1-edge      virtio4-input.0",
    "  36:          0          0  PCI-MSIX-0000:00:05.0    2-edge      virtio4-output.0",
    "  40:          0          0  PCI-MSIX-0000:00:15.0    1-edge      virtio5-input.0",
    " NMI:          0          0   Non-maskable interrupts",
    "",
  ].join("\n");

  test("of a device are those at its bus address", () => {
    expect(interruptsOf(TABLE, "0000:00:05.0")).toEqual([35, 36]);
    expect(interruptsOf(TABLE, "0000:00:15.0")).toEqual([40]);
  });

  test("of a device that has none are none", () => {
    expect(interruptsOf(TABLE, "0000:00:06.0")).toEqual([]);
    expect(interruptsOf("", "0000:00:05.0")).toEqual([]);
  });
});

describe("lines", () => {
  const what = { name: "zc.rx", unit: "pps", conditions: "here" };

  test("hold the median of the pairs' ratios, not the ratio of the medians", () => {
    const line = lineOf(what, [1, 20, 3], "c", [2, 10, 4]);
    expect(line).toMatchObject({ millrace: 3, peer: 4, ratio: 0.75, pairs: 3 });
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  test("survive their way as JSON", () => {
    for (const line of [lineOf(what, [1, 2, 3], "c", [3, 2, 1]), lineOf(what, [1], null, [])])
      expect(parseLine(JSON.stringify(line))).toEqual(line);
  });

  test("are told from other output", () => {
    for (const text of ["", "zc.rx: pair 1 of 7", "{", '{"ready":true}', '{"program":"rx","pps":1}', "[1]"])
      expect(parseLine(text)).toBeUndefined();
  });

  test("name their conditions once below the table", () => {
    const text = table([lineOf(what, [1], "c", [1]), lineOf({ ...what, name: "zc.tx" }, [1], "c", [1])]);
    expect(text).toContain("zc.rx, zc.tx: here");
    expect(text.split("here")).toHaveLength(2);
  });
});

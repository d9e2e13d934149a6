/** The rules of the house, checked over all source files, and the checker checked with planted violations. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_LINES, violations } from "../support/layers.ts";

const root = join(import.meta.dir, "..", "..");

const readHouse = (): Map<string, string> => {
  const files = new Map<string, string>();
  for (const pattern of ["{index,bun}.ts", "{stack,ffi,examples,bench,tests}/**/*.ts"]) {
    for (const path of new Bun.Glob(pattern).scanSync({ cwd: root }))
      files.set(path, readFileSync(join(root, path), "utf8"));
  }
  return files;
};

describe("the house", () => {
  test("keeps its rules", () => {
    const files = readHouse();
    expect(files.size).toBeGreaterThan(20);
    expect(violations(files)).toEqual([]);
  });
});

describe("the checker", () => {
  const DOC = "/** A file. */\n";
  const check = (files: Record<string, string>): string[] =>
    violations(new Map(Object.entries(files).map(([path, text]) => [path, DOC + text])));

  test("finds nothing in what is right", () => {
    expect(
      check({
        "index.ts": 'export { a } from "./stack/index.ts";\nexport { b } from "./ffi/attach.ts";',
        "stack/index.ts": 'export { a } from "./loop/loop.ts";',
        "stack/loop/loop.ts": 'import type { D } from "../device/device.ts";\nexport const a = 1;',
        "stack/device/device.ts": "export interface D {} // Date.now() and any comment",
        "ffi/attach.ts": 'import { m } from "./sys/memory.ts";\nexport const b = "Atomics, enum x {";',
        "ffi/sys/memory.ts": 'import { toArrayBuffer } from "bun:ffi";\nexport const m = toArrayBuffer;',
        "ffi/xsk/ring.ts": "export const load = Atomics.load;",
        "ffi/xsk/umem.ts": "const any = 1;\nf(any, Promise.any([]));",
        "examples/count.ts": 'import { a } from "millrace";\nsetTimeout(a, 1);',
      }),
    ).toEqual([]);
  });

  const planted: readonly (readonly [rule: string, path: string, text: string, says: string])[] = [
    ["an import upwards", "stack/device/a.ts", 'import "../loop/loop.ts";', "lies above it"],
    ["an import upwards of a type", "ffi/sys/a.ts", 'import type { A } from "../net/a.ts";', "lies above it"],
    [
      "an import upwards over lines",
      "stack/wire/a.ts",
      'import {\n  a,\n} from "../device/a.ts";',
      "lies above it",
    ],
    ["an import upwards by export", "stack/ip/a.ts", 'export * from "../index.ts";', "lies above it"],
    [
      "an import upwards at run time",
      "ffi/net/a.ts",
      'const a = await import("../attach.ts");',
      "lies above it",
    ],
    [
      "stack importing ffi",
      "stack/device/a.ts",
      'import type { A } from "../../ffi/sys/errno.ts";',
      "strangers",
    ],
    [
      "ffi importing stack",
      "ffi/attach.ts",
      'import type { A } from "../stack/device/device.ts";',
      "strangers",
    ],
    ["a transport importing another", "stack/tcp/a.ts", 'import { a } from "../udp/a.ts";', "strangers"],
    [
      "an import from the tests",
      "stack/device/a.ts",
      'import { a } from "../../tests/support/a.ts";',
      "no part of the house",
    ],
    ["bun:ffi outside ffi", "stack/device/a.ts", 'import { ptr } from "bun:ffi";', "bun:ffi outside ffi/"],
    ["bun:ffi in an example", "examples/a.ts", 'import { ptr } from "bun:ffi";', "bun:ffi outside ffi/"],
    [
      "a pointer made memory",
      "ffi/xsk/a.ts",
      "const a = toArrayBuffer(p, 0, 1);",
      "a pointer becomes memory",
    ],
    ["a pointer read", "ffi/net/a.ts", "const a = read.u32(p, 0);", "a pointer becomes memory"],
    ["Atomics elsewhere", "ffi/xsk/umem.ts", "Atomics.store(a, 0, 1);", "Atomics outside"],
    ["a clock", "stack/loop/a.ts", "const a = Date.now();", "a clock of its own"],
    ["another clock", "stack/loop/a.ts", "const a = performance.now();", "a clock of its own"],
    ["a clock in a template", "stack/loop/a.ts", "const a = `${Date.now()}`;", "a clock of its own"],
    ["randomness", "stack/ip/a.ts", "const a = Math.random();", "randomness of its own"],
    ["a timer", "stack/loop/a.ts", "setImmediate(() => {});", "a timer of the runtime"],
    ["an interval", "stack/udp/a.ts", "globalThis.setInterval(f, 1);", "a timer of the runtime"],
    ["an enum", "ffi/sys/a.ts", "export const enum A { b }", "a TypeScript enum"],
    ["any as a type", "stack/wire/a.ts", "const a = (b: any) => b;", "the type any"],
    ["any among type arguments", "ffi/sys/a.ts", "const a = new Map<string, any>();", "the type any"],
    ["any by another name", "ffi/sys/a.ts", "type A = any;", "the type any"],
    ["any in a cast", "tests/unit/a.test.ts", "const a = b as any;", "the type any"],
    [
      "any after a regular expression",
      "ffi/sys/a.ts",
      "const a = /[\"'`]/;\nconst b: any[] = [];",
      "the type any",
    ],
    ["a long file", "ffi/net/a.ts", "\n".repeat(MAX_LINES) + "1;", `more than ${MAX_LINES}`],
  ];
  for (const [rule, path, text, says] of planted) {
    test(`finds ${rule}`, () => {
      const found = check({ [path]: text });
      expect(found).toHaveLength(1);
      expect(found[0]).toStartWith(path);
      expect(found[0]).toContain(says);
    });
  }

  test("finds a cycle, once", () => {
    const found = check({
      "stack/loop/a.ts": 'import "./b.ts";',
      "stack/loop/b.ts": 'import type { C } from "./c.ts";',
      "stack/loop/c.ts": 'import "./a.ts";',
      "stack/loop/d.ts": 'import "./a.ts";',
    });
    expect(found).toEqual([
      "stack/loop/a.ts: a cycle of imports: stack/loop/a.ts -> stack/loop/b.ts -> stack/loop/c.ts -> stack/loop/a.ts",
    ]);
  });

  test("finds a file without its sentence", () => {
    expect(violations(new Map([["stack/wire/a.ts", "export const a = 1;\n/** Late. */"]]))).toEqual([
      "stack/wire/a.ts: it does not open with a doc comment",
    ]);
    expect(violations(new Map([["examples/a.ts", "#!/usr/bin/env bun\n/** Here. */"]]))).toEqual([]);
  });
});

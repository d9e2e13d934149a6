/**
 * What the README says exists: every path, every make target, every command with its flags, and a program that type-checks.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { missingCommands, missingPaths, program } from "../support/readme.ts";

const root = join(import.meta.dir, "..", "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const makefile = readFileSync(join(root, "Makefile"), "utf8");
const has = (path: string): boolean => existsSync(join(root, path));

describe("the README", () => {
  test("names only paths that exist", () => {
    expect(missingPaths(readme, has)).toEqual([]);
  });

  test("names only make targets and scripts that exist", () => {
    expect(missingCommands(readme, makefile, has)).toEqual([]);
  });

  test("names every target that the Makefile lists for running, and every example", () => {
    for (const target of ["demo", "test", "bench", "lab", "lab-down", "check"])
      expect(readme).toContain(`make ${target}`);
    const drivers = ["doctor", "count", "reflect", "bridge", "capture", "generate", "demo"];
    const hosts = ["ping", "udp-echo", "dns", "statsd", "router"];
    for (const name of [...drivers, ...hosts]) expect(readme).toContain(`bun run examples/${name}.ts`);
  });

  test("gives a reason for every dependency", () => {
    const { devDependencies, ...rest } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      devDependencies: Record<string, string>;
      dependencies?: Record<string, string>;
    };
    expect(rest.dependencies).toBeUndefined();
    const apt = [...makefile.matchAll(/^APT_\w+ := (.*)$/gm)].flatMap((match) => match[1]!.split(" "));
    expect(apt.length).toBeGreaterThan(5);
    const reasons = readme.slice(readme.indexOf("## Dependencies"));
    for (const name of [...Object.keys(devDependencies), ...apt]) expect(reasons).toContain(name);
  });

  test("the flags that it gives to bench/run.ts are those that bench/run.ts reads", () => {
    const source = readFileSync(join(root, "bench", "run.ts"), "utf8");
    const flags = [...readme.matchAll(/bench\/run\.ts([^`]*)`/g)].flatMap(
      (match) => match[1]!.match(/--[a-z]+/g) ?? [],
    );
    expect(flags.length).toBeGreaterThan(0);
    for (const flag of flags) expect(source).toContain(`${flag.slice(2)}: {`);
  });

  test("its program has twelve lines and type-checks as a user's would", () => {
    const source = program(readme);
    expect(source.split("\n").filter((line) => line.trim() !== "").length).toBe(12);
    const folder = join(root, ".cache", `readme-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    try {
      const file = join(folder, "program.ts");
      writeFileSync(file, source);
      const check = (): { code: number; text: string } => {
        const done = Bun.spawnSync([process.execPath, "check", file], { cwd: root });
        return { code: done.exitCode, text: done.stdout.toString() + done.stderr.toString() };
      };
      expect(check()).toMatchObject({ code: 0 });
      writeFileSync(file, source.replace("frame.at", "frame.nowhere"));
      expect(check().code).not.toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the checker", () => {
  const nothing = (): boolean => false;

  test("finds a path that is not there, in prose, tables and the picture", () => {
    expect(missingPaths("see `stack/nothing.ts`, `ffi/`", (path) => path === "ffi/")).toEqual([
      "stack/nothing.ts",
    ]);
    expect(missingPaths("```\n ffi/   all\n     nowhere/   x\n```", (path) => path === "ffi/")).toEqual([
      "ffi/nowhere/",
    ]);
  });

  test("finds a target and a script that are not there", () => {
    const text = "`make dance`, `bun run examples/none.ts --json`\n```sh\nmake demo # x\n```";
    expect(missingCommands(text, "demo: bpf ## yes\n", nothing)).toEqual([
      "make dance",
      "bun run examples/none.ts",
    ]);
  });
});

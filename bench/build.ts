/**
 * Compiles the C programs and the XDP programs of the bench, those that are older than their sources.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const PEERS_FOLDER = join(import.meta.dir, "peers");
const BUILD_FOLDER = join(import.meta.dir, "build");
/** What every program is linked with, and what each is older or newer than. */
const SHARED_SOURCES = ["peer.c", "frame.c"];
const SHARED_HEADER = "peer.h";
const XDP_SOURCE = "redirect.bpf.c";
const XDP_OBJECT = "redirect.bpf.o";

const C_FLAGS = ["-O2", "-Wall", "-Wextra"];
const LIBRARIES = ["-lxdp", "-lbpf"];
/** Debian keeps asm/types.h in the multiarch folder, which clang does not search when it compiles for the kernel. */
const ARCHITECTURE = process.arch === "x64" ? "x86_64" : "aarch64";
const XDP_FLAGS = ["-O2", "-g", "-Wall", "-target", "bpf", `-I/usr/include/${ARCHITECTURE}-linux-gnu`];

const source = (name: string): string => join(PEERS_FOLDER, name);

/** The path of a built program. */
export const built = (name: string): string => join(BUILD_FOLDER, name);

const modifiedMs = (path: string): number => (existsSync(path) ? statSync(path).mtimeMs : -Infinity);

const isStale = (target: string, sources: readonly string[]): boolean =>
  sources.some((each) => modifiedMs(source(each)) > modifiedMs(built(target)));

const compile = (target: string, command: readonly string[]): void => {
  const [compiler] = command;
  if (compiler === undefined || Bun.which(compiler) === null) {
    throw new Error(`cannot build ${target}: ${compiler} is not installed; run "make deps"`);
  }
  const done = Bun.spawnSync([...command, "-o", built(target)], { stdout: "pipe", stderr: "pipe" });
  if (done.exitCode !== 0) throw new Error(`cannot build ${target}: ${done.stderr.toString().trim()}`);
  console.error(`built ${target}`);
};

/** Brings every program up to date. Throws what the compiler said. */
export const build = (): void => {
  mkdirSync(BUILD_FOLDER, { recursive: true });
  if (isStale(XDP_OBJECT, [XDP_SOURCE])) {
    compile(XDP_OBJECT, ["clang", ...XDP_FLAGS, "-c", source(XDP_SOURCE)]);
  }
  const programs = readdirSync(PEERS_FOLDER).filter(
    (name) => name.endsWith(".c") && !SHARED_SOURCES.includes(name) && name !== XDP_SOURCE,
  );
  const compiler = Bun.which("gcc") === null ? "clang" : "gcc";
  for (const program of programs) {
    const target = program.slice(0, -".c".length);
    if (!isStale(target, [program, ...SHARED_SOURCES, SHARED_HEADER])) continue;
    compile(target, [compiler, ...C_FLAGS, source(program), ...SHARED_SOURCES.map(source), ...LIBRARIES]);
  }
};

/**
 * What a process can leave behind in the kernel: BPF objects of ours, descriptors and mappings, counted by other tools.
 *
 * Programs, maps and links are listed by bpftool; the living processes that hold one are found in /proc. What bears one
 * of our names and belongs to nobody else is this process's, or nobody's at all.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Lab, Side } from "./lab.ts";

/** Names of the objects of bpf/, as the kernel keeps them (cut at 15 characters). */
const PROGRAMS: ReadonlySet<string> = new Set(["steer", "pass"]);
const MAPS: ReadonlySet<string> = new Set([
  "xsks",
  "tables",
  "counts",
  "claims",
  "steer.bss",
  "steer.rodata",
]);

interface Listed {
  readonly id: number;
  readonly name?: string;
  readonly type?: string;
  readonly prog_id?: number;
  readonly map_ids?: readonly number[];
}

const bpftool = <T = Listed[]>(...words: string[]): T | undefined => {
  const done = Bun.spawnSync(["bpftool", "-j", ...words], { stdout: "pipe", stderr: "ignore" });
  const text = done.stdout.toString().trim();
  return done.exitCode === 0 && text !== "" ? (JSON.parse(text) as T) : undefined;
};

/** Ids that living processes other than this one hold by a descriptor. */
const heldByOthers = (): Record<"prog" | "map" | "link", Set<number>> => {
  const held = { prog: new Set<number>(), map: new Set<number>(), link: new Set<number>() };
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
        for (const [, kind, id] of readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8").matchAll(
          /^(prog|map|link)_id:\s*(\d+)$/gm,
        )) {
          held[kind as "prog" | "map" | "link"].add(Number(id));
        }
      }
    } catch {
      // The process or the descriptor ended meanwhile.
    }
  }
  return held;
};

/** Maps inside the maps of maps that others hold: nothing but the outer map holds them. */
const innerMaps = (outer: readonly number[]): number[] =>
  outer.flatMap((id) =>
    // The value of an entry is the inner map's id, byte by byte in the host's order.
    (bpftool<{ readonly value: readonly string[] }[]>("map", "dump", "id", String(id)) ?? []).map(
      ({ value }) => value.reduceRight((sum, byte) => sum * 256 + Number(byte), 0),
    ),
  );

/** The BPF objects with our names that no other living process holds, as "map 12 xsks". Those of earlier runs included. */
export const strayObjects = (): ReadonlySet<string> => {
  const programs = (bpftool("prog", "show") ?? []).filter(({ name }) => PROGRAMS.has(name ?? ""));
  const maps = (bpftool("map", "show") ?? []).filter(({ name }) => MAPS.has(name ?? ""));
  const links = bpftool("link", "show") ?? [];
  const held = heldByOthers();
  for (const program of programs) {
    if (held.prog.has(program.id)) for (const map of program.map_ids ?? []) held.map.add(map);
  }
  const tables = maps.filter(({ id, name }) => name === "tables" && held.map.has(id)).map(({ id }) => id);
  for (const id of innerMaps(tables)) held.map.add(id);
  const ours = new Set(programs.map(({ id }) => id));
  return new Set([
    ...programs.filter(({ id }) => !held.prog.has(id)).map(({ id, name }) => `prog ${id} ${name}`),
    ...maps.filter(({ id }) => !held.map.has(id)).map(({ id, name }) => `map ${id} ${name}`),
    ...links
      .filter(({ id, prog_id }) => ours.has(prog_id ?? -1) && !held.link.has(id))
      .map(({ id, prog_id }) => `link ${id} of prog ${prog_id}`),
  ]);
};

/**
 * What stays stray although it was not in `before`. The kernel frees in its own time, and a process that attaches in
 * between two looks leaves ids in one of them: only what every look shows is left behind.
 */
export const leftBehind = async (before: ReadonlySet<string>): Promise<string[]> => {
  const looks = 100;
  let stray = [...strayObjects()].filter((each) => !before.has(each));
  for (let look = 0; look < looks && stray.length > 0; look++) {
    await Bun.sleep(10);
    const now = strayObjects();
    stray = stray.filter((each) => now.has(each));
  }
  return stray;
};

export interface Mappings {
  readonly count: number;
  readonly bytes: number;
}

/** Mappings that this process shares with the kernel: rings of sockets, BPF maps, umems. */
export const sharedMappings = (): Mappings => {
  let count = 0;
  let bytes = 0;
  for (const line of readFileSync("/proc/self/maps", "utf8").split("\n")) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) .*(socket:|anon_inode:)/.exec(line);
    if (found === null) continue;
    count += 1;
    bytes += Number.parseInt(found[2]!, 16) - Number.parseInt(found[1]!, 16);
  }
  return { count, bytes };
};

/** Address space of this process in bytes: /proc/self/statm counts pages. */
export const addressSpaceBytes = (): number => {
  const pageBytes = 4096;
  return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[0]) * pageBytes;
};

/** The name of the XDP program on an interface as `ip` tells it, or undefined where there is none. */
export const programOn = (lab: Lab, side: Side, name: string): string | undefined => {
  const shown = JSON.parse(lab.exec(side, ["ip", "-j", "-d", "link", "show", "dev", name]).stdout) as {
    readonly xdp?: { readonly prog?: { readonly name?: string; readonly id: number } };
  }[];
  const program = shown[0]?.xdp?.prog;
  return program === undefined ? undefined : (program.name ?? `id ${program.id}`);
};

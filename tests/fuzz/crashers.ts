/**
 * Frames that once made something stumble, kept as files: what happened, and one line of hex for each frame in order.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where they are. */
export const CRASHERS = join(import.meta.dir, "crashers");

/** A frame and the port of the live host that it came in at. */
export interface Input {
  readonly port: number;
  readonly frame: Uint8Array;
}

export interface Crasher {
  readonly name: string;
  readonly what: string;
  readonly inputs: readonly Input[];
}

/** Writes one; gives the path. The same frames get the same name. */
export const saveCrasher = (what: string, inputs: readonly Input[]): string => {
  const lines = inputs.map(({ port, frame }) => `${port} ${Buffer.from(frame).toString("hex")}`);
  const text = `# ${what.replaceAll("\n", "\n# ")}\n${lines.join("\n")}\n`;
  const path = join(CRASHERS, `${Bun.hash.xxHash32(lines.join()).toString(16).padStart(8, "0")}.txt`);
  mkdirSync(CRASHERS, { recursive: true });
  writeFileSync(path, text);
  return path;
};

/** All that are kept, by name. */
export const readCrashers = (): readonly Crasher[] =>
  (existsSync(CRASHERS) ? readdirSync(CRASHERS) : [])
    .filter((name) => name.endsWith(".txt"))
    .sort()
    .map((name) => {
      const lines = readFileSync(join(CRASHERS, name), "utf8").trimEnd().split("\n");
      const comments = lines.filter((line) => line.startsWith("# "));
      const inputs = lines.slice(comments.length).map((line): Input => {
        const [port, hex] = line.split(" ");
        return { port: Number(port), frame: new Uint8Array(Buffer.from(hex!, "hex")) };
      });
      return { name, what: comments[0]?.slice(2) ?? "", inputs };
    });

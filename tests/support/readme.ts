/**
 * The README as data: the paths and commands that it names, and the program on its first screen.
 */

/** Folders of the house; a word that begins with one of them and a slash is a path. */
const TOP = ["examples", "bench", "stack", "ffi", "bpf", "tests"] as const;
const PATH = new RegExp(`(?<![\\w/.-])(?:${TOP.join("|")})/[\\w./-]*`, "g");

const blocks = (readme: string): string[] =>
  [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map((match) => match[2]!);

/** The first TypeScript block. */
export const program = (readme: string): string => {
  const found = /^```ts\n([\s\S]*?)^```$/m.exec(readme);
  if (found === null) throw new Error("the README has no TypeScript block");
  return found[1]!;
};

/** Paths of the picture: a folder stands below the one that it is indented under. */
const picturePaths = (block: string): string[] => {
  const paths: string[] = [];
  let top = "";
  for (const line of block.split("\n")) {
    const [, indent = "", rest = ""] = /^( *)(.*)$/.exec(line) ?? [];
    const [words = ""] = rest.split(/ {3,}/);
    const names = words.split(/\s+/).filter((word) => /^[\w.-]+(?:\/|\.ts)$/.test(word));
    if (names.length === 0) continue;
    // Further words of the line, such as the folders of tests/, lie below its first.
    const more = [...rest.slice(words.length).matchAll(/(?<!\S)[\w-]+\/(?=\s|$)/g)].map((match) => match[0]);
    const below = indent.length > 1 ? top : "";
    paths.push(...names.map((name) => below + name), ...more.map((name) => names[0]! + name));
    if (indent.length <= 1) top = names.at(-1)!.endsWith("/") ? names.at(-1)! : "";
  }
  return paths;
};

/** Paths that the text names and `exists` does not know. */
export const missingPaths = (readme: string, exists: (path: string) => boolean): string[] => {
  const picture = blocks(readme).find((block) => /^ ffi\//m.test(block)) ?? "";
  const prose = readme.replace(picture, "");
  const named = [...prose.matchAll(PATH)].map((match) => match[0].replace(/[.,]$/, ""));
  return [...new Set([...named, ...picturePaths(picture)])].filter((path) => !exists(path));
};

/** Text in backticks and the lines of shell blocks. */
const commands = (readme: string): string[] => {
  const shell = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap((match) => match[1]!.split("\n"));
  const inline = [...readme.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1]!,
  );
  return [...inline, ...shell].map((text) => text.replace(/\s+#.*$/, "").trim());
};

/** Commands whose make target or script is not there. */
export const missingCommands = (
  readme: string,
  makefile: string,
  exists: (path: string) => boolean,
): string[] =>
  commands(readme).flatMap((command) => {
    const target = /^make ([\w-]+)$/.exec(command)?.[1];
    if (target !== undefined) return new RegExp(`^${target}:`, "m").test(makefile) ? [] : [command];
    const script = /^bun run (\S+)/.exec(command)?.[1];
    return script === undefined || exists(script) ? [] : [`bun run ${script}`];
  });

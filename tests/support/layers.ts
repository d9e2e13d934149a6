/**
 * The rules of the house as functions of source text: layers, the one unsafe folder, sizes, forbidden words.
 *
 * Files come as a map from path to text, so that the rules can be tried on planted violations.
 */
import { dirname, join } from "node:path/posix";

/** Lines of a source file at most. */
export const MAX_LINES = 400;

/**
 * The house from top to bottom: a file may import from its own line or from lower ones. Longest prefix wins; files that
 * stand directly in `ffi/` or `stack/` without a line of their own are on that of the folder.
 */
const LINES: readonly (readonly string[])[] = [
  ["examples/", "bench/"],
  ["bun.ts"],
  ["index.ts"],
  ["stack/index.ts", "ffi/index.ts"],
  [
    "stack/bun.ts",
    "stack/bun/",
    "stack/bfd/",
    "stack/streams.ts",
    "stack/balance/",
    "stack/multipath/",
    "ffi/attach.ts",
  ],
  ["stack/ip/", "ffi/"],
  ["stack/udp/", "stack/sctp/", "stack/tcp/", "ffi/xsk/"],
  ["stack/transport/"],
  ["stack/loop/", "ffi/xdp/"],
  ["stack/device/", "ffi/net/"],
  ["stack/wire/", "ffi/sys/"],
];

/** Folders that never import each other, in either direction. */
const STRANGERS: readonly (readonly [string, string])[] = [
  ["stack/", "ffi/"],
  ["stack/udp/", "stack/sctp/"],
  ["stack/udp/", "stack/tcp/"],
  ["stack/sctp/", "stack/tcp/"],
];

interface WordRule {
  readonly name: string;
  readonly pattern: RegExp;
  /** Paths, by their beginning, that the rule is about. */
  readonly inside: readonly string[];
  /** Paths, by their beginning, where it is allowed. */
  readonly allowed: readonly string[];
}

const SOURCES = ["index.ts", "bun.ts", "stack/", "ffi/", "examples/", "bench/"];

const WORDS: readonly WordRule[] = [
  {
    name: "a pointer becomes memory outside ffi/sys/memory.ts",
    pattern: /\b(?:toArrayBuffer|toBuffer|CString)\b|\bread\.(?:[iu](?:8|16|32|64)|f32|f64|ptr|intptr)\b/,
    inside: SOURCES,
    allowed: ["ffi/sys/memory.ts"],
  },
  {
    name: "Atomics outside ffi/xsk/ring.ts",
    pattern: /\bAtomics\b/,
    inside: SOURCES,
    allowed: ["ffi/xsk/ring.ts"],
  },
  {
    name: "a clock of its own in stack/",
    pattern: /\bDate\b|\bperformance\b|\bhrtime\b|\bnanoseconds\s*\(/,
    inside: ["stack/"],
    allowed: [],
  },
  {
    name: "randomness of its own in stack/",
    pattern: /\bMath\.random\b|\bgetRandomValues\b/,
    inside: ["stack/"],
    allowed: [],
  },
  {
    name: "a timer of the runtime in stack/",
    pattern: /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask|nextTick)\b/,
    inside: ["stack/"],
    allowed: [],
  },
  { name: "a TypeScript enum", pattern: /\benum\s+\w+\s*\{/, inside: [...SOURCES, "tests/"], allowed: [] },
  {
    name: "the type any",
    // Where a type stands; a variable of that name is only caught after a colon.
    pattern: /(?:[:<|&]|\bas|\bkeyof|\btype\s+\w+\s*=)\s*any\b(?!\s*[(.?])|<[\w\s,[\]]*,\s*any\b/,
    inside: [...SOURCES, "tests/"],
    allowed: [],
  },
];

/** A rule that a file breaks, as one line. */
export const violations = (files: ReadonlyMap<string, string>): string[] => {
  const found: string[] = [];
  const graph = new Map<string, readonly string[]>();
  for (const [path, text] of files) {
    const { code, imports } = scan(text);
    if (!/^(?:#!.*\n)?\/\*\*/.test(text)) found.push(`${path}: it does not open with a doc comment`);
    const lines = text.trimEnd().split("\n").length;
    if (lines > MAX_LINES && isSource(path)) found.push(`${path}: ${lines} lines, more than ${MAX_LINES}`);
    for (const rule of WORDS) {
      if (!starts(path, rule.inside) || starts(path, rule.allowed)) continue;
      const hit = rule.pattern.exec(code);
      if (hit !== null) found.push(`${path}: ${rule.name}: ${hit[0].trim()}`);
    }
    const own = imports.filter((name) => name.startsWith(".")).map((name) => join(dirname(path), name));
    graph.set(path, own);
    if (!isSource(path)) continue;
    if (imports.includes("bun:ffi") && !path.startsWith("ffi/")) found.push(`${path}: bun:ffi outside ffi/`);
    for (const to of own) found.push(...importTrouble(path, to));
  }
  return [...found, ...cycles(graph)];
};

const starts = (path: string, prefixes: readonly string[]): boolean =>
  prefixes.some((prefix) => path.startsWith(prefix));

const isSource = (path: string): boolean => starts(path, SOURCES);

const lineOf = (path: string): number => {
  let best = -1;
  let length = -1;
  for (const [i, line] of LINES.entries()) {
    for (const prefix of line) {
      if (path.startsWith(prefix) && prefix.length > length) [best, length] = [i, prefix.length];
    }
  }
  return best;
};

const importTrouble = (from: string, to: string): string[] => {
  const found: string[] = [];
  for (const [a, b] of STRANGERS) {
    if ((from.startsWith(a) && to.startsWith(b)) || (from.startsWith(b) && to.startsWith(a))) {
      found.push(`${from}: imports ${to}: ${a} and ${b} are strangers`);
    }
  }
  if (lineOf(to) < 0) found.push(`${from}: imports ${to}, which is no part of the house`);
  else if (lineOf(to) < lineOf(from)) found.push(`${from}: imports ${to}, which lies above it`);
  return found;
};

/** Every cycle once, at the file where a walk first closes it. */
const cycles = (graph: ReadonlyMap<string, readonly string[]>): string[] => {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, above: readonly string[]): void => {
    const at = above.indexOf(path);
    if (at >= 0) {
      found.push(`${path}: a cycle of imports: ${[...above.slice(at), path].join(" -> ")}`);
      return;
    }
    if (done.has(path)) return;
    for (const to of graph.get(path) ?? []) walk(to, [...above, path]);
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return found;
};

interface Scanned {
  /** The text without comments and with empty strings. */
  readonly code: string;
  /** What it imports or re-exports, types too. */
  readonly imports: readonly string[];
}

/** Comments, strings, templates and regular expressions, in the order in which they are looked for. */
const TOKEN = new RegExp(
  [
    /\/\*[\s\S]*?\*\//, // a block comment
    /\/\/[^\n]*/, // a line comment
    /"(?:[^"\\\n]|\\.)*"/,
    /'(?:[^'\\\n]|\\.)*'/,
    /`(?:[^`\\]|\\[\s\S])*`/,
    /(?<=(?:[=(,:[!&|?{};+]|\breturn)\s*)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/,
  ]
    .map((part) => `(?:${part.source})`)
    .join("|"),
  "g",
);

const scan = (text: string): Scanned => {
  const withStrings = text.replace(TOKEN, (token) => (/^\/[*/]/.test(token) ? " " : token));
  const imports = [...withStrings.matchAll(/\b(?:from|import)\s*\(?\s*"([^"\n]+)"/g)].map(
    (match) => match[1]!,
  );
  const code = withStrings.replace(TOKEN, (token) => {
    // What a template computes is code; its text is not.
    if (token.startsWith("`"))
      return [...token.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1]).join(";");
    return '""';
  });
  return { code, imports };
};

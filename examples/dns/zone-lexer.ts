/**
 * A master file (RFC 1035 section 5.1) cut into entries of words: quotes, comments, and parentheses over several lines.
 */
import { ZoneError } from "./names.ts";

/** A word with its escapes as they stand; who knows what it means reads them. */
export interface Word {
  readonly text: string;
  /** In quotes, where a "@" or a number is only text. */
  readonly quoted: boolean;
}

export interface Entry {
  /** Where it begins, from 1. */
  readonly line: number;
  /** True where it begins with a blank: its owner is the one before. */
  readonly continued: boolean;
  readonly words: readonly Word[];
}

/** Everything that ends a word without quotes, or is none. */
const TOKEN = /\n|[ \t\r\f]+|;[^\n]*|[()]|"(?:[^"\\\n]|\\[^\n])*"|(?:[^\s;()"\\]|\\[^\n])+/y;

/** The entries of a file's text, one character a byte. Throws a ZoneError, with its line, at a quote or parenthesis left open. */
export const entriesOf = function* (text: string): Generator<Entry> {
  let line = 1;
  let begun = 1;
  let depth = 0;
  let continued = false;
  let words: Word[] = [];
  let fresh = true;
  const token = new RegExp(TOKEN);
  for (token.lastIndex = 0; token.lastIndex < text.length;) {
    const found = token.exec(text)?.[0];
    if (found === undefined)
      throw new ZoneError(`line ${line}: a quote is not closed, or a "\\" ends the line`);
    if (found === "\n") {
      line += 1;
      if (depth > 0) continue;
      if (words.length > 0) yield { line: begun, continued, words };
      words = [];
      fresh = true;
      continue;
    }
    if (fresh) {
      continued = /^[ \t]/.test(found);
      begun = line;
      fresh = false;
    }
    if (found === "(") depth += 1;
    else if (found === ")") {
      depth -= 1;
      if (depth < 0) throw new ZoneError(`line ${line}: ")" without "("`);
    } else if (found.startsWith('"')) words.push({ text: found.slice(1, -1), quoted: true });
    else if (!/^[\s;]/.test(found)) words.push({ text: found, quoted: false });
  }
  if (depth > 0) throw new ZoneError(`line ${begun}: "(" is not closed`);
  if (words.length > 0) yield { line: begun, continued, words };
};
